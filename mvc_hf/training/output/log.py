"""The log of a training run, step by step."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

from ...storage.notes import atomic_write
from ...utils.progress import say


class TrainingLog:
    """Losses as CSV, a row a step. A resumed run forgets the rows after its checkpoint: it will write them again."""

    COLUMNS = ("step", "loss", "lr", "held_out_loss", "seen_loss")

    def __init__(self, path: Path):
        self.path = path

    def write(self, row: Mapping[str, float | str]) -> None:
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
