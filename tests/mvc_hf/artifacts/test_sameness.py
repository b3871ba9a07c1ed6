"""What differs between a folder and a recipe, in words."""

import pytest
from shard_rows import NAMES

from mvc_hf.artifacts.sameness import refuse_others, words_of
from mvc_hf.artifacts.shards import ShardedDatasetWriter
from mvc_hf.errors import OutputError

IDENTITY = {"fine": 8, "dataset": "5eed", "checkpoint": "c0de", "base": None, "images_per_class": 4}


def of(images=40, steps=20, name="photos"):
    return {"source": {"name": name, "images": images}, "finetune": {"max_train_steps": steps}, "base": {"name": "sd"}}


@pytest.fixture
def folder(tmp_path):
    ShardedDatasetWriter(tmp_path / "out", IDENTITY, 4, 4, NAMES, of())
    return tmp_path / "out"


@pytest.mark.parametrize(
    ("known", "provenance", "says"),
    [
        ({"dataset": "0dd"}, of(41), "dataset (40 images of photos → 41 images of photos); choose"),
        ({"dataset": "0dd"}, of(), "dataset (another one of the same name: 40 images of photos); choose"),
        ({"checkpoint": "0dd"}, of(steps=40), "checkpoint (fine-tuned 20 steps → fine-tuned 40 steps); choose"),
        ({"checkpoint": "0dd"}, None, "checkpoint (fine-tuned 20 steps → this one); choose"),
        ({"base": "0dd"}, of(), "base (None → '0dd'); choose"),
        ({"fine": 9, "dataset": "0dd"}, of(41, name="a\nb"), "fine (8 → 9), dataset (40 images of photos → 41 images"),
    ],
)
def test_what_differs_is_named_as_far_as_it_is_known(folder, known, provenance, says):
    with pytest.raises(OutputError) as refused:
        refuse_others(folder, known, provenance)
    assert says in str(refused.value) and "\n" not in str(refused.value)


def test_what_is_the_same_or_not_known_yet_is_let_pass(folder, tmp_path):
    refuse_others(folder, {}, None)
    refuse_others(folder, {**IDENTITY, "images_per_class": 9}, of())
    refuse_others(tmp_path / "none", {"fine": 1}, None)
    (folder / "manifest.json").write_bytes(b"{")
    refuse_others(folder, {"fine": 1}, None)


def test_words_of_nothing():
    assert words_of(None) == words_of({"source": None, "finetune": {}}) == {}
