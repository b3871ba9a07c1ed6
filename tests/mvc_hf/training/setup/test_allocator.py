"""Memory that is freed in a step is kept for the next."""

import ctypes
import os
import platform
import subprocess
import sys

import pytest
import torch

from mvc_hf.training.setup import allocator
from mvc_hf.training.setup.allocator import kept_for_reuse

CPU = torch.device("cpu")
# Page faults of a step that takes and frees 96 MiB, from a glibc that keeps nothing (M_MMAP_THRESHOLD), and within.
FAULTS = """
import ctypes, resource, torch
from mvc_hf.training.setup.allocator import kept_for_reuse

def faults():
    for step in range(12):
        if step == 8:  # the first steps find no places yet
            begun = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        [torch.ones(6 * 2**20) for _ in range(4)]
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - begun

ctypes.CDLL(None).mallopt(-3, 2**17)
before = faults()
with kept_for_reuse(torch.device("cpu")):
    print(before, faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
def test_within_it_a_step_takes_no_new_pages():
    unset = {name: value for name, value in os.environ.items() if name not in allocator._SET_BY_USER}
    done = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True, env=unset, timeout=120)
    before, within = map(int, done.stdout.split())
    assert within < before / 10, done


class Library:
    """A C library that notes what it is asked for."""

    def __init__(self):
        self.asked = []
        self.mallopt = lambda what, value: self.asked.append((what, value))
        self.malloc_trim = lambda pad: self.asked.append("trim")


@pytest.fixture
def library(monkeypatch):
    made = Library()
    monkeypatch.setattr(ctypes, "CDLL", lambda name: made)
    monkeypatch.setattr(platform, "libc_ver", lambda: ("glibc", "2.28"))
    for name in allocator._SET_BY_USER:
        monkeypatch.delenv(name, raising=False)
    return made


def test_it_ends_with_what_was_kept_given_back_also_after_an_error(library):
    with pytest.raises(ZeroDivisionError), kept_for_reuse(CPU):
        raise ZeroDivisionError
    assert library.asked == [(-3, 2**25), (-1, 2**31 - 1), (-1, 2**26), "trim"]


def test_a_gpu_another_library_and_what_the_user_has_set_are_left_alone(library, monkeypatch):
    with kept_for_reuse(torch.device("cuda")):
        pass
    with monkeypatch.context() as patch:
        patch.setattr(platform, "libc_ver", lambda: ("", ""))
        with kept_for_reuse(CPU):
            pass
    with monkeypatch.context() as patch:
        patch.delattr(library, "mallopt")
        with kept_for_reuse(CPU):
            pass
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "1000000")
    with kept_for_reuse(CPU):
        pass
    assert library.asked == []
