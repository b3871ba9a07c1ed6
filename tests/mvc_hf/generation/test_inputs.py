"""From settings and a checkpoint's record to data set, base and sizes."""

from types import SimpleNamespace

import pytest
import tiny
import torch
from sources import hub_parquet

from mvc_hf.artifacts.checkpoint import CheckpointMetadata
from mvc_hf.config.recipe import Recipe
from mvc_hf.errors import DataError, NotEnoughMemory, RecipeError
from mvc_hf.generation.generate import generate
from mvc_hf.generation.inputs import (
    base_of,
    check_sampling_fits,
    dataset_of,
    fit_of,
    real_counts,
    size_of,
    source_of,
    used_classes,
)


@pytest.fixture
def recipe(photos):
    return Recipe(dataset=str(photos), images_per_class=4, num_inference_steps=3, batch_size=4, shard_size=5)


def change(recipe, **settings):
    return Recipe(**(recipe.to_dict() | settings))


def test_local_source_must_be_given_again(recipe, checkpoint, tmp_path):
    with pytest.raises(RecipeError, match=r"give --dataset: .* local data set 'photos'"):
        generate(change(recipe, dataset=""), checkpoint, tmp_path / "out")
    with pytest.raises(RecipeError, match=r"give --base: .* local model 'tiny-base'"):
        generate(change(recipe, method="pretrained"), checkpoint, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_other_classes_are_refused(recipe, checkpoint, tmp_path):
    other = tiny.image_folder(tmp_path / "other", {"cat": 3, "dog": 3})
    with pytest.raises(
        DataError, match="checkpoint: it has 'cat', 'dog' besides and it lacks 'apple', 'pear', 'plum'"
    ):
        generate(change(recipe, dataset=str(other)), checkpoint, tmp_path / "out")


def known(**changes):
    """What a checkpoint of 32×16 pictures on the Hub says of itself."""
    values = {
        "fingerprint": "f",
        "recipe": {"fit": "pad", "label_column": "label"},
        "class_names": ("apple", "pear", "plum"),
        "source": {"name": "org/photos", "revision": None, "fingerprint": "5eed", "images": 27},
        "base": {"name": "org/base", "revision": "a" * 40, "fingerprint": "ba5e"},
        "resolution": 16,
        "native_size": (32, 16),
        "grey": False,
        "training": {},
        "versions": {},
        "images_of_class": (12, 0, 3),
    }
    return CheckpointMetadata(**values | changes)


@pytest.mark.parametrize(
    ("settings", "changes", "size"),
    [
        ({}, {}, (32, 16)),
        ({"image_size": 20}, {}, (20, 10)),  # the longer side, where they keep their proportions
        ({"image_size": 20}, {"recipe": {"fit": "stretch"}}, (20, 10)),
        ({"image_size": 20}, {"recipe": {"fit": "crop"}}, (20, 20)),
        ({"image_size": 20}, {"recipe": {}}, (20, 20)),
        ({"image_size": 20}, {"native_size": None}, (20, 20)),
        ({}, {"native_size": None}, (16, 16)),
        ({"image_size": 20, "method": "pretrained"}, {}, (20, 20)),  # the base knows of no other shape
        ({"image_size": 8}, {"native_size": (1000, 2)}, (8, 1)),
    ],
)
def test_sizes_of_what_comes_out(settings, changes, size):
    assert size_of(Recipe(**settings), known(**changes)) == size


def test_the_fit_is_that_of_the_checkpoint():
    assert fit_of(Recipe(fit="stretch"), known()) == "pad"
    assert fit_of(Recipe(method="pretrained"), known()) == "crop" == fit_of(Recipe(), known(native_size=None))


@pytest.mark.parametrize(
    ("name", "revision", "given", "found"),
    [
        ("org/photos", None, "", "org/photos"),
        ("org/photos", "a1b2", "", "org/photos@a1b2"),
        ("torchvision:CIFAR10", None, "", "torchvision:CIFAR10"),
        ("org/photos", "a1b2", "./mine", "./mine"),
    ],
)
def test_the_data_set_is_the_one_given_or_the_recorded_one(name, revision, given, found):
    source = {"name": name, "revision": revision, "fingerprint": "5eed"}
    assert dataset_of(Recipe(dataset=given), known(source=source)) == found


def test_the_base_is_the_one_given_or_the_recorded_one():
    assert base_of(Recipe(), known()) == f"org/base@{'a' * 40}"
    assert base_of(Recipe(base="./mine"), known()) == "./mine"


def test_classes_that_a_checkpoint_has_seen():
    assert used_classes(known()).tolist() == [True, False, True]
    assert used_classes(known(images_of_class=None)) is None


def test_real_images_are_counted_only_where_somebody_asks(photos):
    assert real_counts(Recipe(images_per_class=3, dataset="./none"), known()) is None
    assert real_counts(Recipe(per_image=1), known()).tolist() == [12, 0, 3]
    counted = real_counts(Recipe(per_image=1, dataset=str(photos)), known(native_size=None))
    assert counted.tolist() == [12, 12, 3]  # another data set than the checkpoint's


def test_columns_on_record_are_those_of_data_that_has_them(photos, tmp_path):
    """Trained on a table, given a folder; and a table whose columns have other names."""
    recorded = known(native_size=None, recipe={"label_column": "fruit", "image_column": "photo"})
    assert len(source_of(Recipe(dataset=str(photos)), recorded)) == 27
    table = str(hub_parquet(tmp_path / "x.parquet", [0, 1, 2], ["apple", "pear", "plum"]))
    assert len(source_of(Recipe(dataset=table), recorded)) == 3
    with pytest.raises(DataError, match=r"x\.parquet has no column 'fruits'"):
        source_of(Recipe(dataset=table, label_column="fruits"), recorded)


def test_what_cannot_fit_is_refused_by_the_flag_that_helps(monkeypatch):
    base = SimpleNamespace(vae=SimpleNamespace(config=SimpleNamespace(block_out_channels=(128, 256))))
    monkeypatch.setattr("mvc_hf.utils.memory._there_is", lambda device: 10**9)
    ask = lambda size=(64, 64), **more: check_sampling_fits(  # noqa: E731
        Recipe(**more), base, 512, size, torch.device("cpu")
    )
    ask(batch_size=2)
    with pytest.raises(NotEnoughMemory, match="--batch-size 8 at a resolution of 512"):
        ask(batch_size=8)
    ask(batch_size=6, mixed_precision="bf16")  # half as much
    with pytest.raises(NotEnoughMemory, match=r"of pictures of 8192×8192 \(--image-size\)"):
        ask(batch_size=3, size=(8192, 8192))
