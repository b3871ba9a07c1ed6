"""What names something on the Hub."""

from __future__ import annotations

import re
from pathlib import Path

MODEL, DATASET = "model", "dataset"  # kinds of repositories, as the Hub's client calls them


def is_hub_id(name: str) -> bool:
    """Whether a name is of the form org/name, and nothing of that name lies on the disk."""
    parts = name.partition("@")[0].split("/")
    return len(parts) == 2 and all(parts) and parts[0] not in (".", "..", "~") and not Path(name).exists()


HUB_ID = re.compile(r"(?P<id>[\w-][\w.-]*/[\w-][\w.-]*)(?P<rest>(?::[^:@]+)?(?:@[^:@]+)?|@[^:@]+:[^:@]+)")


def hub_id(name: str | None) -> str | None:
    """The "org/name" of a recorded name, without configuration; None where it is not of the Hub."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    match = HUB_ID.fullmatch(name or "")
    try:
        if match:
            validate_repo_id(match["id"])
            return match["id"]
    except HFValidationError:
        pass
    return None


def word(kind: str | None) -> str:
    return {"model": "model", "dataset": "data set"}.get(kind or "", str(kind))
