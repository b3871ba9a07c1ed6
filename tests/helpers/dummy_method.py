"""A method as somebody else would write it, against `mvc_hf/methods/base.py` alone: image-to-image, to the next class.

It starts from a real image of the address' class, noised to a later step of the schedule, and makes it one of the
class after that: the row's label is another than the address'.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from mvc_hf.diffusion.sampling import noised
from mvc_hf.methods.base import Components, SamplingInputs
from mvc_hf.mixing import MixPlans
from mvc_hf.utils.rng import Stream, below, normal, words


@dataclass(frozen=True)
class NextClassConfig:
    seed: int  # of the recipe
    strength: float = 0.5  # its own: how much of the schedule the image goes through


class NextClass:
    name = "next-class"
    description = "They were made from real images, each redrawn as one of the class after its own."
    needs_images = True
    needs_checkpoint = True

    def __init__(self, config: NextClassConfig, components: Components):
        self.config, self.components = config, components

    def inputs(self, labels: np.ndarray, index: np.ndarray) -> SamplingInputs:
        of, table = self.components, self.components.text.table
        draws = words(self.config.seed, Stream.CONDITION, labels, index, 2)
        members = [of.images.members[label] for label in labels]
        rows = np.array([own[i] for own, i in zip(members, below(draws[:, 0], np.array(list(map(len, members)))))])
        targets = (labels + 1) % len(table.pool_size)
        captions = table.pool_start[targets] + below(draws[:, 1], table.pool_size[targets])
        plans = MixPlans(captions, *(np.zeros((len(labels), 0, width), np.int64) for width in (3, 4)))
        image, noise = of.images.mode(rows), normal(of.seed, Stream.NOISE, labels, index, of.latent_shape)
        start = round((1 - self.config.strength) * of.num_inference_steps)
        scaled = image * of.model.vae.config.scaling_factor
        return SamplingInputs(
            latents=noised(of.scheduler, scaled, torch.from_numpy(noise), start, of.num_inference_steps),
            start_step=start,
            prompt_embeds=of.text.mixed(plans),
            null_embeds=of.text.null.float(),
            image_latents=image if of.model.unet.config.in_channels > len(image[0]) else None,
            labels=targets,
            provenance={
                "prompt": [table.captions[row] for row in captions],
                "condition": rows.tolist(),
                "mix": [plans.record(i) for i in range(len(labels))],
            },
        )


class NextClassByBase(NextClass):
    """The same by the untouched base, which sees nothing of the image but what is left of it in the noise."""

    name = "next-class-by-base"
    needs_checkpoint = False
