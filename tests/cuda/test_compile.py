"""--compile on a GPU: minutes rather than seconds, so it has a file of its own. Skipped where there is none."""

import math

import datasets
import numpy as np
import pytest
import torch
from training_runs import change, log

from mvc_hf.config.recipe import Recipe
from mvc_hf.generation.generate import generate
from mvc_hf.training.finetune import finetune

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here: torch.cuda.is_available() says no")


def images(folder):
    found = datasets.load_dataset(str(folder), split="train")
    return np.stack([np.asarray(image, np.int64) for image in found["image"]])


def test_compiled_runs_are_a_rounding_away(photos, tiny_base, tmp_path, capsys):
    recipe = Recipe(
        dataset=str(photos), base=str(tiny_base), train_batch_size=4, max_train_steps=4, learning_rate=1e-3,
        lr_warmup_steps=1, images_per_class=2, num_inference_steps=3, batch_size=4, mixed_precision="bf16",
    )  # fmt: skip
    for name, settings in (("plain", {}), ("compiled", {"compile": True})):
        finetune(change(recipe, **settings), tmp_path / name / "checkpoint")
    a, b = ([float(row["loss"]) for row in log(tmp_path / name / "checkpoint")] for name in ("plain", "compiled"))
    assert all(map(math.isfinite, b)) and b == pytest.approx(a, rel=5e-2)
    assert capsys.readouterr().err.count("compiled, with the first use") == 1
    for name, settings in (("plain", {}), ("compiled", {"compile": True})):
        generate(change(recipe, **settings), tmp_path / "plain" / "checkpoint", tmp_path / name / "synthetic")
    difference = np.abs(images(tmp_path / "plain" / "synthetic") - images(tmp_path / "compiled" / "synthetic"))
    print(f"compiled: differs by at most {difference.max()} of 255")
    assert difference.max() <= 32
