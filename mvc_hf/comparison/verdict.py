"""Which cell of a sweep one would take, and how sure that is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from .statistics import LEVEL, Difference, difference
from .tables import Row


@dataclass(frozen=True)
class Verdict:
    """The best row, and what it can be told from.

    Attributes:
        best: its name; "" where none does better than the first row, real images alone.
        gain: over the first row.
        beaten: names of the others that it is better than with certainty, all of these statements together at 95 %.
        open: names of the others.
    """

    best: str
    gain: Difference | None
    beaten: tuple[str, ...]
    open: tuple[str, ...]

    def __str__(self) -> str:
        if self.gain is None:
            return "Take none of them: no cell does better than the real images alone."
        others = len(self.beaten) + len(self.open)
        lines = [f"Take {self.best}: {_shown(self.gain)} points over real images alone" + _of(others)]
        if not self.gain.certain:
            lines.append("Whether it gains anything is not certain: its interval reaches to zero or below.")
        if others and not self.beaten:
            lines.append("No cell is better than another with certainty: it is as good a choice as the others.")
        elif self.open:
            lines.append(
                f"It is better than {len(self.beaten)} of the other {others} with certainty (95 % for all together), "
                f"and cannot be told from {', '.join(self.open)}."
            )
        elif others:
            lines.append(f"It is better than each of the other {others} with certainty (95 % for all together).")
        return "\n".join(lines)


def verdict(rows: Sequence[Row]) -> Verdict:
    """Of a first row of real images alone, and a row for each cell: that of the highest mean, of equal ones the first.

    Intervals are over seeds and images, where the images are known one by one. The level of each statement is such
    that all of them together hold at 95 % (Bonferroni): among many cells one is ahead by chance.
    """
    first, cells = rows[0], list(rows[1:])
    best = max(cells, key=lambda row: row.mean)
    others = [row for row in cells if row is not best]
    if best.mean <= first.mean:
        return Verdict("", None, (), tuple(row.name for row in others))
    level = 1 - (1 - LEVEL) / max(1, len(cells))
    beaten = [row.name for row in others if _above(best, row, level)]
    unbeaten = tuple(row.name for row in others if row.name not in beaten)
    return Verdict(best.name, _between(best, first, level), tuple(beaten), unbeaten)


def _between(row: Row, other: Row, level: float) -> Difference:
    return difference(row.top1, other.top1, row.right, other.right, level)


def _above(row: Row, other: Row, level: float) -> bool:
    found = _between(row, other, level)
    return found.mean > 0 and found.certain


def _shown(found: Difference) -> str:
    return f"{found.mean:+.1f}" + (f" ± {found.widest:.1f}" if math.isfinite(found.widest) else "")


def _of(others: int) -> str:
    return f" (the best of {others + 1}, which flatters it)." if others else "."
