"""Who holds the files while Arrow reads them: the exit code of the whole process hangs on it."""

import threading

import fsspec
import numpy as np
import pyarrow as pa
import pytest
import sources
from fsspec.implementations.memory import MemoryFile

from mvc_hf.data.sources.partial_parquet import PartialParquet
from mvc_hf.storage.parquet import _opened, open_parquet


@pytest.fixture
def readers(tmp_path, monkeypatch):
    """Kinds of the threads that read memory://x.parquet, through fsspec as files of the Hub are."""
    images = [{"bytes": np.random.default_rng(i).bytes(10_000), "path": None} for i in range(40)]
    path = sources.parquet(tmp_path / "x.parquet", ["a", "b"] * 20, images, extra={"text": ["x" * 100] * 40})
    fsspec.filesystem("memory").pipe("/x.parquet", path.read_bytes())
    found = set()
    read = MemoryFile.read

    def noted(self, *arguments):
        found.add(type(threading.current_thread()))
        return read(self, *arguments)

    monkeypatch.setattr(MemoryFile, "read", noted)
    yield found
    fsspec.filesystem("memory").rm("/x.parquet")


def test_no_thread_of_arrow_reads_a_file_object_of_python(readers):
    """Arrow's threads are strangers to Python, which makes dummies for them."""
    some = PartialParquet(("memory://x.parquet",))
    assert len(some.columns()) == 40
    assert len(some.pictures("image", np.array([3, 17, 39]))) == 3
    with open_parquet("/x.parquet", system=fsspec.filesystem("memory")) as file:
        file.read_row_group(0, use_threads=False)
    assert readers == {threading.Thread, threading._MainThread}


def test_the_mechanism_is_there_without_our_care(readers):
    """What the test above would see: read ahead, the usual way, it is Arrow's threads that read."""
    import pyarrow.parquet as pq

    with fsspec.open("memory://x.parquet") as file:
        pq.ParquetFile(file, pre_buffer=True).read()
    assert threading._DummyThread in readers


def test_local_files_are_opened_by_arrow_itself(tmp_path):
    path = sources.parquet(tmp_path / "x.parquet", ["a"])
    with _opened(str(path), None) as file:
        assert isinstance(file, pa.OSFile)
