"""What is in a mix: how much of it comes from which caption, after later copies went over earlier ones."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from ..mixing import MixPlans, row_map


@dataclass(frozen=True)
class Part:
    """What one caption gave.

    Attributes:
        caption: a row of the caption table, or its text.
        rows: that it gave by coarse copies; fine copies may have gone over a few elements of them since.
        elements: that it gave by fine copies.
    """

    caption: int | str
    rows: int
    elements: int


@dataclass(frozen=True)
class Mixture:
    """Attributes:
    share: of the embedding's elements, those that come from other captions than the base.
    parts: the captions mixed in that left something, those with the most first.
    """

    share: float
    parts: tuple[Part, ...]

    def named(self, captions: list[str]) -> Mixture:
        """With the texts of the captions in place of their numbers."""
        return Mixture(self.share, tuple(Part(captions[int(p.caption)], p.rows, p.elements) for p in self.parts))


def mixtures(plans: MixPlans, tokens: int, width: int) -> list[Mixture]:
    """The contents of each mix of tokens × width elements."""
    return [_mixture(plans[i], rows, width) for i, rows in enumerate(row_map(plans, tokens))]


def _mixture(mix: MixPlans, rows: np.ndarray, width: int) -> Mixture:
    """Of one mix, whose row t is of caption rows[t] before the fine copies."""
    base = int(mix.base[0])
    of_rows = Counter(int(source) for source in rows if source != base)
    elements = np.repeat(rows[:, None], width, axis=1)
    is_fine = np.zeros(elements.shape, bool)
    for source, w, u, v in mix.fine[0]:
        elements[w, u:v], is_fine[w, u:v] = source, True
    is_fine &= elements != base
    of_elements = Counter(dict(zip(*(each.tolist() for each in np.unique(elements[is_fine], return_counts=True)))))
    left = {source: of_rows[source] * width + of_elements[source] for source in {*of_rows, *of_elements}}
    order = sorted(left, key=lambda source: (-left[source], source))
    parts = tuple(Part(source, of_rows[source], of_elements[source]) for source in order)
    return Mixture(float((elements != base).mean()), parts)
