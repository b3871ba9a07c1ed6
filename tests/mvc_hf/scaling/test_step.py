"""The step of datatrove's pipelines."""

import subprocess
import sys
from types import SimpleNamespace

import pytest

pytest.importorskip("datatrove", reason="datatrove is not installed")

import dill

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
