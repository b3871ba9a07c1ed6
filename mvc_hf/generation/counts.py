"""How many synthetic images each class gets: pure functions of the settings and of the real images of each class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..config.files import fingerprint
from ..config.stages.generating import MOST_IMAGES
from ..errors import RecipeError

if TYPE_CHECKING:
    from ..config.recipe import Recipe

IMAGES_PER_CLASS = 100  # where no setting says how many
MOST_SHARDS = 99_999  # as many as their names can count


def needs_real(recipe: Recipe) -> bool:
    """Whether the real images have to be counted for it."""
    return recipe.balance or recipe.per_image is not None


def images_of_class(
    recipe: Recipe, classes: int, real: np.ndarray | None = None, used: np.ndarray | None = None
) -> np.ndarray:
    """Synthetic images of each class, (classes,) int64.

    Args:
        real: (classes,) real images of each class; only where `needs_real` says so.
        used: (classes,) bool: classes that may get any; all of them without it. Those whose names a data set lists
            but of which it has no image get none.

    Raises:
        RecipeError: it comes to no image at all, or to more images or shards than a data set may have.
    """
    used = np.ones(classes, bool) if used is None else used
    counts = np.zeros(classes, np.int64)
    if not used.any():
        raise RecipeError("there is no image to make: no class has a real image to go by")
    if recipe.per_image is not None:
        counts[used] = np.asarray(real, np.int64)[used] * recipe.per_image
    elif recipe.total is None:
        counts[used] = recipe.images_per_class or IMAGES_PER_CLASS
    elif recipe.balance:
        counts[used] = balanced(np.asarray(real, np.int64)[used], recipe.total)
    else:
        counts[used] = spread(int(used.sum()), recipe.total)
    if not counts.sum():
        raise RecipeError("there is no image to make: no class has a real image that --per-image could count")
    total = sum(counts.tolist())
    if total > MOST_IMAGES:
        raise RecipeError(f"that comes to {total:,} images; a data set may have {MOST_IMAGES:,}: make fewer")
    if total > MOST_SHARDS * recipe.shard_size:
        raise RecipeError(
            f"--shard-size {recipe.shard_size} makes more than {MOST_SHARDS:,} shards of {total:,} images: take at "
            f"least {-(-total // MOST_SHARDS)}"
        )
    return counts


def identity(recipe: Recipe, counts: np.ndarray) -> dict[str, Any]:
    """What a data set records of it. Equal counts need no more than their number, which all data sets have; which
    classes have no image at all follows from its data and checkpoint.
    """
    if recipe.total is None and recipe.per_image is None:
        return {"images_per_class": int(counts.max())}
    return {"images_per_class": None, "images_of_class": fingerprint({"images of class": counts.tolist()})}


def spread(classes: int, total: int) -> np.ndarray:
    """As many for each class; what does not divide goes one by one to the first classes."""
    counts = np.full(classes, total // classes, np.int64)
    counts[: total % classes] += 1
    return counts


def balanced(real: np.ndarray, total: int) -> np.ndarray:
    """Shares of `total` that make real + synthetic images as equal as can be.

    The smallest classes are filled up to a common level, like vessels with water; what is left over goes one by one to
    the first of the classes at that level. It is what giving each image to the smallest class (the first of them)
    would come to.
    """
    ascending = np.sort(real)
    # below[i]: what it takes to fill the i + 1 smallest classes up to the size of the largest of them.
    below = ascending * np.arange(1, len(real) + 1) - np.cumsum(ascending)
    filled = int(np.searchsorted(below, total, side="right"))  # classes that get anything, or lie at the level
    level = (total + int(ascending[:filled].sum())) // filled
    counts = np.maximum(level - real, 0)
    left = total - int(counts.sum())
    counts[np.flatnonzero(real <= level)[:left]] += 1
    return counts


def addresses(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Labels and indices of all rows, in order: the index runs from 0 in each class, and any part of the rows has of
    every class as large a share as the whole: so every shard holds every class. Where all classes are of one size:
    index first, then label.
    """
    labels = np.repeat(np.arange(len(counts)), counts)
    starts = np.cumsum(counts) - counts
    index = np.arange(len(labels)) - starts[labels]
    # The middle of each row's share of its class. A quotient of whole numbers is rounded correctly, so that equal ones
    # are equal as floats, too, on every machine.
    place = (2 * index + 1) / (2 * counts[labels])
    order = np.lexsort((labels, place))
    return labels[order], index[order]


def addresses_of(parts: Sequence[Sequence[int]]) -> tuple[np.ndarray, np.ndarray]:
    """The same of a data set that was made in several parts: the rows of each come behind those before it.

    Args:
        parts: images of each class up to the end of each part. Where all classes are of one size in all of them, the
            order is that of a data set made at once.
    """
    ends = np.array(parts, np.int64)
    starts = np.vstack([np.zeros_like(ends[:1]), ends[:-1]])
    found = [(labels, start[labels] + index) for start, (labels, index) in zip(starts, map(addresses, ends - starts))]
    return np.concatenate([labels for labels, _ in found]), np.concatenate([index for _, index in found])
