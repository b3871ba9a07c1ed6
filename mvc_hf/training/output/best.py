"""The weights with the best held-out loss, kept beside the training checkpoints for a run that stops early."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from ...diffusion.unet import load_trained, trained_tensors
from ...errors import MvcError
from ...storage.integrity import is_intact, xxh3
from ...storage.notes import read_json, write_json
from ...utils.progress import say

WEIGHTS, NOTE = "unet.safetensors", "best.json"


class BestWeights:
    """Weights by the step at which they were the best, in folders `best-…`.

    Args:
        folder: of the training checkpoints.
    """

    def __init__(self, folder: Path):
        self.folder = folder

    def keep(self, step: int, unet: Any) -> None:
        """Write the weights of a U-Net, whole or not at all."""
        path = self._of(step)
        temporary = path.with_name(f".{path.name}.tmp")
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        save_file(trained_tensors(unet), temporary / WEIGHTS)
        write_json(temporary / NOTE, {"step": step, "xxh3": xxh3(temporary / WEIGHTS)})
        shutil.rmtree(path, ignore_errors=True)
        os.replace(temporary, path)

    def put_back(self, step: int, unet: Any) -> bool:
        """Whether the weights of that step were there and as they were written; they are in the U-Net then."""
        path = self._of(step)
        try:
            whole = is_intact(path / WEIGHTS, read_json(path / NOTE, "", {"xxh3": str})["xxh3"], xxh3)
            tensors = _tensors(path / WEIGHTS) if whole else None
        except (FileNotFoundError, MvcError, SafetensorError):
            tensors = None
        if tensors is None:
            say(f"note: the best weights, of step {step}, are gone or damaged: the last ones are published")
            return False
        load_trained(unet, tensors)
        return True

    def forget_all_but(self, steps: Iterable[int]) -> None:
        kept = {self._of(step).name for step in steps}
        for path in [*self.folder.glob("best-*"), *self.folder.glob(".best-*.tmp")]:
            if path.name not in kept:
                shutil.rmtree(path)

    def _of(self, step: int) -> Path:
        return self.folder / f"best-{step:08d}"


def _tensors(path: Path) -> dict[str, torch.Tensor]:
    with safe_open(path, "pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
