"""The optimizer: AdamW, in full precision or with moments of eight bits."""

from __future__ import annotations

from typing import Any

import torch

from ...config.recipe import Recipe
from ...errors import RecipeError

NEEDS = "--optimizer adamw8bit needs bitsandbytes: pip install bitsandbytes, or take --optimizer adamw"


def make_optimizer(recipe: Recipe, parameters: list[torch.nn.Parameter]) -> Any:
    """Raises RecipeError where bitsandbytes is asked for, and is not there or does not work on this machine."""
    settings: dict[str, Any] = {
        "lr": recipe.learning_rate, "betas": (recipe.adam_beta1, recipe.adam_beta2),
        "weight_decay": recipe.adam_weight_decay, "eps": recipe.adam_epsilon,
    }  # fmt: skip
    if recipe.optimizer == "adamw8bit":
        return _bitsandbytes().optim.AdamW8bit(parameters, **settings)
    return torch.optim.AdamW(parameters, **settings, fused=True)


def bytes_of_moments(recipe: Recipe, parameters: int) -> int:
    """What the optimizer keeps of so many parameters, but for what it keeps of each tensor."""
    return 2 * parameters * (1 if recipe.optimizer == "adamw8bit" else 4)


def check_optimizer(recipe: Recipe) -> None:
    """Raises RecipeError as `make_optimizer` would, before anything is spent."""
    if recipe.optimizer == "adamw8bit":
        _bitsandbytes()


def _bitsandbytes() -> Any:
    try:
        import bitsandbytes
    except Exception as error:  # where it finds no library for this machine, it raises what it likes
        raise RecipeError(NEEDS) from error
    return bitsandbytes
