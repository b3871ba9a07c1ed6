"""Files that are read where they lie, range by range, each request tried again as everything else of the Hub is."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

from ..environment import endpoint
from ..errors import T, is_passing, short
from ..retry import retry, unchanged


class RemoteFiles:
    """Files of the Hub as a file system of fsspec has them, each request tried again.

    Takes paths in the Hub's file system, "datasets/org/name@commit/file", and URLs of any that fsspec knows.
    """

    def open(self, path: str, mode: str = "rb") -> io.RawIOBase:
        return RemoteFile(path)

    def glob(self, pattern: str) -> list[str]:
        return self._ask(pattern, lambda system, path: system.glob(path))

    def read(self, path: str) -> bytes | None:
        """The content of a small file; None where there is none."""
        return self._ask(path, lambda system, path: system.cat_file(path) if system.exists(path) else None)

    def _ask(self, path: str, call: Callable[[Any, str], T]) -> T:
        return _read(path, lambda: call(*_system_of(path)))


class RemoteFile(io.RawIOBase):
    """A file that is read by ranges: what is asked for is fetched and no more, by the thread that asks for it."""

    def __init__(self, path: str):
        self._path = path

        def opened() -> tuple[Any, int]:
            system, place = _system_of(path)
            file = system.open(place, "rb", cache_type="none")  # reading ahead would fetch what nobody asked for
            return file, file.size

        (self._file, self._size), self._at = _read(path, opened), 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(0, start + offset)
        return self._at

    def readall(self) -> bytes:
        return self.read(self._size - self._at)

    def readinto(self, buffer: Any) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def read(self, size: int | None = -1) -> bytes:
        if self.closed:
            raise ValueError("read of a closed file")
        left = max(0, self._size - self._at)
        count = left if size is None or size < 0 else min(size, left)
        if not count:
            return b""

        def fetched() -> bytes:
            self._file.seek(self._at)
            data = self._file.read(count)
            if len(data) != count:
                raise ConnectionError(f"{len(data)} of {count} bytes came")
            return data

        data = _read(self._path, fetched)
        self._at += count
        return data


def _system_of(path: str) -> tuple[Any, str]:
    """The file system of a path, and the path in it."""
    import fsspec
    from huggingface_hub import HfFileSystem

    if "://" in path and not path.startswith("hf://"):
        return fsspec.core.url_to_fs(path)
    return HfFileSystem(endpoint=endpoint()), path.removeprefix("hf://")


def _read(path: str, call: Callable[[], T]) -> T:
    """A request for a file, tried again. Raises OSError, as files do, where the clients have errors of their own."""
    name = path.rpartition("/")[2]
    try:
        return retry(f"reading {name}", call, run=unchanged)
    except OSError:
        raise
    except Exception as error:
        if is_passing(error):
            raise ConnectionError(f"{name} cannot be read where it lies: {short(error)}") from error
        raise
