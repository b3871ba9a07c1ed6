"""A fine-tuning step with everything that goes with it, against the bare step: U-Net, gradient, clipping, AdamW.

    python benchmarks/finetune_step.py [--shape embedded cut] [--batch 16] [--turns 6] [--steps 24]
    python benchmarks/finetune_step.py --bare            what lowers the bare step itself

Ours is `Trainer.train` from banks: mixing, noise, moving average, log, looks at kept-aside images, as often as in a
run of 480 steps. The bare step has its tensors ready and does nothing else. Both run in one process, in turns, on
U-Nets of their own that are the same. What is compared is the time of this process on its processors, which other
programs on the machine disturb little; the clock on the wall is shown beside it. `cut` is Stable Diffusion 1.5 at a
fifth of the width, `embedded` the base that comes with the package.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import models
import torch

from mvc_hf.config.recipe import Recipe
from mvc_hf.diffusion.model import StableDiffusion, load_base
from mvc_hf.diffusion.unet import widen_unet
from mvc_hf.training.lr_schedule import TrainingSchedule
from mvc_hf.training.setup.accelerator import accelerator_of
from mvc_hf.training.setup.allocator import kept_for_reuse
from mvc_hf.training.trainer import Trainer
from mvc_hf.workflows.demo import assets

SIDES = {"embedded": 32, "cut": 128, "tiny": 128}
RUN = 480  # steps of the run that ours is a part of: it looks at kept-aside images 20 times


class Enough(Exception):
    """Enough steps for a turn."""


def base_of(shape: str) -> StableDiffusion:
    return load_base(str(assets() / "base")) if shape == "embedded" else models.random_model(shape, "cpu")


class Ours:
    """So many steps of a run at a time."""

    def __init__(self, base: StableDiffusion, side: int, batch: int, out: Path):
        recipe = Recipe(dataset="none", train_batch_size=batch, max_train_steps=RUN)
        data = models.training_set(recipe, base, side)
        schedule = TrainingSchedule.of(recipe, len(data), 1)
        self.trainer = Trainer(recipe, schedule, data, base, accelerator_of(recipe), out)
        self.write = self.trainer.log.write
        self.trainer.log.write = self.logged  # type: ignore[method-assign]
        self.left = 0

    def __call__(self, steps: int) -> None:
        self.left = steps
        with contextlib.suppress(Enough):
            self.trainer.train()

    def logged(self, row: Any) -> None:
        self.write(row)
        self.left -= 1
        if self.left == 0:
            raise Enough


class Bare:
    """A step on tensors that lie ready, in one of several forms."""

    def __init__(self, base: StableDiffusion, side: int, batch: int, form: str = ""):
        self.unet = widen_unet(copy.deepcopy(base.unet)).requires_grad_(True).train()
        self.layout = torch.channels_last if "channels_last" in form else torch.contiguous_format
        self.unet.to(memory_format=self.layout)
        self.half = "bf16" in form
        if "compiled" in form:
            self.unet.compile(dynamic=False)
        if "repeated blocks" in form:
            self.unet.compile_repeated_blocks(dynamic=False)
        channels, *latent = models.latent_shape(base, side)
        self.inputs, self.target = (torch.randn(batch, n, *latent) for n in (2 * channels, channels))
        self.text, self.timesteps = torch.randn(batch, 77, base.width), torch.randint(0, 1000, (batch,))
        self.optimizer = torch.optim.AdamW(self.unet.parameters(), lr=5e-5, fused="plain AdamW" not in form)

    def __call__(self, steps: int) -> None:
        for _ in range(steps):
            with torch.autocast("cpu", torch.bfloat16, enabled=self.half):
                inputs = self.inputs.contiguous(memory_format=self.layout)
                predicted = self.unet(inputs, self.timesteps, encoder_hidden_states=self.text, return_dict=False)[0]
            torch.nn.functional.mse_loss(predicted.float(), self.target).backward()
            torch.nn.utils.clip_grad_norm_(self.unet.parameters(), 1.0)
            self.optimizer.step()
            self.optimizer.zero_grad()


FORMS = ("", "plain AdamW", "channels_last", "bf16", "bf16, channels_last", "compiled", "repeated blocks compiled")


def turns(
    works: dict[str, Callable[[int], None]], times: int, steps: int
) -> dict[str, tuple[list[float], list[float]]]:
    """(milliseconds of this process, on the wall) a step, of each turn, after one that warms up."""
    seconds: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in works}
    for turn in range(times + 1):
        for name, work in works.items():
            used, began = time.process_time(), time.perf_counter()
            work(steps)
            if turn:
                seconds[name][0].append(1000 * (time.process_time() - used) / steps)
                seconds[name][1].append(1000 * (time.perf_counter() - began) / steps)
    return seconds


def show(title: str, seconds: dict[str, tuple[list[float], list[float]]]) -> None:
    first = next(iter(seconds))
    for name, (used, wall) in seconds.items():
        ratios = sorted(a / b for a, b in zip(seconds[first][0], used))
        spread = f"{first} / this {statistics.median(ratios):.3f} ({ratios[0]:.3f}–{ratios[-1]:.3f})"
        times = f"{statistics.median(used):8.1f} ms of processor, {statistics.median(wall):8.1f} ms on the wall"
        print(f"{title:9} {name:26} {times}; {spread}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", nargs="+", choices=SIDES, default=["embedded", "cut"])
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--turns", type=int, default=6)
    parser.add_argument("--steps", type=int, default=24, help="of a turn: of so many, one looks at kept-aside images")
    parser.add_argument(
        "--bare", nargs="*", choices=FORMS, help="the bare step in these forms (all, if none is named)"
    )
    args = parser.parse_args()
    for shape in args.shape:
        base, side = base_of(shape), SIDES[shape]
        if args.bare is not None:
            forms = {form or "plain": Bare(base, side, args.batch, form) for form in ("", *(args.bare or FORMS[1:]))}
            show(shape, turns(dict(forms), args.turns, args.steps))
            continue
        with tempfile.TemporaryDirectory() as out, kept_for_reuse(torch.device("cpu")):
            bare = Bare(base, side, args.batch)
            ours = Ours(base, side, args.batch, Path(out))
            show(shape, turns({"bare": bare, "ours": ours}, args.turns, args.steps))


if __name__ == "__main__":
    main()
