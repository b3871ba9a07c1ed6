"""The image sets of a report: the synthetic split, the real images, held-out ones, in the same classes."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass

import numpy as np

from ..config.assessing import AssessSettings
from ..data.base import Source
from ..data.loading import open_dataset
from ..data.view import ViewConfig
from ..errors import DataError
from ..utils.text import normal, some

LOOKED_AT = 16  # images of a set of which the size is looked at


@dataclass(frozen=True)
class ImageSet:
    """A labelled image set in the classes of the real images.

    Attributes:
        role: "synthetic", "real" or "held-out".
        labels: int64 (n,), in the numbers of the real classes.
    """

    role: str
    source: Source
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Sets:
    """Attributes:
    class_names: of the real images, in their order.
    notes: what a reader has to know of them, a line each.
    """

    synthetic: ImageSet
    real: ImageSet
    holdout: ImageSet | None
    class_names: tuple[str, ...]
    notes: tuple[str, ...]


def open_sets(synthetic: str, real: str, holdout: str | None, settings: AssessSettings) -> Sets:
    """Open and match them by the names of the classes.

    Raises:
        DataError: one cannot be read, has no images, or classes that the real images have not.
    """
    view = ViewConfig(window=settings.window, fit=settings.fit)
    columns = {"image_column": settings.image_column, "label_column": settings.label_column}
    links = settings.follow_symlinks
    real_source = open_dataset(
        real, split=settings.real_split, every_class=False, view=view, follow_symlinks=links, **columns
    )
    made = open_dataset(synthetic, split=settings.split, every_class=False, follow_symlinks=links)
    made.fit = settings.fit
    sets = [
        ImageSet("real", real_source, real_source.labels),
        ImageSet("synthetic", made, _matched(made, real_source, "synthetic")),
    ]
    if holdout:
        others = open_dataset(
            holdout, split=_holdout_split(holdout, settings), every_class=False, view=view, follow_symlinks=links,
            **columns,
        )  # fmt: skip
        sets.append(ImageSet("held-out", others, _matched(others, real_source, "held-out")))
    for part in sets:
        part.source.check_lacking(0)
        if not len(part):
            raise DataError(f"{part.source.name} holds no images: check the folder, file or split")
    if len(sets[0]) < 2:
        raise DataError(f"{real_source.name} has a single image: nothing can be compared with it; give more")
    names = real_source.class_names
    notes = [*_counts(sets, names), *_sizes(sets)]
    if not holdout:
        notes.append(
            "No held-out images were given (--holdout): how close the real images lie to one another stands in for "
            "them in the test of copies."
        )
    return Sets(sets[1], sets[0], sets[2] if holdout else None, names, tuple(notes))


def _holdout_split(holdout: str, settings: AssessSettings) -> str:
    """The split that was asked for; else `test`, but of a folder that has no splits."""
    if settings.holdout_split is not None:
        return settings.holdout_split
    path = os.path.expanduser(holdout)
    plain = os.path.isdir(path) and not any(os.path.isdir(os.path.join(path, name)) for name in ("test", "data"))
    return "train" if plain else "test"


def _matched(source: Source, real: Source, role: str) -> np.ndarray:
    """The labels of a set in the numbers of the real classes. Raises DataError for classes that those have not."""
    known = {normal(name): label for label, name in enumerate(real.class_names)}
    strange = [n for n, there in zip(source.class_names, source.used) if there and normal(n) not in known]
    if strange:
        raise DataError(
            f"{len(strange)} classes of {source.name} ({role}) are not among those of {real.name}: {some(strange)}; "
            f"the real ones are {some(real.class_names, 20)}: give the real images that it was made from, or rename "
            "the classes"
        )
    return np.array([known.get(normal(n), -1) for n in source.class_names], np.int64)[source.labels]


def _counts(sets: list[ImageSet], names: tuple[str, ...]) -> list[str]:
    counts = {part.role: np.bincount(part.labels, minlength=len(names)) for part in sets}
    real, made = counts["real"], counts["synthetic"]
    notes = []
    for what, which in (
        ("a single real image, too few for figures of their own", (real == 1) & (made > 0)),
        ("no real images in this split", (real == 0) & (made > 0)),
        ("no synthetic images", (real > 0) & (made == 0)),
    ):
        if which.any():
            notes.append(
                f"{which.sum()} of {len(names)} classes have {what}: {some(np.array(names)[which].tolist())}."
            )
    return notes


def _sizes(sets: list[ImageSet]) -> list[str]:
    """A word where the sets are of different sizes or modes: all are brought to one."""
    found = {part.role: _usual(part.source) for part in sets}
    if len(set(found.values())) == 1:
        return []
    words = ", ".join(f"{role} {width}×{height} {mode}" for role, (width, height, mode) in found.items())
    return [f"The pictures are of different sizes or modes ({words}): all are compared at one size, in RGB."]


def _usual(source: Source) -> tuple[int, int, str]:
    rows = np.unique(np.linspace(0, len(source) - 1, min(LOOKED_AT, len(source))).round().astype(int)).tolist()
    kinds = Counter((image.width, image.height, image.mode) for image in map(source.image, rows))
    return kinds.most_common(1)[0][0]
