"""The interface of a method of generating: from a row's address to what the sampler starts from.

A method is a class with the members of `Method`, registered under its name (`registry`). Shards, the Hub, cards and
timm know only its name, its flags and the columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

from ..errors import DataError
from ..utils.rng import Stream, normal

if TYPE_CHECKING:
    import torch

    from ..diffusion.banks.latents import LatentBank
    from ..diffusion.banks.text import TextBank
    from ..diffusion.model import StableDiffusion
    from ..mixing import MixPlans


@dataclass(frozen=True)
class SamplingInputs:
    """Of B rows: what the sampler takes, and what the data set records.

    Attributes:
        latents: (B, C, h, w). From the first step on: z_T, standard normal. From a later one: z_t, as
            `diffusion.sampling.noised` gives it.
        start_step: the step of the schedule that denoising begins with.
        prompt_embeds: e_T, (B, m, d).
        null_embeds: CLIP(""), (m, d).
        image_latents: e_I, unscaled, (B, C, h, w), or None where the U-Net takes none.
        labels: (B,) int64, what the pictures show: as a rule the labels of the addresses.
        provenance: the columns `prompt`, `condition` and `mix`, a list of B values each: the base captions, the source
            rows of the images that were looked at (None where none was), and what was mixed.
    """

    latents: torch.Tensor
    start_step: int
    prompt_embeds: torch.Tensor
    null_embeds: torch.Tensor
    image_latents: torch.Tensor | None
    labels: np.ndarray
    provenance: dict[str, list[Any]]

    def __getitem__(self, rows: slice) -> SamplingInputs:
        return replace(
            self,
            latents=self.latents[rows],
            prompt_embeds=self.prompt_embeds[rows],
            image_latents=None if self.image_latents is None else self.image_latents[rows],
            labels=self.labels[rows],
            provenance={name: values[rows] for name, values in self.provenance.items()},
        )

    @classmethod
    def joined(cls, parts: Sequence[SamplingInputs]) -> SamplingInputs:
        """Rows one after the other. All parts begin with the same step, and all or none have images."""
        import torch

        first = parts[0]
        if any(part.start_step != first.start_step for part in parts):
            raise ValueError("inputs that begin with different steps of the schedule cannot be sampled together")
        return cls(
            latents=torch.cat([part.latents for part in parts]),
            start_step=first.start_step,
            prompt_embeds=torch.cat([part.prompt_embeds for part in parts]),
            null_embeds=first.null_embeds,
            image_latents=None if first.image_latents is None else torch.cat([p.image_latents for p in parts]),
            labels=np.concatenate([part.labels for part in parts]),
            provenance={
                name: [value for part in parts for value in part.provenance[name]] for name in first.provenance
            },
        )


@dataclass(frozen=True)
class Components:
    """What a method may draw on.

    Attributes:
        seed: of the data set.
        model: that the images come from.
        text: the embedded captions of every class, or what stands in their place for a few rows.
        images: likewise the latents of the real images; None where the method needs none.
        latent_shape: (C, h, w).
        scheduler: with its steps set.
        num_inference_steps: of the schedule.
    """

    seed: int
    model: StableDiffusion
    text: TextBank
    images: LatentBank | None
    latent_shape: tuple[int, int, int]
    scheduler: Any
    num_inference_steps: int


class Method(Protocol):
    """From the addresses (label, index) of some rows to what the sampler starts from.

    Everything random about a row must follow from the seed and its address (`utils.rng`): so a row is the same in any
    batch, and can be made again. Made once for a run, as `cls(config, components)`.

    Attributes, all of the class:
        name: that it is registered under; the column `method`.
        description: a sentence or two for the card of a data set: how the pictures came to be.
        needs_images: whether it looks at real images.
        needs_checkpoint: whether it samples from the fine-tuned checkpoint; else from its untouched base.
    """

    name: str
    description: str
    needs_images: bool
    needs_checkpoint: bool

    def __init__(self, config: Any, components: Components) -> None: ...

    def inputs(self, labels: np.ndarray, index: np.ndarray) -> SamplingInputs:
        """Of the addresses (labels[b], index[b]), both (B,) int64.

        A row may get another label than its address has. To be found again from its columns, its address must then
        have the class of the row's `condition`, or of the base caption of its `mix`.
        """
        ...


@runtime_checkable
class FromRecord(Protocol):
    """A method that can go by what a row records, too, where that is not what its address gives."""

    def recorded(self, labels: np.ndarray, index: np.ndarray, provenance: dict[str, list[Any]]) -> SamplingInputs: ...


class CaptionMethod:
    """What methods share that start from noise and mix the captions of a class."""

    def __init__(self, config: Any, components: Components):
        self.config, self.components = config, components
        self.text = components.text
        self.images: Any = components.images  # None only where the method needs none

    def noise(self, labels: np.ndarray, index: np.ndarray) -> torch.Tensor:
        """z_T of some addresses, (B, C, h, w)."""
        import torch

        of = self.components
        return torch.from_numpy(normal(of.seed, Stream.NOISE, labels, index, of.latent_shape))

    def mixes(self, labels: np.ndarray, index: np.ndarray, coarse: int, fine: int) -> MixPlans:
        """Algorithm 1 for some addresses: which rows from whom."""
        from .. import mixing

        table, (_, tokens, width) = self.text.table, self.text.embeddings.shape
        return mixing.plan(
            self.components.seed, labels, index,
            pool_start=table.pool_start[labels], pool_size=table.pool_size[labels],
            tokens=tokens, width=width, coarse=coarse, fine=fine,
        )  # fmt: skip

    def mixes_of(self, records: list[dict[str, Any]]) -> MixPlans:
        """Mixes as rows record them. Raises DataError where they name captions that there are not."""
        from ..mixing import MixPlans

        plans, known = MixPlans.from_records(records), len(self.text.table)
        named = np.concatenate([plans.base, plans.coarse[..., 0].ravel(), plans.fine[..., 0].ravel()])
        if named.min() < 0 or named.max() >= known:
            raise DataError(f"the mix names caption {named.max()}; the checkpoint has {known}")
        return plans

    def from_noise(
        self,
        labels: np.ndarray,
        index: np.ndarray,
        plans: MixPlans,
        image_latents: torch.Tensor | None,
        conditions: list[int | None],
    ) -> SamplingInputs:
        """Of some mixes, and what the U-Net sees of an image."""
        captions = self.text.table.captions
        return SamplingInputs(
            latents=self.noise(labels, index),
            start_step=0,
            prompt_embeds=self.text.mixed(plans),
            null_embeds=self.text.null.float(),
            image_latents=image_latents,
            labels=labels,
            provenance={
                "prompt": [captions[row] for row in plans.base],
                "condition": conditions,
                "mix": [plans.record(i) for i in range(len(labels))],
            },
        )
