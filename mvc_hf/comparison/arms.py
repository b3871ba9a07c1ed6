"""The arms of a comparison: each augmentation on real images alone, and with each synthetic set and schedule."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ..config.files import fingerprint

NONE = "none"
AUGMENTATION_NAMES = {
    NONE: "",
    "randaugment": "RandAugment",
    "autoaugment": "AutoAugment",
    "autoaugment-cifar": "AutoAugment, CIFAR policy",
}
SCHEDULE_NAMES = {"combined": "combined", "rsp": "RSP", "two-phase": "two-phase", "synthetic": "synthetic only"}


@dataclass(frozen=True)
class Arm:
    """What a classifier is trained on.

    Attributes:
        augmentation: of `AUGMENTATION_NAMES`, or a policy of timm's --aa.
        method: name of the synthetic images; "" for real images alone.
        schedule: how they take turns; "" for real images alone.
    """

    augmentation: str = NONE
    method: str = ""
    schedule: str = ""

    @property
    def name(self) -> str:
        """As a table has it."""
        augmented = AUGMENTATION_NAMES.get(self.augmentation, self.augmentation)
        if not self.method:
            return augmented or "real alone"
        return f"{augmented} + {self.method}, {SCHEDULE_NAMES[self.schedule]}".strip()

    @property
    def reference(self) -> Arm | None:
        """What it is held against: the same augmentation without synthetic images; an augmentation, none at all."""
        if self.method:
            return Arm(self.augmentation)
        return None if self.augmentation == NONE else Arm()

    @property
    def file(self) -> str:
        """A name that is fit for files, and its own."""
        return file_name(self.name)


def file_name(name: str) -> str:
    """A name for files: plain words as they are, with a digest behind them where something was lost."""
    plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:60]
    return (
        plain
        if plain.replace("-", " ") == name.lower() or plain == name.lower()
        else (f"{plain}-{fingerprint({'name': name})[:8]}")
    )


def all_arms(augmentations: Sequence[str], methods: Sequence[str], schedules: Sequence[str]) -> list[Arm]:
    """In the order of a table: an augmentation, and below it what synthetic images add to it.

    What others are held against is among them, whether it is asked for or not.
    """
    named = [NONE, *(name for name in augmentations if name != NONE)]
    wanted = set(augmentations)
    return [
        arm
        for augmentation in named
        for arm in [
            Arm(augmentation),
            *(Arm(augmentation, m, s) for m in methods for s in schedules if augmentation in wanted),
        ]
    ]
