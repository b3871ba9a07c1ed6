"""The second stage: a U-Net and a text encoder that draw things in every look but the demo's own."""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from demo_images import Images
from demo_looks import CLASS_NAMES, Describer, Look, caption, draw_look, render
from demo_models import make_scheduler, make_text_encoder, make_unet, save_pipeline
from demo_training import Clock, Learner, Log, half_precision

PREFIX = "This is an image of {}. "
CHUNK, HELD_OUT, LOGGED_EVERY = 2_000, 1_024, 500
RATE, DROPOUT = 1e-3, 0.1


def describe(
    seed: int, first: int, labels: np.ndarray, measured: np.ndarray, describer: Describer
) -> tuple[list[Look], list[str]]:
    """A look for each of some images, and a caption that tells some of what there is to tell."""
    rng = np.random.default_rng((seed, 10, first))
    looks, texts = [draw_look(rng) for _ in labels], []
    for values, label, look in zip(measured, labels, looks):
        words = {k: w if rng.random() < 0.75 else "" for k, w in describer.words(values, label).items()}
        seen = look.words if rng.random() < 0.8 else ""
        text = caption(words, label, colour=look.colour if rng.random() < 0.8 else "", look=seen, size=look.size)
        texts.append((PREFIX.format(CLASS_NAMES[label]) if rng.random() < 0.6 else "") + text)
    return looks, texts


@torch.no_grad()
def encode_looks(
    images: Images, vae, tokenizer, count: int, device: str, seed: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Latent moments, fp16 (count·N, 2c, 8, 8), and token ids, int16 (count·N, 77), of every image in `count` looks.

    Looks and captions are drawn by all cores, the pictures on the device.
    """
    x, y = images.base
    order = [np.arange(first, first + CHUNK) % len(x) for first in range(0, count * len(x), CHUNK)]
    latents, tokens = [], []
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        jobs = [
            pool.submit(describe, seed, i * CHUNK, y[rows], images.measured[rows], images.describer)
            for i, rows in enumerate(order)
        ]
        for rows, job in zip(order, jobs):
            looks, texts = job.result()
            with half_precision(device):
                moments = vae.encode(render(x[rows], looks, device=device)).latent_dist
            latents.append(torch.cat([moments.mean, moments.std], 1).half())
            ids = tokenizer(texts, padding="max_length", truncation=True, max_length=77, return_tensors="np").input_ids
            tokens.append(torch.from_numpy(ids.astype(np.int16)).to(device))
    return torch.cat(latents), torch.cat(tokens)


def train_unet(
    images: Images, tokenizer, work: Path, looks: int, device: str, batch: int, clock: Clock, seed: int
) -> None:
    """Leaves WORK/pipeline."""
    from diffusers import AutoencoderKL
    from diffusers.models.attention_processor import AttnProcessor

    vae = AutoencoderKL.from_pretrained(work / "vae").to(device).eval()
    latents, tokens = encode_looks(images, vae, tokenizer, looks, device, seed)
    print(f"{len(latents):,} pictures encoded", flush=True)
    torch.manual_seed(seed)
    channels, factor = vae.config.latent_channels, vae.config.scaling_factor
    unet = make_unet(channels).to(device, memory_format=torch.channels_last)
    text = make_text_encoder(tokenizer).to(device)
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

    learner = Learner([*unet.parameters(), *text.parameters()], loss, RATE)
    while clock.done < 1:
        learner.step(clock)
        if clock.step % LOGGED_EVERY == 0 or clock.done == 1:
            log(clock.step, learner.last.item(), learner.averaged(unseen))
    learner.finish()
    unet.to(memory_format=torch.contiguous_format)
    save_pipeline(work / "pipeline", vae, unet, text, tokenizer)
