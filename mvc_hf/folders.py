"""A folder as a labelled image set: class folders, folders of splits, or the Parquet files in it."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from . import pictures
from .errors import DataError
from .files import digests, read_file
from .progress import say
from .source import SPLIT_NAMES, Source, refuse_columns
from .tables import ParquetSource, files_of_split, parquet_in
from .texts import one_line, some

if TYPE_CHECKING:
    from PIL import Image

    from .views import Look

IMAGE_SUFFIXES = frozenset(
    f".{suffix}"
    for suffix in (
        *("png", "apng", "jpg", "jpeg", "jpe", "jfif", "webp", "avif", "gif", "bmp", "dib", "tif", "tiff"),
        *("ppm", "pgm", "pbm", "pnm", "jp2", "j2k", "tga"),
    )
)


class FolderSource(Source):
    """Class folders below `root`, with pictures at any depth in them. A class folder may be a link, one in it not."""

    def __init__(self, root: Path, name: str) -> None:
        self.name, self._root = name, root
        self.class_names = tuple(_subfolders(root))
        files = [_pictures_below(root, n) for n in self.class_names]
        self._files = list(itertools.chain.from_iterable(files))
        self.labels = np.repeat(np.arange(len(files)), [len(f) for f in files]).astype(np.int64)
        for n in self.class_names:
            if any("\ud800" <= c <= "\udfff" for c in n):
                raise DataError(f"the folder name {n!r} in {name} is not valid UTF-8: rename it")
        _say_what_is_one_class(name, self.class_names, files)

    def describe_row(self, row: int) -> str:
        return one_line(self._files[row])

    def image(self, row: int) -> Image.Image:
        return pictures.decode(
            read_file(self._root / self._files[row], self.describe_row(row)), self.describe_row(row)
        )

    def _content(self) -> Iterator[str | bytes]:
        yield "folder"
        yield from self._files
        yield from digests([self._root / f for f in self._files])

    def _content_of(self, rows: np.ndarray) -> Iterator[str | bytes]:
        yield "folder"
        yield from self._files
        yield from digests([self._root / self._files[row] for row in rows])


def _say_what_is_one_class(name: str, class_names: tuple[str, ...], files: list[list[str]]) -> None:
    """A class folder that holds only folders of pictures may be a genus where its species were meant."""
    nested = {}
    for class_name, paths in zip(class_names, files):
        inner = dict.fromkeys(path.split("/")[1] for path in paths if path.count("/") > 1)
        if len(inner) > 1 and all(path.count("/") > 1 for path in paths):
            nested[class_name] = list(inner)
    if nested:
        first, inner = next(iter(nested.items()))
        say(
            f"note: {len(nested)} of {len(class_names)} class folders of {name} hold folders, which count as one "
            f"class: {one_line(first)!r} is {some(inner, 3)} together; for classes of their own, put them side by side"
        )


def open_folder(
    root: Path, *, split: str, image_column: str | None, label_column: str | None, look: Look | None = None
) -> Source:
    """Parquet in data/, else a folder named for the split, else class folders, else Parquet files."""
    name = os.path.basename(os.path.abspath(root)) or "folder"
    plain = split.partition("[")[0]
    columns = {"image_column": image_column, "label_column": label_column}

    def parquet(files: list[Path]) -> Source:
        return ParquetSource(files, name, split, look=look, **columns)

    def class_folders(folder: Path) -> Source:
        refuse_columns(name, **columns)
        if split != plain:
            raise DataError(f"--split {split!r}: a part can be taken of Parquet only; leave [...] out for {name}")
        return FolderSource(folder, name)

    subfolders, inner = _subfolders(root), root / plain
    if parquet_in(root / "data"):
        return parquet(files_of_split(parquet_in(root / "data"), plain, name))
    if plain in subfolders and _subfolders(inner):
        return class_folders(inner)
    if plain in subfolders and parquet_in(inner):
        return parquet(parquet_in(inner))
    splits = [n for n in subfolders if n.lower() in SPLIT_NAMES and _subfolders(root / n)]
    if splits and len(splits) == len(subfolders):
        raise DataError(f"{name} has no split {plain!r}: it has {some(splits)} (--split)")
    if any(_pictures_below(root, n) for n in subfolders):
        if plain != "train":
            raise DataError(
                f"{name} has no split {plain!r}: leave --split out, or put class folders into {name}/{plain}/"
            )
        return class_folders(root)
    if parquet_in(root):
        return parquet(files_of_split(parquet_in(root), plain, name))
    loose = any(_is_picture(entry) for entry in os.listdir(root))
    what = "holds pictures directly" if loose else "holds neither class folders with pictures nor Parquet files"
    raise DataError(f"{name} {what}: put them in one folder a class, {name}/CLASS/picture.png")


def _subfolders(folder: Path) -> list[str]:
    try:
        return sorted(e.name for e in os.scandir(folder) if e.is_dir() and not e.name.startswith("."))
    except OSError as error:
        raise DataError(f"cannot list the folder {folder.name!r}: {error.strerror}") from error


def _pictures_below(root: Path, class_name: str) -> list[str]:
    """Paths of the pictures of a class below `root`, with forward slashes, sorted."""

    def refuse(error: OSError) -> None:
        raise DataError(f"cannot list a folder of the class {class_name!r}: {error.strerror}") from error

    found = []
    for folder, inner, files in os.walk(root / class_name, onerror=refuse):
        inner[:] = [n for n in inner if not n.startswith(".")]
        found += [Path(folder, n).relative_to(root).as_posix() for n in files if _is_picture(n)]
    return sorted(found)


def _is_picture(name: str) -> bool:
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES
