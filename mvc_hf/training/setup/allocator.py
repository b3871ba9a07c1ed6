"""The C library's allocator: what one step frees is kept for the next."""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

# mallopt(3), in bytes: so much that is free at the heap's end goes back to the system; a block of this size does not
# come from the heap, and goes back at once.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_LARGEST_MMAP_THRESHOLD = 32 * 2**20  # that every glibc takes
_SET_BY_USER = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TOP_PAD_", "GLIBC_TUNABLES")


@contextlib.contextmanager
def kept_for_reuse(device: torch.device) -> Iterator[None]:
    """Within it, on a CPU, this process keeps the memory that it frees; then it gives back what it does not use.

    A step takes again what the last one has freed. In between, glibc hands large blocks and the end of its heap back
    to the system, which clears every page of them anew. Tensors of more than 32 MiB are left to that. With another C
    library, and where glibc's own variables are set, nothing changes.
    """
    glibc = _glibc() if device.type == "cpu" else None
    if glibc is None:
        yield
        return
    mallopt, malloc_trim = glibc
    mallopt(_MMAP_THRESHOLD, _LARGEST_MMAP_THRESHOLD)
    mallopt(_TRIM_THRESHOLD, 2**31 - 1)
    try:
        yield
    finally:
        mallopt(_TRIM_THRESHOLD, 2 * _LARGEST_MMAP_THRESHOLD)  # where glibc gets by itself, with large blocks
        malloc_trim(0)


def _glibc() -> tuple[Callable[[int, int], int], Callable[[int], int]] | None:
    """mallopt and malloc_trim, where they are there and nobody else has set what they set."""
    if platform.libc_ver()[0] != "glibc" or any(name in os.environ for name in _SET_BY_USER):
        return None
    try:
        library = ctypes.CDLL(None)
        return library.mallopt, library.malloc_trim
    except (OSError, AttributeError):
        return None
