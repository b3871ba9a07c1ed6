"""The second stage: a U-Net and a text encoder that draw things in every look but the demo's own."""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from demo_looks import CLASS_NAMES, Describer, Look, caption, draw_look, render
from demo_models import make_scheduler, make_text_encoder, make_unet, save_pipeline
from demo_training import Clock, Learner, Log, half_precision

PREFIX = "This is an image of {}. "
CHUNK, HELD_OUT, LOGGED_EVERY = 2_000, 1_024, 500
RATE, DROPOUT = 1e-3, 0.1


class Drawings(Protocol):
    """What a base is taught from. It goes to other processes, which describe; the pictures are drawn on the device."""

    def __len__(self) -> int: ...

    def describe(self, rows: np.ndarray, rng: np.random.Generator) -> tuple[Any, list[str]]:
        """How to draw some images, and captions that tell some of what there is to tell."""

    def draw(self, rows: np.ndarray, how: Any, device: str) -> torch.Tensor:
        """RGB in [-1, 1], (N, 3, H, W)."""


@dataclass(frozen=True)
class Garments:
    """Fashion-MNIST in every look but its own."""

    images: np.ndarray
    labels: np.ndarray
    measured: np.ndarray
    describer: Describer

    def __len__(self) -> int:
        return len(self.images)

    def describe(self, rows: np.ndarray, rng: np.random.Generator) -> tuple[list[Look], list[str]]:
        looks, texts = [draw_look(rng) for _ in rows], []
        for row, look in zip(rows, looks):
            label = self.labels[row]
            words = self.describer.words(self.measured[row], label)
            words = {k: w if rng.random() < 0.75 else "" for k, w in words.items()}
            seen = look.words if rng.random() < 0.8 else ""
            text = caption(words, label, colour=look.colour if rng.random() < 0.8 else "", look=seen, size=look.size)
            texts.append((PREFIX.format(CLASS_NAMES[label]) if rng.random() < 0.6 else "") + text)
        return looks, texts

    def draw(self, rows: np.ndarray, how: list[Look], device: str) -> torch.Tensor:
        return render(self.images[rows], how, device=device)


_drawings: Drawings  # of this process


def _receive(drawings: Drawings) -> None:
    global _drawings
    _drawings = drawings
    torch.set_num_threads(1)


def _describe(rows: np.ndarray, seed: tuple[int, int, int]) -> tuple[Any, list[str]]:
    return _drawings.describe(rows, np.random.default_rng(seed))


@torch.no_grad()
def encode(
    drawings: Drawings, vae, tokenizer, count: int, device: str, seed: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Latent moments, fp16 (count·N, 2c, 8, 8), and token ids, int16 (count·N, 77), of every image in `count` looks.

    Looks and captions are drawn by all cores, the pictures on the device.
    """
    firsts = range(0, count * len(drawings), CHUNK)
    order = [np.arange(first, min(first + CHUNK, count * len(drawings))) % len(drawings) for first in firsts]
    latents, tokens = [], []
    with ProcessPoolExecutor(os.cpu_count(), get_context("spawn"), _receive, (drawings,)) as pool:
        jobs = [pool.submit(_describe, rows, (seed, 10, first)) for first, rows in zip(firsts, order)]
        for rows, job in zip(order, jobs):
            how, texts = job.result()
            with half_precision(device):
                moments = vae.encode(drawings.draw(rows, how, device)).latent_dist
            latents.append(torch.cat([moments.mean, moments.std], 1).half())
            ids = tokenizer(texts, padding="max_length", truncation=True, max_length=77, return_tensors="np").input_ids
            tokens.append(torch.from_numpy(ids.astype(np.int16)).to(device))
    return torch.cat(latents), torch.cat(tokens)


def train_unet(
    drawings: Drawings,
    tokenizer,
    work: Path,
    looks: int,
    device: str,
    batch: int,
    clock: Clock,
    seed: int,
    widths: tuple[int, int] = (64, 160),
    rate: float = RATE,
    start: Path | None = None,
) -> None:
    """Leaves WORK/pipeline.

    Args:
        start: a pipeline whose U-Net and text encoder are gone on from; `work` has its autoencoder and its tokenizer.
    """
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from diffusers.models.attention_processor import AttnProcessor
    from transformers import CLIPTextModel

    vae = AutoencoderKL.from_pretrained(work / "vae").to(device).eval()
    latents, tokens = encode(drawings, vae, tokenizer, looks, device, seed)
    print(f"{len(latents):,} pictures encoded", flush=True)
    clock.begin()
    torch.manual_seed(seed)
    channels, factor = vae.config.latent_channels, vae.config.scaling_factor
    if start is None:
        unet, text = make_unet(channels, widths), make_text_encoder(tokenizer)
    else:
        unet = UNet2DConditionModel.from_pretrained(start / "unet").float().train()
        text = CLIPTextModel.from_pretrained(start / "text_encoder", attn_implementation="eager").float().train()
    unet, text = unet.to(device, memory_format=torch.channels_last), text.to(device)
    if device == "cpu":
        unet.set_attn_processor(AttnProcessor())  # for sizes as small as these, the fastest there
    alphas = make_scheduler().alphas_cumprod.to(device)
    empty = tokenizer("", padding="max_length", max_length=77, return_tensors="pt").input_ids.to(device)
    # The causal mask, given so that nothing has to be looked up on the host in every step.
    mask = torch.full((77, 77), float("-inf"), device=device).triu(1)[None, None]
    held, log = len(latents) - HELD_OUT, Log(work / "losses.csv", "unet")

    def loss(rows: torch.Tensor | None = None, generator: torch.Generator | None = None) -> torch.Tensor:
        dropout = DROPOUT if rows is None else 0.0
        rows = torch.randint(0, held, (batch,), device=device) if rows is None else rows
        moments = latents[rows].float()
        noise, spread = (
            torch.randn(moments[:, :channels].shape, device=device, generator=generator) for _ in range(2)
        )
        z0 = (moments[:, :channels] + moments[:, channels:] * spread) * factor
        t = torch.randint(0, len(alphas), (len(rows),), device=device, generator=generator)
        kept = alphas[t][:, None, None, None]
        dropped = torch.rand(len(rows), 1, device=device, generator=generator) < dropout
        ids = torch.where(dropped, empty, tokens[rows].long())
        with half_precision(device):
            z_t = (kept.sqrt() * z0 + (1 - kept).sqrt() * noise).contiguous(memory_format=torch.channels_last)
            context = text(ids, attention_mask=mask).last_hidden_state
            predicted = unet(z_t, t, context).sample
        return F.mse_loss(predicted.float(), noise)

    def unseen() -> float:
        generator = torch.Generator(device).manual_seed(seed)
        parts = torch.arange(held, len(latents), device=device).split(256)
        with torch.no_grad():
            return float(np.mean([loss(part, generator).item() for part in parts]))

    learner = Learner([*unet.parameters(), *text.parameters()], loss, rate)
    while clock.done < 1:
        learner.step(clock)
        if clock.step % LOGGED_EVERY == 0 or clock.done == 1:
            log(clock.step, learner.last.item(), learner.averaged(unseen))
    learner.finish()
    unet.to(memory_format=torch.contiguous_format)
    save_pipeline(work / "pipeline", vae, unet, text, tokenizer)
