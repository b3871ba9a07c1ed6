"""Methods of generating: from a row's address to what the sampler starts from.

A method is anything with the members of `Method`. Shards, the Hub and timm know only its name and the columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch

from .. import mixing
from ..config.recipe import Recipe
from ..diffusion.model import StableDiffusion
from ..diffusion.text_bank import TextBank
from ..utils.rng import Stream, normal


@dataclass(frozen=True)
class SamplingInputs:
    """Of B rows: what the sampler takes, and what the data set records.

    Attributes:
        latents: z_T, standard normal, (B, C, h, w).
        prompt_embeds: e_T, (B, m, d).
        null_embeds: CLIP(""), (m, d).
        image_latents: e_I, unscaled, (B, C, h, w), or None where the U-Net takes none.
        prompts: the base captions.
        conditions: source rows of x′; None where there is no condition image.
        mixes: the `mix` column.
    """

    latents: torch.Tensor
    prompt_embeds: torch.Tensor
    null_embeds: torch.Tensor
    image_latents: torch.Tensor | None
    prompts: list[str]
    conditions: list[int | None]
    mixes: list[dict[str, Any]]


class Method(Protocol):
    """From the addresses (label, k) of some rows to their conditions, and the U-Net that takes them."""

    name: str
    model: StableDiffusion

    def conditions(self, labels: np.ndarray, k: np.ndarray) -> SamplingInputs: ...


class AddressedMethod:
    """What both methods share: the model, the captions, the noise."""

    def __init__(self, recipe: Recipe, model: StableDiffusion, text: TextBank, latent_shape: tuple[int, int, int]):
        self.recipe, self.model, self.text, self.latent_shape = recipe, model, text, latent_shape
        self.pool_start, self.pool_size = text.table.pool_start, text.table.pool_size

    def _noise(self, labels: np.ndarray, k: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(normal(self.recipe.seed, Stream.NOISE, labels, k, self.latent_shape))

    def _plans(self, labels: np.ndarray, k: np.ndarray, coarse: int, fine: int) -> mixing.MixPlans:
        return mixing.plan(
            self.recipe.seed, labels, k, pool_start=self.pool_start[labels], pool_size=self.pool_size[labels],
            tokens=self.text.embeddings.shape[1], width=self.text.embeddings.shape[2], coarse=coarse, fine=fine,
        )  # fmt: skip

    def _prompts(self, plans: mixing.MixPlans) -> list[str]:
        return [self.text.table.captions[row] for row in plans.base]
