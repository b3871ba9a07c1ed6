"""Images of one patient stay on one side of a split."""

import io

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from sources import PETS, folder, parquet

from mvc_hf.artifacts.checkpoint import CheckpointMetadata
from mvc_hf.artifacts.schema import features
from mvc_hf.config.recipe import Recipe
from mvc_hf.data.base import by_class
from mvc_hf.data.groups import Groups
from mvc_hf.data.loading import open_dataset
from mvc_hf.errors import DataError
from mvc_hf.generation.generate import generate
from mvc_hf.storage.manifest import read_manifest
from mvc_hf.training.dataset import TrainingSet
from mvc_hf.training.finetune import finetune

IMAGES = st.lists(st.tuples(st.integers(0, 2), st.integers(-1, 9)), min_size=1, max_size=80)


@given(IMAGES, st.integers(0, 5), st.integers(0, 3))
def test_no_group_is_on_both_sides(images, wanted, seed):
    labels, codes = np.array(images).T
    members = by_class(labels, 3, np.arange(len(labels)))
    wanted = np.minimum(wanted, [len(rows) // 2 for rows in members])
    kept = Groups([str(i) for i in range(10)], codes).holdout(members, wanted, seed)
    held_out = np.concatenate(kept)
    rest = np.setdiff1d(np.arange(len(labels)), held_out)
    assert not set(codes[held_out][codes[held_out] >= 0]) & set(codes[rest])
    for rows, mine, most in zip(members, kept, wanted):
        assert set(mine) <= set(rows) and len(mine) <= len(rows) // 2
        assert not len(mine) or most  # none of a class of which none is wanted


def test_without_groups_as_many_as_wanted():
    labels = np.repeat([0, 1], [40, 60])
    members = by_class(labels, 2, np.arange(100))
    kept = Groups([], np.full(100, -1)).holdout(members, np.array([4, 6]), 0)
    assert list(map(len, kept)) == [4, 6]
    other = Groups([], np.full(100, -1)).holdout(members, np.array([4, 6]), 1)
    assert [*map(list, kept)] != [*map(list, other)]


def test_a_group_larger_than_what_is_wanted_is_taken_where_no_smaller_one_is_there():
    groups = Groups(list("abcd"), np.repeat(np.arange(4), 10))
    members = [np.arange(40)]
    (kept,) = groups.holdout(members, np.array([2]), 0)
    assert len(kept) == 10 and len(set(groups.codes[kept])) == 1
    (kept,) = Groups(["a"], np.zeros(40, int)).holdout(members, np.array([2]), 0)
    assert not len(kept)  # all images of a class are never held out


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    """24 patients of 4 images each; some have images of both classes. One image is nobody's."""
    rng = np.random.default_rng(0)
    rows = {"image": [], "label": [], "patient": []}
    for number in range(96):
        buffer = io.BytesIO()
        small = Image.fromarray(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8))
        small.resize((16, 16), Image.Resampling.BICUBIC).save(buffer, "PNG")
        patient = number // 4
        rows["image"].append({"bytes": buffer.getvalue(), "path": None})
        rows["label"].append("ill" if patient % 3 == 0 or (patient % 3 == 1 and number % 2) else "well")
        rows["patient"].append(None if number == 95 else f"p{patient:02d}")
    path = tmp_path_factory.mktemp("scans") / "scans.parquet"
    pq.write_table(pa.table(rows), path)
    return str(path)


def test_groups_of_a_column(scans):
    groups = Groups.of(open_dataset(scans), "patient")
    assert len(groups.names) == 24 and groups.name(5) == "p01"
    assert groups.name(95) is None and groups.name(None) is None


def test_held_out_images_share_no_patient_with_the_others(scans, tiny_base, tmp_path, monkeypatch):
    made = []
    init = TrainingSet.__init__
    monkeypatch.setattr(TrainingSet, "__init__", lambda self, *a, **k: made.append(self) or init(self, *a, **k))
    settings = {"train_batch_size": 4, "max_train_steps": 1, "holdout_fraction": 0.25, "group_column": "patient"}
    notes = finetune(Recipe(dataset=scans, base=str(tiny_base), **settings), tmp_path / "out")
    patients = np.array(open_dataset(scans).column("patient")[:])
    held_out, rest = set(patients[made[0].held_out]), set(patients[made[0].rows])
    assert len(made[0].held_out) >= 20 and not (held_out & rest) - {None}
    assert (
        notes.recipe["group_column"] == "patient" == CheckpointMetadata.load(tmp_path / "out").recipe["group_column"]
    )


def test_the_group_of_the_condition_is_recorded_where_asked_for(scans, tiny_base, tmp_path):
    settings = {"train_batch_size": 4, "max_train_steps": 1}
    finetune(Recipe(dataset=scans, base=str(tiny_base), **settings), tmp_path / "checkpoint")
    recipe = {"dataset": scans, "images_per_class": 8, "num_inference_steps": 1}
    generate(Recipe(**recipe, group_column="patient"), tmp_path / "checkpoint", tmp_path / "with")
    generate(Recipe(**recipe), tmp_path / "checkpoint", tmp_path / "without")
    found = datasets.load_dataset(str(tmp_path / "with"), split="train")
    patients = open_dataset(scans).column("patient")[:]
    assert found["group"] == [patients[row] for row in found["condition"]]
    assert list(found.features) == [*features(()), "group"]
    assert "- name: group" in (tmp_path / "with" / "README.md").read_text()
    plain = datasets.load_dataset(str(tmp_path / "without"), split="train")
    assert plain.features == features(tuple(plain.features["label"].names))
    assert "group_column" not in read_manifest(tmp_path / "without")["made_from"]
    assert plain["condition"] == found["condition"]

    generate(
        Recipe(**recipe, group_column="patient", method="pretrained", base=str(tiny_base)),
        tmp_path / "checkpoint", tmp_path / "pretrained",
    )  # fmt: skip
    assert "group" not in datasets.load_dataset(str(tmp_path / "pretrained"), split="train").column_names


def test_columns_that_are_no_groups(tmp_path):
    path = parquet(tmp_path / "x.parquet", ["a", "b"], extra={"boxes": [[1, 2], [3]]})
    with pytest.raises(DataError, match=r"row 0 of x\.parquet: the column 'boxes' holds list"):
        Groups.of(open_dataset(str(path)), "boxes")
    with pytest.raises(DataError, match="no column 'patient'"):
        Groups.of(open_dataset(str(path)), "patient")
    with pytest.raises(DataError, match="pets has no column 'patient': it has no columns, only pictures and labels"):
        Groups.of(open_dataset(str(folder(tmp_path / "pets", PETS))), "patient")
