"""The manifest beside the shards of a data set."""

import json

import pytest
from pushable import ODD_NAMES, SHARDS, data_set, fill

from mvc_hf.artifacts.shards import ShardedDatasetWriter
from mvc_hf.errors import OutputError
from mvc_hf.storage.manifest import check_data_set, read_manifest


def test_a_manifest_lists_shards_and_says_when_they_are_complete(tmp_path):
    made = ShardedDatasetWriter(tmp_path / "out", {"seed": 0}, 10, 4, ODD_NAMES)
    assert read_manifest(tmp_path / "out")["complete"] is False
    fill(made)
    manifest = read_manifest(tmp_path / "out")
    assert manifest["complete"] and manifest["rows"] == 10 and manifest["class_names"] == list(ODD_NAMES)
    assert [s["rows"] for s in manifest["shards"]] == [4, 4, 2]
    assert [s["file"] for s in manifest["shards"]] == [f"data/train-0000{i}-of-00003.parquet" for i in range(3)]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 1}', json.dumps({"format": 99, "made_from": {}})])
def test_a_manifest_that_is_not_ours_is_refused(tmp_path, text):
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(OutputError, match="not a manifest of mvc-hf"):
        read_manifest(tmp_path)


def test_a_damaged_data_set_is_not_trained_on(tmp_path):
    made = data_set(tmp_path / "out")
    check_data_set(tmp_path / "out")
    content = bytearray((made / SHARDS[0]).read_bytes())
    content[len(content) // 2] ^= 1
    (made / SHARDS[0]).write_bytes(content)
    with pytest.raises(OutputError, match=r"00000-of-00003\.parquet is not as it was made.*generate command again"):
        check_data_set(tmp_path / "out")


def test_folders_without_a_manifest_of_ours_are_not_checked(tmp_path):
    check_data_set(tmp_path)
    (tmp_path / "manifest.json").write_text('{"name": "a web page"}')
    check_data_set(tmp_path)


def test_a_folder_without_a_manifest_has_none(tmp_path):
    assert read_manifest(tmp_path) is None and read_manifest(tmp_path / "none") is None
