"""Synthetic images of one or several sets, in the classes of the real ones."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..data.base import Source
from ..errors import DataError
from ..utils.text import normal, some
from .picture_memory import PictureMemory
from .schedules import share
from .scores import Selection


class SyntheticImages:
    """Rows of one or several labelled image sets, with the labels of the real images.

    Args:
        sources: the sets; a class without images is fine.
        classes: {class name: label} of the real images, or None.
        label_match: "name" or "index".
        seed, limit: of more images than the limit, the seed decides which are used.
        selection: which of them are taken at all, and how often in comparison; all alike without it.

    Attributes:
        labels: int64 (S,), in the numbers of the real images.

    Raises:
        DataError: classes do not match.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        classes: dict[str, int] | None,
        label_match: str,
        seed: int,
        limit: float,
        selection: Selection | None = None,
    ) -> None:
        self._sources = list(sources)
        self._ends = list(itertools.accumulate(len(source) for source in sources))
        found = [_match(source, classes, label_match) for source in sources]
        if selection is None:
            self._rows = share(seed, self._ends[-1], int(min(limit, self._ends[-1])))
        else:
            self._rows = selection.rows(seed, limit)
        self.labels = np.concatenate(found)[self._rows]
        self._memory = PictureMemory()

    def __len__(self) -> int:
        return len(self._rows)

    def image(self, i: int) -> Any:
        """The picture, in the mode it was stored in.

        Raises:
            DataError: it is broken; the message names the row.
        """
        return self._memory.get(i, self._read)

    def _read(self, i: int) -> Any:
        source, row = self._place(i)
        return source.image(row)

    def describe(self, i: int) -> str:
        """The row as a person finds it again."""
        source, row = self._place(i)
        return source.describe_row(row)

    def _place(self, i: int) -> tuple[Source, int]:
        row = int(self._rows[i])
        at = bisect.bisect_right(self._ends, row)
        return self._sources[at], row - (self._ends[at - 1] if at else 0)

    def conditions(self) -> np.ndarray:
        """The row of the real image that each was made from, -1 where there was none: int64 (S,).

        Raises:
            DataError: a set has no column `condition`.
        """
        parts = []
        for source in self._sources:
            if "condition" not in source.columns:
                raise DataError(
                    f"{source.name} has no column 'condition', so it is unknown which real image each of its images "
                    "was made from: replace by class (--aug-rsp-from class)"
                )
            parts.append([-1 if row is None else row for row in source.column("condition")[:]])
        return np.concatenate(parts).astype(np.int64)[self._rows]


def _match(source: Source, classes: dict[str, int] | None, label_match: str) -> np.ndarray:
    """The labels of a synthetic set as those of the real one."""
    if label_match == "index":
        count = 1 + max(classes.values()) if classes else None
        if count is not None and source.labels.max() >= count:
            raise DataError(
                f"{source.name} has labels up to {source.labels.max()}, the real images only {count} classes: these "
                "sets do not count their classes alike"
            )
        return source.labels
    if classes is None:
        raise DataError(
            "the real images come without class names, so labels cannot be matched by name: if both sets count their "
            "classes alike, say --aug-label-match index"
        )
    known = _by_normal_name(classes)
    strangers = [n for n, there in zip(source.class_names, source.used) if there and normal(n) not in known]
    if strangers:
        raise DataError(
            f"{len(strangers)} classes of {source.name} are not among the real ones: {some(strangers)}; "
            f"the real ones are {some(list(classes), 20)}. Rename them, or say --aug-label-match index if both sets "
            "count their classes alike"
        )
    return np.array([known.get(normal(n), -1) for n in source.class_names], np.int64)[source.labels]


def _by_normal_name(classes: dict[str, int]) -> dict[str, int]:
    """The labels of the real classes by their names in the form in which names are compared."""
    known: dict[str, int] = {}
    for name, label in classes.items():
        if known.setdefault(normal(name), label) != label:
            written = ", ".join(ascii(n) for n in classes if normal(n) == normal(name))
            raise DataError(
                f"the real images have the class {normal(name)!r} twice, its accents written in different ways "
                f"({written}): make one class of them, or rename one"
            )
    return known
