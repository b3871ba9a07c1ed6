"""What a plan says: estimates with their spread, and the table of them."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

NOTE = (
    "Times go from the fastest to the slowest batch, for one process that begins with nothing. Downloads, uploads and "
    "writing to the disk come on top."
)
SPREAD = 0.1  # the least that is promised: a few batches know nothing of a machine's bad hours


@dataclass(frozen=True)
class Estimate:
    """Seconds: as the fastest and as the slowest measured batch would have it."""

    low: float
    high: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Estimate:
        return cls(min(seconds) * (1 - SPREAD), max(seconds) * (1 + SPREAD))

    def times(self, count: float) -> Estimate:
        return Estimate(self.low * count, self.high * count)

    def __add__(self, other: Estimate) -> Estimate:
        return Estimate(self.low + other.low, self.high + other.high)

    def __str__(self) -> str:
        low, high = duration(self.low), duration(self.high)
        return low if low == high else f"{low} – {high}"


@dataclass(frozen=True)
class Stage:
    """A stage of a run. `memory` is its peak in bytes: of the GPU, or of this process where there is none."""

    name: str
    what: str
    time: Estimate
    memory: int


@dataclass(frozen=True)
class Plan:
    """What a run will cost.

    Attributes:
        disk: bytes of what it leaves behind, by name.
        upload: bytes, where it is published.
        device: that was measured.
        seconds: that measuring took.
    """

    stages: tuple[Stage, ...]
    disk: dict[str, int]
    upload: int
    device: str
    seconds: float

    @property
    def time(self) -> Estimate:
        total = Estimate(0.0, 0.0)
        for stage in self.stages:
            total = total + stage.time
        return total

    @property
    def memory(self) -> int:
        return max(stage.memory for stage in self.stages)

    def to_json(self) -> dict[str, Any]:
        """Seconds from the fastest to the slowest, and bytes."""
        stages = [
            {"name": s.name, "what": s.what, "seconds": [s.time.low, s.time.high], "memory": s.memory}
            for s in self.stages
        ]
        return {
            "stages": stages, "seconds": [self.time.low, self.time.high], "memory": self.memory, "disk": self.disk,
            "upload": self.upload, "device": self.device, "measuring_seconds": self.seconds,
        }  # fmt: skip

    def __str__(self) -> str:
        memory = "memory" if self.device == "cpu" else "GPU memory"
        rows = [("stage", "time", memory, "what")]
        rows += [(s.name, str(s.time), size(s.memory), s.what) for s in self.stages]
        rows.append(("in all", str(self.time), size(self.memory), ""))
        parts = ", ".join(f"{name} {size(count)}" for name, count in self.disk.items())
        facts = [("disk", f"about {size(sum(self.disk.values()))}: {parts}")]
        facts.append(("upload", f"about {size(self.upload)}" if self.upload else "nothing (no push-to-hub)"))
        name = max(len(row[0]) for row in [*rows, *facts])
        return "\n".join(
            [
                *aligned(rows),
                "",
                *(f"{key:<{name}}  {text}" for key, text in facts),
                "",
                *textwrap.wrap(
                    f"Measured on {self.device} in {duration(self.seconds)}; nothing of it is kept. {NOTE}", 100
                ),
            ]
        )


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns, the last one as long as it likes."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]) - 1)]
    lines = ["  ".join([*(cell.ljust(width) for cell, width in zip(row, widths)), row[-1]]) for row in rows]
    return [line.rstrip() for line in lines]


def duration(seconds: float) -> str:
    """As a person says it: two figures are as much as an estimate knows."""
    if seconds < 1:
        return "< 1 s"
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 100 * 60:
        return f"{seconds / 60:.0f} min"
    if seconds < 72 * 3600:
        return f"{seconds / 3600:.1f} h" if seconds < 36000 else f"{seconds / 3600:.0f} h"
    return f"{seconds / 86400:.1f} days"


def size(count: float) -> str:
    """Bytes, in powers of 1000."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if count >= 10 or unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
