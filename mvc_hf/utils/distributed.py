"""The processes of `accelerate launch` or torchrun."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

LONGEST_WAIT = timedelta(days=2)  # for another process to encode what is then there for all


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


@contextlib.contextmanager
def in_turn(state: Any) -> Iterator[None]:
    """The main process, then the first one of every other machine, then all others. All of them must enter it.

    What the first one leaves in the cache the others find: those of its machine, or of all where machines share it.
    They may wait for hours, so not by the group that hands on gradients: to that, long silence is an accident.

    Args:
        state: accelerate's `PartialState` or `Accelerator`.
    """
    if state.num_processes == 1:
        yield
        return
    import torch.distributed

    patient = torch.distributed.new_group(backend="gloo", timeout=LONGEST_WAIT)
    turn = 0 if state.is_main_process else 1 if state.is_local_main_process else 2
    try:
        for _ in range(turn):
            torch.distributed.barrier(patient)
        yield
        for _ in range(turn, 2):
            torch.distributed.barrier(patient)
    finally:
        torch.distributed.destroy_process_group(patient)


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
