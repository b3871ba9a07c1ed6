"""Ctrl-C and SIGTERM at a safe point."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

from .progress import say

Handler = Callable[[int, FrameType | None], Any] | int | None  # as Python keeps it for a signal


class Interruption:
    """While it is entered, the first SIGINT or SIGTERM only sets `requested`; a second SIGINT breaks off at once.

    `signal` is the number of the one that came last.

    Outside the main thread, where Python allows no signal handlers, it never requests anything.
    """

    def __init__(self, what: str) -> None:
        self.what, self.requested = what, False
        self.signal: int | None = None
        self._previous: dict[int, Handler] = {}

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _on_signal(self, number: int, _: FrameType | None) -> None:
        if self.requested and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.requested, self.signal = True, number
        say(f"stopping: {self.what} (Ctrl-C again breaks off at once)")
