"""How many images each class gets, and in which order its rows come."""

import itertools
import time
from dataclasses import replace

import datasets
import numpy as np
import pytest
import tiny
from hypothesis import given
from hypothesis import strategies as st

from mvc_hf.artifacts.checkpoint import CheckpointMetadata
from mvc_hf.config.recipe import Recipe
from mvc_hf.errors import OutputError, RecipeError
from mvc_hf.generation.counts import addresses, addresses_of, balanced, identity, images_of_class, spread
from mvc_hf.generation.generate import generate
from mvc_hf.storage.manifest import read_manifest
from mvc_hf.training.finetune import finetune

REAL = st.lists(st.integers(0, 30), min_size=1, max_size=8).map(np.array)
COUNTS = st.lists(st.integers(0, 12), min_size=1, max_size=8).filter(any).map(np.array)


def one_by_one(real, total):
    """Each image to the smallest class so far, the first of several."""
    counts = np.zeros_like(real)
    for _ in range(total):
        counts[np.argmin(real + counts)] += 1
    return counts


@given(REAL, st.integers(0, 200))
def test_balancing_is_giving_each_image_to_the_smallest_class(real, total):
    counts = balanced(real, total)
    assert counts.sum() == total and (counts == one_by_one(real, total)).all()
    filled = (real + counts)[counts > 0]
    if len(filled):  # no class that gets images ends above another one by more than what does not divide
        assert filled.max() - (real + counts).min() <= 1


@given(st.integers(1, 50), st.integers(1, 500))
def test_spreading_is_exact_and_even(classes, total):
    counts = spread(classes, total)
    assert counts.sum() == total and counts.max() - counts.min() <= 1
    assert (np.diff(counts) <= 0).all()


@pytest.mark.parametrize(
    ("settings", "counts"),
    [
        ({}, [100, 0, 100, 0]),
        ({"images_per_class": 7}, [7, 0, 7, 0]),
        ({"total": 5}, [3, 0, 2, 0]),
        ({"total": 5, "balance": True}, [1, 0, 4, 0]),
        ({"per_image": 3}, [18, 0, 9, 0]),
    ],
)
def test_classes_without_images_get_none(settings, counts):
    real = np.array([6, 0, 3, 0])
    assert images_of_class(Recipe(**settings), 4, real, real > 0).tolist() == counts
    with pytest.raises(RecipeError, match="no image to make"):
        images_of_class(Recipe(**settings), 4, real * 0, real < 0)


def test_what_is_recorded_of_equal_counts_does_not_hang_on_the_first_class():
    assert identity(Recipe(), np.array([0, 7, 7])) == identity(Recipe(), np.array([7, 7, 7]))


@given(COUNTS)
def test_every_address_comes_once_and_k_ascends(counts):
    labels, k = addresses(counts)
    for label, count in enumerate(counts):
        assert k[labels == label].tolist() == list(range(count))
    assert len(labels) == counts.sum()


