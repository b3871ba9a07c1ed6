"""How much memory some work takes at its peak: of the GPU, or of this process where there is none."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import ModelError

if TYPE_CHECKING:
    import torch

STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")
LESS = {
    "caption": "--caption-batch-size",
    "encode": "--resolution",
    "finetune": "--train-batch-size (with more --gradient-accumulation-steps), --gradient-checkpointing, "
    "--mixed-precision fp16",
    "generate": "--batch-size, --mixed-precision fp16",
}


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


def too_small(stage: str, device: torch.device) -> ModelError:
    """For memory that does not suffice for a stage."""
    what = "the GPU's memory" if device.type != "cpu" else "the memory"
    return ModelError(f"{what} does not suffice to {stage} by these settings; what helps: {LESS[stage]}")


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
