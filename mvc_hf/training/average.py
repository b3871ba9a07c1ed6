"""The moving average of the weights: diffusers' `EMAModel`, moved on in one pass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.optim.swa_utils import get_ema_multi_avg_fn


@torch.no_grad()
def follow(ema: Any, parameters: Sequence[torch.Tensor]) -> None:
    """Move the average towards the weights, as `EMAModel.step` does, which takes three passes and a copy of them all.

    The two differ by rounding: here the difference to the weights is multiplied and added at once.

    Args:
        ema: diffusers' `EMAModel`, made of these parameters.
        parameters: all of them trained, in the order in which it was made.
    """
    ema.optimization_step += 1
    decay = ema.get_decay(ema.optimization_step)
    get_ema_multi_avg_fn(decay)(ema.shadow_params, parameters, None)
