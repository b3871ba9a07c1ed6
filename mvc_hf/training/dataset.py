"""Training batches: which images, which mix, which noise, as pure functions of a sample's number.

Sample n of a run is the same for any batch size, number of processes and point of resuming, because everything random
about it is drawn at its own address. So the position in the data needs no state beyond the number of steps done.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import numpy as np
import torch

from .. import mixing
from ..config.recipe import Recipe
from ..data.groups import Groups
from ..diffusion.banks.latents import LatentBank
from ..diffusion.banks.text import TextBank
from ..utils.rng import Stream, below, normal, words
from .holdout import choose_holdout
from .objective import Batch, drop_conditions

FIRST_PROBE = 1 << 41  # probes of held-out images have numbers that no sample of a run reaches
EPSILON, POSTERIOR = 0, 1  # the two noises of a sample
TOGETHER = 128  # samples of small batches that are made together on a CPU


class TrainingSet:
    """The images and captions that a run trains on, and the images held out to see whether it copies.

    Args:
        scaling_factor: the VAE's, latents to unit variance.
        num_timesteps: of the noise schedule.
        groups: images that are held out together, or not at all.

    Attributes:
        members: rows of each class that are trained on.
        rows: all of them, (n,).
        held_out: rows that are not, (h,).
    """

    def __init__(
        self, recipe: Recipe, text: TextBank, images: LatentBank, *, scaling_factor: float, num_timesteps: int,
        groups: Groups | None = None,
    ):  # fmt: skip
        self.recipe, self.text, self.images = recipe, text, images
        self.scaling_factor, self.num_timesteps = scaling_factor, num_timesteps
        self.pool_start, self.pool_size = text.table.pool_start, text.table.pool_size
        self.own_caption = _own_captions(text, len(images.labels))
        self._last_order = (-1, np.empty(0, np.int64))
        held_out = choose_holdout(images.members, recipe.holdout_fraction, recipe.seed, groups)
        self.members = [np.setdiff1d(rows, out) for rows, out in zip(images.members, held_out)]
        self.rows = np.concatenate(self.members)
        self.held_out = np.concatenate(held_out)

    def __len__(self) -> int:
        return len(self.rows)

    def batch(self, numbers: np.ndarray) -> Batch:
        """The samples of these numbers (B,): number // len(self) is the epoch, each epoch in an order of its own."""
        draws = words(self.recipe.seed, Stream.TRAIN, 0, numbers, 4)
        rows = self.rows[self._positions(numbers)]
        batch = self.samples(rows, numbers, draws)
        chance = torch.from_numpy(draws[:, 3] / 2.0**64)
        return drop_conditions(batch, self.text.null.float(), chance, self.recipe.conditioning_dropout_prob)

    def probe(self, rows: np.ndarray) -> Batch:
        """Samples of some images (B,) with always the same noise, at evenly spread levels; nothing is dropped."""
        numbers = FIRST_PROBE + np.arange(len(rows))
        draws = words(self.recipe.seed, Stream.TRAIN, 0, numbers, 4)
        # Evenly spread noise levels instead of random ones: the figure moves with the model, not with the draw.
        draws[:, 0] = ((np.arange(len(rows)) + 0.5) / len(rows) * 2.0**63).astype(np.uint64) << np.uint64(1)
        return self.samples(rows, numbers, draws)

    @property
    def seen(self) -> np.ndarray:
        """Rows to compare with those held out: as many that are trained on, spread evenly over all of them."""
        step = max(1, len(self.rows) // max(1, len(self.held_out)))
        return self.rows[::step][: len(self.held_out)]

    def _positions(self, numbers: np.ndarray) -> np.ndarray:
        epochs, positions = np.divmod(numbers, len(self))
        out = np.empty_like(positions)
        for epoch in np.unique(epochs):
            out[epochs == epoch] = self._order(int(epoch))[positions[epochs == epoch]]
        return out

    def _order(self, epoch: int) -> np.ndarray:
        """A random order of the epoch's images; the last one is remembered, because batches come in order."""
        if self._last_order[0] != epoch:
            keys = words(self.recipe.seed, Stream.TRAIN_ORDER, epoch, np.arange(len(self)), 1)[:, 0]
            self._last_order = (epoch, np.argsort(keys, kind="stable"))
        return self._last_order[1]

    def samples(self, rows: np.ndarray, numbers: np.ndarray, draws: np.ndarray) -> Batch:
        """What is learnt of some images x, nothing dropped.

        z_0 is a sample of VAE(x), scaled; ε is normal and t uniform; e_I is the mode of VAE(x′), unscaled; e_T is a
        fresh mix. With `pairing` "self", x′ is x, and e_T is its own caption.

        Args:
            rows: of x, (B,).
            numbers: of the samples, (B,): addresses of noise and mixes.
            draws: (B, 3 or more) random words for t, x′ and the caption.
        """
        shape = tuple(self.images.moments.shape[2:])
        seed = self.recipe.seed
        noise = torch.from_numpy(normal(seed, Stream.TRAIN_NOISE, EPSILON, numbers, shape))
        posterior = torch.from_numpy(normal(seed, Stream.TRAIN_NOISE, POSTERIOR, numbers, shape))
        own = self.recipe.pairing == "self"
        condition = rows if own else self.partners(rows, draws[:, 1])
        return Batch(
            latents=self.images.sample(rows, posterior) * self.scaling_factor,
            noise=noise,
            timesteps=torch.from_numpy(below(draws[:, 0], self.num_timesteps)),
            image_latents=self.images.mode(condition),
            prompt_embeds=self.own_text(rows, draws[:, 2]) if own else self.mixes(rows, numbers),
        )

    def partners(self, rows: np.ndarray, draws: np.ndarray) -> np.ndarray:
        """x′: another training image of the class of x; x itself only where it is the only one."""
        members = [self.members[label] for label in self.images.labels[rows]]
        places = np.array([np.searchsorted(of_class, row) for of_class, row in zip(members, rows)])
        own = np.array([row in of_class[at : at + 1] for of_class, row, at in zip(members, rows, places)])
        own &= np.array([len(of_class) > 1 for of_class in members])  # images kept aside have no place of their own
        chosen = below(draws, np.array([len(of_class) for of_class in members]) - own)
        chosen += own & (chosen >= places)
        return np.array([of_class[i] for of_class, i in zip(members, chosen)])

    def mixes(self, rows: np.ndarray, numbers: np.ndarray) -> torch.Tensor:
        """e_T: a fresh mix from the pool of each image's class, (B, m, d); another than any of generating."""
        labels = self.images.labels[rows]
        plans = mixing.plan(
            self.recipe.seed, labels, numbers,
            pool_start=self.pool_start[labels], pool_size=self.pool_size[labels],
            tokens=self.text.embeddings.shape[1], width=self.text.embeddings.shape[2],
            coarse=self.recipe.coarse, fine=self.recipe.fine, stream=Stream.TRAIN_MIX,
        )  # fmt: skip
        return mixing.apply(self.text.embeddings, plans).float()

    def own_text(self, rows: np.ndarray, draws: np.ndarray) -> torch.Tensor:
        """The image's own caption, unmixed; a caption of its class where it has none of its own."""
        labels = self.images.labels[rows]
        any_of_class = self.pool_start[labels] + below(draws, self.pool_size[labels])
        own = self.own_caption[rows]
        return self.text.embeddings[torch.from_numpy(np.where(own >= 0, own, any_of_class))].float()


def sample_numbers(
    steps: Iterable[int], batch_size: int, accumulation: int, process: int, processes: int
) -> Iterator[np.ndarray]:
    """The numbers (batch_size,) of each batch of one process of several, `accumulation` batches for each step.

    All processes together take the numbers of a step in order, whatever share of it is whose.
    """
    mine = process * batch_size + np.arange(batch_size)
    for step in steps:
        for micro in range(accumulation):
            yield (step * accumulation + micro) * batch_size * processes + mine


def made_together(training_set: TrainingSet, numbers: Iterator[np.ndarray]) -> Iterator[Batch]:
    """Batches of these sample numbers, small ones several at a time, which halves the time that they take."""
    for first in numbers:
        several = [first, *islice(numbers, max(0, TOGETHER // len(first) - 1))]
        yield from training_set.batch(np.concatenate(several)).split(len(first))


def prefetched(training_set: TrainingSet, numbers: Iterator[np.ndarray]) -> Iterator[Batch]:
    """Batches of these sample numbers, each made while the model works on the one before."""
    with ThreadPoolExecutor(1) as worker:
        ahead = None
        for batch in numbers:
            coming = worker.submit(training_set.batch, batch)
            if ahead is not None:
                yield ahead.result()
            ahead = coming
        if ahead is not None:
            yield ahead.result()


def _own_captions(text: TextBank, rows: int) -> np.ndarray:
    """Caption row of each image, its first where it has several, (rows,) int64; −1 where it has none."""
    own = np.full(rows, -1, np.int64)
    known = np.flatnonzero((text.table.rows >= 0) & (text.table.rows < rows))[::-1]
    own[text.table.rows[known]] = known  # of several the last one written stays
    return own
