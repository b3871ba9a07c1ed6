"""The bytes of files, for those who name the file in their own words when it cannot be read; and full disks."""

from __future__ import annotations

import errno
import hashlib
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .errors import DataError
from .texts import causes, one_line

DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # no room, a quota, a limit on the size of files
_NO_ROOM = re.compile(r"No space left on device|Disk quota exceeded|File too large|\(os error (?:28|122|27)\)")


def is_disk_full(error: BaseException) -> bool:
    """Whether a disk, a quota or a limit on files is behind an error: safetensors and Arrow wrap it in their own."""
    return any(
        (isinstance(cause, OSError) and cause.errno in DISK_FULL) or _NO_ROOM.search(str(cause))
        for cause in causes(error)
    )


def read_file(path: str | Path, name: str) -> bytes:
    """All of a file. Raises DataError that begins with `name`."""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise DataError(f"{name} cannot be read ({error.strerror}): put it back or remove it") from error


def digests(files: list[Path]) -> Iterator[bytes]:
    """Digest of the bytes of each file, in order. Raises DataError where one cannot be read."""

    def digest(file: Path) -> bytes:
        try:
            with open(file, "rb") as stream:
                state = hashlib.blake2b(digest_size=16)
                while block := stream.read(1 << 20):
                    state.update(block)
                return state.digest()
        except OSError as error:
            raise DataError(f"{one_line(file.name)} cannot be read ({error.strerror})") from error

    with ThreadPoolExecutor(4) as pool:
        yield from pool.map(digest, files)
