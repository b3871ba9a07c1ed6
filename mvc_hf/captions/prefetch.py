"""Pictures decoded ahead, while the model works."""

from __future__ import annotations

import os
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..errors import DataError
from .image_to_text import CaptionModel

if TYPE_CHECKING:
    from ..data.base import Source

MAX_WORKERS = 8  # threads that decode pictures


class Prefetcher:
    """Prepared pictures of some rows, asked for in order; the next ones are decoded while the model works.

    At most two batches wait, however many rows there are. With no workers each is decoded when it is asked for.
    """

    def __init__(self, source: Source, model: CaptionModel, rows: np.ndarray, batch_size: int, workers: int):
        self._source, self._model, self._rows = source, model, iter(rows.tolist())
        self._pool = ThreadPoolExecutor(workers, "mvc-hf-decode") if workers else None
        self._limit = max(2 * batch_size, workers)
        self._waiting: deque[tuple[int, Any]] = deque()
        self._last: tuple[int, Any] = (-1, None)

    def __enter__(self) -> Prefetcher:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool:
            self._pool.shutdown(cancel_futures=True)

    def of(self, row: int) -> Any:
        """The picture of a row; the last one may be asked for again. A DataError, returned, where there is none."""
        if self._last[0] != row:
            self._last = self._next(self._pool) if self._pool else (next(self._rows), self._prepare(row))
            assert self._last[0] == row, "rows are asked for in another order than announced"
        return self._last[1]

    def _next(self, pool: ThreadPoolExecutor) -> tuple[int, Any]:
        while len(self._waiting) < self._limit and (row := next(self._rows, None)) is not None:
            self._waiting.append((row, pool.submit(self._prepare, row)))
        row, picture = self._waiting.popleft()
        return row, picture.result()

    def _prepare(self, row: int) -> Any:
        try:
            image = self._source.image(row)
        except DataError as error:
            return error
        try:
            return self._model.prepare(image)
        except DataError as error:  # of a picture, not of a row
            return DataError(f"{self._source.describe_row(row)}: {error}")


def decoding_workers(state: Any) -> int:
    """Threads that decode. On a CPU only cores that the model leaves free count, and one of them is left to others:
    a single thread that had to share its core made captioning a quarter slower, since the model waited for it.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    share = cores // state.num_processes
    if state.device.type == "cpu":
        return max(0, min(MAX_WORKERS, share - torch.get_num_threads() - 1))
    return max(1, min(MAX_WORKERS, share))
