"""Class names as names of folders, and what says which folder is which class."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from ...errors import DataError
from ...storage.layout import CLASSES
from ...storage.notes import read_json, write_json
from ...utils.text import is_text, normal, one_line
from ..base import SPLIT_NAMES
from ..links import Links

LONGEST = 100  # bytes of a name; file systems take 255, and some tools make longer names of it
UNSAFE = re.compile(r'[/\\:*?"<>|]|[^\S ]|[\x00-\x1f\x7f]')
# Names that Windows keeps for devices, with any ending.
DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


def folder_name(name: str) -> str:
    """A name that every file system takes, and in which nothing is hidden; what it takes already stays as it is."""
    safe = UNSAFE.sub("_", normal(name))
    safe = "".join(c if c.isprintable() else "_" for c in safe).strip(" ")
    safe = re.sub(r"^\.", "_", safe)
    safe = re.sub(r"\.$", "_", safe)
    safe = safe.encode()[:LONGEST].decode(errors="ignore").rstrip(" ")
    return f"_{safe}" if not safe or DEVICES.fullmatch(safe) else safe


def folder_names(class_names: Sequence[str], parent: str = "") -> list[str]:
    """A folder for each class, no two of which differ in case alone.

    Args:
        parent: name of the folder that they come into. Unless it is a split itself, a class that is called `train` or
            `test` would be taken for one.
    """
    names: list[str] = []
    taken: set[str] = set()
    splits = set() if parent.lower() in SPLIT_NAMES else set(SPLIT_NAMES)
    for class_name in class_names:
        safe = stem = folder_name(class_name)
        number = 1
        while safe.casefold() in taken | splits:
            number += 1
            safe = f"{stem}_{number}"
        taken.add(safe.casefold())
        names.append(safe)
    return names


def write_names(folder: Path, class_names: Sequence[str], folders: Sequence[str]) -> None:
    """Say which folder is which class; a place in the lists is the label."""
    write_json(folder / CLASSES, {"class_names": list(class_names), "folders": list(folders)})


def names_by_folder(folder: Path, links: Links | None = None) -> dict[str, str]:
    """The class of each folder, in the order of the labels, as `write_names` left it; empty where nothing did.

    Raises:
        DataError: the file is damaged.
    """
    path = folder / CLASSES
    if not path.is_file():
        return {}
    if links:
        links.check(path)
    try:
        found = read_json(path, "export again, or remove it", error=DataError)
    except FileNotFoundError:
        return {}
    names, folders = found.get("class_names"), found.get("folders")
    if not isinstance(names, list) or not isinstance(folders, list):  # other programs have files of this name, too
        return {}
    if len(names) != len(folders) or not all(isinstance(n, str) and is_text(n) for n in (*names, *folders)):
        raise DataError(f"{one_line(path.name)} does not name the class of each folder: export again, or remove it")
    return dict(zip(folders, names))
