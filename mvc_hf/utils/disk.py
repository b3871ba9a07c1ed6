"""Disks, quotas and limits on files that are full."""

from __future__ import annotations

import errno
import re

from .text import causes

DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # no room, a quota, a limit on the size of files
_NO_ROOM = re.compile(r"No space left on device|Disk quota exceeded|File too large|\(os error (?:28|122|27)\)")


def is_disk_full(error: BaseException) -> bool:
    """Whether a disk, a quota or a limit on files is behind an error: writers wrap the system's own."""
    return any(
        (isinstance(cause, OSError) and cause.errno in DISK_FULL) or _NO_ROOM.search(str(cause))
        for cause in causes(error)
    )
