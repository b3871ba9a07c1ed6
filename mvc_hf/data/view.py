"""How a run sees its images: how many of each class, through which window, and how they become squares.

A `ViewConfig` is what the settings say; a `DatasetView` is a source as it is seen then. Row numbers are always those
of the source as a whole, so that what is recorded means the same whatever part of it a run has seen.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DataError
from ..utils.progress import say
from ..utils.rng import Stream, words
from .base import Source
from .window import AUTO, IntensityWindow

if TYPE_CHECKING:
    from PIL import Image

    from ..config.recipe import Recipe

AT_ONCE = 1 << 20  # rows whose random words are in memory at a time


@dataclass(frozen=True)
class ViewConfig:
    """What the settings of the same names say; `seed` decides which images of a class are taken."""

    max_images_per_class: int | None = None
    seed: int = 0
    window: str | None = None
    fit: str = "crop"

    @classmethod
    def of(cls, recipe: Recipe) -> ViewConfig:
        return cls(recipe.max_images_per_class, recipe.seed, recipe.window, recipe.fit)

    @classmethod
    def recorded(cls, settings: dict[str, Any]) -> ViewConfig:
        """That of a checkpoint, from the settings that it was made with."""
        limit, seed = settings.get("max_images_per_class"), settings.get("seed", 0)
        return cls(limit, seed, settings.get("window"), settings.get("fit", "crop"))

    def check(self) -> None:
        """Raises RecipeError where the window cannot be one, before any data is read."""
        if self.window not in (None, AUTO):
            IntensityWindow.parse(self.window)

    def chosen(self, labels: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray | None:
        """Ascending rows, (n,), at most `max_images_per_class` of each class; None for all of them.

        Args:
            labels: of all rows, or of `rows`.
            rows: those to take from, ascending.

        Each row of a class has a random place in it, which depends on the seed, the label and the row alone, and the
        first ones are taken: a smaller limit takes a part of what a larger one takes.
        """
        if self.max_images_per_class is None:
            return None
        rows = np.arange(len(labels)) if rows is None else rows
        parts = [slice(i, i + AT_ONCE) for i in range(0, len(rows), AT_ONCE)]
        keys = [words(self.seed, Stream.SUBSET, labels[part], rows[part], 1)[:, 0] for part in parts]
        order = np.lexsort((np.concatenate([*keys, np.zeros(0, np.uint64)]), labels))
        ordered = labels[order]
        place = np.arange(len(labels)) - np.searchsorted(ordered, ordered)
        return np.sort(rows[order[place < self.max_images_per_class]])

    def at(self, source: Source) -> Source:
        """The source as it is seen."""
        rows = self.chosen(source.labels)
        if rows is not None or self.window is not None:
            source = DatasetView(source, rows, self.window)
        source.fit = self.fit
        return source


class DatasetView(Source):
    """Some rows of a source, or all, and its deep greys through a window.

    Args:
        rows: ascending; None for all.
        window: "LOW,HIGH", "auto" to find it in the rows, or None.
    """

    def __init__(self, source: Source, rows: np.ndarray | None, window: str | None) -> None:
        self._source, self._some = source, rows
        self.name, self.revision, self.columns = source.name, source.revision, source.columns
        self.class_names, self.labels, self.lacking = source.class_names, source.labels, source.lacking
        if rows is not None:
            self.rows = rows
        if window == AUTO:
            self.window = IntensityWindow.of_sample(source, self.rows)
        elif window is not None:
            self.window = IntensityWindow.parse(window)
            if self.window.means_nothing_to(source, self.rows):
                say(f"note: --window {window} is for grey pictures of more than 8 bits; {source.name} has none")

    def describe_row(self, row: int) -> str:
        return self._source.describe_row(row)

    def image(self, row: int) -> Image.Image:
        image = self._source.image(row)
        try:
            return self.window.seen(image) if self.window else image
        except DataError as error:  # of a picture, not of a row
            raise DataError(f"{self.describe_row(row)}: {error}") from error

    def stored(self, row: int) -> bytes | None:
        return None if self.window else self._source.stored(row)

    def column(self, name: str) -> Sequence[Any]:
        return self._source.column(name)

    def _content(self) -> Iterable[str | bytes]:
        """What is not seen is not read for it, either."""
        if self._some is None:
            yield from self._source._content()
        else:
            yield from self._source._content_of(self._some)
            yield from ("rows", self._some.astype("<i8").tobytes())
        if self.window:
            yield from ("window", str(self.window))
