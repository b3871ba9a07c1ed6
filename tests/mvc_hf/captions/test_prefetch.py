"""Pictures decoded ahead: in order, each once, never more of them than the model will soon want."""

import threading
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from mvc_hf.captions import prefetch
from mvc_hf.captions.prefetch import Prefetcher, decoding_workers
from mvc_hf.errors import DataError


class Numbers:
    """A source whose picture of a row is its number, and a model that takes it as it is; multiples of 10 are broken,
    and the model cannot use multiples of 7.
    """

    def __init__(self):
        self.read, self.lock = [], threading.Lock()

    def image(self, row):
        with self.lock:
            self.read.append(row)
        if row % 10 == 0:
            raise DataError(f"row {row}: broken")
        return row

    def describe_row(self, row):
        return f"row {row}"

    def prepare(self, image):
        if image % 7 == 0:
            raise DataError("of no use")
        return image


def prefetcher(numbers, rows, workers, batch_size=4):
    return Prefetcher(numbers, numbers, np.array(rows), batch_size, workers)


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_pictures_come_in_order_and_each_is_read_once(workers):
    numbers, rows = Numbers(), [5, 3, 11, 10, 14, 2]
    with prefetcher(numbers, rows, workers) as pictures:
        found = [pictures.of(row) for row in rows for _ in range(2)][::2]
    assert [found[i] for i in (0, 1, 2, 5)] == [5, 3, 11, 2] and sorted(numbers.read) == sorted(rows)
    assert [str(found[i]) for i in (3, 4)] == ["row 10: broken", "row 14: of no use"]
    assert all(isinstance(found[i], DataError) for i in (3, 4))


@pytest.mark.parametrize(("workers", "ahead"), [(0, 1), (1, 8), (3, 8), (20, 20)])
def test_at_most_two_batches_wait_or_one_picture_a_worker(workers, ahead):
    numbers = Numbers()
    with prefetcher(numbers, range(1, 60), workers) as pictures:
        pictures.of(1)
    assert len(numbers.read) <= ahead


def test_rows_in_another_order_than_announced_are_a_mistake():
    with prefetcher(Numbers(), [1, 2], 0) as pictures, pytest.raises(AssertionError, match="another order"):
        pictures.of(2)


@pytest.mark.parametrize(
    ("device", "processes", "threads", "workers"),
    [("cpu", 1, 4, 3), ("cpu", 1, 8, 0), ("cpu", 2, 1, 2), ("cpu", 8, 1, 0), ("cuda", 1, 8, 8), ("cuda", 8, 1, 1)],
)
def test_workers_take_the_cores_that_the_model_leaves_free(monkeypatch, device, processes, threads, workers):
    monkeypatch.setattr(prefetch.os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    state = SimpleNamespace(num_processes=processes, device=torch.device(device))
    assert decoding_workers(state) == workers
