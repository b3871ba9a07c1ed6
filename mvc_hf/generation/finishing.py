"""Rows, batch by batch, whose pictures get their size and become PNG in threads while the next batch is sampled."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from .generator import Generator

THREADS = 8  # at most; PNG lets go of Python's lock


def finished_rows(
    generator: Generator, addresses: Iterable[tuple[np.ndarray, np.ndarray]]
) -> Iterator[list[dict[str, Any]]]:
    """The rows of each batch of addresses (labels, index), as `Generator.rows` makes them, in their order.

    A batch comes when the one after it has been sampled: two are held in memory. Where that one fails, the batch that
    is whole comes first, and then the error.
    """
    with png_threads() as pool:
        waiting: list[dict[str, Any]] = []
        for labels, index in addresses:
            try:
                made = generator.rows(labels, index, pool.submit)
            except BaseException:  # Ctrl-C, too: what was made is kept
                if waiting:
                    yield _awaited(waiting)
                raise
            if waiting:
                yield _awaited(waiting)
            waiting = made
        if waiting:
            yield _awaited(waiting)


def png_threads() -> ThreadPoolExecutor:
    """That make PNGs of pictures."""
    return ThreadPoolExecutor(min(THREADS, os.cpu_count() or 1), "png")


def _awaited(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**row, "image": row["image"].result()} for row in rows]
