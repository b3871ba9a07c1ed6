"""Fine-tuning and generating on two processes, as torchrun starts them (gloo, on the CPU).

`accelerate launch --cpu` is no way to two of them: whatever `--num_processes` says, it may start one.
"""

import os
import subprocess
import sys

import datasets
import numpy as np
import pytest
import watched_cli
from training_runs import assert_same_run, log

from mvc_hf.config.recipe import Recipe

SETTINGS = {"max_train_steps": 5, "learning_rate": 1e-3, "validation_steps": 2}
FLAGS = ["--max-train-steps", 5, "--learning-rate", 1e-3, "--validation-steps", 2, "--checkpointing-steps", 2]


@pytest.fixture(scope="module")
def launch(tmp_path_factory):
    folder = tmp_path_factory.mktemp("launched")

    def run(*arguments, code=0, **environment):
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", 2]
        ours = {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true", "MVC_HF_CACHE": str(folder / "cache")}
        done = subprocess.run(
            list(map(str, [*command, watched_cli.__file__, *arguments])), cwd=folder, capture_output=True, text=True,
            env=os.environ | ours | {"WATCHED": str(folder)} | environment, timeout=600,
        )  # fmt: skip
        assert done.returncode == code, done.stderr
        return done

    run.folder = folder
    return run


@pytest.fixture(scope="module")
def two(launch, photos, tiny_base):
    """A run of two processes. Not to be written to."""
    out = launch.folder / "two"
    (launch.folder / "watched").mkdir()
    command = ["finetune", photos, "-o", out, "--base", tiny_base, "--train-batch-size", 2, *FLAGS]
    launch(*command, WATCHED=str(launch.folder / "watched"))
    return out


def test_two_processes_do_what_one_does(launch, two, photos, tiny_base, tmp_path):
    from mvc_hf.generation.generate import generate
    from mvc_hf.training.finetune import finetune

    finetune(Recipe(dataset=str(photos), base=str(tiny_base), train_batch_size=4, **SETTINGS), tmp_path / "one")
    for column in ("loss", "held_out_loss", "seen_loss"):
        one, other = ([float(row[column] or 0) for row in log(out)] for out in (tmp_path / "one", two))
        assert other == pytest.approx(one, rel=1e-4)

    flags = ["--dataset", photos, "--images-per-class", 4, "--num-inference-steps", 2, "--shard-size", 5]
    generate(
        Recipe(dataset=str(photos), images_per_class=4, num_inference_steps=2, shard_size=5),
        tmp_path / "one", tmp_path / "images-1",
    )  # fmt: skip
    done = launch("generate", tmp_path / "one", "-o", tmp_path / "images-2", *flags)
    one, two = (datasets.load_dataset(str(tmp_path / f"images-{i}"), split="train") for i in (1, 2))
    assert len(two) == 12 and one["mix"] == two["mix"] and one["condition"] == two["condition"]
    pictures = [np.stack([np.asarray(image, int) for image in found["image"]]) for found in (one, two)]
    assert np.abs(pictures[0] - pictures[1]).max() <= 1
    assert done.stdout.count("12 images of 3 classes in 3 shards") == 1


@pytest.mark.parametrize(("what", "count"), [("encode_images", 27), ("encode_text", 25)])
def test_one_process_encodes_for_both(two, what, count):
    """Both try the base out on a sample or two."""

    def encoded(rank):
        lines = (two.parent / "watched" / f"{rank}.txt").read_text().splitlines()
        return sum(int(line.split()[1]) for line in lines if line.startswith(what))

    assert encoded(0) - encoded(1) == count and encoded(1) <= 2


def test_a_run_that_lost_a_process_ends_and_goes_on(launch, two, photos, tiny_base):
    """Killed in the fourth update: what is lost is the third, which no checkpoint has."""
    out = launch.folder / "killed"
    command = ["finetune", photos, "-o", out, "--base", tiny_base, "--train-batch-size", 2, *FLAGS]
    done = launch(*command, code=1, DIES="3")
    lines = [line for line in done.stderr.splitlines() if line.startswith("Error")]
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("Error (rank 0): lost the connection to another process")
    assert lines[0].endswith("the same command goes on from what is saved")
    assert [path.name for path in (out / "checkpoints").glob("step-*")] == ["step-00000002"]
    done = launch(*command)
    assert "going on from step 2 of 5" in done.stderr
    assert_same_run(two, out)
