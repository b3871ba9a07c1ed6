"""The first stage: an autoencoder for sharp pictures of many kinds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from demo_models import CHANNELS, make_vae
from demo_training import Clock, Learner, Log, half_precision

HELD_OUT, LOGGED_EVERY = 512, 500
RATE, KL_WEIGHT = 2e-3, 2e-6


def as_pixels(pictures: torch.Tensor) -> torch.Tensor:
    """uint8 (N, H, W, 3) as (N, 3, H, W) in [-1, 1]."""
    return (pictures.float() / 127.5 - 1).permute(0, 3, 1, 2).contiguous()


def edges(pictures: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return pictures[..., 1:] - pictures[..., :-1], pictures[..., 1:, :] - pictures[..., :-1, :]


def train_vae(pool: np.ndarray, work: Path, device: str, batch: int, clock: Clock, seed: int) -> None:
    """Leaves WORK/vae.

    Tones are weighed, and the differences of neighbouring pixels: without these, texture, which is little of the error
    and much of the picture, is smoothed away.
    """
    torch.manual_seed(seed)
    vae = make_vae(CHANNELS).to(device, memory_format=torch.channels_last)
    pictures, held = (
        torch.from_numpy(pool[:-HELD_OUT]).to(device),
        as_pixels(torch.from_numpy(pool[-HELD_OUT:]).to(device)),
    )
    log = Log(work / "losses.csv", "vae")

    def loss() -> torch.Tensor:
        rows = torch.randint(0, len(pictures), (batch,), device=device)
        target = as_pixels(pictures[rows])
        mirrored = torch.rand(batch, 1, 1, 1, device=device) < 0.5
        target = torch.where(mirrored, target.flip(3), target).contiguous(memory_format=torch.channels_last)
        with half_precision(device):
            mean, logvar = vae.quant_conv(vae.encoder(target)).float().chunk(2, 1)
            logvar = logvar.clamp(-30, 20)
            output = vae.decoder(vae.post_quant_conv(mean + (logvar / 2).exp() * torch.randn_like(mean)))
        output = output.float()
        sharp = sum((a - b).abs().mean() for a, b in zip(edges(output), edges(target)))
        kl = 0.5 * (mean**2 + logvar.exp() - 1 - logvar).sum((1, 2, 3)).mean()
        return (output - target).abs().mean() + 0.5 * F.mse_loss(output, target) + 0.5 * sharp + KL_WEIGHT * kl

    def unseen() -> float:
        with torch.no_grad(), half_precision(device):
            return (vae.decode(vae.encode(held).latent_dist.mode()).sample.float() - held).abs().mean().item()

    learner = Learner(list(vae.parameters()), loss, RATE)
    clock.begin()
    while clock.done < 1:
        learner.step(clock)
        if clock.step % LOGGED_EVERY == 0 or clock.done == 1:
            log(clock.step, learner.last.item(), learner.averaged(unseen))
    learner.finish()
    with torch.no_grad():  # Stable Diffusion's convention: latents times the scaling factor have unit variance
        spread = torch.cat([vae.encode(part).latent_dist.sample() for part in held.split(128)]).std().item()
    vae.register_to_config(scaling_factor=round(1 / spread, 5))
    vae.cpu().to(memory_format=torch.contiguous_format).save_pretrained(work / "vae")
