"""What was found, as a table for people, for spreadsheets and for programs."""

from __future__ import annotations

import csv
import io
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..utils.text import one_line
from .statistics import Difference, difference


@dataclass(frozen=True)
class Row:
    """An arm and how it did.

    Attributes:
        name: as the table has it.
        top1: accuracy of its classifiers on the test images, %, seed by seed.
        against: the name of the row that it is held against; "" for none.
        right: bool (seeds, test images), whether each image was read right, where that is known.
        facts: more to record.
    """

    name: str
    top1: tuple[float, ...]
    against: str = ""
    right: np.ndarray | None = None
    facts: dict[str, Any] | None = None

    @property
    def mean(self) -> float:
        return statistics.mean(self.top1)

    @property
    def deviation(self) -> float:
        """Standard deviation over the seeds; 0 for one."""
        return statistics.stdev(self.top1) if len(self.top1) > 1 else 0.0


def differences(rows: Sequence[Row]) -> dict[str, Difference]:
    """Of every row that is held against another one, by its name."""
    known = {row.name: row for row in rows}
    found = {}
    for row in rows:
        if row.against:
            other = known[row.against]
            found[row.name] = difference(row.top1, other.top1, row.right, other.right)
    return found


def table(rows: Sequence[Row]) -> str:
    """Mean ± standard deviation over the seeds, a line for each arm, and the paired difference, ± half the width of
    its 95 % interval; what it is held against, where that is not always the first row."""
    found = differences(rows)
    first = rows[0].name
    name_width = max(20, *(len(row.name) + 2 for row in rows))
    several = any(row.against not in ("", first) for row in rows)
    lines = [f"{'training images':<{name_width}}{'top-1 accuracy, %':>20}{'paired difference':>20}"]
    lines[0] += "  against" if several else ""
    for row in rows:
        shown = shown_difference(found[row.name]) if row.name in found else ""
        line = f"{one_line(row.name):<{name_width}}{f'{row.mean:.1f} ± {row.deviation:.1f}':>20}{shown:>20}"
        lines.append((line + (f"  {one_line(row.against)}" if several else "")).rstrip())
    return "\n".join(lines)


def columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a table, every column as wide as it must be, to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return ["  ".join(one_line(cell).rjust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]


def shown_difference(found: Difference) -> str:
    """ "+1.2 ± 0.4"; without an interval for one seed."""
    return f"{found.mean:+.1f}" + (f" ± {found.half:.1f}" if math.isfinite(found.half) else "")


def records(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The same as plain values, rounded to what they mean. What one seed cannot say is None."""
    found = differences(rows)
    return [
        {
            "arm": row.name,
            **(row.facts or {}),
            "top1": [round(value, 2) for value in row.top1],
            "mean": round(row.mean, 2),
            "standard_deviation": round(row.deviation, 2) if len(row.top1) > 1 else None,
            "against": row.against or None,
            **_record(found.get(row.name)),
        }
        for row in rows
    ]


def _record(found: Difference | None) -> dict[str, Any]:
    if found is None:
        return {"difference": None, "interval": None, "interval_with_test_images": None}
    return {
        "difference": round(found.mean, 2),
        "interval": _interval(found.mean, found.half),
        "interval_with_test_images": _interval(found.mean, found.half_with_images),
    }


def _interval(mean: float, half: float | None) -> list[float] | None:
    return None if half is None or not math.isfinite(half) else [round(mean - half, 2), round(mean + half, 2)]


def as_csv(found: Sequence[dict[str, Any]]) -> str:
    """Records as a spreadsheet reads them: intervals as low and high, lists and figures as a column for each part."""
    flat = [_flat(record) for record in found]
    names = list(dict.fromkeys(name for record in flat for name in record))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _harmless(value) for name, value in record.items()} for record in flat)
    return text.getvalue()


def _flat(record: dict[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in record.items():
        if name.startswith("interval"):
            low, high = value or (None, None)
            flat |= {f"{name}_low": low, f"{name}_high": high}
        elif isinstance(value, dict):  # a figure with its interval
            flat |= {name if part == "value" else f"{name}_{part}": inner for part, inner in value.items()}
        elif isinstance(value, list):
            flat |= {f"{name}_seed{i}": part for i, part in enumerate(value)}
        else:
            flat[name] = value
    return flat


def _harmless(value: Any) -> Any:
    """A text that a spreadsheet does not take for a formula."""
    return f"'{value}" if isinstance(value, str) and value[:1] in "=+-@\t\r" and value else value
