"""What goes wrong, where, and how often."""

from __future__ import annotations

import threading
from dataclasses import dataclass


@dataclass
class Fault:
    """What goes wrong at an endpoint: a status, another body, or "reset", "cut", "lost", "slow", "race"."""

    kind: int | str | bytes
    times: int
    headers: dict[str, str]
    after: int
    seconds: float


class Faults:
    """The faults that are switched on, by the endpoint that has them."""

    def __init__(self) -> None:
        self._faults: dict[str, list[Fault]] = {}
        self._lock = threading.Lock()

    def add(self, call: str, fault: Fault) -> None:
        self._faults.setdefault(call, []).append(fault)

    def clear(self) -> None:
        self._faults.clear()

    def next(self, call: str) -> Fault | None:
        """What goes wrong with the call that comes in now."""
        with self._lock:
            for fault in self._faults.get(call, []):
                if fault.after > 0:
                    fault.after -= 1
                    return None
                if fault.times > 0:
                    fault.times -= 1
                    return fault
        return None
