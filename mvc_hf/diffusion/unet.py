"""The U-Net with eight input channels (Eq. 4): noisy latents beside those of the condition image."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from ..errors import ModelError


def widen_unet(unet: Any) -> Any:
    """Double the U-Net's input channels (4) for the condition image, in place; a widened one (8) is left as it is.

    The new channels start at zero (InstructPix2Pix, Section 3.2), so that before training the widened U-Net predicts
    exactly what the original one does, whatever the condition.
    """
    old = unet.conv_in
    if unet.config.in_channels == 2 * unet.config.out_channels:
        return unet
    new = torch.nn.Conv2d(
        2 * old.in_channels, old.out_channels, old.kernel_size, old.stride, old.padding,
        device=old.weight.device, dtype=old.weight.dtype,
    )  # fmt: skip
    with torch.no_grad():
        new.weight.zero_()
        new.weight[:, : old.in_channels] = old.weight
        new.bias.copy_(old.bias)
    unet.conv_in = new.requires_grad_(old.weight.requires_grad)
    unet.register_to_config(in_channels=new.in_channels)
    return unet


def trained_parameters(unet: Any) -> Iterator[torch.nn.Parameter]:
    """Those that are trained: all, or what LoRA has added."""
    return (parameter for parameter in unet.parameters() if parameter.requires_grad)


def trained_tensors(unet: Any) -> dict[str, torch.Tensor]:
    """What training changes of a U-Net, by name."""
    frozen = frozen_tensors(unet)
    return {name: tensor.contiguous() for name, tensor in unet.state_dict().items() if name not in frozen}


def frozen_tensors(unet: Any) -> dict[str, torch.Tensor]:
    """What it does not change, by name."""
    return {name: p.detach().contiguous() for name, p in unet.named_parameters() if not p.requires_grad}


def load_trained(unet: Any, tensors: dict[str, torch.Tensor]) -> None:
    """Put back what `trained_tensors` gave. Raises RuntimeError where it is of another network."""
    unet.load_state_dict({**frozen_tensors(unet), **tensors})


def check_trainable(scheduler: Any) -> None:
    """Raises ModelError where the base predicts neither ε nor v."""
    kind = scheduler.config.prediction_type
    if kind not in ("epsilon", "v_prediction"):
        raise ModelError(f"the base predicts {kind!r}; fine-tuning supports epsilon and v_prediction")
