"""A fine-tuned model as a plain diffusers pipeline folder."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..errors import RecipeError
from ..utils.foreign import quiet
from .checks import COMPONENTS
from .model import StableDiffusion
from .sampling import make_scheduler


def save_pipeline(base: StableDiffusion, unet: Any, folder: Path) -> None:
    """Write a StableDiffusionInstructPix2PixPipeline that plain diffusers loads; safetensors only, no local path."""
    with quiet():
        _pipeline(base, unet).save_pretrained(folder, safe_serialization=True)
    _forget_paths((file for component in COMPONENTS for file in (folder / component).glob("*.json")), base.name)


def save_frozen_parts(base: StableDiffusion, unet: Any, folder: Path, unet_config: Path) -> None:
    """Write the same without the U-Net's weights, of which there is but the config, in a file of its own."""
    pipeline = _pipeline(base, unet)
    frozen = [component for component in COMPONENTS if component != "unet"]
    with quiet():
        for component in frozen:
            getattr(pipeline, component).save_pretrained(folder / component)
        pipeline.save_config(folder)
    _forget_paths((file for component in frozen for file in (folder / component).glob("*.json")), base.name)
    config = {**json.loads(unet.to_json_string()), "_name_or_path": base.name}
    unet_config.write_text(json.dumps(config, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def _pipeline(base: StableDiffusion, unet: Any) -> Any:
    from diffusers import SchedulerMixin, StableDiffusionInstructPix2PixPipeline

    _forget_last_call(base.tokenizer)
    scheduler: SchedulerMixin = make_scheduler(_stored_scheduler(base.folder), base.scheduler.config)
    return StableDiffusionInstructPix2PixPipeline(
        vae=base.vae, text_encoder=base.text_encoder, tokenizer=base.tokenizer, unet=unet, scheduler=scheduler,
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip


def _forget_last_call(tokenizer: Any) -> None:
    """A fast tokenizer keeps, and would save, how its last call padded and cut: equal runs are to make equal files."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None:
        backend.no_padding()
        backend.no_truncation()


def _stored_scheduler(folder: Path) -> str:
    """The base's own scheduler, which `check_numbers` has let pass; DDIM where this machine cannot make that one."""
    config = json.loads((folder / "scheduler" / "scheduler_config.json").read_text(encoding="utf-8"))
    name = config.get("_class_name", "PNDMScheduler")
    try:
        make_scheduler(name, config)
    except RecipeError:
        return "DDIMScheduler"
    return name


def _forget_paths(files: Iterable[Path], name: str) -> None:
    """Both libraries note where a model came from: keep the Hub id or the folder's name, never a path."""
    for file in files:
        values = json.loads(file.read_text(encoding="utf-8"))
        if isinstance(values, dict) and "_name_or_path" in values:
            values["_name_or_path"] = name
            file.write_text(json.dumps(values, indent=2, allow_nan=False) + "\n", encoding="utf-8")
