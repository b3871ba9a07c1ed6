"""Class folders with a picture a file, and metadata.jsonl, which says what each of them is."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

from ..config.stages.exporting import ExportSettings
from ..data.sources.class_folders import folder_names
from ..storage.layout import PICTURES
from ..storage.notes import atomic_write
from ..utils.progress import bar, done_before
from .pictures import ENDINGS, picture_file
from .record import others_in, refuse_strangers
from .selection import Part, Selection

THREADS, AT_A_TIME = 4, 64


def write(selection: Selection, out: Path, settings: ExportSettings) -> list[str]:
    """Write all pictures that are not there yet, and then the metadata. Returns the folder of each class.

    Raises:
        OutputError: the folders hold something else.
    """
    folders = folder_names(selection.class_names, out.absolute().name)
    there = _there(selection, out, folders)

    def write_one(place: tuple[Part, int, str]) -> None:
        part, i, folder = place
        data, ending = picture_file(part.source, int(part.rows[i]))
        name = f"{part.stems[i]}.{ending}"
        with atomic_write(out / folder / name, durable=False) as temporary:
            temporary.write_bytes(data)
        there[folder][part.stems[i]] = name

    for folder in there:
        (out / folder).mkdir(exist_ok=True)
    left = (place for place in _places(selection, folders) if place[0].stems[place[1]] not in there[place[2]])
    with bar(len(selection), "exporting", " images") as shown, ThreadPoolExecutor(THREADS) as pool:
        done_before(shown, sum(map(len, there.values())))
        while some := list(islice(left, AT_A_TIME)):
            for _ in pool.map(write_one, some):
                shown.update()
    if settings.metadata:
        with atomic_write(out / PICTURES) as temporary, temporary.open("w", encoding="utf-8") as file:
            for part, i, folder in _places(selection, folders):
                name = f"{folder}/{there[folder][part.stems[i]]}"
                told = {"file_name": name, "label": selection.class_names[part.labels[i]], **selection.told(part, i)}
                file.write(json.dumps(told, ensure_ascii=False, allow_nan=False) + "\n")
    return folders


def _places(selection: Selection, folders: list[str]) -> Iterator[tuple[Part, int, str]]:
    """Every picture with its folder."""
    for part in selection.parts:
        for i, label in enumerate(part.labels.tolist()):
            yield part, i, folders[label]


def _there(selection: Selection, out: Path, folders: list[str]) -> dict[str, dict[str, str]]:
    """For each class folder the files in it, by stem. An empty file is what a power cut left: it is written again."""
    stems: dict[str, set[str]] = {}
    for part, i, folder in _places(selection, folders):
        stems.setdefault(folder, set()).add(part.stems[i])
    refuse_strangers(out, stems, others_in(out))
    found: dict[str, dict[str, str]] = {}
    for folder, wanted in stems.items():
        known = {f"{stem}.{ending}" for stem in wanted for ending in ENDINGS.values()}
        files = list(os.scandir(out / folder)) if (out / folder).is_dir() else []
        refuse_strangers(out, known, [file.name for file in files], folder)
        found[folder] = {os.path.splitext(f.name)[0]: f.name for f in files if f.name in known and f.stat().st_size}
    return found
