"""Mixing visual concepts: a fresh mix of captions, and a random real image of the class as the condition."""

from __future__ import annotations

import numpy as np

from ..config.recipe import Recipe
from ..diffusion.latent_bank import LatentBank
from ..diffusion.model import StableDiffusion
from ..diffusion.text_bank import TextBank
from ..utils.rng import Stream, below, words
from .base import AddressedMethod, SamplingInputs


class Mvc(AddressedMethod):
    """Mixing visual concepts: a fresh mix, and a random real image of the class as the condition."""

    name = "mvc"

    def __init__(self, recipe: Recipe, model: StableDiffusion, text: TextBank, images: LatentBank):
        super().__init__(recipe, model, text, tuple(images.moments.shape[2:]))
        self.images = images

    def conditions(self, labels: np.ndarray, k: np.ndarray) -> SamplingInputs:
        plans = self._plans(labels, k, self.recipe.coarse, self.recipe.fine)
        draws = words(self.recipe.seed, Stream.CONDITION, labels, k, 1)[:, 0]
        members = [self.images.members[label] for label in labels]
        rows = np.array([rows[i] for rows, i in zip(members, below(draws, np.array([len(m) for m in members])))])
        return SamplingInputs(
            latents=self._noise(labels, k),
            prompt_embeds=self.text.mixed(plans),
            null_embeds=self.text.null.float(),
            image_latents=self.images.mode(rows),
            prompts=self._prompts(plans),
            conditions=rows.tolist(),
            mixes=[plans.record(i) for i in range(len(labels))],
        )
