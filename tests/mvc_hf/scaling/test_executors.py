"""Generating by datatrove's executors: the same data set as one process makes, whatever was killed on the way."""

import contextlib
import importlib.util
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import slurm_stand_in

from mvc_hf.config.recipe import Recipe
from mvc_hf.errors import HostError, MvcError, OutputError, RecipeError
from mvc_hf.generation.generate import generate
from mvc_hf.generation.selection import ShardRange
from mvc_hf.scaling import executors
from mvc_hf.scaling.executors import Execution, check_installed, execute

needs_datatrove = pytest.mark.skipif(
    importlib.util.find_spec("datatrove") is None, reason="datatrove is not installed"
)
needs_ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="ray is not installed")
SLURM = {"partition": "gpu", "time": "1:00:00", "sbatch_args": {"account": "abc"}}


@pytest.fixture
def recipe(photos):
    """Of 6 shards, each of two batches."""
    return Recipe(dataset=str(photos), images_per_class=8, num_inference_steps=3, batch_size=2, shard_size=4)


@pytest.fixture
def whole(recipe, checkpoint, tmp_path):
    generate(recipe, checkpoint, tmp_path / "whole")
    return files(tmp_path / "whole")


@pytest.fixture(autouse=True)
def looks_often(monkeypatch):
    monkeypatch.setattr(executors, "LOOK", 0.1)
    monkeypatch.setattr(executors, "ASK", 0.2)


def files(folder):
    """Everything in a folder by name; the card names it, and so is left out."""
    found = {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    return {name: content for name, content in found.items() if name != "README.md"}


def tasks_of(logs):
    """The tasks that run now: process by rank."""
    found = {}
    for line in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            words = line.read_bytes().split(b"\0")
            if str(logs / "task.json").encode() in words:
                found[int(words[-3])] = int(line.parent.name)
    return found


@contextlib.contextmanager
def killed_once(logs, out, rank):
    """Kill the task of a rank when it has written some rows."""
    over, killed = threading.Event(), []

    def look():
        while not over.wait(0.01) and not killed:
            begun = any(path.stat().st_size > 10_000 for path in (out / "data").glob(".*.spool"))
            process = tasks_of(logs).get(rank) if begun else None
            if process:
                os.kill(process, signal.SIGKILL)
                killed.append(process)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield killed
    finally:
        over.set()
        thread.join()


@needs_datatrove
@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="processes are found through /proc")
@pytest.mark.parametrize("workers", [1, 2, 3])
def test_a_killed_task_is_named_by_its_shards_and_the_same_call_goes_on(recipe, checkpoint, tmp_path, whole, workers):
    out, how = tmp_path / "out", Execution("local", max(workers, 2), workers, tmp_path / "logs")
    with killed_once(tmp_path / "logs", out, rank=1) as killed:
        try:
            execute(recipe, checkpoint, out, how)
        except OutputError as error:
            assert "shards are missing" in str(error) and "the same command goes on" in str(error)
            assert not (out / "README.md").exists()
        else:
            assert not killed  # too late: it was done
    execute(recipe, checkpoint, out, how)
    assert files(out) == whole


@needs_datatrove
def test_all_is_killed_and_what_datatrove_takes_for_done_does_not_count(recipe, checkpoint, tmp_path, whole):
    out, logs = tmp_path / "out", tmp_path / "logs"
    recipe.save(tmp_path / "recipe.yaml")
    code = (
        "import sys\nfrom pathlib import Path\nfrom mvc_hf.config.recipe import Recipe\n"
        "from mvc_hf.scaling.executors import Execution, execute\n"
        "execute(Recipe.load(sys.argv[1]), sys.argv[2], sys.argv[3], Execution('local', 2, 2, Path(sys.argv[4])))\n"
    )
    line = [sys.executable, "-c", code, *map(str, (tmp_path / "recipe.yaml", checkpoint, out, logs))]
    process = subprocess.Popen(line, start_new_session=True)
    while process.poll() is None and not list(out.glob("data/train-*")):
        time.sleep(0.01)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    (logs / "completions").mkdir(exist_ok=True)
    for rank in range(2):
        (logs / "completions" / f"{rank:05d}").touch()
    assert execute(recipe, checkpoint, out, Execution("local", 2, 2, logs)) == "24 images in 6 shards"
    assert files(out) == whole
    (out / "data" / "train-00003-of-00006.parquet").unlink()
    execute(recipe, checkpoint, out, Execution("local", 1, -1, logs))  # in other parts, too
    assert files(out) == whole


@needs_datatrove
def test_tasks_end_with_the_one_that_waits_for_them(recipe, checkpoint, tmp_path):
    """Otherwise they would hold their shards against the command that goes on."""
    from mvc_hf.scaling.step import GenerateShards

    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    file = executors.write_task(tmp_path, recipe, checkpoint, tmp_path / "out")
    GenerateShards(str(file), strict=False, coordinator=gone.pid).run()
    assert tasks_of(tmp_path) == {} and not list((tmp_path / "out").rglob("train-*.parquet"))


@needs_datatrove
def test_slurm(recipe, checkpoint, tmp_path, whole, monkeypatch):
    place = slurm_stand_in.install(tmp_path / "slurm")
    monkeypatch.setenv("PATH", f"{place}:{os.environ['PATH']}")
    how = Execution(
        "slurm", 2, -1, tmp_path / "logs", {**SLURM, "sbatch_args": {"account": "abc"}, "env_command": "true"}
    )
    assert execute(recipe, checkpoint, tmp_path / "out", how) == "24 images in 6 shards"
    assert files(tmp_path / "out") == whole
    script = (tmp_path / "logs" / "launch_script.slurm").read_text()
    assert "--partition=gpu" in script and "--account=abc" in script and "--array=0-1\n" in script
    assert "--qos" not in script
    (place / "refuse").touch()
    with pytest.raises(HostError, match="sbatch refused the job"):
        execute(recipe, checkpoint, tmp_path / "out", how)
    assert files(tmp_path / "out") == whole


def test_a_job_that_is_still_in_the_queue_is_waited_for(tmp_path, monkeypatch):
    place = slurm_stand_in.install(tmp_path / "slurm")
    monkeypatch.setenv("PATH", f"{place}:{os.environ['PATH']}")
    assert not executors._in_queue("1000")
    (place / "1000.queued").touch()
    assert executors._in_queue("1000")
    assert executors._job_of(tmp_path) is None


@needs_datatrove
@needs_ray
def test_ray(recipe, checkpoint, tmp_path, whole):
    how = Execution("ray", 2, 2, tmp_path / "logs", {"mem_per_cpu_gb": 1})
    assert execute(recipe, checkpoint, tmp_path / "out", how) == "24 images in 6 shards"
    assert files(tmp_path / "out") == whole


@needs_datatrove
def test_where_no_task_begins_the_command_fails(recipe, checkpoint, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(OutputError, match=r"no task began to write .*/out; their logs: "):
        execute(recipe, checkpoint, tmp_path / "out", Execution("local", 1, 1, tmp_path / "logs"))


@needs_datatrove
def test_what_is_wrong_is_said_before_a_task_begins(recipe, photos, checkpoint, tmp_path):
    how = Execution("local", 1, 1, tmp_path / "logs")
    with pytest.raises(MvcError, match=r"mvc\.json"):
        execute(recipe, photos, tmp_path / "out", how)
    generate(Recipe(**(recipe.to_dict() | {"seed": 5})), checkpoint, tmp_path / "other", shards=ShardRange("0"))
    with pytest.raises(OutputError, match="another recipe; these differ: seed"):
        execute(recipe, checkpoint, tmp_path / "other", how)
    assert not (tmp_path / "logs").exists()


def test_what_is_not_installed_is_named_with_its_extra(monkeypatch):
    there = importlib.util.find_spec

    def without(name):
        monkeypatch.setattr(importlib.util, "find_spec", lambda asked: None if asked == name else there("json"))

    without("datatrove")
    with pytest.raises(HostError, match=r'local needs datatrove: pip install "mvc_hf\[scale\]"'):
        check_installed("local")
    without("ray")
    with pytest.raises(HostError, match=r'needs Ray: pip install "mvc_hf\[ray\]"'):
        check_installed("ray")
    without("")
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(HostError, match="needs Slurm, and there is no sbatch here"):
        check_installed("slurm")


def test_slurm_within_slurm(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: True)
    monkeypatch.setenv("PATH", str(slurm_stand_in.install(tmp_path / "slurm")))
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
    with pytest.raises(HostError, match="within a Slurm array already"):
        check_installed("slurm")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"tasks": 0}, "--tasks is 0"),
        ({"workers": 0}, "--workers is 0"),
        ({"executor": "slurm"}, "needs --partition and --time"),
        ({"executor": "slurm", "options": {"partition": "gpu"}}, "needs --time"),
    ],
)
def test_settings_out_of_their_limits(settings, words):
    with pytest.raises(RecipeError, match=words):
        Execution(**{"executor": "local", **settings})
