"""Charts as SVG for a page that is light or dark: colours are the page's own, by class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from markupsafe import Markup, escape

from .page import shown

WIDTH, HEIGHT, LEFT, BOTTOM = 640, 230, 8, 44


def histogram(series: Mapping[str, np.ndarray], label: str, *, bins: int = 40, mark: float | None = None) -> Markup:
    """Shares of several sets of numbers over common bins, one curve of steps for each, and a legend.

    Args:
        series: numbers by name; those that are not finite are left out.
        label: what the numbers are.
        mark: a number at which a dashed line stands.
    """
    known = {shown(name): values[np.isfinite(values)] for name, values in series.items()}
    known = {name: values for name, values in known.items() if len(values)}
    if not known:
        return Markup("<p>Nothing to draw.</p>")
    low = min(float(v.min()) for v in known.values())
    high = max(float(v.max()) for v in known.values())
    high = high if high > low else low + 1
    edges = np.linspace(low, high, bins + 1)
    shares = {name: np.histogram(v, edges)[0] / len(v) for name, v in known.items()}
    top = max(float(s.max()) for s in shares.values())
    x = LEFT + (WIDTH - 2 * LEFT) * np.arange(bins + 1) / bins
    parts = []
    for number, heights in enumerate(shares.values()):
        y = HEIGHT - BOTTOM - (HEIGHT - BOTTOM - 10) * heights / top
        steps = " ".join(f"{a:.1f},{b:.1f} {c:.1f},{b:.1f}" for a, c, b in zip(x, x[1:], y))
        base = HEIGHT - BOTTOM
        parts.append(f'<polygon class="s{number}" points="{x[0]:.1f},{base} {steps} {x[-1]:.1f},{base}"/>')
    if mark is not None and low <= mark <= high:
        at = LEFT + (WIDTH - 2 * LEFT) * (mark - low) / (high - low)
        parts.append(f'<line class="mark" x1="{at:.1f}" x2="{at:.1f}" y1="4" y2="{HEIGHT - BOTTOM}"/>')
    for value, at, anchor in (
        (low, LEFT, "start"),
        ((low + high) / 2, WIDTH / 2, "middle"),
        (high, WIDTH - LEFT, "end"),
    ):
        parts.append(f'<text x="{at:.0f}" y="{HEIGHT - 26}" text-anchor="{anchor}">{value:.3g}</text>')
    parts.append(f'<text x="{WIDTH / 2}" y="{HEIGHT - 6}" text-anchor="middle">{escape(label)}</text>')
    legend = "".join(
        f'<span><i class="k{number}"></i>{escape(name)} ({len(values):,})</span>'
        for number, (name, values) in enumerate(known.items())
    )
    title = escape(f"{label}: {', '.join(known)}")
    return Markup(
        f'<figure><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{title}">{"".join(parts)}</svg>'
        f'<figcaption class="legend">{legend}</figcaption></figure>'
    )


def confusion(counts: Sequence[Sequence[int]], names: Sequence[str], given: str, found: str) -> Markup:
    """A table of how many images of each label (rows) are read as each class (columns), shaded by shares of the row.

    Args:
        given, found: what rows and columns are.
    """
    names = [shown(name) for name in names]
    head = "".join(f'<th scope="col"><span title="{escape(n)}">{escape(n)}</span></th>' for n in names)
    lines = []
    for i, row in enumerate(counts):
        total = max(sum(row), 1)
        cells = "".join(
            f'<td class="{"right" if i == j else "wrong"}" style="--share:{count / total:.3f}">{count or ""}</td>'
            for j, count in enumerate(row)
        )
        lines.append(
            f'<tr><th scope="row"><span title="{escape(names[i])}">{escape(names[i])}</span></th>{cells}</tr>'
        )
    corner = f"<th>{escape(given)} ↓ {escape(found)} →</th>"
    return Markup(
        f'<div class="scroll"><table class="confusion"><thead><tr>{corner}{head}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )
