"""Models with random weights, and banks of what their encoders would have given: to a clock they are as good as real.

`sd15` has the architecture of Stable Diffusion 1.5, `cut` the same blocks at a fifth of the width, for a machine
without a GPU, and `tiny` tells only whether a script works.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from mvc_hf.captions.table import CaptionTable
from mvc_hf.config.recipe import Recipe
from mvc_hf.diffusion.banks.latents import LatentBank
from mvc_hf.diffusion.banks.text import TextBank
from mvc_hf.diffusion.model import StableDiffusion
from mvc_hf.training.dataset import TrainingSet
from mvc_hf.workflows.demo import assets

CLASSES, CAPTIONS = 10, 20  # captions of a class
NAMES = tuple(f"class {i}" for i in range(CLASSES))
WIDTHS = {  # of the U-Net's blocks, the VAE's, and the text encoder
    "sd15": ((320, 640, 1280, 1280), (128, 256, 512, 512), (768, 12)),
    "cut": ((64, 128, 256, 256), (32, 64, 128, 128), (192, 4)),
    "tiny": ((32, 32, 32, 32), (32, 32, 32, 32), (32, 1)),
}


def unet_of(shape: str, device: Any, in_channels: int = 4) -> Any:
    """The U-Net of a shape."""
    from diffusers import UNet2DConditionModel

    widths, _, (text, _) = WIDTHS[shape]
    with torch.device(device):
        return UNet2DConditionModel(
            sample_size=64, in_channels=in_channels, out_channels=4, block_out_channels=widths, layers_per_block=2,
            cross_attention_dim=text, attention_head_dim=8,
            down_block_types=("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
            up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
        )  # fmt: skip


def random_model(shape: str, device: Any, in_channels: int = 4, seed: int = 0) -> StableDiffusion:
    """All parts of a model, made on the device, frozen and in evaluation mode, as `load_base` gives them."""
    from diffusers import AutoencoderKL, DDPMScheduler
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    torch.manual_seed(seed)
    _, widths, (text, layers) = WIDTHS[shape]
    tokenizer = CLIPTokenizer.from_pretrained(assets() / "base" / "tokenizer")
    config = CLIPTextConfig(
        vocab_size=49408, hidden_size=text, intermediate_size=4 * text, num_hidden_layers=layers,
        num_attention_heads=max(1, text // 64), max_position_embeddings=77, bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    with torch.device(device):
        text_encoder = CLIPTextModel(config)
        vae = AutoencoderKL(
            sample_size=512, block_out_channels=widths, layers_per_block=2, latent_channels=4,
            down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
        )  # fmt: skip
    scheduler = DDPMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False, steps_offset=1
    )
    parts = [part.requires_grad_(False).eval() for part in (text_encoder, vae, unet_of(shape, device, in_channels))]
    return StableDiffusion(Path(shape), shape, None, tokenizer, *parts, scheduler)


def latent_shape(model: StableDiffusion, side: int) -> tuple[int, int, int]:
    """(C, h, w) of images of this side."""
    return model.vae.config.latent_channels, side // model.vae_factor, side // model.vae_factor


def random_banks(model: StableDiffusion, side: int, images: int = 320) -> tuple[TextBank, LatentBank]:
    """Of images of this side, and captions of 77 tokens, in memory."""
    rng = torch.Generator().manual_seed(0)
    labels = np.repeat(np.arange(CLASSES), CAPTIONS)
    captions = [f"This is an image of {NAMES[label]}. number {i}" for i, label in enumerate(labels)]
    table = CaptionTable(labels, captions, np.arange(len(labels)), CLASSES)
    embeddings = torch.randn(len(labels) + 1, 77, model.width, generator=rng).half()
    moments = torch.randn(images, 2, *latent_shape(model, side), generator=rng).half()
    moments[:, 1] = 0.1
    of = np.arange(images) % CLASSES
    return TextBank(table, embeddings[:-1], embeddings[-1]), LatentBank(moments, of, NAMES, None, False)


def training_set(recipe: Recipe, model: StableDiffusion, side: int) -> TrainingSet:
    """Samples from random banks."""
    text, images = random_banks(model, side)
    return TrainingSet(recipe, text, images, scaling_factor=0.18215, num_timesteps=1000)
