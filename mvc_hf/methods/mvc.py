"""Mixing visual concepts: a fresh mix of captions, and a random real image of the class as the condition."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..utils.rng import Stream, below, words
from .base import CaptionMethod, SamplingInputs
from .registry import register_method

if TYPE_CHECKING:
    from ..mixing import MixPlans


@dataclass(frozen=True)
class MvcConfig:
    """P and Q of Algorithm 1."""

    coarse: int
    fine: int


class Mvc(CaptionMethod):
    """Mixing visual concepts: a fresh mix, and a random real image of the class as the condition."""

    name = "mvc"
    description = (
        'They were made by "Mixing Visual Concepts" (MVC): a diffusion model, fine-tuned on the real images, is given '
        "one of them and a mix of caption embeddings of its class."
    )
    needs_images = True
    needs_checkpoint = True

    def inputs(self, labels: np.ndarray, index: np.ndarray) -> SamplingInputs:
        plans = self.mixes(labels, index, self.config.coarse, self.config.fine)
        draws = words(self.components.seed, Stream.CONDITION, labels, index, 1)[:, 0]
        members = [self.images.members[label] for label in labels]
        rows = np.array([rows[i] for rows, i in zip(members, below(draws, np.array([len(m) for m in members])))])
        return self._conditioned(labels, index, plans, rows)

    def recorded(self, labels: np.ndarray, index: np.ndarray, provenance: dict[str, list[Any]]) -> SamplingInputs:
        plans = self.mixes_of(provenance["mix"])
        return self._conditioned(labels, index, plans, np.array(provenance["condition"]))

    def _conditioned(self, labels: np.ndarray, index: np.ndarray, plans: MixPlans, rows: np.ndarray) -> SamplingInputs:
        return self.from_noise(labels, index, plans, self.images.mode(rows), rows.tolist())


register_method("mvc", MvcConfig, Mvc)
