"""The step of datatrove's pipelines."""

import os
import signal
import subprocess
import sys
import threading
from types import SimpleNamespace

import pytest

pytest.importorskip("datatrove", reason="datatrove is not installed")

import dill

from mvc_hf.ending import exit_code
from mvc_hf.errors import OutputError
from mvc_hf.scaling import step
from mvc_hf.scaling.step import GenerateShards


@pytest.fixture
def ends(monkeypatch):
    """Every task is a process that ends with the code that is given."""
    start = subprocess.Popen
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # so that nobody is asked for GPUs

    def with_code(code):
        monkeypatch.setattr(
            step.subprocess, "Popen", lambda line, **how: start([sys.executable, "-c", f"raise SystemExit({code})"])
        )

    return with_code


def test_a_failed_task_fails_its_job_where_it_has_one_of_its_own(ends):
    ends(1)
    with pytest.raises(OutputError, match="task 3 ended with exit code 1"):
        GenerateShards("task.json", strict=True).run(None, 3, 5)
    GenerateShards("task.json", strict=False).run(None, 3, 5)
    ends(0)
    GenerateShards("task.json", strict=True).run(None, 3, 5)


def test_a_task_leaves_no_handler_of_signals_behind(ends, monkeypatch):
    ends(0)
    before = signal.getsignal(signal.SIGTERM)
    GenerateShards("task.json", strict=True).run(None, 3, 5)
    assert signal.getsignal(signal.SIGTERM) == before


def test_the_task_ends_with_the_command_that_runs_it_itself(monkeypatch):
    """With one worker there is no pool: what SIGTERM raises in the command ends the task, and is raised on."""
    start, started = subprocess.Popen, []

    def sleep(line, **how):
        started.append(start([sys.executable, "-c", "import time; time.sleep(600)"]))
        threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGTERM)).start()
        return started[0]

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr(step.subprocess, "Popen", sleep)
    assert exit_code(lambda: GenerateShards("task.json", strict=True).run(None, 0, 1)) == 128 + signal.SIGTERM
    assert started[0].wait(10) == -signal.SIGTERM


def test_what_crosses_to_other_machines_is_a_path():
    sent = dill.dumps(GenerateShards("/shared/logs/task.json", strict=True))
    assert len(sent) < 2000 and b"/shared/logs/task.json" in sent


@pytest.mark.parametrize(
    ("worker", "visible", "found"),
    [((1,), "4,5,7", "4"), ((3,), "4,5,7", "7"), ((4,), "4,5,7", "4"), ((2,), "0", "0"), ((), "0,1", "0,1")],
)
def test_each_worker_has_a_gpu_of_its_own(monkeypatch, worker, visible, found):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setattr(step.multiprocess, "current_process", lambda: SimpleNamespace(_identity=worker))
    made = step.environment()
    assert made["CUDA_VISIBLE_DEVICES"] == found and "RANK" not in made
