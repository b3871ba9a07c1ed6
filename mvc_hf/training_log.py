"""What a training run says of itself: its losses, step by step, and whether it has begun to copy."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass, field
from pathlib import Path

from .progress import say
from .side_files import atomic_write

COPYING = 1.02  # a kept-aside loss this much above its best says that training has begun to copy


@dataclass
class Looks:
    """What the kept-aside images said so far."""

    best: float | None = None  # none yet; JSON has no infinity
    best_step: int = 0
    since_best: int = 0
    warned: bool = False
    last: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.best == math.inf:  # as older versions noted it
            self.best = None

    def note(self, step: int, held_out: float, seen: float) -> None:
        self.last = {"held_out_loss": held_out, "seen_loss": seen}
        if self.best is None or held_out < self.best:
            self.best, self.best_step, self.since_best = held_out, step, 0
        else:
            self.since_best += 1
        if held_out > COPYING * self.best and not self.warned:
            self.warned = True
            say(
                f"warning: at step {step} the loss on kept-aside images is {held_out:.4f}, up from {self.best:.4f} at "
                f"step {self.best_step}, while that on training images is {seen:.4f}: the model begins to copy; "
                f"--max-train-steps {self.best_step} or --early-stopping 3 would stop earlier"
            )


class Log:
    """Losses as CSV, a row a step. A resumed run forgets the rows after its checkpoint: it will write them again."""

    COLUMNS = ("step", "loss", "lr", "held_out_loss", "seen_loss")

    def __init__(self, path: Path):
        self.path = path

    def write(self, row: dict[str, float]) -> None:
        with self.path.open("a", newline="", encoding="utf-8") as file:
            csv.DictWriter(file, self.COLUMNS).writerow(row)

    def forget_after(self, step: int) -> None:
        rows = self.path.read_text(encoding="utf-8", errors="replace").splitlines() if self.path.exists() else []
        rows = [row for row in rows if row != ",".join(self.COLUMNS)]
        found = [row.split(",") for row in rows if self._is_whole(row.split(","))]
        if len(rows) - len(found) > 1:  # one may be the last row of a killed run, which broke off
            lost = len(rows) - len(found)
            say(f"{lost} rows of {self.path} cannot be read: they are left out, and the losses in it have a gap")
        with atomic_write(self.path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(self.COLUMNS)
            writer.writerows(row for row in found if int(row[0]) <= step)

    def _is_whole(self, row: list[str]) -> bool:
        """Whether `write` wrote it, to its end."""
        try:
            int(row[0])
            return len(row) == len(self.COLUMNS) and len([float(value) for value in row if value]) >= 3
        except ValueError:
            return False
