"""Shards, read picture by picture."""

import pytest
from pushable import SHARDS, data_set
from sources import parquet

from mvc_hf.artifacts.reader import ShardReader
from mvc_hf.errors import DataError, OutputError
from mvc_hf.storage.manifest import read_manifest


@pytest.fixture
def shards(tmp_path):
    return ShardReader.of(data_set(tmp_path / "out"), read_manifest(tmp_path / "out"))


def test_rows_sizes_and_images_of_each_class_are_counted(shards, tmp_path):
    on_disk, raw = shards.sizes()
    assert on_disk == sum((tmp_path / "out" / name).stat().st_size for name in SHARDS) and raw > 0
    assert shards.rows == 9 and shards.images_of_class(4).tolist() == [3, 3, 3, 0]


def test_the_first_images_of_classes_are_read(shards):
    found = shards.first_images([0, 2], 2)
    assert {label: [image.getpixel((0, 0)) for image in images] for label, images in found.items()} == {
        0: [0, 3],
        2: [2, 5],
    }
    assert [len(images) for images in shards.first_images([1, 3], 100).values()] == [3, 0]


def test_a_missing_shard_is_told(tmp_path):
    folder = data_set(tmp_path / "out")
    (folder / SHARDS[1]).unlink()
    with pytest.raises(OutputError, match=r"lacks train-00001-of-00003\.parquet: give the command"):
        ShardReader.of(folder, read_manifest(folder))


def test_shards_that_were_rewritten_with_paths_are_refused(tmp_path):
    for cell in ({"bytes": None, "path": "1.png"}, None):
        path = parquet(tmp_path / "x.parquet", [0, 1], [{"bytes": b"x", "path": "2.png"}, cell])
        with pytest.raises(DataError, match="a picture of the class 1 is empty: replace or remove it"):
            ShardReader((path,), 2).first_images([1], 1)
