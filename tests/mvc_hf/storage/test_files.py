"""Files: read and digested, if they are files; and where the cache lies."""

import os
from pathlib import Path

import pytest

from mvc_hf.errors import DataError
from mvc_hf.storage.files import cache_root, digests, read_file


@pytest.mark.parametrize(
    "settings, expected",
    [
        ({"MVC_HF_CACHE": "/a", "HF_HOME": "/b", "XDG_CACHE_HOME": "/c"}, "/a"),
        ({"HF_HOME": "/b", "XDG_CACHE_HOME": "/c"}, "/b/mvc_hf"),
        ({"XDG_CACHE_HOME": "/c"}, "/c/huggingface/mvc_hf"),
        ({"MVC_HF_CACHE": "", "HF_HOME": "", "XDG_CACHE_HOME": ""}, "~/.cache/huggingface/mvc_hf"),
        ({"MVC_HF_CACHE": "~/x"}, "~/x"),
    ],
)
def test_the_cache_lies_where_the_environment_says(monkeypatch, settings, expected):
    for name in ("MVC_HF_CACHE", "HF_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    assert cache_root() == Path(expected).expanduser()


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
