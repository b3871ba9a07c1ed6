"""The bytes of files, for those who name the file in their own words when it cannot be read."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .errors import DataError
from .texts import one_line


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
