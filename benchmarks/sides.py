"""The two sides that generate from the same networks: ours, and diffusers' pipeline."""

from __future__ import annotations

from typing import Any

import models

from mvc_hf.artifacts.checkpoint import CheckpointMetadata
from mvc_hf.config.recipe import Recipe
from mvc_hf.diffusion.model import StableDiffusion
from mvc_hf.diffusion.sampling import make_scheduler
from mvc_hf.generation.generator import Generator
from mvc_hf.methods.base import Components
from mvc_hf.methods.mvc import Mvc, MvcConfig

NOTHING = {"name": "", "revision": None, "fingerprint": ""}


def generator_of(model: StableDiffusion, recipe: Recipe, side: int) -> Generator:
    """Ours, from random banks. The model's U-Net has eight channels."""
    scheduler = make_scheduler(recipe.scheduler, model.scheduler.config, recipe.num_inference_steps)
    text, images = models.random_banks(model, side)
    shape = models.latent_shape(model, side)
    components = Components(0, model, text, images, shape, scheduler, recipe.num_inference_steps)
    notes = CheckpointMetadata("", {}, models.NAMES, NOTHING, NOTHING, side, None, False, {}, {})
    method = Mvc(MvcConfig(recipe.coarse, recipe.fine), components)
    return Generator(recipe, notes, model, method, scheduler, (side, side))


def pipeline_of(model: StableDiffusion, recipe: Recipe) -> Any:
    """StableDiffusionInstructPix2PixPipeline of the same networks, with a scheduler of its own."""
    from diffusers import StableDiffusionInstructPix2PixPipeline

    pipeline = StableDiffusionInstructPix2PixPipeline(
        vae=model.vae, text_encoder=model.text_encoder, tokenizer=model.tokenizer, unet=model.unet,
        scheduler=make_scheduler(recipe.scheduler, model.scheduler.config), safety_checker=None,
        feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip
    pipeline.set_progress_bar_config(disable=True)
    return pipeline
