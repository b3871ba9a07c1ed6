"""One task of an executor."""

import subprocess
import sys
import time

import pytest

from mvc_hf.config.recipe import Recipe
from mvc_hf.errors import OutputError, RecipeError
from mvc_hf.scaling import task
from mvc_hf.scaling.executors import write_task
from mvc_hf.storage.notes import write_json


def test_a_task_makes_its_share(photos, checkpoint, tmp_path):
    recipe = Recipe(dataset=str(photos), images_per_class=4, num_inference_steps=1, shard_size=3)
    file = write_task(tmp_path, recipe, checkpoint, tmp_path / "out")
    task.run(file, 1, 2)
    there = sorted(path.name for path in (tmp_path / "out" / "data").iterdir())
    assert there == ["train-00002-of-00004.parquet", "train-00003-of-00004.parquet"]
    task.run(file, 5, 9)  # a task for which nothing is left ends well; so does one that comes again
    task.run(file, 0, 2)
    assert (tmp_path / "out" / "README.md").exists()


def test_paths_hold_wherever_a_task_runs(photos, tmp_path, monkeypatch):
    monkeypatch.chdir(photos.parent)
    file = write_task(tmp_path, Recipe(dataset=photos.name, base="org/base"), "org/name@v1", tmp_path / "out")
    text = file.read_text()
    assert f'"dataset": "{photos}"' in text and '"base": "org/base"' in text and '"model": "org/name@v1"' in text


def test_a_task_that_cannot_be_read(tmp_path):
    (tmp_path / "task.json").write_text("{")
    with pytest.raises(OutputError, match=r"task\.json is not valid JSON"):
        task.run(tmp_path / "task.json", 0, 1)
    write_json(tmp_path / "task.json", {"model": "x", "out": "y", "recipe": {"imags": 3}})
    with pytest.raises(RecipeError, match="unknown setting 'imags'"):
        task.run(tmp_path / "task.json", 0, 1)


def test_a_task_ends_when_the_process_that_started_it_is_gone(tmp_path):
    """By SIGTERM, so that it lets go of what it holds."""
    inner = (
        "import signal, sys, time\nfrom pathlib import Path\nfrom mvc_hf.scaling import task\n"
        "signal.signal(signal.SIGTERM, lambda *_: (Path(sys.argv[1]).touch(), sys.exit()))\n"
        "task.CHECK = 0.05\ntask.end_with_parent()\nprint('on', flush=True)\ntime.sleep(60)\n"
    )
    outer = (
        "import subprocess, sys\n"
        "p = subprocess.Popen([sys.executable, '-c', *sys.argv[1:]], stdout=subprocess.PIPE)\np.stdout.readline()"
    )
    subprocess.run([sys.executable, "-c", outer, inner, str(tmp_path / "ended")], check=True, timeout=100)
    for _ in range(200):
        if (tmp_path / "ended").exists():
            return
        time.sleep(0.05)
    raise AssertionError("it goes on")
