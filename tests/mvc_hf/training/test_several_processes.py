"""Fine-tuning and generating on two processes, as torchrun starts them (gloo, on the CPU).

`accelerate launch --cpu` is no way to two of them: whatever `--num_processes` says, it may start one.
"""

import csv
import os
import socket
import subprocess
import sys

import datasets
import numpy as np
import pytest


@pytest.fixture
def launch(tmp_path):
    def run(*arguments):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", 2, "--master-port", port]
        done = subprocess.run(
            list(map(str, [*command, "-m", "mvc_hf.cli", *arguments])), cwd=tmp_path, capture_output=True, text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}, timeout=300,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done

    return run


def test_two_processes_do_what_one_does(launch, photos, tiny_base, tmp_path):
    from mvc_hf.config.recipe import Recipe
    from mvc_hf.generation.generate import generate
    from mvc_hf.training.finetune import finetune

    settings = {"max_train_steps": 4, "learning_rate": 1e-3, "validation_steps": 2}
    flags = ["--max-train-steps", 4, "--learning-rate", 1e-3, "--validation-steps", 2, "--base", tiny_base]
    finetune(Recipe(dataset=str(photos), base=str(tiny_base), train_batch_size=4, **settings), tmp_path / "one")
    launch("finetune", photos, "-o", tmp_path / "two", "--train-batch-size", 2, *flags)
    losses = []
    for out in ("one", "two"):
        with (tmp_path / out / "training_log.csv").open() as file:
            losses.append([float(row["loss"]) for row in csv.DictReader(file)])
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)

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
