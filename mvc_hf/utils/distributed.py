"""The processes of `accelerate launch` or torchrun."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any


def process_state() -> Any:
    """accelerate's `PartialState`: which process this is, of how many, and its device.

    On a machine without an accelerator it has to be told so: by itself it takes each process for the only one there,
    so that all of them do everything and none waits.
    """
    from accelerate import PartialState

    return PartialState(cpu=on_cpu())


def on_cpu() -> bool:
    """Whether accelerate has to be told that these processes work on the CPU."""
    import torch
    from accelerate.utils import parse_flag_from_env

    several = os.environ.get("WORLD_SIZE", "1") != "1"
    return (several and not torch.accelerator.is_available()) or parse_flag_from_env("ACCELERATE_USE_CPU")


def agreed(value: Any) -> Any:
    """What the main process found, on all processes. All of them must call it."""
    from accelerate.utils import broadcast_object_list

    return broadcast_object_list([value])[0]


def gathered(values: list[Any]) -> list[Any]:
    """What each process found, sorted, on all of them. All of them must call it."""
    from accelerate.utils import gather_object

    return sorted(gather_object(values))


class Alone:
    """Stands in for `PartialState` where this process works by itself, whatever others there are: nobody waits for it.

    Attributes:
        device: the one that a launcher gave this process.
    """

    def __init__(self) -> None:
        import torch
        from accelerate.utils import parse_flag_from_env

        works = torch.accelerator.is_available() and not parse_flag_from_env("ACCELERATE_USE_CPU")
        found = torch.accelerator.current_accelerator() if works else None
        several = found is not None and torch.accelerator.device_count() > 1
        index = int(os.environ.get("LOCAL_RANK", "0")) if several else None
        self.device = torch.device("cpu") if found is None else torch.device(found.type, index)

    @contextlib.contextmanager
    def main_process_first(self) -> Iterator[None]:
        yield
