"""Images that belong together (of one patient, one series, one animal) and must stay on one side of a split."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..errors import DataError
from ..utils.rng import Stream, words

if TYPE_CHECKING:
    from .base import Source


@dataclass(frozen=True)
class Groups:
    """The group of each image.

    Attributes:
        names: of the groups, as text, sorted.
        codes: (rows of the source,) int64: position in `names`; −1 where an image has no group, and for images that
            are not to be used.
    """

    names: list[str]
    codes: np.ndarray

    @classmethod
    def of(cls, source: Source, column: str) -> Groups:
        """From a column of the source; an empty cell is no group.

        Raises:
            DataError: there is no such column, or it holds something else than text or whole numbers.
        """
        found: dict[str, list[int]] = {}
        for row, value in source.values(column):
            if not isinstance(value, str | int | None):
                raise DataError(
                    f"{source.describe_row(row)}: the column {column!r} holds {type(value).__name__}, not the name or "
                    "the number of a group (--group-column)"
                )
            if value is not None and str(value).strip():
                found.setdefault(str(value), []).append(row)
        names = sorted(found)
        codes = np.full(len(source), -1, np.int64)
        for code, name in enumerate(names):
            codes[found[name]] = code
        return cls(names, codes)

    def name(self, row: int | None) -> str | None:
        """The group of an image; None where it has none, or where there is no image."""
        return None if row is None or self.codes[row] < 0 else self.names[self.codes[row]]

    def holdout(self, members: list[np.ndarray], wanted: np.ndarray, seed: int) -> list[np.ndarray]:
        """Rows of each class to be held out, whole groups of them, in all classes that a group has images of.

        Groups come in a random order that depends on the seed. First those are taken that go into what is wanted of
        each of their classes; then, for classes that got none so, larger ones, as long as half of every class is left.

        Args:
            members: rows of each class.
            wanted: (classes,) how many images of each are to be held out; groups with an image of a class of which
                none is wanted stay.
        """
        rows = np.concatenate(members)
        sizes = np.array([len(part) for part in members])
        labels = np.repeat(np.arange(len(members)), sizes)
        alone = len(self.names) + rows  # an image without a group is one by itself
        codes, which = np.unique(np.where(self.codes[rows] < 0, alone, self.codes[rows]), return_inverse=True)
        order = np.argsort(words(seed, Stream.HOLD_OUT, 0, codes, 1)[:, 0], kind="stable")
        by_group = np.split(np.argsort(which, kind="stable"), np.cumsum(np.bincount(which, minlength=len(codes)))[:-1])
        kept, taken = np.zeros(len(members), np.int64), np.zeros(len(codes), bool)
        for larger in (False, True):
            for group in order[~taken[order]].tolist():
                classes, counts = np.unique(labels[by_group[group]], return_counts=True)
                limit = np.minimum(sizes // 2, np.where(kept == 0, sizes, 0))[classes] if larger else wanted[classes]
                if (wanted[classes] > 0).all() and (kept[classes] + counts <= limit).all():
                    kept[classes] += counts
                    taken[group] = True
        return np.split(rows[taken[which]], np.cumsum(kept)[:-1])
