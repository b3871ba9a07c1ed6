"""Every image through a network once: features in the cache, part by part, so that a killed run goes on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..config.files import fingerprint
from ..errors import DataError
from ..storage.files import cache_root
from ..storage.integrity import is_as_recorded, record
from ..storage.notes import atomic_write
from ..utils.memory import enough_memory
from ..utils.progress import bar

if TYPE_CHECKING:
    from ..data.base import Source
    from .extractor import Extractor

PART = 256  # images of a file of the cache


def pixels(source: Source, size: int, what: str) -> np.ndarray:
    """The pictures of a set: uint8 (n, 3, size, size). Raises DataError that names a broken one."""
    return _kept(source, {"pixels": size}, 256, lambda rows: squares(source, rows, size), f"reading {what} images")


def features(source: Source, extractor: Extractor, batch_size: int, what: str) -> np.ndarray:
    """The features of a set: float32 (n, d).

    Raises:
        DataError: a picture is broken; the message names it.
        NotEnoughMemory: too large a batch.
    """

    def of(rows: np.ndarray) -> np.ndarray:
        return extractor(squares(source, rows, extractor.size))

    with enough_memory("report", extractor.device):
        return _kept(source, extractor.identity, batch_size, of, f"features of {what} images")


def squares(source: Source, rows: np.ndarray, size: int) -> np.ndarray:
    """Pictures as a network sees them: uint8 (n, 3, size, size). Raises DataError that names a broken one."""
    from ..data.decoding import square

    def one(row: int) -> np.ndarray:
        image = source.image(row)
        try:
            return np.asarray(square(image, size, source.fit)).transpose(2, 0, 1)
        except DataError as error:  # of a picture, not of a row
            raise DataError(f"{source.describe_row(row)}: {error}") from error

    return np.stack([one(row) for row in rows.tolist()])


def _kept(
    source: Source, identity: dict, batch_size: int, make: Callable[[np.ndarray], np.ndarray], what: str
) -> np.ndarray:
    seen = {"set": source.fingerprint, "fit": source.fit, "part": PART, **identity}
    folder = cache_root() / "features" / fingerprint(seen)
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    with bar(len(source), what, " images") as progress:
        for first in range(0, len(source), PART):
            rows = np.arange(first, min(first + PART, len(source)))
            path = folder / f"{first:09d}.npy"
            if is_as_recorded(path):
                found.append(np.load(path, allow_pickle=False))
                progress.update(len(rows))
                continue
            made = []
            for batch in np.split(rows, range(batch_size, len(rows), batch_size)):
                made.append(make(batch))
                progress.update(len(batch))
            found.append(np.concatenate(made))
            _write(path, found[-1])
    return np.concatenate(found)


def _write(path: Path, values: np.ndarray) -> None:
    with atomic_write(path, shared=True) as temporary:
        with temporary.open("wb") as file:
            np.save(file, values, allow_pickle=False)
        record(path, temporary)
