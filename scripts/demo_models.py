"""The parts of the demo's base: Stable Diffusion's architecture, small."""

from __future__ import annotations

import copy
import gzip
import json
from pathlib import Path

import torch

SIZE = 32
CHANNELS = 12  # of the latents, which are a quarter of the picture wide
VOCABULARY_MERGES = 8_000  # CLIP's merges come in order of frequency: the first ones make a valid, smaller tokenizer


def make_tokenizer(merges_file: Path, folder: Path):
    """CLIP's tokenizer with its first merges only: 8,514 entries, the same rules."""
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import CLIPTokenizer

    merges = gzip.decompress(merges_file.read_bytes()).decode().split("\n")[1 : VOCABULARY_MERGES + 1]
    letters = sorted(ByteLevel.alphabet())
    vocab = letters + [c + "</w>" for c in letters] + ["".join(m.split()) for m in merges]
    vocab += ["<|startoftext|>", "<|endoftext|>"]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps({v: i for i, v in enumerate(vocab)}))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n")
    return CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=77)


def make_text_encoder(tokenizer):
    from transformers import CLIPTextConfig, CLIPTextModel

    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer), hidden_size=64, intermediate_size=256, num_hidden_layers=2,
            num_attention_heads=4, max_position_embeddings=77, projection_dim=64, hidden_act="quick_gelu",
            bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id, attn_implementation="eager",
        )
    )  # fmt: skip


def make_vae(channels: int = CHANNELS):
    """32×32 RGB to channels×8×8. Residual branches start at zero: it is nearly linear at first, and learns faster."""
    from diffusers import AutoencoderKL
    from diffusers.models.attention_processor import Attention
    from diffusers.models.resnet import ResnetBlock2D

    vae = AutoencoderKL(
        sample_size=SIZE, block_out_channels=(48, 64, 96), layers_per_block=1, latent_channels=channels,
        norm_num_groups=8, down_block_types=("DownEncoderBlock2D",) * 3, up_block_types=("UpDecoderBlock2D",) * 3,
    )  # fmt: skip
    for module in vae.modules():
        last = {ResnetBlock2D: lambda m: m.conv2, Attention: lambda m: m.to_out[0]}.get(type(module))
        if last:
            torch.nn.init.zeros_(last(module).weight)
            torch.nn.init.zeros_(last(module).bias)
    with torch.no_grad():
        vae.quant_conv.bias[channels:] = -4.0  # the posterior starts narrow
    return vae


def make_unet(channels: int = CHANNELS, widths: tuple[int, int] = (64, 160)):
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(
        sample_size=SIZE // 4, in_channels=channels, out_channels=channels, block_out_channels=widths,
        layers_per_block=1, down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"), cross_attention_dim=64, attention_head_dim=4,
        norm_num_groups=16,
    )  # fmt: skip


def make_scheduler():
    from diffusers import DDPMScheduler

    return DDPMScheduler(  # Stable Diffusion 1.x's own settings
        num_train_timesteps=1000, beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear",
        clip_sample=False, steps_offset=1, prediction_type="epsilon",
    )  # fmt: skip


def save_pipeline(folder: Path, vae, unet, text, tokenizer) -> None:
    """In half precision, as a plain Stable Diffusion pipeline."""
    from diffusers import PNDMScheduler, StableDiffusionPipeline

    on_cpu = lambda model: copy.deepcopy(model).cpu().half()  # noqa: E731
    StableDiffusionPipeline(
        vae=on_cpu(vae), text_encoder=on_cpu(text), tokenizer=tokenizer, unet=on_cpu(unet),
        scheduler=PNDMScheduler.from_config(make_scheduler().config, skip_prk_steps=True, set_alpha_to_one=False),
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    ).save_pretrained(folder, safe_serialization=True)  # fmt: skip
