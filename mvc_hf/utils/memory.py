"""Memory: how much some work takes at its peak, how much there is, and one line where it does not suffice.

Of the GPU, or of this process where there is none.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import MvcError, NotEnoughMemory
from .text import causes

if TYPE_CHECKING:
    import torch

STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")
MEMINFO, LIMIT = Path("/proc/meminfo"), Path("/sys/fs/cgroup/memory.max")
LESS = {
    "caption": "--caption-batch-size",
    "encode": "--resolution",
    "finetune": "--train-batch-size (with more --gradient-accumulation-steps), --gradient-checkpointing, "
    "--mixed-precision fp16",
    "generate": "--batch-size, --decode-batch-size, --image-size, --mixed-precision fp16",
    "report": "--batch-size, --block-size",
}
# What allocators say that have no exception of their own: torch's on the CPU, cuBLAS, cuDNN, NumPy's and Arrow's.
_TOO_LARGE = re.compile(
    r"not enough memory|can't allocate memory|cannot allocate memory|out of memory|_ALLOC_FAILED|array is too big|"
    r"Maximum allowed (?:dimension|size) exceeded|storage size calculation overflowed|Overflow when unpacking|"
    r"numel: integer multiplication overflow|malloc of size|realloc of size|Invalid buffer size",
    re.IGNORECASE,
)


class Peak:
    """While it is entered, watches; `bytes` says afterwards.

    On a GPU what its allocator took; else the resident memory of the process. Where the system cannot forget an
    earlier peak (anything but Linux), that one counts, too.
    """

    def __init__(self, device: torch.device):
        self.device, self.bytes = device, 0

    def __enter__(self) -> Peak:
        if self.device.type == "cuda":
            import torch

            torch.cuda.reset_peak_memory_stats(self.device)
        else:
            with contextlib.suppress(OSError):
                RESET.write_text("5")  # the peak of the resident memory starts anew
        return self

    def __exit__(self, *_: object) -> None:
        if self.device.type == "cuda":
            import torch

            self.bytes = torch.cuda.max_memory_reserved(self.device)
        else:
            self.bytes = _resident_peak()


def is_memory_error(error: BaseException) -> bool:
    """Whether memory is behind an error: Python's, an allocator's, or a size that no address can count."""
    for cause in causes(error):
        if isinstance(cause, MemoryError | OverflowError) or type(cause).__name__ == "OutOfMemoryError":
            return True
        if isinstance(cause, RuntimeError | ValueError | TypeError | OSError) and _TOO_LARGE.search(str(cause)):
            return True
    return False


def too_small(stage: str, device: torch.device | None = None) -> NotEnoughMemory:
    """For memory that does not suffice for a stage."""
    what = "the GPU's memory" if device is not None and device.type != "cpu" else "the memory"
    return NotEnoughMemory(f"{what} does not suffice to {stage} by these settings; what helps: {LESS[stage]}")


@contextlib.contextmanager
def enough_memory(stage: str, device: torch.device | None = None) -> Iterator[None]:
    """What allocators raise inside becomes NotEnoughMemory, with the flags that lower what the stage takes."""
    try:
        yield
    except MvcError:
        raise
    except Exception as error:
        if is_memory_error(error):
            raise too_small(stage, device) from error
        raise


def check_room(needed: int, device: Any, what: str) -> None:
    """Refuse what this machine cannot hold, before a system that lends memory it does not have ends the process.

    Args:
        needed: bytes, at the very least.
        what: that takes them, with its flag: "--batch-size 9000".

    Raises:
        NotEnoughMemory: it is more than there is.
    """
    there = _there_is(device)
    if there is not None and needed > there:
        raise NotEnoughMemory(
            f"{what} takes at least {needed / 2**30:,.0f} GiB of memory, and there are {there / 2**30:,.1f} GiB: "
            "lower it"
        )


def _there_is(device: Any) -> int | None:
    """Bytes of memory that a process may have in all; None where the system does not say."""
    if device is not None and device.type == "cuda":
        import torch

        return torch.cuda.get_device_properties(device).total_memory
    found = []
    with contextlib.suppress(OSError, AttributeError):
        parts = re.findall(r"(?:MemTotal|SwapTotal):\s+(\d+) kB", MEMINFO.read_text())
        found.append(1024 * sum(map(int, parts)))
    with contextlib.suppress(OSError, ValueError):
        found.append(int(LIMIT.read_text()))  # "max" where a container has no limit
    return min(found, default=None)


def _resident_peak() -> int:
    with contextlib.suppress(OSError):
        found = re.search(r"VmHWM:\s+(\d+) kB", STATUS.read_text())
        if found:
            return 1024 * int(found[1])
    with contextlib.suppress(ImportError):
        import resource
        import sys

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else 1024 * peak
    return 0
