"""Whether numbers are finite, asked so that a GPU does not have to be waited for more often than it is anyway.

One NaN is enough to ruin whatever it meets: a training run, a data set, the classifier that is trained on it. So it is
looked for where numbers leave a stage: weights when they are loaded and before they are written, losses where they
are logged, latents and pixels before they become a row.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch


def all_finite(tensors: Iterable[torch.Tensor]) -> torch.Tensor:
    """Whether every number of some tensors is finite: a bool on their device, which nobody has waited for yet."""
    extremes = _extremes([tensor for tensor in tensors if _can_break(tensor)])
    return torch.isfinite(extremes).all()


def broken(named: Iterable[tuple[str, torch.Tensor]]) -> list[str]:
    """The names of the tensors that hold a number which is not finite. Waits for the device once."""
    tensors = {name: tensor for name, tensor in named if _can_break(tensor)}
    finite = torch.isfinite(_extremes(list(tensors.values()))).all(dim=1).tolist()
    return [name for name, sound in zip(tensors, finite) if not sound]


def _extremes(tensors: list[torch.Tensor]) -> torch.Tensor:
    """Smallest and largest number of each, (n, 2); NaN where there is one. In one pass, without a copy."""
    if not tensors:
        return torch.zeros(0, 2)
    return torch.stack([torch.stack(torch.aminmax(tensor.detach())).float() for tensor in tensors])


def _can_break(tensor: torch.Tensor) -> bool:
    return tensor.is_floating_point() and tensor.numel() > 0
