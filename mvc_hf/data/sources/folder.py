"""A folder as a labelled image set: class folders, folders of splits, or the Parquet files in it."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import DataError
from ...storage.files import digests, read_file
from ...utils.progress import say
from ...utils.text import normal, one_line, some
from .. import decoding
from ..base import SPLIT_NAMES, Source, no_such_column, refuse_columns
from ..links import Links
from .class_folders import names_by_folder
from .listed import ListedSource
from .listing import Listing
from .metadata import LABELS, Metadata, text_beside
from .tabular import ParquetSource, files_of_split, parquet_in

if TYPE_CHECKING:
    from PIL import Image

    from ..view import ViewConfig


TEXT = "txt"  # the column of what lies beside the pictures


class FolderSource(Source):
    """Class folders, with pictures at any depth in them.

    Its columns are those of its metadata file, where it has one, and `txt`, where texts lie beside pictures.
    """

    may_lack_images = False

    def __init__(self, listing: Listing, name: str, metadata: Metadata | None = None) -> None:
        self.name, self._root, self._links = name, listing.root, listing.links
        folders, known = listing.folders(), names_by_folder(listing.root, listing.links)
        place = {folder: label for label, folder in enumerate(known)}
        folders.sort(key=lambda folder: place.get(folder, len(place)))
        self.class_names = tuple(known.get(folder, folder) for folder in folders)
        files = [listing.pictures(folder) for folder in folders]
        self._files = list(itertools.chain.from_iterable(files))
        self.labels = np.repeat(np.arange(len(files)), [len(f) for f in files]).astype(np.int64)
        self._texts, self._metadata = listing.texts_beside(self._files), metadata
        self._columns = metadata.aligned(self._files) if metadata else {}
        self.columns = (*self._columns, *([TEXT] if self._texts and TEXT not in self._columns else []))
        listing.say_what_is_left_out(name)
        self._say_what_is_told()
        _say_what_is_one_class(name, self.class_names, files)

    def describe_row(self, row: int) -> str:
        return one_line(self._files[row])

    def column(self, name: str) -> Sequence[Any]:
        if name in self._columns:
            return self._columns[name]
        if name not in self.columns:
            raise no_such_column(self, name)
        texts = (self._texts.get(file) for file in self._files)
        return [text_beside(self._root / path, one_line(path), self._links) if path else None for path in texts]

    def _say_what_is_told(self) -> None:
        """Captions that nobody asked for would be passed over in silence."""
        count = len(self._files)
        if self._texts:
            say(f"note: {len(self._texts)} of {count} pictures of {self.name} have a text beside them: --captions "
                f"column:{TEXT} takes it")  # fmt: skip
        if self._metadata:
            known = set(map(normal, self._metadata.paths))
            named = sum(normal(file) in known for file in self._files)
            say(f"note: {self._metadata.file} tells {some(self._columns)} of {named} of {count} pictures "
                "(--captions column:NAME, --group-column NAME)")  # fmt: skip

    def image(self, row: int) -> Image.Image:
        return decoding.decode(self.stored(row), self.describe_row(row))

    def stored(self, row: int) -> bytes:
        return read_file(self._root / self._files[row], self.describe_row(row))

    def _content(self) -> Iterator[str | bytes]:
        yield from self._kind()
        yield from self._files
        yield from digests([self._root / f for f in self._files])

    def _content_of(self, rows: np.ndarray) -> Iterator[str | bytes]:
        yield from self._kind()
        yield from self._files
        yield from digests([self._root / self._files[row] for row in rows])

    def _kind(self) -> Iterator[str | bytes]:
        yield "folder"
        if self._metadata:
            yield self._metadata.content


def _say_what_is_one_class(name: str, class_names: tuple[str, ...], files: list[list[str]]) -> None:
    """A class folder that holds only folders of pictures may be a genus where its species were meant."""
    nested = {}
    for class_name, paths in zip(class_names, files):
        inner = dict.fromkeys(path.split("/")[1] for path in paths if path.count("/") > 1)
        if len(inner) > 1 and all(path.count("/") > 1 for path in paths):
            nested[class_name] = list(inner)
    if nested:
        first, folders = next(iter(nested.items()))
        say(
            f"note: {len(nested)} of {len(class_names)} class folders of {name} hold folders, which count as one "
            f"class: {one_line(first)!r} is {some(folders, 3)} together; for classes of their own, put them side by "
            "side"
        )


def open_folder(
    root: Path, *, split: str, image_column: str | None, label_column: str | None, view: ViewConfig | None = None,
    follow_symlinks: bool = False,
) -> Source:  # fmt: skip
    """Parquet in data/, else a folder named for the split, else class folders, else Parquet files."""
    name = os.path.basename(os.path.abspath(root)) or "folder"
    plain = split.partition("[")[0]
    columns = {"image_column": image_column, "label_column": label_column}
    links = Links(root, follow_symlinks)
    _refuse_saved(root, name)

    def parquet(files: list[Path]) -> Source:
        for file in files:
            links.check(file)
        return ParquetSource(files, name, split, view=view, **columns)

    def class_folders(listing: Listing) -> Source:
        metadata = Metadata.of(listing.root, links)
        if metadata and label_column is not None:
            return listed(listing, metadata)
        refuse_columns(name, **columns)
        if split != plain:
            raise DataError(f"--split {split!r}: a part can be taken of Parquet only; leave [...] out for {name}")
        return FolderSource(listing, name, metadata)

    def listed(listing: Listing, metadata: Metadata) -> Source:
        refuse_columns(name, image_column, None)
        column = metadata.label_column(label_column)
        if column is None:
            raise DataError(
                f"{metadata.file} of {name} has no column {' or '.join(LABELS[:2])}: name the column of the classes "
                f"(--label-column; it has {some(metadata.columns, 20)})"
            )
        return ListedSource(listing, name, metadata, column)

    def labelled(listing: Listing) -> Source | None:
        """By its metadata, where there are no class folders; one folder may just be where the pictures lie."""
        folders = sum(map(listing.has_pictures, listing.folders()))
        metadata = Metadata.of(listing.root, links) if folders < 2 else None
        if metadata and (not folders or metadata.label_column(label_column)):
            return listed(listing, metadata)
        return None

    if parquet_in(root / "data"):
        return parquet(files_of_split(parquet_in(root / "data"), plain, name))
    here = Listing(root, links)
    subfolders = here.folders()
    inner = {n: Listing(root / n, links) for n in subfolders if n == plain or n.lower() in SPLIT_NAMES}
    if plain in inner and (found := labelled(inner[plain])):
        return found
    if plain in inner and inner[plain].folders():
        return class_folders(inner[plain])
    if plain in inner and parquet_in(root / plain):
        return parquet(parquet_in(root / plain))
    splits = [n for n in inner if n.lower() in SPLIT_NAMES and inner[n].folders()]
    if splits and len(splits) == len(subfolders):
        raise DataError(f"{name} has no split {plain!r}: it has {some(splits)} (--split)")
    if plain == "train" and (found := labelled(here)):
        return found
    if any(map(here.has_pictures, subfolders)):
        if plain != "train":
            raise DataError(
                f"{name} has no split {plain!r}: leave --split out, or put class folders into {name}/{plain}/"
            )
        return class_folders(here)
    if parquet_in(root):
        return parquet(files_of_split(parquet_in(root), plain, name))
    if unread := here.unread():
        raise DataError(f"{name} holds no pictures that are read, but in its folders {unread}: save as PNG or JPEG")
    what = "holds pictures directly" if here.loose() else "holds neither class folders with pictures nor Parquet files"
    raise DataError(f"{name} {what}: put them in one folder a class, {name}/CLASS/picture.png")


def _refuse_saved(root: Path, name: str) -> None:
    """What `save_to_disk` of `datasets` writes is Arrow, for itself alone."""
    several = (root / "dataset_dict.json").is_file()
    if several or ((root / "state.json").is_file() and (root / "dataset_info.json").is_file()):
        part = "[SPLIT]" if several else ""
        raise DataError(
            f"{name} was written by save_to_disk, which is not read here: write it as Parquet, "
            f"datasets.load_from_disk({name!r}){part}.to_parquet('{name}.parquet'), and give that file"
        )
