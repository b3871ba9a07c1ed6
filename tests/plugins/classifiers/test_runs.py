from __future__ import annotations

import multiprocessing
import os
import time
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pytest

from mvc_hf.ending import line_of
from mvc_hf.errors import DataError
from mvc_hf.plugins.classifiers import runs
from mvc_hf.plugins.classifiers.runs import Job


@pytest.fixture
def forked(monkeypatch):
    monkeypatch.setattr(runs, "get_context", lambda _: multiprocessing.get_context("fork"))
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1}, raising=False)


def fails_beside_a_long_one(job):
    started, ended = map(Path, job.flags)
    if started.name == "none":
        while not (started.parent / "started").exists():
            time.sleep(0.01)
        raise DataError("row 3 is broken: mend it")
    started.touch()
    time.sleep(20)
    ended.touch()


def test_the_first_error_ends_the_runs_beside_it(forked, monkeypatch, tmp_path):
    """Nobody waits for minutes to hear of it."""
    monkeypatch.setattr(runs, "_train", fails_beside_a_long_one)
    jobs = [Job(tmp_path, (str(tmp_path / name), str(tmp_path / "ended"))) for name in ("started", "none")]
    with pytest.raises(DataError, match=r"^row 3 is broken: mend it$"):
        list(runs.side_by_side(jobs))
    assert not (tmp_path / "ended").exists()


def killed(_):
    os._exit(9)


def test_a_process_that_is_killed_is_one_line(forked, monkeypatch, tmp_path):
    """As systems do that run out of memory."""
    monkeypatch.setattr(runs, "_train", killed)
    with pytest.raises(BrokenProcessPool) as caught:
        list(runs.side_by_side([Job(tmp_path, ())]))
    assert line_of(caught.value).startswith("a worker process was ended from outside")
