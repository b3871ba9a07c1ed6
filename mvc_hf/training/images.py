"""Pictures of always the same addresses, drawn while a model is trained: what `generate` would make of them by now."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image

from ..config.recipe import Recipe
from ..diffusion.model import StableDiffusion
from ..diffusion.sampling import Guidance, make_scheduler, sample
from ..methods.base import Components
from ..methods.registry import get_method
from ..storage.notes import atomic_write
from ..utils.rng import Stream, words

if TYPE_CHECKING:
    from .dataset import TrainingSet

FOLDER = "images"  # in that of the training checkpoints


class FixedImages:
    """A strip of pictures for each look, left to right the classes in their order, then each one's next index.

    Settings of sampling are those of `generate`, of the same recipe. What is drawn draws nothing from the random
    numbers of the training.

    Args:
        folder: of the training checkpoints; the strips go to `images/step-….png` in it.
    """

    def __init__(self, recipe: Recipe, base: StableDiffusion, training_set: TrainingSet, folder: Path):
        self.recipe, self.base, self.set, self.folder = recipe, base, training_set, folder / FOLDER
        self.scheduler = make_scheduler(recipe.scheduler, base.scheduler.config, recipe.num_inference_steps)
        side = training_set.images.moments.shape[-1]
        components = Components(
            seed=recipe.seed, model=base, text=training_set.text, images=training_set.images,
            latent_shape=(base.vae.config.latent_channels, side, side), scheduler=self.scheduler,
            num_inference_steps=recipe.num_inference_steps,
        )  # fmt: skip
        registered = get_method("mvc")
        self.method = registered.cls(registered.config_of(recipe), components)

    def draw(self, step: int, unet: Any) -> Path:
        """The pictures of a U-Net after that many updates."""
        labels, index = self.addresses()
        inputs, device = self.method.inputs(labels, index), unet.device
        recipe, image_latents = self.recipe, inputs.image_latents
        seeds = words(recipe.seed, Stream.SCHEDULER, labels, index, 1)[:, 0] >> np.uint64(1)
        latents = sample(
            unet, self.scheduler, inputs.latents.to(device), inputs.prompt_embeds.to(device),
            inputs.null_embeds.to(device), None if image_latents is None else image_latents.to(device),
            Guidance(
                recipe.guidance_scale, recipe.image_guidance_scale, recipe.guidance_start, recipe.guidance_stop
            ),
            num_inference_steps=recipe.num_inference_steps,
            generators=[torch.Generator(device).manual_seed(int(s)) for s in seeds],
        )  # fmt: skip
        vae = self.base.vae.to(device)  # on the CPU while nobody needs it
        try:
            squares = np.concatenate([self.base.decode_latents(one).numpy() for one in latents.split(1)])
        finally:
            vae.to("cpu")
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"step-{step:08d}.png"
        with atomic_write(path, durable=False) as temporary:
            Image.fromarray(np.concatenate(list(squares), axis=1)).save(temporary, "PNG")
        return path

    def addresses(self) -> tuple[np.ndarray, np.ndarray]:
        """Labels and indices: the first rows of a data set of these classes."""
        used = np.flatnonzero([len(rows) for rows in self.set.images.members])
        row = np.arange(self.recipe.validation_images)
        return used[row % len(used)], row // len(used)
