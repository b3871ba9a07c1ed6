"""Where the cache lies."""

from pathlib import Path

import pytest

from mvc_hf.storage.files import cache_root


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
def test_cache_root(monkeypatch, settings, expected):
    for name in ("MVC_HF_CACHE", "HF_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    assert cache_root() == Path(expected).expanduser()
