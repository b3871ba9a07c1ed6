"""A Stable Diffusion pipeline with the real classes and tiny random weights, and small labelled image sets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image


def tiny_base(
    folder: Path, *, prediction_type: str = "epsilon", in_channels: int = 4, latent_channels: int = 4, seed: int = 0
) -> Path:
    """8×8 latents of 16×16 images; text of 77 tokens, 32 wide. About 60,000 weights."""
    import diffusers
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    from mvc_hf.workflows.demo import assets

    torch.manual_seed(seed)
    tokenizer = CLIPTokenizer.from_pretrained(assets() / "base" / "tokenizer")
    text = CLIPTextConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
        max_position_embeddings=77, bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    unet = diffusers.UNet2DConditionModel(
        sample_size=8, in_channels=in_channels, out_channels=latent_channels, block_out_channels=(8, 16),
        layers_per_block=1, cross_attention_dim=32, attention_head_dim=2, norm_num_groups=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
    )  # fmt: skip
    vae = diffusers.AutoencoderKL(
        sample_size=16, block_out_channels=(8, 8), layers_per_block=1, latent_channels=latent_channels,
        norm_num_groups=4, scaling_factor=0.5,
        down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
    )  # fmt: skip
    scheduler = diffusers.PNDMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", skip_prk_steps=True, steps_offset=1,
        prediction_type=prediction_type,
    )  # fmt: skip
    widened = in_channels != latent_channels
    kind = diffusers.StableDiffusionInstructPix2PixPipeline if widened else diffusers.StableDiffusionPipeline
    kind(
        vae=vae, text_encoder=CLIPTextModel(text), tokenizer=tokenizer, unet=unet, scheduler=scheduler,
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    ).save_pretrained(folder)  # fmt: skip
    return folder


def image_folder(folder: Path, classes: dict[str, int], *, size: int = 16, seed: int = 0, grey: bool = False) -> Path:
    """A folder of class folders with smooth random pictures."""
    rng = np.random.default_rng(seed)
    for name, count in classes.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            small = rng.integers(0, 256, (4, 4) if grey else (4, 4, 3), dtype=np.uint8)
            Image.fromarray(small).resize((size, size), Image.Resampling.BICUBIC).save(folder / name / f"{i:03d}.png")
    return folder
