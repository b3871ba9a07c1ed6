"""Files that are no files."""

import os

import pytest

from mvc_hf.errors import DataError
from mvc_hf.storage.files import digests, read_file


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes in this file system")
def test_a_pipe_or_a_device_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    for file in (tmp_path / "pipe", tmp_path / "zero", tmp_path):
        with pytest.raises(DataError, match=r"^it cannot be read \((no regular file|Is a directory)\)"):
            read_file(file, "it")
        with pytest.raises(DataError, match="cannot be read"):
            next(digests([file]))


def test_what_is_a_file_is_read_whole(tmp_path):
    (tmp_path / "x").write_bytes(b"x" * 3_000_000)
    (tmp_path / "link").symlink_to("x")
    assert read_file(tmp_path / "link", "it") == b"x" * 3_000_000
    assert next(digests([tmp_path / "x"])) == next(digests([tmp_path / "link"]))
