"""Our sampler and diffusers' own pipeline on the same inputs, for latents of 4×8×8 and text of 77×32."""

from __future__ import annotations

import diffusers
import numpy as np
import torch

from mvc_hf.diffusion.sampling import sample


def inputs(batch=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    random = lambda *shape: torch.randn(shape, generator=generator)  # noqa: E731
    return random(batch, 4, 8, 8), random(batch, 77, 32), random(77, 32), random(batch, 4, 8, 8)


def ours(base, scheduler, guidance, steps=5, generators=None):
    latents, text, null, image = inputs()
    z = sample(
        base.unet, scheduler, latents, text, null, image, guidance, num_inference_steps=steps, generators=generators
    )
    return base.decode_latents(z).numpy()


def theirs(folder, scheduler, text_scale, image_scale, steps=5):
    pipeline = diffusers.StableDiffusionInstructPix2PixPipeline.from_pretrained(folder, dtype=torch.float32)
    pipeline.scheduler = scheduler
    pipeline.set_progress_bar_config(disable=True)
    latents, text, null, image = inputs()
    images = pipeline(
        image=image, latents=latents, prompt_embeds=text, negative_prompt_embeds=null.expand_as(text),
        num_inference_steps=steps, guidance_scale=text_scale, image_guidance_scale=image_scale, output_type="np",
    ).images  # fmt: skip
    return (images * 255).round().astype(np.uint8)


def assert_same(a, b):
    assert a.std() > 10  # a real picture, not a constant one
    assert np.abs(a.astype(int) - b.astype(int)).max() <= 1
