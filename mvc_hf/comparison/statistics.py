"""Differences of accuracies, and how sure they are."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

LEVEL = 0.95  # of every interval


@dataclass(frozen=True)
class Difference:
    """A mean difference of accuracies, in points of 100.

    Attributes:
        mean: over the seeds.
        half: half the width of the 95 % interval over the seeds; inf for one seed.
        half_with_images: the same with the draw of the test images; None where it is not known image by image.
        level: of both intervals.
    """

    mean: float
    half: float
    half_with_images: float | None = None

    @property
    def widest(self) -> float:
        return self.half if self.half_with_images is None else self.half_with_images

    @property
    def certain(self) -> bool:
        """Whether the widest interval lies on one side of zero."""
        return abs(self.mean) > self.widest


def paired_difference(values: Sequence[float], first: Sequence[float], level: float = LEVEL) -> tuple[float, float]:
    """Mean of the differences seed by seed, and half the width of its interval (Student's t); inf for one seed.

    The seeds vary the classifier: its weights, the order and crops of its images. The images, real and synthetic, are
    the same for all, so the interval says nothing of other draws of them.
    """
    differences = [value - other for value, other in zip(values, first, strict=True)]
    freedom = len(differences) - 1
    if not freedom:
        return differences[0], math.inf
    error = statistics.stdev(differences) / math.sqrt(len(differences))
    return statistics.mean(differences), t_quantile(freedom, level) * error


def difference(
    values: Sequence[float],
    first: Sequence[float],
    right: np.ndarray | None = None,
    first_right: np.ndarray | None = None,
    level: float = LEVEL,
) -> Difference:
    """The paired difference of two arms.

    Args:
        values, first: accuracies, %, seed by seed.
        right, first_right: bool (seeds, test images), whether each image was read right.

    Seeds and test images are crossed: each classifier reads every image. The variance of the mean difference over both
    is at most the sum of what the seeds and what the images say of it by themselves; that sum is taken.
    """
    mean, half = paired_difference(values, first, level)
    if right is None or first_right is None or right.shape != first_right.shape or right.shape[1] < 2:
        return Difference(mean, half)
    by_image = 100 * (right.astype(float) - first_right.astype(float)).mean(0)
    error = by_image.std(ddof=1) / math.sqrt(len(by_image))
    of_images = statistics.NormalDist().inv_cdf((1 + level) / 2) * error
    return Difference(mean, half, math.hypot(half, of_images))


def t_quantile(freedom: int, level: float = LEVEL) -> float:
    """t such that Student's t with so many degrees of freedom lies within ±t with probability `level`."""
    low, high = 0.0, 1.0
    while _within(high, freedom) < level:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _within(middle, freedom) < level else (low, middle)
    return high


def _within(t: float, freedom: int) -> float:
    """P(|T| < t): Abramowitz and Stegun, Handbook of Mathematical Functions, 26.7.3 and 26.7.4."""
    angle = math.atan(t / math.sqrt(freedom))
    sine, cosine = math.sin(angle), math.cos(angle)
    odd = freedom % 2
    total, term = 0.0, cosine if odd else 1.0
    for k in range(1 + odd, freedom, 2):  # each term from the one before it
        total += term
        term *= cosine**2 * k / (k + 1)
    if odd:
        return 2 / math.pi * (angle + (sine * total if freedom > 1 else 0.0))
    return sine * total
