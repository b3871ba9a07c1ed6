"""The training objective (Eq. 1–4)."""

from __future__ import annotations

from typing import Any

import torch


def training_target(
    scheduler: Any, latents: torch.Tensor, noise: torch.Tensor, timesteps: torch.Tensor
) -> torch.Tensor:
    """What the U-Net is asked for: ε, or v where the base predicts v."""
    if scheduler.config.prediction_type == "v_prediction":
        return scheduler.get_velocity(latents, noise, timesteps)
    return noise