@given(st.integers(1, 20), st.integers(1, 20))
def test_equal_counts_come_in_the_order_that_they_always_had(classes, each):
    labels, k = addresses(np.full(classes, each))
    rows = np.arange(classes * each)
    assert (labels == rows % classes).all() and (k == rows // classes).all()


@given(COUNTS, st.integers(1, 10))
def test_each_shard_has_its_share_of_each_class(counts, shards):
    labels, _ = addresses(counts)
    ends = np.linspace(0, len(labels), shards + 1).round().astype(int)
    for first, last in itertools.pairwise(ends):
        share = counts * (last - first) / len(labels)
        got = np.bincount(labels[first:last], minlength=len(counts))
        assert np.abs(got - share).max() <= 1 + len(counts) * counts.max() / len(labels)


@given(COUNTS, st.data())
def test_parts_come_one_behind_the_other(counts, data):
    more = st.lists(st.integers(0, 9), min_size=len(counts), max_size=len(counts)).map(np.array)
    ends = np.cumsum([counts, data.draw(more), data.draw(more)], axis=0).tolist()
    labels, k = addresses_of(ends)
    for number, end in enumerate(ends, 1):
        assert [part.tolist() for part in addresses_of(ends[:number])] == [
            part[: sum(end)].tolist() for part in (labels, k)
        ]
        assert np.bincount(labels[: sum(end)], minlength=len(end)).tolist() == end
    for label, count in enumerate(ends[-1]):
        assert k[labels == label].tolist() == list(range(count))


@given(st.integers(1, 8), st.lists(st.integers(1, 9), min_size=1, max_size=4, unique=True).map(sorted))
def test_equal_parts_are_in_the_order_of_one(classes, each):
    made = addresses_of([[count] * classes for count in each])
    assert [part.tolist() for part in made] == [part.tolist() for part in addresses(np.full(classes, each[-1]))]


def test_three_and_three_thousand():
    counts = images_of_class(Recipe(total=5000, balance=True), 2, np.array([3, 3000]))
    assert counts.tolist() == [3999, 1001]  # with the real ones: 4,002 and 4,001
    labels, _ = addresses(counts)
    for first in range(0, 5000, 1000):
        assert 799 <= (labels[first : first + 1000] == 0).sum() <= 801


def test_settings():
    real = np.array([3, 10])
    assert images_of_class(Recipe(), 2).tolist() == [100, 100]
    assert images_of_class(Recipe(images_per_class=7), 2).tolist() == [7, 7]
    assert images_of_class(Recipe(total=7), 2).tolist() == [4, 3]
    assert images_of_class(Recipe(total=9, balance=True), 2, real).tolist() == [8, 1]
    assert images_of_class(Recipe(per_image=2), 2, real).tolist() == [6, 20]


def test_thousands_of_classes_take_no_time():
    rng = np.random.default_rng(0)
    real = rng.integers(1, 1000, 20_000)
    started = time.process_time()
    counts = images_of_class(Recipe(total=10_000_000, balance=True), len(real), real)
    labels, k = addresses(images_of_class(Recipe(total=1_000_000), len(real)))
    assert time.process_time() - started < 10
    assert counts.sum() == 10_000_000 and (real + counts).max() - (real + counts).min() <= 1
    assert len(labels) == len(k) == 1_000_000


@pytest.fixture(scope="module")
def uneven(tmp_path_factory):
    """A class of 3 images and one of 60, in the proportion of few and many."""
    return tiny.image_folder(tmp_path_factory.mktemp("uneven") / "uneven", {"many": 60, "rare": 3})


@pytest.fixture(scope="module")
def checkpoint(uneven, tiny_base, tmp_path_factory):
    out = tmp_path_factory.mktemp("checkpoint") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MVC_HF_CACHE", str(out.parent / "cache"))
        finetune(Recipe(dataset=str(uneven), base=str(tiny_base), train_batch_size=4, max_train_steps=1), out)
    return out


def recipe_of(uneven, **settings):
    return Recipe(**{"dataset": str(uneven), "num_inference_steps": 1, "batch_size": 32, "shard_size": 40} | settings)


def labels_of(folder):
    return np.bincount(datasets.load_dataset(str(folder), split="train")["label"], minlength=2).tolist()


def test_a_rare_class_is_topped_up(uneven, checkpoint, tmp_path):
    generate(recipe_of(uneven, total=77, balance=True), checkpoint, tmp_path / "out")
    assert labels_of(tmp_path / "out") == [10, 67]  # with the real ones: 70 and 70
    for shard in (tmp_path / "out" / "data").glob("*.parquet"):
        assert set(datasets.Dataset.from_parquet(str(shard))["label"]) == {0, 1}
    assert read_manifest(tmp_path / "out")["images_of_class"] == [10, 67]


def test_images_for_each_real_image_without_the_data_set(uneven, checkpoint, tiny_base, tmp_path):
    """The checkpoint knows how many there were."""
    assert CheckpointMetadata.load(checkpoint).images_of_class == (60, 3)
    recipe = recipe_of(uneven, dataset="", method="pretrained", base=str(tiny_base), per_image=1)
    generate(recipe, checkpoint, tmp_path / "out")
    assert labels_of(tmp_path / "out") == [60, 3]


def test_notes_of_older_versions(uneven, checkpoint, tiny_base, tmp_path):
    import json
    import shutil

    old = shutil.copytree(checkpoint, tmp_path / "old")
    notes = json.loads((old / "mvc.json").read_text())
    del notes["images_of_class"]
    del notes["seal"]
    (old / "mvc.json").write_text(json.dumps(notes))
    recipe = recipe_of(uneven, method="pretrained", base=str(tiny_base), total=10, balance=True)
    with pytest.raises(RecipeError, match="give --dataset"):
        generate(replace(recipe, dataset=""), old, tmp_path / "out")
    generate(recipe, old, tmp_path / "out")
    assert labels_of(tmp_path / "out") == [0, 10]


def test_counts_are_part_of_what_a_data_set_is(uneven, checkpoint, tmp_path, capsys):
    generate(recipe_of(uneven, total=4, balance=True), checkpoint, tmp_path / "out")
    assert "1 of 2 classes get no synthetic image: 'many'" in capsys.readouterr().err
    for fewer in ({"total": 4}, {"images_per_class": 2}, {"total": 3, "balance": True}):
        with pytest.raises(OutputError, match=r"of 4 images of 'rare', and this asks for [23]"):
            generate(recipe_of(uneven, **fewer), checkpoint, tmp_path / "out")
    generate(recipe_of(uneven, total=6, balance=True), checkpoint, tmp_path / "out")
    assert labels_of(tmp_path / "out") == [0, 6]


def test_the_default_is_a_hundred_of_each_class(uneven, checkpoint, tmp_path):
    from mvc_hf.generation.opening import open_generator
    from mvc_hf.utils.distributed import Alone

    found = [open_generator(recipe_of(uneven, **n), checkpoint, Alone()) for n in ({}, {"images_per_class": 100})]
    assert found[0].made_from == found[1].made_from
    assert found[0].made_from["images_per_class"] == 100 and "images_of_class" not in found[0].made_from


def test_one_image_a_class(tiny_base, tmp_path, capsys):
    photos = tiny.image_folder(tmp_path / "photos", {"a": 1, "b": 1, "c": 2})
    settings = {"train_batch_size": 2, "max_train_steps": 2, "captions": "template:a {}"}
    finetune(Recipe(dataset=str(photos), base=str(tiny_base), **settings), tmp_path / "checkpoint")
    said = capsys.readouterr().err
    assert said.count("2 of 3 classes have one image, which is its own condition: 'a', 'b'") == 1
    assert said.count("3 of 3 classes have one caption and cannot be mixed") == 1
    assert said.count("no class has 10 images") == 1
    generate(recipe_of(photos, per_image=3), tmp_path / "checkpoint", tmp_path / "out")
    found = datasets.load_dataset(str(tmp_path / "out"), split="train")
    assert np.bincount(found["label"]).tolist() == [3, 3, 6]
    assert {(row["label"], row["condition"]) for row in found if row["label"] < 2} == {(0, 0), (1, 1)}


def test_three_thousand_classes(tiny_base, tmp_path):
    """Of one or two images each, end to end; every class comes out under its own name."""
    import io

    import pyarrow as pa
    import pyarrow.parquet as pq
    from PIL import Image

    pixel = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(pixel, "PNG")
    names = [f"class {i:04d}" for i in range(3000)] + [f"class {i:04d}" for i in range(0, 3000, 2)]
    images = [{"bytes": pixel.getvalue(), "path": None}] * len(names)
    pq.write_table(pa.table({"image": images, "label": names}), tmp_path / "many.parquet")
    data = str(tmp_path / "many.parquet")
    settings = {"train_batch_size": 4, "max_train_steps": 1, "captions": "template:{}", "resolution": 8}
    finetune(Recipe(dataset=data, base=str(tiny_base), **settings), tmp_path / "checkpoint")
    recipe = recipe_of(data, total=4500 - 3000, balance=True, batch_size=256, shard_size=750, guidance_scale=1.0)
    generate(recipe, tmp_path / "checkpoint", tmp_path / "out")
    found = datasets.load_dataset(str(tmp_path / "out"), split="train")
    assert found.features["label"].names == sorted(set(names))
    assert found["label"] == list(range(1, 3000, 2))  # those of one image get a second one


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"images_per_class": 10**8}, "that comes to 300,000,000 images; a data set may have 100,000,000"),
        ({"per_image": 10**8}, "a data set may have 100,000,000"),
        ({"total": 10**7, "shard_size": 1}, "--shard-size 1 makes more than 99,999 shards .*: take at least 101"),
    ],
)
def test_more_than_a_data_set_can_hold(settings, says):
    with pytest.raises(RecipeError, match=says):
        images_of_class(Recipe(**settings), 3, np.array([5, 2**33, 7]))
