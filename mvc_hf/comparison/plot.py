"""Accuracies and differences with their error bars, as one SVG that needs nothing else."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from ..utils.text import one_line, shortened
from .tables import Row, differences

LINE, TOP, PANEL, GAP, LETTER = 26, 56, 320, 40, 8  # pixels
STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#222}text.m{font-size:12px;fill:#666}"
    ".a{stroke:#999;stroke-width:1}.z{stroke:#666;"
    "stroke-dasharray:3 3}.b{stroke:#2463a8;stroke-width:4}.w{stroke:#2463a8;stroke-width:1.5}"
    ".d{fill:#2463a8}.s{fill:#fff;stroke:#2463a8}.g{fill:#fff}@media(prefers-color-scheme:dark){text{fill:#ddd}text.m{fill:#999}"
    ".g{fill:#181818}.b,.w{stroke:#7db4ef}.d{fill:#7db4ef}.s{fill:#181818;stroke:#7db4ef}}"
)


def svg(rows: Sequence[Row], title: str) -> str:
    """Left the accuracies: their mean, a bar of one standard deviation, a dot for each seed. Right the paired
    differences: a thick bar for the interval over the seeds, a thin one for that with the draw of the test images."""
    names = [shortened(one_line(row.name), 48) for row in rows]
    left = 24 + LETTER * max(map(len, names))
    width, height = left + 2 * PANEL + GAP + 24, TOP + LINE * len(rows) + 40
    found = differences(rows)
    accuracies = _Axis([v for r in rows for v in (*r.top1, r.mean - r.deviation, r.mean + r.deviation)], left)
    reach = [x for d in found.values() for x in (d.mean - _finite(d.widest), d.mean + _finite(d.widest))]
    points = _Axis([0.0, *reach], left + PANEL + GAP)
    bottom = TOP + LINE * len(rows)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height}" '
        f'viewBox="0 0 {width:.0f} {height}" role="img"><title>{escape(title)}</title><style>{STYLE}</style>',
        f'<rect class="g" width="100%" height="100%"/><text x="12" y="20">{escape(title)}</text>',
        f'<text class="m" x="{left:.0f}" y="42">top-1, %: mean ± standard deviation, each seed</text>',
        f'<text class="m" x="{points.left:.0f}" y="42">paired difference, 95 % (thin: with the draw of images)</text>',
        *accuracies.ticks(bottom),
        *points.ticks(bottom),
        f'<line class="z" x1="{points(0):.1f}" x2="{points(0):.1f}" y1="{TOP}" y2="{bottom}"/>',
    ]
    for i, (row, name) in enumerate(zip(rows, names)):
        y = TOP + LINE * i + LINE / 2
        parts.append(f'<text x="{left - 12:.0f}" y="{y + 4:.1f}" text-anchor="end">{escape(name)}</text>')
        parts += _bar(accuracies, row.mean, row.deviation, y, "b")
        parts += [f'<circle class="s" cx="{accuracies(v):.1f}" cy="{y:.1f}" r="3"/>' for v in row.top1]
        if row.name in found:
            d = found[row.name]
            parts += _bar(points, d.mean, _finite(d.widest), y, "w")
            parts += _bar(points, d.mean, _finite(d.half), y, "b")
    return "\n".join([*parts, "</svg>"]) + "\n"


def _finite(value: float) -> float:
    return value if math.isfinite(value) else 0.0


def _bar(axis: _Axis, middle: float, half: float, y: float, kind: str) -> list[str]:
    low, high = axis(middle - half), axis(middle + half)
    bar = f'<line class="{kind}" x1="{low:.1f}" x2="{high:.1f}" y1="{y:.1f}" y2="{y:.1f}"/>'
    return [bar, f'<circle class="d" cx="{axis(middle):.1f}" cy="{y:.1f}" r="4"/>']


class _Axis:
    """From values to pixels."""

    def __init__(self, values: Sequence[float], left: float) -> None:
        low, high = min(values), max(values)
        self.step = _step((high - low) or 1.0)
        self.low = math.floor(low / self.step) * self.step
        self.high = max(math.ceil(high / self.step) * self.step, self.low + self.step)
        self.left = left

    def __call__(self, value: float) -> float:
        return self.left + PANEL * (value - self.low) / (self.high - self.low)

    def ticks(self, bottom: float) -> list[str]:
        """The axis and its numbers."""
        parts = [f'<line class="a" x1="{self.left:.0f}" x2="{self.left + PANEL:.0f}" y1="{bottom}" y2="{bottom}"/>']
        for i in range(round((self.high - self.low) / self.step) + 1):
            value = self.low + i * self.step
            x = self(value)
            parts.append(f'<line class="a" x1="{x:.1f}" x2="{x:.1f}" y1="{bottom}" y2="{bottom + 4}"/>')
            parts.append(
                f'<text class="m" x="{x:.1f}" y="{bottom + 20}" text-anchor="middle">{round(value, 6):g}</text>'
            )
        return parts


def _step(span: float) -> float:
    """1, 2 or 5 times a power of ten, at most six of them in the span."""
    unit = 10.0 ** math.floor(math.log10(span))
    return next(m * unit for m in (0.2, 0.5, 1, 2, 5) if span / (m * unit) <= 6)
