"""The learning rate of two phases: each has a scheduler of timm's own, of the kind that the user asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..augment.mixed_dataset import phase2_length
from ..errors import RecipeError

MUST_FIT = ("wsd", "rsqrt")  # kinds of schedules that timm refuses where the decay is longer than the rest


class TwoPhaseScheduler:
    """Two of timm's schedulers, one after the other; epochs and updates are counted from the start of the run.

    The members are those that timm's train.py uses. A rate depends on the epoch or update alone, so a resumed run
    finds the same, on either side of the switch and exactly at it. (A plateau schedule counts, and timm saves its
    counters in no checkpoint: resumed in phase two, it begins phase two anew.)

    Args:
        first, second: timm schedulers of one optimizer.
        switch: first epoch of phase two.
        updates_per_epoch: optimizer updates in an epoch.
    """

    def __init__(self, first: Any, second: Any, switch: int, updates_per_epoch: int) -> None:
        self.first, self.second, self.switch, self._updates = first, second, switch, switch * updates_per_epoch
        self.optimizer, self.t_in_epochs = first.optimizer, first.t_in_epochs
        self._in_second = False

    def step(self, epoch: int, metric: float | None = None) -> None:
        """Set the rate of an epoch that is about to begin, where the schedulers count epochs."""
        if epoch < self.switch or not self.t_in_epochs:
            self.first.step(epoch, metric)
        else:
            self._step_second(self.second.step, epoch - self.switch, metric)

    def step_update(self, num_updates: int, metric: float | None = None) -> None:
        """Set the rate of an update that is about to be made, where the schedulers count updates."""
        if num_updates < self._updates or self.t_in_epochs:
            self.first.step_update(num_updates, metric)
        else:
            self._step_second(self.second.step_update, num_updates - self._updates, metric)

    def _step_second(self, step: Callable, t: int, metric: float | None) -> None:
        """Begin as timm begins any schedule, from the base values. A plateau goes on from the rate that it finds."""
        if t == 0 or not self._in_second:
            self._in_second = True
            self.second.update_groups(self.second.base_values)
        if t > 0:
            step(t, metric)

    def state_dict(self) -> dict[str, Any]:
        return {"first": self.first.state_dict(), "second": self.second.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.first.load_state_dict(state["first"])
        self.second.load_state_dict(state["second"])


def two_phase_scheduler(
    create: Callable, optimizer: Any, *, phase2_epochs: int | None, lr_scale: float, **settings: Any
) -> tuple[TwoPhaseScheduler, int]:
    """timm's create_scheduler_v2 for two phases.

    Phase one keeps the user's warm-up, phase two the cooldown; both together last as long as one would have. Phase
    two starts at `lr_scale` times the base rate of each parameter group, and never goes below the user's min_lr.
    Milestones of a multistep schedule keep their place in the whole run.

    Args:
        create: timm's create_scheduler_v2.
        optimizer: its groups' lr are the base rates.
        phase2_epochs: epochs of phase two without the cooldown; None for 20 % of num_epochs.
        lr_scale: where phase two starts.
        settings: what `create` takes.

    Returns:
        (scheduler, epochs of the whole run), as `create` does.

    Raises:
        RecipeError: the settings leave no place for two phases.
    """
    epochs, kind = settings.pop("num_epochs"), settings.pop("sched")
    if settings.get("cycle_limit", 1) > 1 and kind in ("cosine", "tanh", "poly"):
        raise RecipeError(
            "two phases and --lr-cycle-limit both restart the rate: leave one out, or use --aug-schedule combined"
        )
    base = [group.get("initial_lr", group["lr"]) for group in optimizer.param_groups]
    min_lr = settings.get("min_lr", 0.0)
    if min(base) * lr_scale < min_lr:
        raise RecipeError(
            f"phase two would start at {min(base) * lr_scale:g} ({lr_scale:g} times {min(base):g}), below --min-lr "
            f"{min_lr:g}: raise --aug-phase2-lr-scale or lower --min-lr"
        )
    if kind == "none":
        kind, settings = "step", settings | {"decay_rate": 1.0, "warmup_epochs": 0}
    last = phase2_length(epochs, phase2_epochs)
    milestones = list(settings.get("decay_milestones", ()))

    def of_phase(length: int, **changes: Any) -> tuple[Any, int]:
        own = settings | changes
        if kind in MUST_FIT and (own.get("decay_epochs") or 0) >= 1:
            warmup = 0 if own.get("warmup_prefix") else own.get("warmup_epochs", 0)
            own["decay_epochs"] = min(own["decay_epochs"], length - warmup)
        return create(optimizer, sched=kind, num_epochs=length, **own)

    _, switch = of_phase(epochs - last, cooldown_epochs=0)
    later = [m - switch for m in milestones if m > switch]
    for group, rate in zip(optimizer.param_groups, base):
        group["initial_lr"] = rate * lr_scale
    second, length = of_phase(last, warmup_epochs=0, warmup_prefix=False, decay_milestones=later)
    for group, rate in zip(optimizer.param_groups, base):
        group["initial_lr"] = rate
    first, _ = of_phase(epochs - last, cooldown_epochs=0)  # the one made last has set the optimizer's rates
    return TwoPhaseScheduler(first, second, switch, settings.get("updates_per_epoch", 0)), switch + length
