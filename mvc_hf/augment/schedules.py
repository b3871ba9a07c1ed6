"""How real and synthetic images take turns in training, as pure index streams that know no framework.

A schedule says which sample stands in each of the L slots of an epoch. L is the same in all epochs, because trainers
count their updates and divide the samples among processes once. The stream of an epoch is a function of (seed, epoch)
alone, so all processes, all their workers and a resumed run agree on it without a word.

Samples are numbers: 0..R-1 are the R real images, R..R+S-1 the S synthetic ones.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import KW_ONLY, dataclass
from functools import cached_property, lru_cache

import numpy as np

from ..errors import RecipeError
from ..utils.rng import Stream, below, words

__all__ = [
    "RSP_FROM",
    "SCHEDULES",
    "Combined",
    "Pools",
    "RandomReplacement",
    "SamplingSchedule",
    "Synthetic",
    "TwoPhase",
    "share",
]

SCHEDULES = ("combined", "two-phase", "rsp", "synthetic")
RSP_FROM = ("class", "any", "condition")

_UNION, _REAL, _SYNTHETIC = range(3)  # decks of one schedule; the numbers are part of its randomness
_UNIT = 2.0**-53


@dataclass(frozen=True)
class SamplingSchedule(ABC):
    """Which of R real and S synthetic images stands in which slot of which epoch.

    Attributes:
        real: R.
        synthetic: S.
        length: L, slots in every epoch.
        seed: int in [0, 2**63).

    Raises:
        RecipeError: a number is out of range, or there is nothing to fill the slots with.
    """

    real: int
    synthetic: int
    length: int
    _: KW_ONLY
    seed: int = 0

    def __post_init__(self) -> None:
        if self.length < 1:
            raise RecipeError(f"an epoch must have at least 1 sample, got {self.length}")
        for what in self._needs():
            if getattr(self, what) < 1:
                raise RecipeError(f"this schedule needs {what} images, got {getattr(self, what)}")

    def _needs(self) -> tuple[str, ...]:
        return ("real", "synthetic")

    @abstractmethod
    def samples(self, epoch: int) -> np.ndarray:
        """The samples of an epoch, slot by slot: int64 (L,), each in [0, R + S)."""

    def _deal(self, deck: int, size: int, epoch: int) -> np.ndarray:
        """What an endless dealing of `size` cards, shuffled anew after each pass, gives to the slots of an epoch.

        Every card comes once in a pass, and passes follow each other whether or not they end where an epoch does.
        """
        first = epoch * self.length
        begun = first // size
        passes = (first + self.length - 1) // size + 1 - begun
        return _passes(self.seed, deck, size, begun, passes)[first - begun * size :][: self.length]


@dataclass(frozen=True)
class Combined(SamplingSchedule):
    """Every pass over real and synthetic images together visits each of them once."""

    def samples(self, epoch: int) -> np.ndarray:
        return self._deal(_UNION, self.real + self.synthetic, epoch)


@dataclass(frozen=True)
class TwoPhase(Combined):
    """Combined, and from epoch `switch` on real images alone, which then come once in every pass over them."""

    _: KW_ONLY
    switch: int

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.switch < 1:
            raise RecipeError(f"phase two must leave at least one epoch for phase one, got a switch at {self.switch}")

    def samples(self, epoch: int) -> np.ndarray:
        if epoch < self.switch:
            return super().samples(epoch)
        return self._deal(_REAL, self.real, epoch - self.switch)


@dataclass(frozen=True)
class Synthetic(SamplingSchedule):
    """Synthetic images alone: the control that shows what they are worth by themselves."""

    def _needs(self) -> tuple[str, ...]:
        return ("synthetic",)

    def samples(self, epoch: int) -> np.ndarray:
        return self.real + self._deal(_SYNTHETIC, self.synthetic, epoch)


@dataclass(frozen=True)
class Pools:
    """For each real image, the synthetic ones that may take its place.

    Attributes:
        of: int64 (R,), the pool of each real image.
        start: int64 (pools + 1,), pool i is members[start[i]:start[i + 1]]; it may be empty.
        members: int64 (S',), synthetic images in [0, S), ordered by pool.
    """

    of: np.ndarray
    start: np.ndarray
    members: np.ndarray

    @classmethod
    def same(cls, real: np.ndarray, synthetic: np.ndarray) -> Pools:
        """Pools by a property that both share, such as the class.

        Args:
            real: (R,), whole numbers from 0.
            synthetic: (S,), the same property; an image with a negative number is in no pool.
        """
        real, synthetic = np.asarray(real, np.int64), np.asarray(synthetic, np.int64)
        pools = 1 + max(real.max(initial=-1), synthetic.max(initial=-1))
        members = np.argsort(synthetic, kind="stable")[np.count_nonzero(synthetic < 0) :]
        return cls(real, np.searchsorted(synthetic[members], np.arange(pools + 1)), members)

    @classmethod
    def all(cls, real: int, synthetic: int) -> Pools:
        """One pool of everything, for every real image."""
        return cls(np.zeros(real, np.int64), np.array([0, synthetic]), np.arange(synthetic))


@dataclass(frozen=True, eq=False)
class RandomReplacement(SamplingSchedule):
    """RSP: passes over the real images, where each slot's image gives way to a synthetic one with probability `prob`.

    The synthetic image is drawn evenly from the pool of the real one; a real image with an empty pool stays.
    """

    _: KW_ONLY
    prob: float
    pools: Pools

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.prob <= 1:
            raise RecipeError(f"the probability of a replacement must be from 0 to 1, got {self.prob}")
        if not len(self.pools.members):
            raise RecipeError("no synthetic image may take the place of any real one")

    def samples(self, epoch: int) -> np.ndarray:
        real = self._deal(_REAL, self.real, epoch)
        whether, which = words(self.seed, Stream.REPLACE, epoch, 0, 2 * self.length).reshape(self.length, 2).T
        pool = self.pools.of[real]
        start, end = self.pools.start[pool], self.pools.start[pool + 1]
        replaced = ((whether >> np.uint64(11)) * _UNIT < self.prob) & (end > start)
        member = start + below(which, np.maximum(end - start, 1))
        return np.where(replaced, self.real + self.pools.members[np.where(replaced, member, 0)], real)

    @cached_property
    def without_pool(self) -> int:
        """How many real images can never be replaced."""
        return int(np.count_nonzero(np.diff(self.pools.start)[self.pools.of] == 0))


def share(seed: int, total: int, count: int) -> np.ndarray:
    """`count` of `total` images, all equally likely, in their order: int64 (min(count, total),)."""
    if count >= total:
        return np.arange(total)
    return np.sort(np.argsort(words(seed, Stream.SHARE, 0, 0, total)[0], kind="stable")[:count])


@lru_cache(maxsize=2)  # an epoch that is shorter than a pass asks for the same one again
def _passes(seed: int, deck: int, size: int, first: int, count: int) -> np.ndarray:
    """Passes over a deck, end to end: each a permutation of 0..size-1, from sorting one random word for each card."""
    drawn = words(seed, Stream.DECK, deck, np.arange(first, first + count), size)
    cards = np.argsort(drawn, axis=1, kind="stable").ravel()
    cards.setflags(write=False)
    return cards
