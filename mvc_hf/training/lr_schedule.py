"""How long a run is, and its learning rate at each update."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..config.recipe import Recipe


@dataclass(frozen=True)
class TrainingSchedule:
    """How long a run is, in updates, and its learning rate at each of them.

    Attributes:
        steps: updates.
        warmup: updates until the rate is at its peak.
        validation_steps: updates between two measurements of the held-out loss.
        samples: of an update, over all processes.
        peak: the highest rate.
        kind: "constant" (or "constant_with_warmup", which is the same here), "cosine" or "linear".
    """

    steps: int
    warmup: int
    validation_steps: int
    samples: int
    peak: float
    kind: str

    @classmethod
    def of(cls, recipe: Recipe, images: int, processes: int) -> TrainingSchedule:
        """Where `max_train_steps` is not given, the number of updates follows the number of images.

        Training for a fixed number of updates would learn a small set by heart.
        """
        samples = recipe.train_batch_size * recipe.gradient_accumulation_steps * processes
        steps = recipe.max_train_steps or max(1, math.ceil(recipe.num_train_epochs * images / samples))
        warmup = round(0.05 * steps) if recipe.lr_warmup_steps is None else recipe.lr_warmup_steps
        validation_steps = recipe.validation_steps or max(1, round(steps / 20))
        return cls(steps, warmup, validation_steps, samples, recipe.learning_rate, recipe.lr_scheduler)

    def learning_rate(self, step: int) -> float:
        """Linear warm-up, then constant, or half a cosine or a line down to zero, as diffusers' schedules of these
        names.
        """
        if step < self.warmup:
            return self.peak * (step + 1) / (self.warmup + 1)
        if self.kind.startswith("constant"):
            return self.peak
        progress = (step - self.warmup) / max(1, self.steps - self.warmup)
        if self.kind == "linear":
            return self.peak * (1 - progress)
        return self.peak * 0.5 * (1 + math.cos(math.pi * progress))
