"""How near synthetic images are to real ones, and whether they are as diverse: figures of two sets of features.

Kernel distance: the unbiased squared maximum mean discrepancy with the kernel (x·y / d + 1)³, which is the KID of
Bińkowski et al. (2018) where the features are Inception's. Fréchet distance: FID likewise (Heusel et al., 2017). With
other features they bear other names. Precision and recall: Kynkäänniemi et al. (2019). Density and coverage: Naeem et
al. (2020). Vendi score: Friedman and Dieng (2023), with the cosine of the features.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator

import numpy as np

from ..utils.intervals import Figure, ends, resampled, share
from .neighbours import Space, normalised

MOST = 5000  # images of a set in figures that compare all pairs more than once
RESAMPLES = 200
FRECHET_NEEDS = "the Fréchet distance needs torchmetrics: pip install 'mvc_hf[report]'"


def some_of(values: np.ndarray, count: int, seed: int) -> np.ndarray:
    """At most `count` of the rows, drawn by the seed."""
    if len(values) <= count:
        return values
    return values[np.sort(np.random.default_rng([seed, len(values)]).permutation(len(values))[:count])]


def kernel_distance(x: np.ndarray, y: np.ndarray, seed: int = 0, block: int = 2048) -> Figure:
    """Kernel distance of two sets of features, (m, d) and (n, d), with m, n ≥ 2, by the bootstrap of both.

    A resample holds images twice. Pairs of an image with itself would make the sets look denser than they are: they
    are left out, as the unbiased estimate leaves them out. It may be below zero where the sets are alike.
    """
    x, y = some_of(x, MOST, seed).astype(np.float64), some_of(y, MOST, seed + 1).astype(np.float64)
    once = np.ones((1, max(len(x), len(y))))
    a = np.concatenate([once[:, : len(x)], resampled(len(x), seed, RESAMPLES)])
    b = np.concatenate([once[:, : len(y)], resampled(len(y), seed + 1, RESAMPLES)])
    among_x, among_y = _within(x, a, block), _within(y, b, block)
    across = np.zeros(len(a))
    for start in range(0, len(x), block):
        part = slice(start, start + block)
        across += np.einsum("bi,ib->b", a[:, part], _kernel(x[part], y) @ b.T)
    values = among_x + among_y - 2 * across / (a.sum(1) * b.sum(1))
    return Figure(float(values[0]), *ends(values[1:]), min(len(x), len(y)))


def _kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a @ b.T / a.shape[1] + 1) ** 3


def _within(x: np.ndarray, weights: np.ndarray, block: int) -> np.ndarray:
    """Mean of the kernel over pairs of different images, for each resample."""
    total = np.zeros(len(weights))
    for start in range(0, len(x), block):
        rows = np.arange(start, min(start + block, len(x)))
        kernel = _kernel(x[rows], x)
        kernel[np.arange(len(rows)), rows] = 0
        total += np.einsum("bi,ib->b", weights[:, rows], kernel @ weights.T)
    return _over(total, weights.sum(1) ** 2 - (weights**2).sum(1))


def _over(values: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Values over numbers of pairs; no number where a resample is one image many times, and has no pair."""
    return np.divide(values, pairs, out=np.full(len(values), np.nan), where=pairs > 0)


def frechet_distance(x: np.ndarray, y: np.ndarray) -> Figure | None:
    """Fréchet distance by torchmetrics; None without it, or where there are no more images than dimensions.

    It has no interval: it is biased upwards by 1/n, and a resample, which holds fewer different images, more so.
    """
    if min(len(x), len(y)) <= x.shape[1] or not has_torchmetrics():
        return None
    import torch
    from torchmetrics.image.fid import FrechetInceptionDistance

    class Given(torch.nn.Module):
        """In the place of Inception: the features are there already."""

        num_features = x.shape[1]

        def forward(self, values: torch.Tensor) -> torch.Tensor:
            return values

    metric = FrechetInceptionDistance(feature=Given())
    metric.set_dtype(torch.float64)
    for values, real in ((x, True), (y, False)):
        for start in range(0, len(values), 4096):
            metric.update(torch.from_numpy(values[start : start + 4096].astype(np.float64)), real=real)
    return Figure(float(metric.compute()), None, None, min(len(x), len(y)))


def has_torchmetrics() -> bool:
    return importlib.util.find_spec("torchmetrics") is not None


def precision_recall(real: np.ndarray, made: np.ndarray, k: int, space: Space, seed: int = 0) -> dict[str, Figure]:
    """Precision, recall, density and coverage at as many images of each set; {} where those are not more than k.

    Intervals are over the images that are counted; the other set is held fixed.
    """
    count = min(len(real), len(made), 2 * MOST)
    if count <= k:
        return {}
    real, made = some_of(real, count, seed), some_of(made, count, seed + 1)
    real_radii = space.nearest(real, real, k, itself=True)[0][:, -1]
    made_radii = space.nearest(made, made, k, itself=True)[0][:, -1]
    near = space.balls(made, real, real_radii)
    nearest = space.nearest(real, made, 1)[0][:, 0]
    density = near / k
    draws = resampled(count, seed) @ density / count
    return {
        "precision": share(near > 0),
        "recall": share(space.balls(real, made, made_radii) > 0),
        "density": Figure(float(density.mean()), *ends(draws), count),
        "coverage": share(nearest <= real_radii),
    }


def vendi_score(values: np.ndarray) -> float:
    """How many different images there are, as it were: from 1, all alike, to n."""
    x = normalised(values.astype(np.float64))
    products = x.T @ x if x.shape[1] < len(x) else x @ x.T
    found = np.linalg.eigvalsh(products / len(x))
    found = found[found > 1e-12]
    return float(np.exp(-(found * np.log(found)).sum()))


def diversity(real: np.ndarray, made: np.ndarray, seed: int = 0) -> dict[str, Figure]:
    """Vendi score of both at as many images, and the spread of the synthetic ones over that of the real ones.

    The spread is the mean squared distance to the mean; its ratio has an interval by the bootstrap of both.
    """
    count = min(len(real), len(made), MOST)
    if count < 2:
        return {}
    scores = [vendi_score(some_of(values, count, seed)) for values in (made, real)]
    spreads = [_spreads(some_of(values, MOST, seed), seed + i) for i, values in enumerate((made, real))]
    if not spreads[1][0] > 0:
        return {}
    ratios = spreads[0] / np.maximum(spreads[1], 1e-12)
    return {
        "vendi": Figure(scores[0], None, None, count),
        "vendi_real": Figure(scores[1], None, None, count),
        "spread_ratio": Figure(float(ratios[0]), *ends(ratios[1:]), min(len(real), len(made))),
    }


def _spreads(x: np.ndarray, seed: int) -> np.ndarray:
    """The unbiased spread of a set, and of its resamples; pairs of an image with itself are left out."""
    x = x.astype(np.float64) - x.mean(0)
    weights = np.concatenate([np.ones((1, len(x))), resampled(len(x), seed, RESAMPLES)])
    total = weights.sum(1)
    middles = weights @ x / total[:, None]
    squares = weights @ (x**2).sum(1) / total - (middles**2).sum(1)
    return _over(squares, 1 - (weights**2).sum(1) / total**2)


def each_class(labels: np.ndarray, classes: int) -> Iterator[tuple[int, np.ndarray]]:
    """The rows of each class."""
    for label in range(classes):
        yield label, np.flatnonzero(labels == label)
