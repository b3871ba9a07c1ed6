"""The recipes of the paper's sets: they parse, and each runs end to end on a miniature with the same columns."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import datasets
import numpy as np
import pytest
from PIL import Image

from mvc_hf.pipeline import Pipeline

RECIPES = sorted((Path(__file__).parents[1] / "recipes").glob("*.yaml"))
REDUCED = {"cifar10-reduced": 4000 // 10, "cifar100-reduced": 4000 // 100}


def ids(path):
    return path.stem


def test_every_set_of_the_paper_has_one():
    names = {path.stem for path in RECIPES}
    assert names == {"cifar10", "cifar100", "tiny-imagenet", "caltech101", "brain-tumor-mri", *REDUCED}


@pytest.mark.parametrize("path", RECIPES, ids=ids)
def test_it_parses_and_says_what_is_ours(path):
    pipeline = Pipeline.load(path)
    pipeline.check()
    recipe = pipeline.recipe
    assert recipe.captions == "blip2" and recipe.pairing == "same-class" and recipe.image_column
    assert recipe.max_images_per_class == REDUCED.get(path.stem)
    text = path.read_text(encoding="utf-8")
    assert "our choice" in text and f"{path.stem}-mvc/synthetic" in text and pipeline.output == f"{path.stem}-mvc"
    assert f"mvc-hf run recipes/{path.name}" in text


@pytest.mark.parametrize("path", RECIPES, ids=ids)
def test_it_runs_on_a_miniature(path, tiny_base, tmp_path):
    """The same columns, another size; templates instead of BLIP-2, whose weights nobody has here."""
    recipe = Pipeline.load(path).recipe
    names = ["one", "two"]
    rng = np.random.default_rng(0)
    images = [Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)) for _ in range(12)]
    columns = {recipe.image_column: images, recipe.label_column: [i % 2 for i in range(12)]}
    features = {recipe.image_column: datasets.Image(), recipe.label_column: datasets.ClassLabel(names=names)}
    if recipe.label_column == "fine_label":
        columns["coarse_label"], features["coarse_label"] = [0] * 12, datasets.ClassLabel(names=["all"])
    file = tmp_path / "miniature.parquet"
    datasets.Dataset.from_dict(columns, features=datasets.Features(features)).to_parquet(file)

    small = {"resolution": 16, "mixed_precision": "no", "max_train_steps": 1, "train_batch_size": 2, "batch_size": 8}
    small |= {"num_inference_steps": 1, "captions": "template", "base": str(tiny_base), "dataset": str(file)}
    if recipe.max_images_per_class:
        small["max_images_per_class"] = 3
    pipeline = Pipeline(replace(recipe, **small), output=str(tmp_path / "out"))
    pipeline.run()
    made = datasets.load_dataset(str(tmp_path / "out" / "synthetic"), split="train")
    real = 6 if recipe.max_images_per_class else 12
    assert made.features["label"].names == names
    assert np.bincount(made["label"]).tolist() == [recipe.per_image * real // 2] * 2
    assert (tmp_path / "out" / "captions.parquet").exists()
