"""The paper's other source: the untouched base, prompted with the captions as they are."""

from __future__ import annotations

import numpy as np
import torch

from .base import AddressedMethod, SamplingInputs


class Pretrained(AddressedMethod):
    """The paper's other source: the untouched base, prompted with the captions as they are."""

    name = "pretrained"

    def conditions(self, labels: np.ndarray, k: np.ndarray) -> SamplingInputs:
        plans = self._plans(labels, k, 0, 0)
        latents = self._noise(labels, k)
        widened = self.model.unet.config.in_channels != latents.shape[1]
        return SamplingInputs(
            latents=latents,
            prompt_embeds=self.text.mixed(plans),
            null_embeds=self.text.null.float(),
            image_latents=torch.zeros_like(latents) if widened else None,
            prompts=self._prompts(plans),
            conditions=[None] * len(labels),
            mixes=[plans.record(i) for i in range(len(labels))],
        )
