"""Which synthetic images look like copies of training images, and whether all of them lie too close to those.

Distances are between features of length one, and, for suspects, also between the pictures themselves, small and
grey: there a copy shows that was blurred a little, resampled, or made brighter, which a network may take for another.
What is close need not look alike, and what was copied and changed more may look far: this finds suspects, and cannot
clear anybody.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from .neighbours import Space, normalised

IDENTICAL = 1e-3  # of two: a distance at which the extractor sees no difference
ALPHA, POWER = 0.05, 0.8
STANDS_OUT = 0.5  # copy ratio below which the nearest image is another matter than the next ones
SMALL = 12  # pixels of a side at which pictures themselves are compared


@dataclass(frozen=True)
class Nearest:
    """The nearest training image of each image of a set.

    Attributes:
        distance: (n,) to it.
        ratio: (n,) that distance over the mean of the k nearest ones: near 1 where none of them stands out, near 0 for
            a copy of a single one.
        row: (n,) of it.
    """

    distance: np.ndarray
    ratio: np.ndarray
    row: np.ndarray

    @classmethod
    def of(cls, queries: np.ndarray, base: np.ndarray, k: int, space: Space, *, itself: bool, what: str) -> Nearest:
        if len(base) - itself < 1:  # nothing to be near to
            n = len(queries)
            return cls(np.full(n, np.inf, np.float32), np.ones(n, np.float32), np.full(n, -1, np.int64))
        distances, rows = space.nearest(normalised(queries), normalised(base), k, itself=itself, what=what)
        mean = distances.mean(1)
        ratio = np.divide(distances[:, 0], mean, out=np.ones(len(mean), np.float32), where=mean > 0)
        return cls(distances[:, 0], ratio, rows[:, 0])


def outlines(pictures: np.ndarray) -> np.ndarray:
    """Pictures, uint8 (n, 3, s, s), as grey values about their mean, float32 (n, s²): of length one, they are the same
    for another brightness and contrast."""
    grey = pictures.astype(np.float32).mean(1).reshape(len(pictures), -1)
    return grey - grey.mean(1, keepdims=True)


@dataclass(frozen=True)
class CopyTest:
    """Are synthetic images closer to the training images than held-out real ones are?

    Attributes:
        n, m: synthetic and held-out images in the test.
        closer: probability that a synthetic image is closer than a held-out one of its class; 0.5 where neither is.
        p: of the shift, one-sided: a stratified rank test (van Elteren), by the normal approximation.
        detectable: the value of `closer` that this test would find in 80 of 100 cases.
        standing_out, p_standing_out: as `closer` and `p`, of the ratios: a blurred copy of one image is far from all,
            and still stands out.
        below: synthetic images closer than every held-out one (those identical to a training image left out).
        p_below: how likely the closest ones of all are that many synthetic ones by chance.
        below_detectable: how many it would take for 5 %.
    """

    n: int
    m: int
    closer: float
    p: float
    detectable: float
    standing_out: float
    p_standing_out: float
    below: int
    p_below: float
    below_detectable: int


def compare(made: Nearest, made_labels: np.ndarray, held: Nearest, held_labels: np.ndarray) -> CopyTest:
    """Hold the distances of synthetic images against those of real ones that were not trained on.

    Strata are the classes: some lie closer together than others, and the sets need not have them in equal shares.
    """
    closer, p, sigma, n, m = _ranked(made.distance, made_labels, held.distance, held_labels)
    standing_out, p_standing_out, *_ = _ranked(made.ratio, made_labels, held.ratio, held_labels)
    normal = NormalDist()
    detectable = 0.5 + (normal.inv_cdf(1 - ALPHA) + normal.inv_cdf(POWER)) * sigma
    below, among, others = int((made.distance < lowest(held)).sum()), len(made.distance), len(held.distance)
    return CopyTest(
        n, m, closer, p, min(1.0, detectable), standing_out, p_standing_out, below,
        _all_closest(below, among, others), _needed(among, others),
    )  # fmt: skip


def _ranked(x: np.ndarray, x_labels: np.ndarray, y: np.ndarray, y_labels: np.ndarray) -> tuple:
    """Probability that one of x is less than one of y of its class, one-sided p, standard error, numbers of both."""
    weights, total, variance, n_all, m_all = 0.0, 0.0, 0.0, 0, 0
    for label in np.unique(y_labels):
        a, b = x[x_labels == label], y[y_labels == label]
        n, m = len(a), len(b)
        if not n or not m:
            continue
        weight = n * m / (n + m + 1)
        total += weight * _share_closer(a, b)
        variance += weight**2 * (n + m + 1) / (12 * n * m)
        weights, n_all, m_all = weights + weight, n_all + n, m_all + m
    if not weights:
        return math.nan, math.nan, math.nan, 0, 0
    closer, sigma = total / weights, math.sqrt(variance) / weights
    return closer, NormalDist().cdf((0.5 - closer) / sigma), sigma, n_all, m_all


def lowest(held: Nearest) -> float:
    """The smallest distance of a real image to another that is not the same picture."""
    others = held.distance[held.distance > IDENTICAL]
    return float(others.min()) if len(others) else 0.0


def suspects(made: Nearest, held: Nearest) -> np.ndarray:
    """Rows that look like copies, the closest first: identical to a training image, or closer to one than real images
    ever are, and that one stands out from the next ones: at less than half their mean distance, and more so than with
    99 of 100 real images. Of n synthetic and m like real images, n / (m + 1) at most are expected among them."""
    standing_out = made.ratio < min(STANDS_OUT, float(np.percentile(held.ratio, 1)))
    found = (made.distance <= IDENTICAL) | ((made.distance < lowest(held)) & standing_out)
    rows = np.flatnonzero(found)
    return rows[np.argsort(made.distance[rows], kind="stable")]


def duplicates(made: Nearest, real: Nearest) -> np.ndarray:
    """bool (n,): synthetic images nearer to another synthetic one than all but 1 % of real ones are to a real one.

    Args:
        made, real: within their own sets.
    """
    return made.distance <= np.percentile(real.distance, 1)


def _share_closer(x: np.ndarray, y: np.ndarray) -> float:
    """P(x < y) + P(x = y) / 2."""
    ordered = np.sort(y)
    left, right = np.searchsorted(ordered, x, "left"), np.searchsorted(ordered, x, "right")
    return float((len(y) - (left + right) / 2).sum() / (len(x) * len(y)))


def _all_closest(below: int, n: int, m: int) -> float:
    """C(n, b) / C(n + m, b): the b closest of n + m alike images are all among the n."""
    terms = np.log(n - np.arange(below)) - np.log(n + m - np.arange(below))
    return float(np.exp(terms.sum()))


def _needed(n: int, m: int) -> int:
    """The smallest number below every held-out distance that chance gives in at most 5 of 100 cases."""
    terms = np.cumsum(np.log(n - np.arange(n)) - np.log(n + m - np.arange(n)))
    found = np.flatnonzero(terms <= math.log(ALPHA))
    return int(found[0]) + 1 if len(found) else n + 1
