"""AutoAugment's policies that timm lacks: those of torchvision, put among timm's own transforms."""

from __future__ import annotations

from typing import Any

from ..errors import HostError


def insert_policy(dataset: Any, policy: str) -> None:
    """Put a policy where timm puts its own: after crops and flips, before pictures become numbers.

    Args:
        dataset: that timm's create_loader has given its transforms.
        policy: of torchvision's AutoAugmentPolicy: cifar10, imagenet, svhn.

    Raises:
        HostError: its transforms are not as timm makes them for training (AugMix, NaFlex).
    """
    from torchvision.transforms import AutoAugment, AutoAugmentPolicy

    steps = getattr(getattr(dataset, "transform", None), "transforms", None)
    if not isinstance(steps, list):
        raise HostError("--aug-policy goes with timm's usual transforms only: leave out --aug-splits, or --aug-policy")
    numbers = ("ToNumpy", "ToTensor", "MaybeToTensor", "PILToTensor", "MaybePILToTensor")
    at = next((i for i, step in enumerate(steps) if type(step).__name__ in numbers), None)
    if at is None:
        raise HostError("--aug-policy does not find where timm's transforms turn pictures into numbers: use --aa")
    steps.insert(at, AutoAugment(AutoAugmentPolicy(policy)))
