"""The recipes of the paper's sets: they parse, and each runs end to end on a miniature with the same columns."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import datasets
import numpy as np
import pytest
from PIL import Image

from mvc_hf import cli
from mvc_hf.config.run_recipe import RunRecipe
from mvc_hf.inspection.estimate import plan
from mvc_hf.workflows.pipeline import run

RECIPES = sorted((Path(__file__).parents[1] / "recipes").glob("*.yaml"))
REDUCED = {"cifar10-reduced": 4000 // 10, "cifar100-reduced": 4000 // 100}


def ids(path):
    return path.stem


def test_every_set_of_the_paper_has_one():
    names = {path.stem for path in RECIPES}
    assert names == {"cifar10", "cifar100", "tiny-imagenet", "caltech101", "brain-tumor-mri", *REDUCED}


@pytest.mark.parametrize("path", RECIPES, ids=ids)
def test_it_parses_and_says_what_is_ours(path):
    pipeline = RunRecipe.load(path)
    pipeline.check()
    recipe = pipeline.recipe
    assert recipe.captions == "blip2" and recipe.pairing == "same-class" and recipe.image_column
    assert recipe.max_images_per_class == REDUCED.get(path.stem)
    text = path.read_text(encoding="utf-8")
    assert "our choice" in text and f"{path.stem}-mvc/synthetic" in text and pipeline.output == f"{path.stem}-mvc"
    assert f"mvc-hf run recipes/{path.name}" in text


@pytest.mark.parametrize("path", RECIPES, ids=ids)
def test_it_plans_and_runs_on_a_miniature(path, tiny_base, tmp_path):
    """The same columns, another size; templates instead of BLIP-2, whose weights nobody has here."""
    recipe = RunRecipe.load(path).recipe
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
    pipeline = RunRecipe(replace(recipe, **small), output=str(tmp_path / "out"))
    assert plan(pipeline).disk["shards"] > 0 and not (tmp_path / "out").exists()
    run(pipeline)
    made = datasets.load_dataset(str(tmp_path / "out" / "synthetic"), split="train")
    real = 6 if recipe.max_images_per_class else 12
    assert made.features["label"].names == names
    assert np.bincount(made["label"]).tolist() == [recipe.per_image * real // 2] * 2
    assert (tmp_path / "out" / "captions.parquet").exists()


def test_the_reduced_set_as_class_folders(tmp_path, monkeypatch):
    """The example in the docs, on a stand-in for CIFAR-10: the images that fine-tuning takes."""
    docs = (Path(__file__).parents[1] / "docs" / "recipes.md").read_text(encoding="utf-8")
    (example,) = (line.strip() for line in docs.splitlines() if "-o cifar10-reduced-real/train" in line)
    assert RunRecipe.load("recipes/cifar10-reduced.yaml").recipe.max_images_per_class == 400
    example = example.replace("uoft-cs/cifar10", "cifar.parquet").replace("per-class 400", "per-class 2")
    features = datasets.Features({"img": datasets.Image(), "label": datasets.ClassLabel(names=["cat", "dog"])})
    rows = {"img": [Image.new("RGB", (8, 8), (i,) * 3) for i in range(12)], "label": [i % 2 for i in range(12)]}
    datasets.Dataset.from_dict(rows, features=features).to_parquet(tmp_path / "cifar.parquet")
    monkeypatch.chdir(tmp_path)
    assert cli.run(example.split()[1:]) == 0
    found = sorted(p.relative_to(tmp_path / "cifar10-reduced-real").as_posix() for p in tmp_path.rglob("*.png"))
    assert [Path(f).parent.as_posix() for f in found] == ["train/cat"] * 2 + ["train/dog"] * 2
    assert all(
        Image.open(tmp_path / "cifar10-reduced-real" / f).getpixel((0, 0))[0] == int(Path(f).stem) for f in found
    )
