"""What a fine-tuning has saved on its way, as a checkpoint like any other: of a run that goes on, or was stopped.

A training checkpoint (`checkpoints/step-…`) has weights and the optimiser's state; the other parts of a pipeline are
the base's, and lie in the folder of the run from its beginning on. Both are put together in the cache, once.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..config.files import fingerprint
from ..errors import ModelError, MvcError
from ..storage.files import cache_root
from ..storage.integrity import damaged, digests_of, files_of_checkpoint, xxh3
from ..storage.layout import CAPTIONS, METADATA
from ..storage.notes import read_json
from ..utils.progress import say
from .checkpoint import CheckpointMetadata

DRAFT = "draft.json"  # what `mvc.json` will say, but for what only the end tells
STATE, EMA, UNET = "state.json", "ema.safetensors", "unet.safetensors"  # of a training checkpoint
UNET_CONFIG = "checkpoints/unet.json"  # of the U-Net that is trained
UNET_FROZEN = "checkpoints/frozen.safetensors"  # what of its weights is not, where LoRA trains others
FROZEN = ("scheduler", "text_encoder", "tokenizer", "vae")


def draft_of(out: Path) -> Path:
    return out / "checkpoints" / DRAFT


def is_step(folder: Path) -> bool:
    """Whether it is a training checkpoint."""
    return os.path.isfile(folder / STATE)  # of any name: it never raises


def checkpoint_folder(model: str | Path) -> Path | None:
    """A folder with a whole checkpoint for a training checkpoint, or for a run that is not finished: of its last one.

    Returns:
        None where `model` is neither.

    Raises:
        ModelError: nothing was saved yet, or what was is damaged.
    """
    path = Path(os.path.expanduser(model))
    if is_step(path):
        return _whole(path)
    if os.path.exists(path / METADATA) or not os.path.isfile(path / "checkpoints" / "run.json"):
        return None
    states = sorted((path / "checkpoints").glob("step-*"), reverse=True)
    for state in states:
        if _is_sound(state):
            say(f"note: {path} is not finished: its checkpoint {state.name} is taken")
            return _whole(state)
    raise ModelError(
        f"{path} is a fine-tuning that has not saved a checkpoint yet: wait for the first one (--checkpointing-steps)"
    )


def _is_sound(state: Path) -> bool:
    try:
        return not damaged(state, _state_of(state)["xxh3"], xxh3)
    except (MvcError, FileNotFoundError):
        return False


def _state_of(state: Path) -> dict[str, Any]:
    return read_json(state / STATE, "take another step", {"step": int, "xxh3": dict, "notes": dict}, ModelError)


def _whole(state: Path) -> Path:
    """The checkpoint of a step, in the cache."""
    out = state.absolute().parent.parent
    try:
        values, draft = _state_of(state), CheckpointMetadata.load(out / "checkpoints", DRAFT)
        made_from = {"run": draft.fingerprint, "step": values["step"], "weights": values["xxh3"]}
        key = fingerprint(made_from)
        target = cache_root() / "steps" / key / f"{out.name}-{state.name}"
        if (target / METADATA).exists():
            known = CheckpointMetadata.load(target)
            if not damaged(target, known.sha256 or {}):
                return target
            shutil.rmtree(target)
        if bad := damaged(state, values["xxh3"], xxh3):
            raise ModelError(f"{state / bad[0]} is missing or damaged: take another step")
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".step-", dir=target.parent) as place:
            made = Path(place) / "made"
            _write(made, out, state, replace(draft, fingerprint=key, training=_training(draft, values)))
            try:
                os.replace(made, target)
            except OSError:  # another process was faster
                if not (target / METADATA).exists():
                    raise
    except FileNotFoundError as error:
        raise ModelError(f"{state} cannot be used: {error.filename} is not there; take another step") from error
    return target


def _training(draft: CheckpointMetadata, values: dict[str, Any]) -> dict[str, Any]:
    last = values["notes"].get("looks", {}).get("last", {})
    return {"steps": values["step"], "of_steps": draft.recipe.get("max_train_steps"), **draft.training, **last}


def _write(made: Path, out: Path, state: Path, metadata: CheckpointMetadata) -> None:
    made.mkdir()
    for name in FROZEN:
        shutil.copytree(out / name, made / name)
    for name in ("model_index.json", CAPTIONS):
        shutil.copy(out / name, made / name)
    _unet_of(out, state).save_pretrained(made / "unet", safe_serialization=True)
    sha256 = digests_of(made, [*files_of_checkpoint(made), CAPTIONS])
    replace(metadata, sha256=sha256).save(made)


def _unet_of(out: Path, state: Path) -> Any:
    """The U-Net of a training checkpoint as it would be published: the moving average, where there is one."""
    from diffusers import UNet2DConditionModel
    from safetensors.torch import load_file

    from ..diffusion.lora import merged, unet_of

    values, tensors = UNet2DConditionModel.load_config(out / UNET_CONFIG), load_file(state / UNET)
    averages = load_file(state / EMA) if (state / EMA).exists() else {}
    frozen = out / UNET_FROZEN
    if frozen.exists():
        return unet_of(values, merged({**load_file(frozen), **tensors, **averages}))
    unet = unet_of(values, tensors)
    names = [name for name, _ in unet.named_parameters()]
    unet.load_state_dict({**tensors, **{names[int(i)]: value for i, value in averages.items()}}, assign=True)
    return unet


def frozen_files(out: Path) -> Iterator[str]:
    """What of a checkpoint is there from the beginning of a run on."""
    for name in FROZEN:
        yield from (f"{name}/{path.name}" for path in sorted((out / name).iterdir()))
    yield from ("model_index.json", UNET_CONFIG, CAPTIONS)
    if (out / UNET_FROZEN).exists():
        yield UNET_FROZEN


def drafted(out: Path) -> CheckpointMetadata | None:
    """The draft of a run, where it is there with all the parts that no training changes, as they were written."""
    try:
        draft = CheckpointMetadata.load(out / "checkpoints", DRAFT)
    except ModelError:
        return None
    return draft if draft.sha256 and not damaged(out, draft.sha256) else None
