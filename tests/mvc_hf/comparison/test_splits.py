from __future__ import annotations

import datasets
import numpy as np
import pytest
from classifier_sets import write
from PIL import Image
from sources import parquet

from mvc_hf.comparison.splits import open_real
from mvc_hf.config.recipe import Recipe
from mvc_hf.errors import DataError, OutputError, RecipeError


@pytest.fixture
def sets(tmp_path):
    write(tmp_path / "real" / "train.parquet", 20)
    write(tmp_path / "real" / "test.parquet", 6, seed=1)
    return tmp_path / "real"


def rows(file):
    return datasets.Dataset.from_parquet(str(file)).cast_column("image", datasets.Image(decode=False)).to_list()


def test_the_recipes_view_is_what_is_copied(sets, tmp_path):
    """A part of each class, chosen by the seed; of the test images all."""
    real = open_real(Recipe(dataset=str(sets), max_images_per_class=5, seed=3), fraction=0.2)
    real.copy(tmp_path / "out")
    assert len(rows(tmp_path / "out/all/train.parquet")) == 10 and len(rows(tmp_path / "out/all/test.parquet")) == 6
    parts = [
        [row["image"]["bytes"] for row in rows(tmp_path / f"out/choice/{s}.parquet")] for s in ("train", "validation")
    ]
    assert list(map(len, parts)) == [8, 2] and not set(parts[0]) & set(parts[1])
    other = open_real(Recipe(dataset=str(sets), max_images_per_class=5, seed=4), fraction=0.2)
    assert other.key != real.key
    before = (tmp_path / "out/all/train.parquet").stat().st_mtime_ns
    real.copy(tmp_path / "out")
    assert (tmp_path / "out/all/train.parquet").stat().st_mtime_ns == before
    with pytest.raises(OutputError, match="on other images"):
        other.copy(tmp_path / "out")


def test_test_images_go_through_the_window_of_the_training_images(tmp_path):
    def deep(path, low, seed):
        rng = np.random.default_rng(seed)
        images = []
        for _ in range(4):
            file = tmp_path / "x.png"
            Image.fromarray(rng.integers(low, low + 1000, (4, 4), np.uint16)).save(file)
            images.append({"bytes": file.read_bytes(), "path": None})
        return parquet(path, ["a", "b"] * 2, images)

    deep(tmp_path / "real" / "train.parquet", 1000, 0)
    deep(tmp_path / "real" / "test.parquet", 30_000, 1)
    real = open_real(Recipe(dataset=str(tmp_path / "real"), window="1000,2000"), fraction=0.0)
    real.copy(tmp_path / "out")
    shown = datasets.Dataset.from_parquet(str(tmp_path / "out/all/test.parquet"))["image"]
    assert all(np.asarray(image).min() == 255 for image in shown), "far above the window"


def test_some_equal_test_images_are_said_and_most_are_refused(sets, tmp_path, capsys):
    train = datasets.Dataset.from_parquet(str(sets / "train.parquet"))
    test = datasets.Dataset.from_parquet(str(sets / "test.parquet"))
    datasets.concatenate_datasets([test, train.select([0])]).to_parquet(tmp_path / "some.parquet")
    datasets.concatenate_datasets([test.select([0]), train.select(range(3))]).to_parquet(tmp_path / "most.parquet")
    recipe = Recipe(dataset=str(sets))
    open_real(recipe, test_dataset=str(tmp_path / "some.parquet"), fraction=0.0).copy(tmp_path / "a")
    assert "warning: 1 of the 7 test images are training images" in capsys.readouterr().err
    with pytest.raises(DataError, match=r"3 of the 4 test images of most.parquet are training images"):
        open_real(recipe, test_dataset=str(tmp_path / "most.parquet"), fraction=0.0).copy(tmp_path / "b")


def test_without_a_test_set_nothing_begins(sets):
    for recipe, message in (
        (Recipe(), "no data set"),
        (Recipe(dataset=str(sets / "train.parquet")), "is one file"),
        (Recipe(dataset=str(sets), split="test"), "is the training split"),
    ):
        with pytest.raises(RecipeError, match=message):
            open_real(recipe, fraction=0.0)
    assert open_real(Recipe(dataset=str(sets / "train.parquet")), fraction=0.2, tested=False).test is None
