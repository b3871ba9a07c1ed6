"""Some rows of Parquet files: everything else of all rows, and of the pictures those that are wanted."""

from pathlib import Path

import fsspec
import numpy as np
import pytest
from sources import parquet, png

from mvc_hf.data.sources.partial_parquet import PartialParquet


@pytest.fixture
def files(tmp_path):
    """Two files with row groups of two rows; picture i is grey of value i."""
    shards = [(0, 5), (5, 8)]
    return tuple(
        str(
            parquet(
                tmp_path / f"{first}.parquet",
                ["cat", "dog", "cat", "dog", "cat"][: last - first],
                [{"bytes": png(i), "path": None} for i in range(first, last)],
                extra={"text": [f"caption {i}" for i in range(first, last)]},
            )
        )
        for first, last in shards
    )


def test_columns_are_those_of_all_rows_without_their_pictures(files):
    found = PartialParquet(files)
    assert found.sizes == [5, 3]
    table = found.columns().with_format("arrow")[:]
    assert table["text"].to_pylist() == [f"caption {i}" for i in range(8)]
    assert table["image"].null_count == 8 and table["label"].to_pylist()[5:] == ["cat", "dog", "cat"]


def test_pictures_are_those_of_the_rows_wanted(files):
    table = PartialParquet(files).pictures("image", np.array([1, 4, 5, 7])).with_format("arrow")[:]
    assert [cell["bytes"] for cell in table["image"].to_pylist()] == [png(i) for i in (1, 4, 5, 7)]


def test_files_elsewhere_are_read_as_those_here(files, tmp_path):
    memory = fsspec.filesystem("memory")
    memory.pipe("/0.parquet", (tmp_path / "0.parquet").read_bytes())
    found = PartialParquet(("memory://0.parquet",))
    assert found.columns().with_format("arrow")[:]["text"].to_pylist() == [f"caption {i}" for i in range(5)]
    assert len(found.pictures("image", np.array([0, 3]))) == 2
    memory.rm("/0.parquet")
    again = PartialParquet(("memory://0.parquet",))
    assert len(again.columns()) == 5  # from the cache: the file is not there any more


def test_a_file_that_was_changed_is_read_again(files):
    assert len(PartialParquet(files[:1]).columns()) == 5
    parquet(Path(files[0]), ["cat"], [{"bytes": png(9), "path": None}])
    assert len(PartialParquet(files[:1]).columns()) == 1
