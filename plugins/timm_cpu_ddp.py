"""Several processes on the CPU under timm's train.py.

timm names the device to DistributedDataParallel, which refuses that for a CPU and needs no name. So with gloo, timm's
own script fails at this one place, with or without synthetic images.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch


def allow_cpu(script: Any) -> None:
    """Leave the device unnamed where it is a CPU: up to timm 1.0.22 in the script's NativeDDP, later in its tasks."""
    if hasattr(script, "NativeDDP"):
        script.NativeDDP = _wrapped(script.NativeDDP)
    for name, kind in list(vars(script).items()):
        if isinstance(kind, type) and hasattr(kind, "prepare_distributed"):
            setattr(script, name, _task(kind))


def _wrapped(ddp: Any) -> Any:
    def native_ddp(model: Any, *, device_ids: Sequence | None = None, **kwargs: Any) -> Any:
        return ddp(model, device_ids=_named(device_ids), **kwargs)

    return native_ddp


def _task(kind: Any) -> type:
    def prepare_distributed(self: Any, device_ids: Sequence | None = None, **kwargs: Any) -> Any:
        return kind.prepare_distributed(self, device_ids=_named(device_ids), **kwargs)

    return type(kind.__name__, (kind,), {"prepare_distributed": prepare_distributed})


def _named(device_ids: Sequence | None) -> Sequence | None:
    on_cpu = device_ids and any(
        isinstance(d, (str, torch.device)) and torch.device(d).type == "cpu" for d in device_ids
    )
    return None if on_cpu else device_ids
