"""Pictures that a table names by their paths instead of holding their bytes: where they may lie.

`datasets` writes such tables: `load_dataset("imagefolder", ...).to_parquet(...)` stores the absolute path of each
picture and nothing else. Those of a file that was made here are followed. What came from the Hub never reaches out of
its own folder: whoever made a data set must not choose what is read from this machine.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import DataError

if TYPE_CHECKING:
    import datasets

AT_ONCE = 4096  # rows that are looked at in one go
PATH_COLUMNS = ("image", "img", "picture", "file_name", "filename", "file", "image_path", "image_file", "path")
CURE = (
    "store the bytes: `ds.with_format('arrow').map(datasets.table.embed_table_storage, batched=True)"
    ".to_parquet('pictures.parquet')`, where ds is the set in a place where its paths hold"
)
FROM_HUB = f"what came from the Hub is not followed out of its own folder; its author can {CURE}"
COMMIT = re.compile("[0-9a-f]{40}")


def without_bytes(images: datasets.Dataset, column: str) -> Iterator[tuple[int, str | None]]:
    """The rows that hold no bytes, each with its path if it has one. Of the others nothing is read but that they do.

    Args:
        column: pictures that are not decoded, bytes, or paths.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    first = 0
    for table in images.with_format("arrow").iter(batch_size=AT_ONCE):
        for cells in table[column].chunks:
            path, data = pa.nulls(len(cells), pa.string()), pa.nulls(len(cells), pa.binary())
            if pa.types.is_struct(cells.type):
                names = [field.name for field in cells.type]
                data = pc.struct_field(cells, "bytes") if "bytes" in names else data
                path = pc.struct_field(cells, "path") if "path" in names else path
            elif is_text(cells.type):
                path = cells
            else:
                data = cells
            if pa.types.is_null(data.type):  # no row has any
                data = pa.nulls(len(cells), pa.binary())
            bare = pc.fill_null(pc.equal(pc.binary_length(data), 0), True)
            if pc.any(bare).as_py():
                instead = pc.if_else(pc.is_null(data), path, None).filter(bare)
                for row, value in zip(pc.indices_nonzero(bare).to_pylist(), instead.to_pylist()):
                    yield first + row, value or None
            first += len(cells)


def is_text(kind: Any) -> bool:
    """Whether an Arrow type is that of texts."""
    import pyarrow as pa

    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def path_instead(where: str, path: str, cure: str = CURE) -> DataError:
    return DataError(f"{where} holds a path instead of the picture ({shown(path)}): {cure}")


def shown(path: str) -> str:
    """A path, or a text in its place, as a line can take it."""
    return repr(path if len(path) <= 200 else f"{path[:200]}…")


def file_of_local(parquet: Path, path: str) -> Path | None:
    """The file that a cell of a Parquet file on this machine names; None where it must not be followed.

    A relative path is one below the folder of the Parquet file, as in the metadata of an image folder. (`datasets`
    takes it from wherever the process happens to be.) An absolute one is followed unless the table came from the Hub.
    """
    if "\0" in path or "://" in path:
        return None
    if os.path.isabs(path):
        return None if came_from_hub(parquet) else Path(path)
    folder = _resolved(str(parquet.parent.absolute()))
    try:
        file = (folder / path).resolve()
    except (OSError, RuntimeError, ValueError):  # a circle of links
        return None
    return file if file.is_relative_to(folder) else None


def file_of_hub(repository: str, path: str) -> Path | None:
    """The file that a loader of `datasets` names for a data set on the Hub; None for any but the repository's own.

    Loose pictures of a repository lie in its folder of the client's cache.
    """
    from huggingface_hub.constants import HF_HUB_CACHE

    if "\0" in path or "://" in path or not os.path.isabs(path):
        return None
    own = _resolved(str(HF_HUB_CACHE)) / f"datasets--{repository.replace('/', '--')}"
    file = Path(path).resolve()
    return file if file.is_relative_to(own) else None


def hub_repository(table: datasets.Dataset) -> str | None:
    """The Hub's id of what `datasets` made a table from; None where it was made from local files."""
    for file in table.cache_files:  # CACHE/org___name/config/version/commit/name-train.arrow
        folder = Path(file["filename"]).parent
        if COMMIT.fullmatch(folder.name):
            return folder.parents[2].name.replace("___", "/")
    return None


@functools.lru_cache(maxsize=1024)
def came_from_hub(file: Path) -> bool:
    """Whether a file lies in the cache of the Hub's client, or where `hf download` or a `git clone` of it was put."""
    from huggingface_hub.constants import ENDPOINT, HF_HUB_CACHE

    lies, cache = Path(os.path.abspath(file)), Path(HF_HUB_CACHE)
    if lies.is_relative_to(cache.absolute()) or lies.resolve().is_relative_to(cache.resolve()):
        return True
    remotes = f"{ENDPOINT}/datasets/", "huggingface.co/datasets/", "hf.co:datasets/"
    for folder in lies.parents:
        notes = folder / ".cache" / "huggingface" / "download" / f"{lies.relative_to(folder)}.metadata"
        if notes.exists() or any(remote in _git_config(folder) for remote in remotes):
            return True
    return False


@functools.lru_cache(maxsize=1024)
def _resolved(folder: str) -> Path:
    return Path(folder).resolve()


def _git_config(folder: Path) -> str:
    try:
        return (folder / ".git" / "config").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
