"""What mvc.json says of a checkpoint."""

import json

import pytest
from pushable import NAMES, pushable_checkpoint

from mvc_hf.artifacts.checkpoint import CheckpointMetadata, load_captions, versions
from mvc_hf.errors import ModelError


@pytest.fixture
def folder(tmp_path):
    return pushable_checkpoint(tmp_path / "checkpoint")


def refused(folder, match):
    with pytest.raises(ModelError, match=match) as caught:
        CheckpointMetadata.load(folder)
    assert "\n" not in str(caught.value)


def test_what_is_saved_comes_back(folder):
    found = CheckpointMetadata.load(folder)
    assert (found.class_names, found.native_size, found.format) == (NAMES, (16, 16), 1)
    found.save(folder)
    assert CheckpointMetadata.load(folder) == found


def test_captions_are_those_of_the_classes(folder):
    table = load_captions(folder, NAMES)
    assert len(table) == 2


def test_versions_name_this_package_and_its_libraries():
    assert {"mvc_hf", "torch", "diffusers"} <= set(versions())


def test_a_folder_without_metadata_is_refused(folder):
    (folder / "mvc.json").unlink()
    refused(folder, r"has no mvc\.json: it is not a checkpoint of mvc-hf finetune")


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"format": 2}, "has format 2: made by a newer mvc-hf, update this one"),
        ({"class_names": "cat"}, "has no usable 'class_names'"),
        ({"native_size": 16}, "has no usable 'native_size'"),
        ({"source": {"name": "x"}}, "has no usable 'source'"),
    ],
)
def test_unusable_metadata_is_refused_by_field(folder, changes, match):
    values = json.loads((folder / "mvc.json").read_text())
    values = {name: value for name, value in values.items() if name != "seal"} | changes
    (folder / "mvc.json").write_text(json.dumps(values))
    refused(folder, match)
