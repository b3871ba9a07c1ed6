"""What fine-tuning holds beside the activations: weights, gradients, moments and average, and a training checkpoint.

For the architecture of Stable Diffusion 1.5 it is computed, on torch's meta device, without a number in memory. For
the embedded base it is counted after two updates, and on the disk. In megabytes (10^6 bytes).

    python benchmarks/finetune_memory.py
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import models
import torch

from mvc_hf.config.recipe import Recipe
from mvc_hf.diffusion.lora import add_lora
from mvc_hf.diffusion.model import load_base
from mvc_hf.diffusion.unet import trained_parameters, widen_unet
from mvc_hf.training.lr_schedule import TrainingSchedule
from mvc_hf.training.setup.accelerator import accelerator_of
from mvc_hf.training.trainer import Trainer
from mvc_hf.workflows.demo import assets

FLOAT, BLOCK, SMALLEST = 4, 256, 4096  # bytes of a number; bitsandbytes' blocks, and the smallest tensor it quantises
RANKS = (None, 4, 16, 64)
COLUMNS = ("trained", "weights", "gradients", "moments", "average", "together", "a training checkpoint")


def variants() -> Iterator[tuple[str, Recipe]]:
    for rank in RANKS:
        for optimizer in ("adamw", "adamw8bit"):
            name = f"{'whole U-Net' if rank is None else f'LoRA, rank {rank}'}, {optimizer}"
            yield name, Recipe(lora_rank=rank, optimizer=optimizer, train_batch_size=2, holdout_fraction=0.0)


def computed(recipe: Recipe) -> list[float]:
    """Of Stable Diffusion 1.5's U-Net."""
    unet = widen_unet(models.unet_of("sd15", "meta")).requires_grad_(True)
    if recipe.lora_rank is not None:
        add_lora(unet, recipe.lora_rank, 0)
    trained = [parameter.numel() for parameter in trained_parameters(unet)]
    all_of_it, some = sum(p.numel() for p in unet.parameters()), sum(trained)
    if recipe.optimizer == "adamw":
        moments = 2 * FLOAT * some
    else:
        moments = sum(2 * (n + FLOAT * -(-n // BLOCK)) if n >= SMALLEST else 2 * FLOAT * n for n in trained)
    return figures(some, FLOAT * all_of_it, FLOAT * some, moments, FLOAT * some, 2 * FLOAT * some + moments)


def counted(recipe: Recipe) -> list[float]:
    """Of the embedded base."""
    base = load_base(str(assets() / "base"))
    data = models.training_set(recipe, base, base.resolution)
    schedule = replace(TrainingSchedule.of(recipe, len(data), 1), steps=2)
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(recipe, schedule, data, base, accelerator_of(recipe), Path(folder))
        kept: list[Any] = []
        clip = trainer.accelerator.clip_grad_norm_
        trainer.accelerator.clip_grad_norm_ = lambda parameters, norm: (
            kept.append(size(p.grad for p in parameters)) or clip(parameters, norm)
        )
        trainer.train()
        state = trainer.state
        last = Path(folder) / "checkpoints" / "step-00000002"
        disk = sum(path.stat().st_size for path in last.iterdir())
        moments = (value for values in state.optimizer.state.values() for value in values.values())
        return figures(
            sum(p.numel() for p in trainer.parameters), size(state.unet.parameters()), kept[-1], size(moments),
            size(state.ema.shadow_params), disk,
        )  # fmt: skip


def size(values: Any) -> int:
    """Bytes of tensors; those that several share count once."""
    return sum({value.data_ptr(): value.nbytes for value in values if isinstance(value, torch.Tensor)}.values())


def figures(trained: int, weights: int, gradients: int, moments: int, average: int, disk: int) -> list[float]:
    return [trained, weights, gradients, moments, average, weights + gradients + moments + average, disk]


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    for title, of in (("Stable Diffusion 1.5, computed", computed), ("the embedded base, counted", counted)):
        print(f"\n{title}\n\n| | {' | '.join(COLUMNS)} |\n|---|{'--:|' * len(COLUMNS)}")
        for name, recipe in variants():
            print(f"| {name} | {' | '.join(f'{value / 1e6:,.1f}' for value in of(recipe))} |", flush=True)


if __name__ == "__main__":
    main()
