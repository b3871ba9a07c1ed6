"""Figures with their intervals, 95 %: of shares by Wilson's formula, of other means by the bootstrap."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

Z = 1.959964  # 97.5th percentile of the standard normal distribution
RESAMPLES = 1000


@dataclass(frozen=True)
class Figure:
    """A figure, and the ends of its 95 % interval where it has one.

    Attributes:
        n: how many images it was taken of.
    """

    value: float
    low: float | None
    high: float | None
    n: int

    def to_json(self) -> dict[str, Any]:
        """What JSON can hold: numbers that are not finite become None."""
        ends = [None if v is None or not math.isfinite(v) else round(v, 6) for v in (self.value, self.low, self.high)]
        return {"value": ends[0], "low": ends[1], "high": ends[2], "n": self.n}


def share(hits: np.ndarray) -> Figure:
    """The share of those that are true, with Wilson's interval, which stays sensible at 0 and 1.

    Args:
        hits: bool (n,), n ≥ 1.
    """
    n, p = len(hits), float(np.mean(hits))
    middle = (p + Z * Z / (2 * n)) / (1 + Z * Z / n)
    half = Z * math.sqrt(p * (1 - p) / n + Z * Z / (4 * n * n)) / (1 + Z * Z / n)
    return Figure(p, min(p, max(0.0, middle - half)), max(p, min(1.0, middle + half)), n)


def mean(values: np.ndarray, seed: int = 0) -> Figure:
    """The mean with the percentile interval of the bootstrap; values (n,), n ≥ 1."""
    means = resampled(len(values), seed) @ values / len(values)
    return Figure(float(np.mean(values)), *ends(means), len(values))


def resampled(n: int, seed: int, count: int = RESAMPLES) -> np.ndarray:
    """How often each of n things is drawn in each resample of the bootstrap: float64 (count, n)."""
    rng = np.random.default_rng([seed, n])
    return rng.multinomial(n, np.full(n, 1 / n), size=count).astype(np.float64)


def ends(values: np.ndarray) -> tuple[float, float]:
    """The 2.5th and the 97.5th percentile of those that are numbers."""
    low, high = np.percentile(values[np.isfinite(values)], (2.5, 97.5))
    return float(low), float(high)
