"""The paper's other source: the untouched base, prompted with the captions as they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .base import CaptionMethod, SamplingInputs
from .registry import register_method

if TYPE_CHECKING:
    from ..mixing import MixPlans


@dataclass(frozen=True)
class PretrainedConfig:
    """It has no settings of its own."""


class Pretrained(CaptionMethod):
    """The paper's other source: the untouched base, prompted with the captions as they are."""

    name = "pretrained"
    description = "They were made by an untouched text-to-image model, prompted with captions of the real images."
    needs_images = False
    needs_checkpoint = False

    def inputs(self, labels: np.ndarray, index: np.ndarray) -> SamplingInputs:
        return self._prompted(labels, index, self.mixes(labels, index, 0, 0))

    def recorded(self, labels: np.ndarray, index: np.ndarray, provenance: dict[str, list[Any]]) -> SamplingInputs:
        return self._prompted(labels, index, self.mixes_of(provenance["mix"]))

    def _prompted(self, labels: np.ndarray, index: np.ndarray, plans: MixPlans) -> SamplingInputs:
        import torch

        channels, *_ = self.components.latent_shape
        widened = self.components.model.unet.config.in_channels != channels
        no_image = torch.zeros(len(labels), *self.components.latent_shape) if widened else None
        return self.from_noise(labels, index, plans, no_image, [None] * len(labels))


register_method("pretrained", PretrainedConfig, Pretrained)
