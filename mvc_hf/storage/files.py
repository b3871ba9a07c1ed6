"""Files: read and digested, with their names in the words of whoever reads them; and where the cache lies."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from ..errors import DataError
from ..utils.text import one_line


@contextmanager
def open_regular(path: str | Path) -> Iterator[BinaryIO]:
    """A file for reading. A pipe would be waited for, and a device need have no end: both are refused.

    Raises:
        OSError: it cannot be opened, or is no regular file.
    """
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | getattr(os, "O_NONBLOCK", 0))) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "no regular file")
        yield file


def read_file(path: str | Path, name: str) -> bytes:
    """All of a file. Raises DataError that begins with `name`."""
    try:
        with open_regular(path) as file:
            return file.read()
    except OSError as error:
        raise DataError(f"{name} cannot be read ({error.strerror}): put it back or remove it") from error


def digests(files: list[Path]) -> Iterator[bytes]:
    """Digest of the bytes of each file, in order. Raises DataError where one cannot be read."""

    def digest(file: Path) -> bytes:
        try:
            with open_regular(file) as stream:
                state = hashlib.blake2b(digest_size=16)
                while block := stream.read(1 << 20):
                    state.update(block)
                return state.digest()
        except OSError as error:
            raise DataError(f"{one_line(file.name)} cannot be read ({error.strerror})") from error

    with ThreadPoolExecutor(4) as pool:
        yield from pool.map(digest, files)


def cache_root() -> Path:
    """MVC_HF_CACHE, or `mvc_hf` in the cache folder of the Hugging Face libraries."""
    home = os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "huggingface"
    return Path(os.environ.get("MVC_HF_CACHE") or Path(home) / "mvc_hf").expanduser()
