"""The manifest beside the shards of a synthetic data set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..errors import OutputError
from .integrity import check_folder, seen_to_by_another
from .layout import MANIFEST
from .notes import Kinds, read_json

KINDS: Kinds = {
    "format": int, "fingerprint": str, "made_from": dict, "provenance": dict | None, "rows": int, "shard_size": int,
    "class_names": list, "images_of_class": list | None, "parts": list | None, "complete": bool,
}  # fmt: skip


def check_data_set(folder: Path) -> None:
    """See that the shards of a data set in a folder are as they were made. Of folders of others nothing is on record.

    Raises:
        OutputError: one is missing or damaged.
    """
    if seen_to_by_another():
        return
    try:
        manifest = read_manifest(folder)
    except OutputError:  # other programs have files of this name, too
        return
    if manifest and manifest["complete"]:
        recorded = {shard["file"]: shard["sha256"] for shard in manifest["shards"]}
        check_folder(folder, recorded, "give its generate command again, which makes it again", OutputError)


def read_manifest(folder: Path, way_out: str = "give its generate command again") -> dict[str, Any] | None:
    """The manifest of a folder; None where there is none.

    Args:
        way_out: what to do where it cannot be read; ends the message.

    Raises:
        OutputError: there is one, but not of ours, or it is damaged.
    """
    remedy = f"not a manifest of mvc-hf, or no longer; {way_out}"
    try:
        manifest = read_json(folder / MANIFEST, remedy, KINDS)
    except (FileNotFoundError, NotADirectoryError):
        return None
    shards = manifest.setdefault("shards", [])
    named = isinstance(shards, list) and all(
        isinstance(shard, dict) and isinstance(shard.get("file"), str) and isinstance(shard.get("sha256"), str)
        for shard in shards
    )
    if manifest["format"] == 1 and named:
        return manifest
    raise OutputError(f"{folder / MANIFEST} is of another format: {remedy}")
