"""Files that are read where they lie: what is asked for is fetched, again where it has to be."""

import io
import re

import pytest
from hub_server import File

from mvc_hf.hub.download.remote_files import RemoteFile, RemoteFiles

CONTENT = bytes(range(256)) * 100
FILE = "datasets/ann/set@main/data/a.parquet"


@pytest.fixture
def hub(remote):
    changes = {"data/a.parquet": File.of(CONTENT, lfs=True), "data/b.parquet": File.of(b"b", lfs=True)}
    remote.repo("ann/set").commit("main", "data", {**changes, "notes.json": File.of(b"{}")})
    return remote


def ranges(hub):
    return [re.fullmatch(r"bytes=(\d+)-(\d+)", request.headers["range"]).groups() for request in hub.calls("download")]


def test_only_the_ranges_asked_for_are_fetched(hub):
    with RemoteFile(FILE) as file:
        assert file.seek(-4, io.SEEK_END) == len(CONTENT) - 4 and file.read() == CONTENT[-4:]
        assert file.seek(10) == 10 and file.read(5) == CONTENT[10:15] and file.tell() == 15
        assert file.seek(5, io.SEEK_CUR) == 20 and file.read(0) == b""
        buffer = bytearray(3)
        assert file.readinto(buffer) == 3 and bytes(buffer) == CONTENT[20:23]
        file.seek(0, io.SEEK_END)
        assert file.read(10) == b"" and file.readable() and file.seekable()
    end = len(CONTENT)
    assert ranges(hub) == [(str(end - 4), str(end - 1)), ("10", "14"), ("20", "22")]
    with pytest.raises(ValueError, match="closed"):
        file.read(1)


@pytest.mark.parametrize("kind", [408, 429, 500, 503, "reset", "cut"])
def test_a_range_that_does_not_come_is_asked_for_again(hub, kind):
    """Also where the client has given up: it tries five times, and some errors not at all."""
    file = RemoteFile(f"hf://{FILE}")
    hub.fail("download", kind, times=12)
    assert file.read() == CONTENT and hub.waited


@pytest.mark.parametrize("call", ["info", "paths-info", "tree"])
def test_opening_is_tried_again(hub, call):
    hub.fail(call, 503, times=2)
    assert RemoteFile(FILE).read(3) == CONTENT[:3]


def test_a_range_that_comes_short_is_asked_for_again(hub):
    file = RemoteFile(FILE)
    hub.fail("download", b"half", times=2)
    assert file.read(100) == CONTENT[:100] and hub.waited == [1.0, 2.0]


def test_files_are_listed_and_small_ones_read_with_patience(hub):
    for call in ("info", "tree", "paths-info", "resolve", "download"):
        hub.fail(call, 503)
    files = RemoteFiles()
    names = files.glob("datasets/ann/set@main/data/*.parquet")
    assert [name.rpartition("/")[2] for name in sorted(names)] == ["a.parquet", "b.parquet"]
    assert files.read("datasets/ann/set@main/notes.json") == b"{}"
    assert files.read("datasets/ann/set@main/none.json") is None
    with files.open(FILE) as file:
        assert file.read() == CONTENT


def test_a_file_that_is_not_there_is_not_waited_for(hub):
    with pytest.raises(FileNotFoundError):
        RemoteFile("datasets/ann/set@main/none.parquet")
    assert not hub.waited
