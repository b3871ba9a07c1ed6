"""Whether somebody's model is a Stable Diffusion base that can be worked with, found before anything is spent.

Its files are looked at first; then, once it is loaded, it is asked in small for everything that it will be asked for.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ..config.schedulers import SCHEDULERS
from ..errors import ModelError
from ..hub.download.weights import STEMS
from ..utils.text import some
from .finite import broken

if TYPE_CHECKING:
    from .model import StableDiffusion

COMPONENTS = ("tokenizer", "text_encoder", "vae", "unet", "scheduler")
PIPELINES = ("StableDiffusionPipeline", "StableDiffusionInstructPix2PixPipeline")
LARGEST = 10**7  # of the whole numbers of a configuration; the largest that has a meaning is the size of a vocabulary
MOST_LAYERS, MOST_TIMESTEPS = 1000, 100_000


def check_layout(folder: Path, model: str) -> None:
    """Raises ModelError where a folder is no Stable Diffusion pipeline, or lacks a part."""
    index = folder / "model_index.json"
    if not index.is_file():
        raise ModelError(f"{model} is not a diffusers model: it has no model_index.json")
    kind = _read(index, model).get("_class_name")
    if kind not in PIPELINES:
        raise ModelError(f"{model} is a {kind}; needed is Stable Diffusion 1.x or 2.x ({' or '.join(PIPELINES)})")
    for component in COMPONENTS:
        if not (folder / component).is_dir():
            raise ModelError(f"{model} has no {component}/ folder")


def check_numbers(folder: Path, model: str) -> None:
    """The configurations, before a network is built by them: one of 10⁹ layers is built until the memory is full.

    Raises:
        ModelError: one is missing, is not JSON, or has a number that is not finite or has no meaning.
    """
    for part in (*STEMS, "scheduler"):
        path = folder / part / ("scheduler_config.json" if part == "scheduler" else "config.json")
        if not path.is_file():
            raise ModelError(f"{model} has no {part}/{path.name}")
        values = _read(path, model)
        for name, number in _numbers(values):
            limit = MOST_LAYERS if "layers" in name else MOST_TIMESTEPS if "timesteps" in name else LARGEST
            if not math.isfinite(number) or abs(number) > limit:
                raise ModelError(f"{model}: {part}/{path.name} says {name} is {number:g}, which cannot be")
        scale = values.get("scaling_factor", 1)  # the libraries know one where a VAE does not say it
        if part == "vae" and not (isinstance(scale, int | float) and scale > 0):
            raise ModelError(f"{model}: vae/{path.name} says scaling_factor is {scale!r}: it must be greater than 0")
        if part == "scheduler" and values.get("_class_name", SCHEDULERS[0]) not in SCHEDULERS:
            raise ModelError(f"{model} comes with a {values['_class_name']}: it is no base that predicts ε or v")


def check_whole(part: str, info: dict[str, Any], model: str) -> None:
    """Raises ModelError for weights that are in none of the files: libraries make them up, and say it in a warning.

    Args:
        info: what `from_pretrained(..., output_loading_info=True)` tells.
    """
    missing = sorted(name for name in info.get("missing_keys", ()) if not name.endswith("position_ids"))
    if missing:
        raise ModelError(
            f"{len(missing)} weights of {model}'s {part} are in none of its files ({some(missing, 2)}): the files are "
            "not whole, or those of another model"
        )
    if info.get("mismatched_keys"):
        first = next(iter(info["mismatched_keys"]))
        name = first if isinstance(first, str) else first[0]
        raise ModelError(f"the weights of {model}'s {part} have other shapes than its config.json says ({name})")


@torch.inference_mode()
def try_out(base: StableDiffusion, model: str) -> None:
    """Look at the weights and the noise schedule, and take one small picture and the empty text through all parts.

    Raises:
        ModelError: something is not finite, or does not fit. What the libraries raise is passed on.
    """
    for part in STEMS:
        bad = broken(getattr(base, part).state_dict().items())
        if bad:
            raise ModelError(
                f"{len(bad)} weights of {model}'s {part} are not finite ({some(bad, 2)}): the files are damaged, or a "
                "training went wrong; take another base or --variant"
            )
    alphas = base.scheduler.alphas_cumprod
    if not bool(((alphas >= 0) & (alphas <= 1)).all()):
        raise ModelError(f"{model}: the betas of scheduler/scheduler_config.json are no noise schedule")
    if len(base.tokenizer) > base.text_encoder.config.vocab_size:
        known = base.text_encoder.config.vocab_size
        raise ModelError(f"{model}: its tokenizer knows {len(base.tokenizer)} tokens, its text encoder {known}")
    if base.tokenizer("cat").input_ids == base.tokenizer("dog").input_ids:  # made without its files, it knows no word
        raise ModelError(f"{model}: its tokenizer takes all words for the same: tokenizer/ lacks its vocabulary")
    channels, latent = base.unet.config.in_channels, base.vae.config.latent_channels
    if channels not in (latent, 2 * latent):
        raise ModelError(f"the U-Net of {model} takes {channels} channels; needed are {latent} or {2 * latent}")

    text = base.encode_text([""])
    side = base.vae_factor * 2 ** (len(base.unet.config.block_out_channels) - 1)
    picture = torch.linspace(-1, 1, 3 * side * side).reshape(1, 3, side, side)
    mean, _ = base.encode_images(picture)
    noisy = torch.cat([mean] * (channels // latent), dim=1)
    predicted = base.unet(noisy, len(alphas) // 2, encoder_hidden_states=text, return_dict=False)[0]
    if predicted.shape != mean.shape:
        raise ModelError(f"the U-Net of {model} predicts {predicted.shape[1]} channels of {latent}")
    if broken([("", predicted)]):
        raise ModelError(f"the U-Net of {model} gives numbers that are not finite: take another base or --variant")
    decoded = base.decode_latents(mean * base.vae.config.scaling_factor)
    if decoded.shape != (1, side, side, 3):
        raise ModelError(f"the VAE of {model} makes pictures of shape {tuple(decoded.shape[1:])} of {side}×{side}×3")


def _read(path: Path, model: str) -> dict[str, Any]:
    where = f"{model}: {path.parent.name + '/' if path.name != 'model_index.json' else ''}{path.name}"
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{where} is not valid JSON") from error
    if not isinstance(values, dict):
        raise ModelError(f"{where} holds no settings")
    return values


def _numbers(values: Any, name: str = "") -> Any:
    """(name, number) of every number of a configuration, however deep."""
    if isinstance(values, dict):
        for key, value in values.items():
            yield from _numbers(value, str(key))
    elif isinstance(values, list):
        for value in values:
            yield from _numbers(value, name)
    elif isinstance(values, int | float) and not isinstance(values, bool):
        yield name, _as_float(values)


def _as_float(number: float) -> float:
    try:
        return float(number)
    except OverflowError:
        return math.inf
