"""Training batches: which images, which mix, which noise, as pure functions of a sample's number.

Sample n of a run is the same for any batch size, number of processes and point of resuming, because everything random
about it is drawn at its own address. So the position in the data needs no state beyond the number of steps done.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import torch

from .. import mixing
from ..config.recipe import Recipe
from ..data.groups import Groups
from ..diffusion.latent_bank import LatentBank
from ..diffusion.text_bank import TextBank
from ..utils.rng import Stream, below, normal, words

HELD_OUT_K = 1 << 41  # the looks at kept-aside images have numbers that no sample of a run reaches
KEPT_ASIDE_FROM = 10  # images of a class: smaller ones are too dear
EPSILON, POSTERIOR = 0, 1  # the two noises of a sample


@dataclass(frozen=True)
class Batch:
    """What one forward pass takes. B samples; latents are scaled, `image_latents` are not.

    Attributes:
        latents: z_0, (B, C, h, w).
        noise: ε, (B, C, h, w).
        timesteps: t, (B,) int64.
        image_latents: e_I, (B, C, h, w); zero where the image was dropped.
        prompt_embeds: e_T, (B, m, d); CLIP("") where the text was dropped.
    """

    latents: torch.Tensor
    noise: torch.Tensor
    timesteps: torch.Tensor
    image_latents: torch.Tensor
    prompt_embeds: torch.Tensor

    def to(self, device: torch.device) -> Batch:
        moved = {name: value.to(device, non_blocking=True) for name, value in vars(self).items()}
        return replace(self, **moved)


class TrainingSet:
    """The images and captions that a run trains on, and those kept aside to see whether it copies.

    Args:
        scaling_factor: the VAE's, latents to unit variance.
        num_timesteps: of the noise schedule.
        groups: images that are kept aside together, or not at all.
    """

    def __init__(
        self, recipe: Recipe, text: TextBank, images: LatentBank, *, scaling_factor: float, num_timesteps: int,
        groups: Groups | None = None,
    ):  # fmt: skip
        self.recipe, self.text, self.images = recipe, text, images
        self.scaling_factor, self.num_timesteps = scaling_factor, num_timesteps
        self.pool_start, self.pool_size = text.table.pool_start, text.table.pool_size
        self.own_caption = _own_captions(text, len(images.labels))
        wanted = [_how_many_aside(len(rows), recipe.holdout_fraction) for rows in images.members]
        if groups:
            kept = groups.kept_aside(images.members, np.array(wanted), recipe.seed)
        else:
            kept = [_keep_aside(rows, n, recipe.seed, c) for c, (rows, n) in enumerate(zip(images.members, wanted))]
        self.members = [np.setdiff1d(rows, aside) for rows, aside in zip(images.members, kept)]
        self.rows = np.concatenate(self.members)
        self.held_out = np.concatenate(kept)

    def __len__(self) -> int:
        return len(self.rows)

    def batch(self, numbers: np.ndarray) -> Batch:
        """The samples of these numbers (B,): number // len(self) is the epoch, each epoch in an order of its own."""
        draws = words(self.recipe.seed, Stream.TRAIN, 0, numbers, 4)
        rows = self.rows[self._positions(numbers)]
        batch = self._samples(rows, numbers, draws)
        return self._drop_conditions(batch, draws[:, 3])

    def probe(self, rows: np.ndarray) -> Batch:
        """The same few noises for the same rows whenever it is asked; nothing is dropped."""
        numbers = HELD_OUT_K + np.arange(len(rows))
        draws = words(self.recipe.seed, Stream.TRAIN, 0, numbers, 4)
        # Evenly spread noise levels instead of random ones: the figure moves with the model, not with the draw.
        draws[:, 0] = ((np.arange(len(rows)) + 0.5) / len(rows) * 2.0**63).astype(np.uint64) << np.uint64(1)
        return self._samples(rows, numbers, draws)

    def _positions(self, numbers: np.ndarray) -> np.ndarray:
        epochs, positions = np.divmod(numbers, len(self))
        out = np.empty_like(positions)
        for epoch in np.unique(epochs):
            out[epochs == epoch] = self._order(int(epoch))[positions[epochs == epoch]]
        return out

    def _order(self, epoch: int) -> np.ndarray:
        """A random order of the epoch's images; the last one is remembered, because batches come in order."""
        if getattr(self, "_last", (None, None))[0] != epoch:
            keys = words(self.recipe.seed, Stream.TRAIN_ORDER, epoch, np.arange(len(self)), 1)[:, 0]
            self._last = (epoch, np.argsort(keys, kind="stable"))
        return self._last[1]

    def _samples(self, rows: np.ndarray, numbers: np.ndarray, draws: np.ndarray) -> Batch:
        shape = tuple(self.images.moments.shape[2:])
        seed = self.recipe.seed
        noise = torch.from_numpy(normal(seed, Stream.TRAIN_NOISE, EPSILON, numbers, shape))
        posterior = torch.from_numpy(normal(seed, Stream.TRAIN_NOISE, POSTERIOR, numbers, shape))
        own = self.recipe.pairing == "self"
        condition = rows if own else self._partners(rows, draws[:, 1])
        return Batch(
            latents=self.images.sample(rows, posterior) * self.scaling_factor,
            noise=noise,
            timesteps=torch.from_numpy(below(draws[:, 0], self.num_timesteps)),
            image_latents=self.images.mode(condition),
            prompt_embeds=self._own_text(rows, draws[:, 2]) if own else self._mixes(rows, numbers),
        )

    def _partners(self, rows: np.ndarray, draws: np.ndarray) -> np.ndarray:
        """x′: another training image of the class of x; x itself only where it is the only one."""
        partners = np.empty_like(rows)
        for i, (row, draw) in enumerate(zip(rows, draws)):
            others = self.members[self.images.labels[row]]
            others = others[others != row] if len(others) > 1 else others
            partners[i] = others[below(draw[None], len(others))[0]]
        return partners

    def _mixes(self, rows: np.ndarray, numbers: np.ndarray) -> torch.Tensor:
        labels = self.images.labels[rows]
        plans = mixing.plan(
            self.recipe.seed, labels, numbers,
            pool_start=self.pool_start[labels], pool_size=self.pool_size[labels],
            tokens=self.text.embeddings.shape[1], width=self.text.embeddings.shape[2],
            coarse=self.recipe.coarse, fine=self.recipe.fine, stream=Stream.TRAIN_MIX,
        )  # fmt: skip
        return mixing.apply(self.text.embeddings, plans).float()

    def _own_text(self, rows: np.ndarray, draws: np.ndarray) -> torch.Tensor:
        """The image's own caption, unmixed; a caption of its class where it has none of its own."""
        labels = self.images.labels[rows]
        any_of_class = self.pool_start[labels] + below(draws, self.pool_size[labels])
        own = self.own_caption[rows]
        return self.text.embeddings[torch.from_numpy(np.where(own >= 0, own, any_of_class))].float()

    def _drop_conditions(self, batch: Batch, draws: np.ndarray) -> Batch:
        """Drop the text, the image, or both, each with the same probability p: thirds of [0, 3p)."""
        p = self.recipe.conditioning_dropout_prob
        chance = draws / 2.0**64
        no_text = torch.from_numpy(chance < 2 * p)[:, None, None]
        no_image = torch.from_numpy((chance >= p) & (chance < 3 * p))[:, None, None, None]
        return replace(
            batch,
            prompt_embeds=torch.where(no_text, self.text.null.float(), batch.prompt_embeds),
            image_latents=batch.image_latents.masked_fill(no_image, 0.0),
        )


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


def _how_many_aside(images: int, fraction: float) -> int:
    """At least one image of a class that has ten; none of smaller classes."""
    return 0 if fraction == 0 or images < KEPT_ASIDE_FROM else max(1, round(fraction * images))


def _keep_aside(rows: np.ndarray, count: int, seed: int, label: int) -> np.ndarray:
    """Random images of a class."""
    if count == 0:
        return rows[:0]
    keys = words(seed, Stream.HOLD_OUT, label, rows, 1)[:, 0]
    return rows[np.argsort(keys, kind="stable")[:count]]


def _own_captions(text: TextBank, rows: int) -> np.ndarray:
    """Caption row of each image, its first where it has several, (rows,) int64; −1 where it has none."""
    own = np.full(rows, -1, np.int64)
    known = np.flatnonzero((text.table.rows >= 0) & (text.table.rows < rows))[::-1]
    own[text.table.rows[known]] = known  # of several the last one written stays
    return own
