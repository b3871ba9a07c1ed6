"""Small fine-tuning runs, and what of two of them must be equal."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from mvc_hf.config.recipe import Recipe
from mvc_hf.training.trainer import Trainer


def change(recipe: Recipe, **settings: Any) -> Recipe:
    return Recipe(**(recipe.to_dict() | settings))


def log(out: Path) -> list[dict[str, str]]:
    with (out / "training_log.csv").open() as file:
        return list(csv.DictReader(file))


def weights(out: Path) -> dict[str, torch.Tensor]:
    return load_file(out / "unet" / "diffusion_pytorch_model.safetensors")


def assert_same_run(a: Path, b: Path) -> None:
    assert log(a) == log(b)  # every loss and rate, to the last digit
    for name, value in weights(a).items():
        assert torch.equal(value, weights(b)[name]), name


def die(*_: Any, **__: Any) -> None:
    """In the place of a function: a kill, as far as a process can do that to itself."""
    raise MemoryError


def dies_in(patch: pytest.MonkeyPatch, step: int) -> None:
    """Have runs die in the update after so many."""

    def dying(self: Trainer, *arguments: Any, update: Any = Trainer._update) -> Any:
        if self.step == step:
            raise MemoryError
        return update(self, *arguments)

    patch.setattr(Trainer, "_update", dying)
