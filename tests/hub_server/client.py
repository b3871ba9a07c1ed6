"""The clients of this process, made to talk to a hub of the tests."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from .server import LocalHub
from .users import ANN


def connect(hub: LocalHub, home: Any, monkeypatch: Any, token: str | None = ANN) -> list[float]:
    """Let the clients of this process talk to the hub, and wait for nothing.

    They read their environment when they are imported, which is long past: what they made of it is replaced here.

    Returns:
        The seconds that would have been waited, ours and the client's.
    """
    import datasets.config
    import huggingface_hub.file_download
    import huggingface_hub.utils._http
    from huggingface_hub import constants

    import mvc_hf.hub.retry

    values = {
        "ENDPOINT": hub.url, "HF_HUB_OFFLINE": False, "HF_HUB_DISABLE_XET": True, "HF_HUB_CACHE": f"{home}/hub",
        "HF_TOKEN_PATH": f"{home}/token", "HF_HUB_DISABLE_PROGRESS_BARS": True,
        "HUGGINGFACE_CO_URL_TEMPLATE": hub.url + "/{repo_id}/resolve/{revision}/{filename}",
    }  # fmt: skip
    for name, value in values.items():
        monkeypatch.setattr(constants, name, value)
    cached = Path(home) / "datasets"
    for name, value in {"HF_ENDPOINT": hub.url, "HF_HUB_OFFLINE": False, "HF_DATASETS_CACHE": cached}.items():
        monkeypatch.setattr(datasets.config, name, value)
    if token:
        monkeypatch.setenv("HF_TOKEN", token)
    else:
        monkeypatch.delenv("HF_TOKEN", raising=False)
    waited: list[float] = []
    quick = SimpleNamespace(**{**vars(time), "sleep": waited.append})
    monkeypatch.setattr(huggingface_hub.utils._http, "time", quick)
    monkeypatch.setattr(huggingface_hub.file_download, "time", quick)
    monkeypatch.setattr(mvc_hf.hub.retry, "sleep", waited.append)
    return waited
