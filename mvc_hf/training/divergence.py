"""A run whose numbers are not finite any more: how it is told from a step skipped by fp16, and what is said of it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from ..config.recipe import Recipe
from ..errors import DivergedError
from .output.state import saved_states, step_of

# fp16's gradient scaler starts at 2^16 and halves its scale with every step that it skips; a few at the start, and one
# now and then, are its way of working.
SMALLEST_SCALE, MOST_SKIPPED = 2.0**-10, 30


class LossCheck:
    """Tells a step that fp16's gradient scaler has skipped, as it does now and then, from a run that diverges.

    Args:
        scaler: torch's `GradScaler`, or None where there is none.
    """

    def __init__(self, scaler: Any = None):
        self.scaler = scaler
        self.skipped = 0  # steps in a row

    def problem(self, loss: float) -> str:
        """What is wrong with the loss of a step; empty where nothing is, or the scaler kept it from the weights."""
        if math.isfinite(loss):
            self.skipped = 0
            return ""
        if self.scaler is None:
            return "the loss or its gradient is not finite"
        self.skipped += 1
        scale = self.scaler.get_scale()
        if scale >= SMALLEST_SCALE and self.skipped < MOST_SKIPPED:
            return ""
        return f"fp16 has skipped {self.skipped} steps in a row, down to a gradient scale of {scale:g}"


def diverged(what: str, step: int, recipe: Recipe, checkpoints: Path) -> DivergedError:
    """The error that says what is not finite, which settings to change, and what is left of the run."""
    saved = saved_states(checkpoints)
    kept = f"the checkpoint of step {step_of(saved[-1])} is kept" if saved else "nothing was saved yet"
    less = [f"a lower --learning-rate (it is {recipe.learning_rate:g})"]
    if recipe.mixed_precision != "no":
        less.append(f"--mixed-precision {'bf16' if recipe.mixed_precision == 'fp16' else 'no'}")
    if recipe.max_grad_norm > 1:
        less.append("--max-grad-norm 1")
    return DivergedError(f"{what} at step {step}: take {' or '.join(less)}, and another folder; {kept}")
