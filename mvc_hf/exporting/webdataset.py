"""Shards of WebDataset: tar files of which three entries are a sample, and `_info.json`, as timm's `wds/` reads it."""

from __future__ import annotations

import io
import json
import math
import tarfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from ..config.stages.exporting import ExportSettings
from ..data.base import SPLIT_NAMES
from ..data.sources.class_folders import folder_names
from ..storage.notes import atomic_write
from ..utils.progress import bar, done_before
from ..utils.rng import Stream, words
from .pictures import picture_file
from .record import INFO, others_in, refuse_strangers
from .selection import Part, Selection

THREADS, AT_A_TIME = 4, 64
FEWEST, USUAL = 16, 1000  # shards, since each worker of a loader needs one; and images of a shard


def write(selection: Selection, out: Path, settings: ExportSettings) -> list[str]:
    """Write all shards that are not there yet, and then the list of them. Returns the name of each class in keys.

    A shard holds a fixed range of the images in an order that the seed decides: neighbours are of different classes.

    Raises:
        OutputError: the folder holds something else.
    """
    split = split_of(out)
    size = settings.shard_size or min(USUAL, math.ceil(len(selection) / FEWEST))
    parts = np.concatenate([np.full(len(part), number) for number, part in enumerate(selection.parts)])
    places = np.concatenate([np.arange(len(part)) for part in selection.parts])
    order = np.argsort(words(settings.seed, Stream.EXPORT, parts, places, 1)[:, 0], kind="stable")
    shards = [order[start : start + size] for start in range(0, len(order), size)]
    names = [f"{split}-{number:06d}.tar" for number in range(len(shards))]
    folders = folder_names(selection.class_names, split)
    refuse_strangers(out, names, others_in(out))
    with bar(len(selection), "exporting", " images") as shown, ThreadPoolExecutor(THREADS) as pool:
        for name, shard in zip(names, shards):
            if (out / name).exists():
                done_before(shown, len(shard))
                continue
            with atomic_write(out / name) as temporary, tarfile.open(temporary, "w") as tar:
                for start in range(0, len(shard), AT_A_TIME):
                    some = [(selection.parts[parts[n]], int(places[n])) for n in shard[start : start + AT_A_TIME]]
                    for files in pool.map(lambda place: list(_sample(selection, folders, *place)), some):
                        for file, data in files:
                            _add(tar, file, data)
                        shown.update()
    about = {"name": split, "num_samples": len(selection), "filenames": names, "shard_lengths": [*map(len, shards)]}
    with atomic_write(out / INFO) as temporary:
        temporary.write_text(json.dumps({"splits": {split: about}}, indent=2) + "\n", encoding="utf-8")
    return folders


def split_of(out: Path) -> str:
    """The name of the split: that of the folder, where it is one."""
    name = out.absolute().name.lower()
    return name if name in SPLIT_NAMES else "train"


def _sample(selection: Selection, folders: list[str], part: Part, i: int) -> Iterator[tuple[str, bytes]]:
    """The files of a sample: the picture, its label as a number, and what is known of it."""
    label = int(part.labels[i])
    key = f"{folders[label]}/{part.stems[i]}"
    data, ending = picture_file(part.source, int(part.rows[i]))
    told = {"label": label, "class_name": selection.class_names[label], **selection.told(part, i)}
    yield f"{key}.{ending}", data
    yield f"{key}.cls", str(label).encode()
    yield f"{key}.json", json.dumps(told, ensure_ascii=False, allow_nan=False).encode()


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    """A file without owner and time: the same images give the same bytes."""
    info = tarfile.TarInfo(name)
    info.size = len(data)
    tar.addfile(info, io.BytesIO(data))
