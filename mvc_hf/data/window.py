"""Which values of a grey picture of more than 8 bits become black and white.

A CT slice, an X-ray or a microscope's picture has 16 bits or more, and what matters in it lies between two of its
values. Those two are the window; what lies outside becomes black or white. 8-bit pictures stay as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from ..errors import DataError, RecipeError
from .decoding import is_deep, upright

if TYPE_CHECKING:
    from .base import Source

AUTO = "auto"
SAMPLE = 256  # images that an automatic window looks at
FEW = 8  # images that tell whether a window means anything to a set
VALUES = 1 << 14  # of each of them, evenly spaced
PERCENTILES = 0.5, 99.5


@dataclass(frozen=True)
class IntensityWindow:
    """`low` becomes 0, `high` 255, linearly between them, rounded; what lies outside is clipped."""

    low: float
    high: float

    @classmethod
    def parse(cls, text: str) -> IntensityWindow:
        """From "LOW,HIGH". Raises RecipeError."""
        try:
            low, high = map(float, text.split(","))
        except ValueError as error:
            raise RecipeError(f"--window is {text!r}; give LOW,HIGH such as 0,4095 or -160,240, or {AUTO}") from error
        if not -np.inf < low < high < np.inf:
            raise RecipeError(f"--window is {text!r}; the first of the two numbers must be the smaller one")
        return cls(low, high)

    @classmethod
    def of_sample(cls, source: Source, rows: np.ndarray) -> IntensityWindow:
        """The 0.5th and 99.5th percentile of the values in a sample of the rows, evenly spread over them.

        Raises:
            DataError: no picture of the sample has more than 8 bits, or all values are the same.
        """
        sample = rows[np.unique(np.linspace(0, len(rows) - 1, min(SAMPLE, len(rows))).round().astype(int))]
        found = [values for row in sample.tolist() if (values := _values_of(source, row)) is not None]
        if not found:
            raise DataError(
                f"{source.name}: --window {AUTO} is for grey pictures of more than 8 bits, and a sample of "
                f"{len(sample)} has none: leave it out"
            )
        values = np.concatenate(found)
        low, high = np.percentile(values[np.isfinite(values)].astype(np.float64), PERCENTILES)
        if not low < high:
            raise DataError(f"{source.name}: all values are about {low:g}: give --window LOW,HIGH")
        return cls(float(low), float(high))

    def means_nothing_to(self, source: Source, rows: np.ndarray) -> bool:
        """Whether none of a few pictures has more than 8 bits."""
        return all(_values_of(source, row) is None for row in rows[:FEW].tolist())

    def __str__(self) -> str:
        """What `parse` takes, exactly."""
        return ",".join(repr(int(v)) if v == int(v) else repr(v) for v in (self.low, self.high))

    def seen(self, image: Image.Image) -> Image.Image:
        """The picture through the window, upright, in mode L; one of 8 bits as it is.

        Raises:
            DataError: values that are no numbers.
        """
        if not is_deep(image):
            return image
        image = upright(image)
        values = np.asarray(image).astype(np.float64)
        if np.isnan(values).any():
            raise DataError(f"a picture of mode {image.mode} has values that are no numbers: repair or remove it")
        grey = np.rint((values.clip(self.low, self.high) - self.low) * 255 / (self.high - self.low))
        transparent = image.info.get("transparency")
        if isinstance(transparent, int):
            grey[values == transparent] = 255  # it lies on white
        return Image.fromarray(grey.astype(np.uint8))


def _values_of(source: Source, row: int) -> np.ndarray | None:
    """Some values of a picture of more than 8 bits; None for any other, and for one that cannot be read."""
    try:
        image = source.image(row)
    except DataError:  # the one who needs the picture will say so
        return None
    if not is_deep(image):
        return None
    values = np.asarray(image).ravel()
    return values[:: -(-len(values) // VALUES)]
