"""The training objective (Eq. 1–4), line by line: pure functions of one batch, which know no loop and no accelerator.

Notation of the paper: z_0 latents, ε noise, t timesteps, ᾱ_t the noise schedule's cumulated alphas, z_t noisy latents,
e_I latents of the condition image, e_T text (prompt) embeddings, ∅ the null text and zero image latents.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F


@dataclass(frozen=True)
class Batch:
    """What one forward pass takes. B samples; latents are scaled, `image_latents` are not.

    Attributes:
        latents: z_0, (B, C, h, w).
        noise: ε, (B, C, h, w).
        timesteps: t, (B,) int64.
        image_latents: e_I, (B, C, h, w); zero where the image was dropped.
        prompt_embeds: e_T, (B, m, d); CLIP("") where the text was dropped.
    """

    latents: torch.Tensor
    noise: torch.Tensor
    timesteps: torch.Tensor
    image_latents: torch.Tensor
    prompt_embeds: torch.Tensor

    def __len__(self) -> int:
        return len(self.latents)

    def to(self, device: torch.device) -> Batch:
        moved = {name: value.to(device, non_blocking=True) for name, value in vars(self).items()}
        return replace(self, **moved)

    def split(self, size: int) -> Iterator[Batch]:
        """The same samples in batches of at most `size`."""
        return (Batch(*parts) for parts in zip(*(value.split(size) for value in vars(self).values())))


def noisy_latents(
    alphas_cumprod: torch.Tensor, latents: torch.Tensor, noise: torch.Tensor, timesteps: torch.Tensor
) -> torch.Tensor:
    """Eq. 1: z_t = √ᾱ_t · z_0 + √(1 − ᾱ_t) · ε, (B, C, h, w)."""
    signal, sigma = _levels(alphas_cumprod, timesteps)
    return signal * latents + sigma * noise


def training_target(
    prediction_type: str,
    alphas_cumprod: torch.Tensor,
    latents: torch.Tensor,
    noise: torch.Tensor,
    timesteps: torch.Tensor,
) -> torch.Tensor:
    """What the U-Net is asked for: ε, or v = √ᾱ_t · ε − √(1 − ᾱ_t) · z_0 where the base predicts "v_prediction"."""
    if prediction_type != "v_prediction":
        return noise
    signal, sigma = _levels(alphas_cumprod, timesteps)
    return signal * noise - sigma * latents


def snr_weights(
    prediction_type: str, alphas_cumprod: torch.Tensor, timesteps: torch.Tensor, gamma: float
) -> torch.Tensor:
    """Min-SNR-γ weights of samples, (B,): min(SNR, γ) / SNR for ε, and / (SNR + 1) for v (Hang et al., 2023, Eq. 5).

    SNR = ᾱ_t / (1 − ᾱ_t). As `--snr_gamma` of diffusers' training scripts.
    """
    alphas = alphas_cumprod[timesteps]
    snr = alphas / (1 - alphas)
    return snr.clamp(max=gamma) / (snr + 1 if prediction_type == "v_prediction" else snr)


def denoising_loss(
    unet: Callable[..., Any], alphas_cumprod: torch.Tensor, prediction_type: str, batch: Batch,
    snr_gamma: float | None = None,
) -> torch.Tensor:  # fmt: skip
    """Eq. 4: the mean squared error of what the U-Net predicts from concat(z_t, e_I), t and e_T; a scalar.

    Args:
        unet: takes eight channels, and gives back its prediction as the first of a tuple.
        alphas_cumprod: ᾱ, (timesteps of the noise schedule,), on the device of the batch.
        prediction_type: "epsilon" or "v_prediction".
        snr_gamma: γ of `snr_weights`; None for equal weights, as in the paper.
    """
    z_t = noisy_latents(alphas_cumprod, batch.latents, batch.noise, batch.timesteps)
    unet_input = torch.cat([z_t, batch.image_latents], dim=1)
    predicted = unet(unet_input, batch.timesteps, encoder_hidden_states=batch.prompt_embeds, return_dict=False)[0]
    target = training_target(prediction_type, alphas_cumprod, batch.latents, batch.noise, batch.timesteps)
    if snr_gamma is None:
        return F.mse_loss(predicted.float(), target.float())
    errors = F.mse_loss(predicted.float(), target.float(), reduction="none").mean(dim=(1, 2, 3))
    return (errors * snr_weights(prediction_type, alphas_cumprod, batch.timesteps, snr_gamma)).mean()


def drop_conditions(batch: Batch, null_embeds: torch.Tensor, chance: torch.Tensor, prob: float) -> Batch:
    """Drop the text, both, or the image, each with the same probability p: thirds of [0, 3p). So guidance works.

    Args:
        null_embeds: CLIP(""), (m, d).
        chance: (B,), evenly distributed over [0, 1).
        prob: p.
    """
    no_text = (chance < 2 * prob)[:, None, None]
    no_image = ((chance >= prob) & (chance < 3 * prob))[:, None, None, None]
    return replace(
        batch,
        prompt_embeds=torch.where(no_text, null_embeds, batch.prompt_embeds),
        image_latents=batch.image_latents.masked_fill(no_image, 0.0),
    )


def _levels(alphas_cumprod: torch.Tensor, timesteps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """√ᾱ_t and √(1 − ᾱ_t) of each sample, (B, 1, 1, 1): how much signal and how much noise z_t holds."""
    alphas = alphas_cumprod[timesteps][:, None, None, None]
    return alphas**0.5, (1 - alphas) ** 0.5
