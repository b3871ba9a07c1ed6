"""Accelerate for a recipe, and which of the ways to spread a training over processes are ours."""

from __future__ import annotations

from typing import Any

from ...config.recipe import Recipe
from ...diffusion.model import precision
from ...errors import RecipeError
from ...utils.distributed import on_cpu

# What `accelerate launch` says through the environment of engines that take a model apart: checkpoints, the moving
# average and what is published want it whole, with its parameters under their own names.
ENGINES = {
    "ACCELERATE_USE_FSDP": "FSDP splits the weights over the processes",
    "ACCELERATE_USE_DEEPSPEED": "DeepSpeed takes the optimizer over",
    "ACCELERATE_USE_MEGATRON_LM": "Megatron-LM is for language models",
    "ACCELERATE_USE_PARALLELISM_CONFIG": "model parallelism splits the weights over the processes",
}
PLAIN = "launch without it (accelerate launch --multi_gpu): each process holds a whole U-Net, and --lora-rank, "
PLAIN += "--gradient-checkpointing and --optimizer adamw8bit are what takes less memory"


def accelerator_of(recipe: Recipe) -> Any:
    """accelerate's `Accelerator`. Raises RecipeError for a precision or an engine that cannot be used here."""
    check_engine()
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState

    precision(recipe.mixed_precision)  # says so if this machine does not have it
    # Without this, a second run in one process would have to have the precision of the first one.
    if hasattr(AcceleratorState, "_reset_state"):
        AcceleratorState._reset_state()
    accelerator = Accelerator(
        gradient_accumulation_steps=recipe.gradient_accumulation_steps,
        mixed_precision=recipe.mixed_precision,
        dynamo_backend="no",  # --compile is ours
        cpu=on_cpu(),
    )
    accelerator.gradient_accumulation_steps = recipe.gradient_accumulation_steps  # a launcher's own must not count
    return accelerator


def check_engine() -> None:
    """Raises RecipeError where a launcher asks for an engine that fine-tuning does not go with."""
    from accelerate.utils import parse_flag_from_env

    for name, why in ENGINES.items():
        if parse_flag_from_env(name):
            raise RecipeError(f"finetune does not run under what this launch asks for ({why}): {PLAIN}")
