"""Where files lie that can be made or fetched again."""

from __future__ import annotations

import os
from pathlib import Path


def cache_root() -> Path:
    """MVC_HF_CACHE, or `mvc_hf` in the cache folder of the Hugging Face libraries."""
    home = os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "huggingface"
    return Path(os.environ.get("MVC_HF_CACHE") or Path(home) / "mvc_hf").expanduser()
