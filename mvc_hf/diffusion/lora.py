"""LoRA: small matrices beside the attention's weights are trained in place of these, and merged into them at the end.

Only training needs peft. What it leaves behind is merged here, by plain arithmetic, and needs nothing of it any more.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from ..errors import RecipeError
from ..storage.layout import ADAPTER
from ..utils.rng import Stream, normal

TARGETS = ["to_q", "to_k", "to_v", "to_out.0"]  # of every attention
WHOLE = "conv_in"  # half of its channels are new: they have nothing yet that an adapter could stand beside
NAME = "default"  # of the adapter, in the names of its weights
NEEDS = "--lora-rank needs peft: pip install 'mvc_hf[lora]'"


def add_lora(unet: Any, rank: int, seed: int) -> Any:
    """Put adapters beside the attention's weights of a widened U-Net, and freeze all else but `conv_in`, in place.

    W x becomes W x + B A x, with A (rank, in) drawn from N(0, 1/rank²), as peft's "gaussian", and B (out, rank) zero.

    Raises:
        RecipeError: peft is not there, or too old for diffusers.
    """
    check_lora(rank)
    unet.requires_grad_(False).add_adapter(_config(rank))
    getattr(unet, WHOLE).requires_grad_(True)
    adapters = [(name, p) for name, p in unet.named_parameters() if f".lora_A.{NAME}." in name]
    with torch.no_grad():
        for number, (_, weight) in enumerate(adapters):
            drawn = normal(seed, Stream.ADAPTER, 0, np.array([number]), tuple(weight.shape))[0]
            weight.copy_(torch.from_numpy(drawn) / rank)
    return unet


def check_lora(rank: int | None) -> None:
    """Raises RecipeError where adapters are asked for, and peft is not there or too old for diffusers."""
    if rank is None:
        return
    try:
        import diffusers.loaders.peft
        from diffusers.utils import check_peft_version

        check_peft_version(min_version=diffusers.loaders.peft.MIN_PEFT_VERSION)
        _config(rank)
    except (ImportError, ValueError) as error:
        raise RecipeError(NEEDS) from error


def merged(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The weights of a plain U-Net: W + B A in place of W, A and B; those that have no adapters as they are."""
    plain: dict[str, torch.Tensor] = {}
    for name, tensor in tensors.items():
        if ".lora_" in name:
            continue
        stem = name.removesuffix(".base_layer.weight")
        if stem != name:
            tensor = tensor + tensors[f"{stem}.lora_B.{NAME}.weight"] @ tensors[f"{stem}.lora_A.{NAME}.weight"]
        plain[name.replace(".base_layer.", ".")] = tensor
    return plain


@torch.no_grad()
def merged_unet(unet: Any) -> Any:
    """A plain U-Net that does what one with adapters does, on the CPU; itself, where it has none.

    On the CPU, because a training checkpoint is merged there, too: equal weights are to make equal files.
    """
    if not getattr(unet, "peft_config", None):
        return unet
    return unet_of(unet.config, merged({name: tensor.cpu() for name, tensor in unet.state_dict().items()}))


def unet_of(config: Any, tensors: dict[str, torch.Tensor]) -> Any:
    """A U-Net over weights that are there; none are drawn, and none copied."""
    from diffusers import UNet2DConditionModel

    with torch.device("meta"):
        unet = UNet2DConditionModel.from_config(config)
    unet.load_state_dict(tensors, assign=True)
    return unet.requires_grad_(False)


def save_adapter(unet: Any, rank: int, base: str, folder: Path) -> None:
    """Write what was trained in the format of peft: `PeftModel.from_pretrained` puts it onto the widened base.

    Args:
        base: the name of the base that is recorded; no path.
    """
    names, prefix = ADAPTER, "base_model.model."
    (folder / names[0]).parent.mkdir(exist_ok=True)
    values = {**_config(rank).to_dict(), "modules_to_save": [WHOLE], "base_model_name_or_path": base}
    values["target_modules"] = TARGETS
    text = json.dumps(values, indent=2, sort_keys=True, allow_nan=False, default=str)
    (folder / names[0]).write_text(text + "\n", encoding="utf-8")
    trained = {name: p.detach() for name, p in unet.named_parameters() if p.requires_grad}
    tensors = {prefix + name.replace(f".{NAME}.", "."): p.cpu().contiguous() for name, p in trained.items()}
    save_file(tensors, folder / names[1], metadata={"format": "pt"})


def _config(rank: int) -> Any:
    from peft import LoraConfig

    return LoraConfig(r=rank, lora_alpha=rank, target_modules=TARGETS, init_lora_weights="gaussian")
