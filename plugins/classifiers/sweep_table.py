"""A sweep as a table for people: a line for each cell, and what one should know to read it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...assessment.findings import number
from ...comparison.grid import SHORT
from ...comparison.tables import Row, columns, differences, shown_difference

FIGURES = {  # of a report, by what they are called in the table
    "kernel distance": "kernel_distance",
    "coverage": "coverage",
    "spread": "spread_ratio",
    "labels": "label_agreement",
    "copies": "copies",
}


def table(rows: Sequence[Row]) -> str:
    """A line for each cell: its settings, its figures, and what a classifier gains by it."""
    found = differences(rows)
    varying = [name for name in SHORT if len({(row.facts or {}).get(name) for row in rows[1:]}) > 1]
    lines = [[*(SHORT[name] for name in varying), *FIGURES, "top-1, %", "gain"]]
    for row in rows:
        facts = row.facts or {}
        cells = [f"{facts[name]:g}" if name in facts else "" for name in varying]
        if cells and not any(cells):
            cells[0] = row.name
        figures = [_figure(name, facts.get(name)) for name in FIGURES]
        gain = shown_difference(found[row.name]) if row.name in found else ""
        lines.append([*cells, *figures, f"{row.mean:.1f} ± {row.deviation:.1f}", gain])
    return "\n".join(columns(lines))


def _figure(name: str, figure: Mapping[str, Any] | None) -> str:
    """Shares as %; a kernel distance in thousandths, as KID is usually given."""
    if figure is None or figure.get("value") is None:
        return ""
    parts = [figure.get(part) for part in ("value", "low", "high")]
    if name == "kernel distance":
        shown = [number(1000 * part) for part in parts if part is not None]
    else:
        scale, digits = (1, 2) if name == "spread" else (100, 0)
        shown = [f"{part * scale:.{digits}f}" for part in parts if part is not None]
    return shown[0] if len(shown) < 3 else f"{shown[0]} ({shown[1]} to {shown[2]})"


def remarks(rows: Sequence[Row], facts: Mapping[str, Any]) -> list[str]:
    """What a reader of the table should know."""
    settings = facts["settings"]
    lines = [
        f"{len(rows) - 1} cells; {settings['classifier']} trained on {facts['trained_on']:,} real images, with "
        f"synthetic ones {settings['schedule']}; judged by {facts['judged_by']:,} others that nothing else has seen, "
        f"over {len(rows[0].top1)} seeds. The test set is not read.",
        f"Kernel distance (×10³) and coverage (%) in the features of {facts['extractor']}; spread of a class over "
        f"that of real images; labels and copies in %. The first row has those of {facts['reference']['of']}.",
    ]
    if facts["may_have_seen_them"]:
        lines.append(
            "The model is one that was there already: where it was fine-tuned on all of these real images, it has "
            "seen those that judge it, and cells that copy look better than they are."
        )
    return lines
