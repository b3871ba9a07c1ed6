"""Images that are held out of training, and what their loss says: whether the model has begun to copy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch

from ..data.groups import Groups
from ..utils.progress import say
from ..utils.rng import Stream, words
from .objective import Batch

if TYPE_CHECKING:
    from .dataset import TrainingSet

HOLDOUT_FROM = 10  # images of a class: of smaller ones none can be spared
PROBE_IMAGES = 256  # at most so many, held out and trained on, are measured at a time
COPYING = 1.02  # a held-out loss this much above its best says that training has begun to copy


def holdout_size(images: int, fraction: float) -> int:
    """How many images of a class are held out: at least one of a class of `HOLDOUT_FROM`, none of smaller ones."""
    return 0 if fraction == 0 or images < HOLDOUT_FROM else max(1, round(fraction * images))


def choose_holdout(
    members: list[np.ndarray], fraction: float, seed: int, groups: Groups | None = None
) -> list[np.ndarray]:
    """The rows of each class that are held out, at random, as the seed decides.

    Args:
        members: rows of each class.
        fraction: of each class; see `holdout_size`.
        groups: images that are held out together, or not at all.
    """
    sizes = [holdout_size(len(rows), fraction) for rows in members]
    if groups:
        return groups.holdout(members, np.array(sizes), seed)
    return [_random_rows(rows, size, seed, label) for label, (rows, size) in enumerate(zip(members, sizes))]


def _random_rows(rows: np.ndarray, count: int, seed: int, label: int) -> np.ndarray:
    if count == 0:
        return rows[:0]
    keys = words(seed, Stream.HOLD_OUT, label, rows, 1)[:, 0]
    return rows[np.argsort(keys, kind="stable")[:count]]


@torch.no_grad()
def probe_loss(
    loss: Callable[[Batch], torch.Tensor], training_set: TrainingSet, rows: np.ndarray, batch_size: int
) -> float:
    """Mean loss of some images, at evenly spread, always equal noise. Of many, `PROBE_IMAGES` stand for all."""
    probe = training_set.probe(np.random.default_rng(0).permutation(rows)[:PROBE_IMAGES])
    losses = [(loss(part), len(part)) for part in probe.split(batch_size)]
    return sum(loss.item() * count for loss, count in losses) / len(probe)


@dataclass
class HoldoutMonitor:
    """What the held-out loss said so far. Its fields are kept in the training checkpoints, under these names."""

    best: float | None = None  # none yet; JSON has no infinity
    best_step: int = 0
    since_best: int = 0  # measurements without a better one
    warned: bool = False
    last: dict[str, float] = field(default_factory=dict)

    def note(self, step: int, held_out: float, seen: float) -> None:
        """Note the loss of held-out images and that of images trained on; warn, once, where copying has begun."""
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

    def out_of_patience(self, patience: int | None) -> bool:
        """Whether there was no better held-out loss for so many measurements; never where it is None."""
        return patience is not None and self.since_best >= patience
