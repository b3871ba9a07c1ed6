"""Single rows of a synthetic data set, in a folder or on the Hub, with what is on record of how they were made.

Only the row's own group is read; the rest of a data set stays where it is.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..data import decoding
from ..data.named_pictures import path_instead
from ..errors import DataError
from ..storage.layout import MANIFEST
from ..storage.manifest import read_manifest
from ..storage.parquet import open_parquet
from ..utils.text import reason
from .schema import features
from .shards import MADE_FROM

if TYPE_CHECKING:
    from PIL import Image

SHARDS = "data/train-*.parquet"
COUNTED = re.compile(r"train-\d+-of-\d+\.parquet")


@dataclass(frozen=True)
class Row:
    """A row and what it came from.

    Attributes:
        columns: as in the file.
        made_from: the settings and fingerprints that decided it, as the shard records them.
        checkpoint: name and revision, as far as the data set records them.
        folder: of the data set, where it is on this machine.
    """

    number: int
    columns: dict[str, Any]
    class_name: str
    made_from: dict[str, Any]
    checkpoint: dict[str, Any]
    folder: Path | None

    def __getitem__(self, column: str) -> Any:
        return self.columns[column]

    def image(self) -> Image.Image:
        """The picture as it is stored.

        Raises:
            DataError: it is broken.
        """
        return decoding.decode(self["image"]["bytes"], f"the picture of row {self.number}")


def find_row(dataset: str, number: int) -> Row:
    """A row of a data set that `generate` made.

    Args:
        dataset: its folder, or its Hub id[@revision].

    Raises:
        DataError: there is no such data set or row, or it is not one of ours.
    """
    import pyarrow as pa

    files, opened, manifest, folder = _opened(dataset)
    if not files:
        raise DataError(f"{dataset} has no {SHARDS}: it is not a data set of mvc-hf generate")
    _check_all_there(files, dataset)
    try:
        columns, schema = _read(files, opened, number, dataset)
    except (OSError, ValueError, pa.ArrowException) as error:
        remedy = "give its generate command again, or fetch it again"
        raise DataError(f"row {number} of {dataset} cannot be read ({reason(error)}): {remedy}") from error
    made_from = json.loads((schema.metadata or {}).get(MADE_FROM, b"null")) or manifest.get("made_from")
    missing = [name for name in features(()) if name not in columns]
    if missing or made_from is None:
        lacks = f"no column {missing[0]!r}" if missing else "no record of how it was made"
        raise DataError(f"{dataset} has {lacks}: it is not a data set of mvc-hf generate, or its files were rewritten")
    _check_picture(columns["image"], f"row {number} of {dataset}")
    checkpoint = (manifest.get("provenance") or {}).get("checkpoint") or {}
    return Row(number, columns, _class_name(schema, columns["label"]), made_from, checkpoint, folder)


def _opened(dataset: str) -> tuple[list[str], Any, dict[str, Any], Path | None]:
    """The shards, their file system (None: this machine's), the manifest ({} without one), and the folder if here."""
    from ..hub.ids import is_hub_id

    folder = Path(dataset).expanduser()
    if folder.is_dir():
        files = sorted(str(path) for path in folder.glob(SHARDS))
        return files, None, read_manifest(folder) or {}, folder
    if not is_hub_id(dataset):
        raise DataError(f"no data set at {dataset!r}: give a folder made by mvc-hf generate, or its Hub id")
    from ..hub.download.data_sets import resolve
    from ..hub.download.remote_files import RemoteFiles

    name, _, revision = dataset.partition("@")
    commit, unreachable = resolve(name, revision or None)
    if commit is None:
        raise DataError(f"{dataset} is no folder here, and the Hub cannot be asked for it: {unreachable}")
    system, root = RemoteFiles(), f"datasets/{name}@{commit}"
    try:
        files = sorted(system.glob(f"{root}/{SHARDS}"))
        manifest = json.loads(system.read(f"{root}/{MANIFEST}") or "{}")
    except Exception as error:  # whatever the Hub's client raises
        raise DataError(f"{dataset} cannot be read from the Hub: {reason(error)}") from error
    return files, system, manifest, None


def _check_all_there(files: list[str], dataset: str) -> None:
    """A row is found by counting: a missing shard would give another one. Raises DataError."""
    names = [file.rpartition("/")[2] for file in files]
    count = int(names[0].removesuffix(".parquet").rpartition("-")[2]) if COUNTED.fullmatch(names[0]) else 0
    missing = [name for i in range(count) if (name := f"train-{i:05d}-of-{count:05d}.parquet") not in names]
    if missing:
        raise DataError(f"{dataset} lacks data/{missing[0]}: give its generate command again, or fetch it again")


def _read(files: list[str], system: Any, number: int, dataset: str) -> tuple[dict[str, Any], Any]:
    """The columns of a row, and the schema of its shard. All shards but the last are of one size."""

    def shard(index: int) -> Any:
        return open_parquet(files[index], system=system)

    with shard(0) as first:
        size = first.metadata.num_rows
    index, left = divmod(number, max(size, 1))
    with shard(min(index, len(files) - 1)) as file:
        if index >= len(files) or left >= file.metadata.num_rows:
            rows = (len(files) - 1) * size + (file.metadata.num_rows if len(files) > 1 else 0) or size
            raise DataError(f"{dataset} has no row {number}: it has {rows}, counted from 0")
        for group in range(file.num_row_groups):
            rows = file.metadata.row_group(group).num_rows
            if left < rows:
                return file.read_row_group(group, use_threads=False).slice(left, 1).to_pylist()[0], file.schema_arrow
            left -= rows
    raise DataError(f"{dataset} has no row {number}")


def _check_picture(cell: Any, where: str) -> None:
    """Raises DataError: not the bytes that `generate` stores. A path is not followed: it is not of ours."""
    data, path = (cell.get("bytes"), cell.get("path")) if isinstance(cell, dict) else (None, cell)
    if not isinstance(data, bytes):
        if isinstance(path, str):
            raise path_instead(where, path)
        raise DataError(f"{where} has no picture: its file was rewritten since mvc-hf generate made it")


def _class_name(schema: Any, label: int) -> str:
    from datasets import Features

    names = getattr(Features.from_arrow_schema(schema).get("label"), "names", None)
    return names[label] if names else str(label)
