"""What an export says of itself: by it the same command goes on, and another one is refused."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..config.fields import flag
from ..config.stages.exporting import ExportSettings
from ..errors import OutputError
from ..storage.layout import CLASSES, EXPORT, PICTURES
from ..storage.locks import strangers
from ..storage.notes import read_json, write_json
from ..utils.text import brief, one_line
from .selection import Selection

INFO = "_info.json"  # of WebDataset, as timm reads it
WAY_OUT = "choose another folder"
# What says where images are read, not which: that is in their digest.
NOT_COMPARED = ("scores", "follow_symlinks", "image_column", "label_column", "real_image_column", "real_label_column")


def refuse_foreign(folder: Path) -> None:
    """Look before anything is read. Raises OutputError: the folder has something in it, and no export of ours."""
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{one_line(str(folder))} is a file: choose a folder")
    if _found(folder) is None and (others := strangers(folder, EXPORT)):
        raise OutputError(
            f"{one_line(str(folder))} holds {brief(others[0])}, and is no export: choose an empty or a new folder (-o)"
        )


def made_from(selection: Selection, settings: ExportSettings) -> dict[str, Any]:
    """Everything that decides what is written."""
    digest = hashlib.blake2b(digest_size=16)
    digest.update(json.dumps(selection.class_names).encode())
    for part in selection.parts:
        digest.update(part.source.fingerprint.encode())
        digest.update(part.rows.astype("<i8").tobytes() + part.labels.astype("<i8").tobytes())
    named = dict(zip(("synthetic", "real"), (part.source.name for part in selection.parts)))
    given = {n: v for n, v in dataclasses.asdict(settings).items() if n not in NOT_COMPARED}
    return {**named, **given, "images": digest.hexdigest()}


def claim(folder: Path, made: dict[str, Any]) -> None:
    """Write what is exported into the folder, or see that it is what is there already.

    Raises:
        OutputError: something else was exported into it; what differs is named.
    """
    there = _found(folder)
    if there is None:
        write_json(folder / EXPORT, {"made_from": made, "complete": False})
        return
    theirs = there.get("made_from")
    theirs = theirs if isinstance(theirs, dict) else {}
    names = [name for name in {**made, **theirs} if theirs.get(name) != made.get(name)]
    if names:
        other = [name for name in names if name != "images"]
        said = ", ".join(f"{_flag(n)} ({brief(theirs.get(n))} → {brief(made.get(n))})" for n in other)
        said = said or "the images are other ones, of the same names"
        raise OutputError(f"{one_line(str(folder))} was exported from something else: {said}; {WAY_OUT}")


def complete(folder: Path, made: dict[str, Any], counts: dict[str, int]) -> None:
    """Note that all is there, with the images of each class."""
    write_json(folder / EXPORT, {"made_from": made, "complete": True, "images_of_class": counts})


def refuse_strangers(folder: Path, known: Iterable[str], there: Iterable[str], below: str = "") -> None:
    """Raises OutputError: something lies between the files of an export that is none of them."""
    ours = {*known}
    ours |= {f".{name}.tmp" for name in ours}
    if others := sorted({*there} - ours):
        place = one_line(str(folder / below))
        raise OutputError(f"{place} holds {brief(others[0])}, which is not of this export: move it, or {WAY_OUT}")


def others_in(folder: Path) -> list[str]:
    """What lies in the folder of an export, besides notes and what a lock leaves."""
    return strangers(folder, EXPORT, CLASSES, PICTURES, INFO)


def _found(folder: Path) -> dict[str, Any] | None:
    try:
        return read_json(folder / EXPORT, WAY_OUT, {"made_from": dict, "complete": bool})
    except (FileNotFoundError, NotADirectoryError):
        return None


def _flag(name: str) -> str:
    return {"synthetic": "SYNTHETIC", "real": "--with-real"}.get(name) or flag(name)
