"""Training checkpoints that resume exactly: model, moving average, optimiser and scaler, as safetensors and JSON.

The position in the data, the learning rate and all noise are functions of the step, so the step is all of their state.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from ...diffusion.finite import all_finite
from ...diffusion.unet import load_trained, trained_parameters, trained_tensors
from ...errors import MvcError, OutputError
from ...storage.integrity import damaged, xxh3
from ...storage.notes import read_json, write_json
from ...utils.distributed import agreed
from ...utils.progress import is_main_process, say

STATE, DAMAGED = "state.json", ".damaged"


@dataclass(frozen=True)
class TrainingState:
    """What of a run changes with every update, and is saved and put back.

    Attributes:
        unet: as it is, in no process's wrapper. What of it is not trained is not saved.
        ema: diffusers' `EMAModel` of what is trained, or None.
        optimizer: torch's, or one of the same kind.
        scaler: torch's `GradScaler`, or None.
    """

    unet: Any
    ema: Any
    optimizer: Any
    scaler: Any

    def weights(self) -> Iterator[torch.Tensor]:
        """Those that are trained, and their moving average where there is one."""
        yield from trained_parameters(self.unet)
        yield from self.ema.shadow_params if self.ema else ()

    def moments(self) -> Iterator[torch.Tensor]:
        """Those of the optimizer."""
        for values in self.optimizer.state.values():
            yield from (value for value in values.values() if isinstance(value, torch.Tensor) and value.ndim)

    @contextlib.contextmanager
    def averaged(self) -> Iterator[None]:
        """With the moving average in the place of the weights, where there is one."""
        if self.ema is not None:
            self.ema.store(trained_parameters(self.unet))
            self.ema.copy_to(trained_parameters(self.unet))
        try:
            yield
        finally:
            if self.ema is not None:
                self.ema.restore(trained_parameters(self.unet))

    def save(self, folder: Path, step: int, notes: dict[str, Any], keep: int) -> None:
        """Save it as it is after `step` updates, in the main process. Arguments as of `save_state`."""
        if is_main_process():
            save_state(folder, step, notes=notes, keep=keep, **vars(self))

    def resume(self, folder: Path) -> tuple[int, dict[str, Any]]:
        """Put back what was saved last; returns its number of steps and its notes: 0 and none where nothing was.

        All processes call it.

        Raises:
            OutputError: it cannot be read, or its weights are not finite.
        """
        state = agreed(newest_state(folder) if is_main_process() else None)
        if not state:
            return 0, {}
        if not state.exists():
            raise OutputError(f"{state} is not on this machine: let the output folder lie where all machines see it")
        if self.ema is not None:
            self.ema.to(self.unet.device)
        found = load_state(state, **vars(self))
        if not all_finite(self.weights()):
            raise OutputError(f"the weights in {state} are not finite: remove it to go on from the one before")
        return found


def save_state(
    folder: Path, step: int, *, unet: Any, ema: Any, optimizer: Any, scaler: Any, notes: dict[str, Any], keep: int
) -> Path:
    """Write `folder/step-…`, whole or not at all, then forget all but the last `keep` checkpoints.

    `notes` are JSON values, and come back as they are.
    """
    path = folder / f"step-{step:08d}"
    temporary = folder / f".{path.name}.tmp"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    save_file(trained_tensors(unet), temporary / "unet.safetensors")
    tensors, settings = _split(optimizer.state_dict()["state"])
    save_file(tensors, temporary / "optimizer.safetensors")
    if ema is not None:
        averages = {name: p.contiguous() for name, p in zip(_average_names(unet), ema.shadow_params)}
        save_file(averages, temporary / "ema.safetensors")
    values = {
        "step": step,
        "optimizer": settings,
        "ema_step": ema.optimization_step if ema is not None else None,
        "scaler": scaler.state_dict() if scaler is not None else None,
        "notes": notes,
    }
    files = {file.name: xxh3(file) for file in temporary.glob("*.safetensors")}
    write_json(temporary / STATE, {**values, "xxh3": files}, indent=None)
    if path.exists():
        shutil.rmtree(path)
    os.replace(temporary, path)
    for old in [*saved_states(folder)[:-keep], *folder.glob(f".step-*{DAMAGED}")]:
        shutil.rmtree(old)
    return path


def load_state(path: Path, *, unet: Any, ema: Any, optimizer: Any, scaler: Any) -> tuple[int, dict[str, Any]]:
    """Put everything back as it was. Returns the number of steps done and the notes."""
    try:
        values = _read(path)
        load_trained(unet, _tensors(path / "unet.safetensors"))
        if ema is not None:
            averages = _tensors(path / "ema.safetensors")
            for name, parameter in zip(_average_names(unet), ema.shadow_params):
                parameter.copy_(averages[name])
            ema.optimization_step = values["ema_step"]
        state = _join(_tensors(path / "optimizer.safetensors"), values["optimizer"])
        optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
        if scaler is not None and values["scaler"]:
            scaler.load_state_dict(values["scaler"])
    except (OSError, KeyError, ValueError, RuntimeError, SafetensorError) as error:
        message = f"the checkpoint {path} cannot be read ({error}): remove it to go on from the one before"
        raise OutputError(message) from error
    return values["step"], values["notes"]


def newest_state(folder: Path) -> Path | None:
    """The last checkpoint that is as it was written; None where there is none. Damaged ones are set aside."""
    for path in reversed(saved_states(folder)):
        wrong = _damage_of(path)
        if not wrong:
            return path
        say(f"{wrong}: it is left out, and training goes on from the checkpoint before it, or from the start")
        aside = path.with_name(f".{path.name}{DAMAGED}")
        shutil.rmtree(aside, ignore_errors=True)
        os.replace(path, aside)
    return None


def _damage_of(path: Path) -> str:
    """What is wrong with a checkpoint; empty where it is as it was written."""
    try:
        bad = damaged(path, _read(path).get("xxh3", {}), xxh3)
    except (MvcError, FileNotFoundError):
        bad = [STATE]
    return f"{path / bad[0]} is missing or damaged" if bad else ""


def notes_of(path: Path) -> dict[str, Any]:
    """The notes of a checkpoint; empty where they cannot be read."""
    try:
        return _read(path)["notes"]
    except (MvcError, FileNotFoundError):
        return {}


def _read(path: Path) -> dict[str, Any]:
    kinds = {"step": int, "optimizer": dict, "notes": dict}
    return read_json(path / STATE, f"remove {path} to go on from the one before", kinds)


def saved_states(folder: Path) -> list[Path]:
    """Whole checkpoints, oldest first."""
    return sorted(folder.glob("step-*"))


def step_of(state: Path) -> int:
    """The step after which a checkpoint was written."""
    return int(state.name.removeprefix("step-"))


def _average_names(unet: Any) -> list[str]:
    """What averages are called in their file: by number, and with LoRA, where not all are there, by name."""
    names = [name for name, parameter in unet.named_parameters() if parameter.requires_grad]
    everything = len(names) == len(list(unet.parameters()))
    return [str(i) for i in range(len(names))] if everything else names


def _tensors(path: Path) -> dict[str, torch.Tensor]:
    with safe_open(path, "pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)


def _split(state: dict[int, dict[str, Any]]) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """The optimiser's state as flat tensors "parameter/name", and what is not a tensor."""
    tensors: dict[str, torch.Tensor] = {}
    settings: dict[str, Any] = {}
    for index, values in state.items():
        for name, value in _flat(values).items():
            if isinstance(value, torch.Tensor):
                tensors[f"{index}/{name}"] = value.contiguous()
            else:
                settings[f"{index}/{name}"] = value
    return tensors, settings


def _flat(values: dict[str, Any]) -> dict[str, Any]:
    """Of bitsandbytes' optimisers: what is quantised lies one level deeper, and all share the maps of its values."""
    inner = [name for name, value in values.items() if isinstance(value, dict)]
    flat = {name: value for name, value in values.items() if name not in inner}
    for name in inner:
        flat |= {k: v.clone() if k.startswith("qmap") else v for k, v in values[name].items()}
    return flat


def _join(tensors: dict[str, torch.Tensor], settings: dict[str, Any]) -> dict[int, dict[str, Any]]:
    state: dict[int, dict[str, Any]] = {}
    for key, value in {**tensors, **settings}.items():
        index, name = key.split("/", 1)
        state.setdefault(int(index), {})[name] = value
    return state
