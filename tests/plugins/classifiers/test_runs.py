from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pytest

from mvc_hf.ending import line_of
from mvc_hf.errors import DataError
from mvc_hf.plugins.classifiers import runs
from mvc_hf.plugins.classifiers.runs import Job
from mvc_hf.storage.notes import write_json


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


def outcome(job, **values):
    write_json(job.result, {"top1": 50.0, "updates": 6} | values)
    job.result.with_suffix(".flags").write_text(json.dumps(job.identity | {"seconds": 1.5}))


def test_a_training_is_known_by_its_flags_script_and_inputs(tmp_path):
    job = Job(tmp_path / "a.json", ("--lr", "1"), "train.py", "key")
    assert not job.finished
    outcome(job, right="101")
    assert job.finished and job.seconds() == 1.5 and job.outcome().right.tolist() == [True, False, True]
    for other in (("--lr", "2"), "train.py", "key"), (("--lr", "1"), "", "key"), (("--lr", "1"), "train.py", "other"):
        assert not Job(job.result, *other).finished
    for damage in (b"", b"[]", b"null", b"{", b'{"top1": "x"}'):
        job.result.with_suffix(".flags").write_bytes(damage)
        assert not job.finished
    outcome(job)
    assert job.outcome().right is None
    job.result.write_bytes(b"{}")
    assert not job.finished


def test_each_process_has_a_gpu_of_its_own(monkeypatch):
    """By the number that the others' GPUs are hidden from it."""

    class Queue:
        def __init__(self, device):
            self.get = lambda: device

    monkeypatch.setattr(runs, "be_silent", lambda: None)
    monkeypatch.setattr(runs.signal, "signal", lambda *_: None)
    for visible, device, seen in (("", "cuda:1", "1"), ("2,5", "cuda:1", "5"), ("2,5", "cpu", "2,5")):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        runs._prepare(Queue(device))
        assert os.environ["CUDA_VISIBLE_DEVICES"] == seen


def test_places_are_gpus_or_cores(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr(runs, "cores", lambda: 3)
    assert runs.places() == ["cpu"] * 3 and runs.places(2) == ["cpu"] * 2
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    assert runs.places() == ["cuda:0", "cuda:1"] and runs.places(3) == ["cuda:0", "cuda:1", "cuda:0"]


SLEEPS = """
import os, sys, time, types
sys.modules["torch"] = types.SimpleNamespace(set_num_threads=lambda _: None)  # seconds of imports that nobody asks for
sys.modules["datasets"] = types.SimpleNamespace(disable_progress_bars=lambda: None)
from mvc_hf.ending import exit_code
from mvc_hf.plugins.classifiers import runs

def sleep(job):
    open(f"{job}.pid", "w").write(str(os.getpid()))
    os.replace(f"{job}.pid", job)
    time.sleep(600)

runs._train = sleep
if __name__ == "__main__":
    sys.exit(exit_code(lambda: list(runs.side_by_side(["a", "b"], ["cpu", "cpu"]))))
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_workers_end_with_the_process_that_waits_for_them(tmp_path, number, code):
    (tmp_path / "sleeps.py").write_text(SLEEPS)
    parent = subprocess.Popen([sys.executable, "sleeps.py"], cwd=tmp_path)
    pids = [int(_awaited(tmp_path / name).read_text()) for name in "ab"]
    parent.send_signal(number)
    assert parent.wait(300) == code
    deadline = time.monotonic() + 300
    while any(_is_alive(pid) for pid in pids):
        assert time.monotonic() < deadline, "an orphan goes on"
        time.sleep(0.05)


def _awaited(path):
    deadline = time.monotonic() + 300
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return path


def _is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
