"""Images kept aside: whether training has begun to copy."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from ..utils.progress import say
from .metrics import COPYING


@dataclass
class HoldoutMonitor:
    """What the kept-aside images said so far."""

    best: float | None = None  # none yet; JSON has no infinity
    best_step: int = 0
    since_best: int = 0
    warned: bool = False
    last: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.best == math.inf:  # as older versions noted it
            self.best = None

    def note(self, step: int, held_out: float, seen: float) -> None:
        self.last = {"held_out_loss": held_out, "seen_loss": seen}
        if self.best is None or held_out < self.best:
            self.best, self.best_step, self.since_best = held_out, step, 0
        else:
            self.since_best += 1
        if held_out > COPYING * self.best and not self.warned:
            self.warned = True
            say(
                f"warning: at step {step} the loss on kept-aside images is {held_out:.4f}, up from {self.best:.4f} at "
                f"step {self.best_step}, while that on training images is {seen:.4f}: the model begins to copy; "
                f"--max-train-steps {self.best_step} or --early-stopping 3 would stop earlier"
            )


PROBE_IMAGES = 256  # images of each kind in a look at the kept-aside loss
