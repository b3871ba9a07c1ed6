"""Arrays that are encoded once: in the cache, chunk by chunk, each chunk with its digest.

A killed run goes on where it was. What no longer is what was written (by a failing disk, a copy that broke off, a
person) is noticed before it is used, and made again: single chunks where the rest is sound.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ...config.files import fingerprint
from ...errors import MvcError
from ...storage.files import cache_root
from ...storage.integrity import is_intact, seen_to_by_another
from ...storage.locks import waiting_lock
from ...storage.notes import read_json, write_json
from ...utils.progress import bar, say

if TYPE_CHECKING:
    pass

CHUNK = 64  # rows between two notes of how far the encoding has come
DIGEST = 16  # bytes


class Seen(Protocol):
    """What is learnt on the way and kept beside the array. Seeing a row again must add nothing."""

    def notes(self) -> dict[str, Any]: ...

    def restore(self, notes: dict[str, Any]) -> None: ...


def encoded_once(
    kind: str,
    made_from: dict[str, Any],
    shape: tuple[int, ...],
    encode: Callable[[int, np.ndarray], None],
    seen: Seen | None = None,
) -> tuple[np.ndarray, dict[str, Any]]:
    """A float16 array in the cache, made if it is not there yet, and in those parts that are damaged.

    `encode(first, out)` fills the rows from `first` on. Returns the array, memory-mapped, and the notes kept with it.
    """
    folder = cache_root() / f"{kind}-{fingerprint({**made_from, 'shape': shape})}"
    folder.mkdir(parents=True, exist_ok=True)
    entry = _Entry(kind, folder, shape)
    with waiting_lock(folder / "lock"):
        notes = entry.complete(encode, seen)
        return np.load(entry.array, mmap_mode="r"), notes


@dataclass
class _Entry:
    """A folder of the cache with the array, the digests of its chunks, and `state.json`: rows done, and the notes."""

    kind: str
    folder: Path
    shape: tuple[int, ...]

    def __post_init__(self) -> None:
        self.array, self.digests, self.state = (
            self.folder / name for name in ("array.npy", "digests.xxh3", "state.json")
        )
        self.row_bytes = 2 * math.prod(self.shape[1:])
        self.offset = 0  # of the first row in the file

    def complete(self, encode: Callable[[int, np.ndarray], None], seen: Seen | None) -> dict[str, Any]:
        """Make what is missing or damaged. Returns the notes."""
        done, notes = self._progress()
        bad = [] if done == 0 or seen_to_by_another() or self._is_sound(done) else list(self._damaged(done))
        if bad:
            say(f"{self.folder.name} in the cache is damaged: {len(bad)} of {done} parts are encoded again")
        todo = [*bad, *range(done, self._chunks())]
        if not todo:
            return notes
        if done == 0:
            self.array.unlink(missing_ok=True)  # not written over: another process may have it mapped
            # The file in full length, still empty.
            np.lib.format.open_memmap(self.array, "w+", np.float16, self.shape)
            self._has_header()
            self.digests.write_bytes(b"")
        elif seen:
            seen.restore(notes)
        done = self.shape[0] - sum(self._rows(chunk) for chunk in todo)
        # Plain writes, not the map: pages of a map that was written to would count as this process's memory.
        with (
            bar(self.shape[0], f"encoding {self.kind}", done=done) as shown,
            self.array.open("r+b") as file,
            self.digests.open("r+b") as digests,
        ):
            for chunk in todo:
                out = np.zeros((self._rows(chunk), *self.shape[1:]), np.float16)
                encode(chunk * CHUNK, out)
                content = out.tobytes()
                file.seek(self._place(chunk))
                file.write(content)
                file.flush()
                digests.seek(chunk * DIGEST)
                digests.write(_digest(content))
                digests.flush()
                done = max(done, chunk + 1)
                notes = seen.notes() if seen else {}
                write_json(self.state, {"rows": self._rows_of(done), "notes": notes}, indent=None, durable=False)
                shown.update(len(out))
        return notes

    def _progress(self) -> tuple[int, dict[str, Any]]:
        """Chunks done, and the notes; none where the files do not belong together, or cannot be read."""
        if not (self.state.exists() and self.digests.exists()):
            return 0, {}
        try:
            found = read_json(self.state, "", {"rows": int, "notes": dict})
            done = -(-found["rows"] // CHUNK)
            known = 0 <= done <= self._chunks() and self.digests.stat().st_size >= done * DIGEST
            size = self.array.stat().st_size
            if known and self._has_header() and size == self.offset + self.shape[0] * self.row_bytes:
                return done, found["notes"]
        except (MvcError, OSError):
            pass
        say(f"{self.folder.name} in the cache is damaged: it is encoded again")
        return 0, {}

    def _has_header(self) -> bool:
        """Whether the file begins as an array of this shape does; notes where its rows begin."""
        try:
            with self.array.open("rb") as file:
                version = np.lib.format.read_magic(file)
                read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
                shape, in_columns, kind = read[version](file)
                self.offset = file.tell()
        except (OSError, ValueError, KeyError, EOFError, SyntaxError):
            return False
        return (shape, in_columns, kind) == (self.shape, False, np.dtype(np.float16))

    def _is_sound(self, done: int) -> bool:
        """Whether no chunk is damaged, and maybe without reading them: see `is_intact`."""
        recorded = _digest(self.digests.read_bytes()[: done * DIGEST]).hex()

        def digest(_: Path) -> str:
            return recorded if next(self._damaged(done), None) is None else ""

        return is_intact(self.array, recorded, digest)

    def _damaged(self, done: int) -> Iterator[int]:
        """The chunks that are not what was written."""
        recorded = self.digests.read_bytes()

        def differs(chunk: int) -> bool:
            with self.array.open("rb") as file:
                file.seek(self._place(chunk))
                content = file.read(self._rows(chunk) * self.row_bytes)
            return _digest(content) != recorded[chunk * DIGEST : (chunk + 1) * DIGEST]

        with ThreadPoolExecutor(4) as pool:
            yield from (chunk for chunk, bad in enumerate(pool.map(differs, range(done))) if bad)

    def _chunks(self) -> int:
        return -(-self.shape[0] // CHUNK)

    def _rows(self, chunk: int) -> int:
        return min(CHUNK, self.shape[0] - chunk * CHUNK)

    def _rows_of(self, done: int) -> int:
        """Rows in the first `done` chunks."""
        return min(done * CHUNK, self.shape[0])

    def _place(self, chunk: int) -> int:
        return self.offset + chunk * CHUNK * self.row_bytes


def _digest(content: bytes) -> bytes:
    import xxhash

    return xxhash.xxh3_128(content).digest()
