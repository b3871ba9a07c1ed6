import os
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest
import torch

from mvc_hf.errors import DataError, NotEnoughMemory
from mvc_hf.utils import memory


@pytest.mark.parametrize(
    "work",
    [
        lambda: torch.empty(2**60, dtype=torch.uint8),
        lambda: torch.empty(2**40, 2**40),
        lambda: torch.zeros(10**30),
        lambda: np.zeros(2**60, np.uint8),
        lambda: np.zeros((2**40, 2**40)),
        lambda: bytearray(2**62),
        lambda: b"" * 10**30,
        lambda: int(1e300).to_bytes(4, "big"),
        lambda: pa.allocate_buffer(2**60),
    ],
)
def test_what_allocators_raise_is_memory(work):
    """Of Python, torch, NumPy and Arrow, each with too much and with more than an address can count."""
    with (
        pytest.raises(NotEnoughMemory, match=r"memory does not suffice to generate.*--batch-size"),
        memory.enough_memory("generate"),
    ):
        work()


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        OSError(12, "Cannot allocate memory"),
    ],
)
def test_of_a_gpu_too(error):
    wrapped = ValueError("worker failed")
    wrapped.__cause__ = error
    assert memory.is_memory_error(error) and memory.is_memory_error(wrapped)


@pytest.mark.parametrize(
    "error", [ValueError("no"), KeyError("memory"), OSError(2, "No such file"), ZeroDivisionError()]
)
def test_other_errors_are_not(error):
    assert not memory.is_memory_error(error)
    with pytest.raises(type(error)), memory.enough_memory("finetune"):
        raise error


def test_our_own_errors_pass():
    with pytest.raises(DataError), memory.enough_memory("finetune"):
        try:
            raise OverflowError
        except OverflowError:
            raise DataError("row 7")  # noqa: B904


def test_what_cannot_be_held_is_refused_beforehand(monkeypatch, tmp_path):
    (tmp_path / "meminfo").write_text("MemTotal:  8388608 kB\nMemFree: 1 kB\nSwapTotal:   4194304 kB\n")
    (tmp_path / "max").write_text("max\n")
    monkeypatch.setattr(memory, "MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(memory, "LIMIT", tmp_path / "max")
    memory.check_room(12 * 2**30, None, "--batch-size 9")
    with pytest.raises(NotEnoughMemory, match=r"--batch-size 9 takes at least 13 GiB.*there are 12.0 GiB: lower it"):
        memory.check_room(13 * 2**30, None, "--batch-size 9")
    (tmp_path / "max").write_text(f"{2**30}\n")
    with pytest.raises(NotEnoughMemory, match=r"there are 1.0 GiB"):
        memory.check_room(2 * 2**30, torch.device("cpu"), "--batch-size 9")


def test_a_system_that_does_not_say_how_much_there_is(monkeypatch, tmp_path):
    monkeypatch.setattr(memory, "MEMINFO", tmp_path / "none")
    monkeypatch.setattr(memory, "LIMIT", tmp_path / "none")
    memory.check_room(2**80, None, "--batch-size 9")


PEAKS = """
import torch
from mvc_hf.utils.memory import Peak

with Peak(torch.device("cpu")) as first:
    block = torch.ones(50_000_000)
del block
with Peak(torch.device("cpu")) as second:
    pass
print(first.bytes - second.bytes)
"""


@pytest.mark.skipif(not os.access("/proc/self/clear_refs", os.W_OK), reason="the system does not tell peaks")
def test_the_peak_of_a_stage_is_its_own():
    """In a process of its own: one that has been large before has the room already."""
    done = subprocess.run([sys.executable, "-c", PEAKS], capture_output=True, text=True, check=True)
    assert int(done.stdout) > 100_000_000
