"""A labelled image set as one interface: a folder of class folders, Parquet, torchvision, or the Hub.

Pictures are read one at a time, when asked for: nothing is held in memory in proportion to the pixels. Parquet is read
through `datasets`, which converts it once into its cache (about as many bytes again) and maps that into memory.
"""

from __future__ import annotations

import glob
import hashlib
import os
import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import DataError
from .progress import say
from .texts import collapsed, is_text, normal, some

if TYPE_CHECKING:
    from PIL import Image

    from .recipe import Recipe
    from .views import Look
    from .windows import Window

SPLIT_NAMES = ("train", "training", "test", "val", "valid", "validation", "dev", "eval")
HUB_ID = re.compile(r"(?P<id>[\w-][\w.-]*/[\w-][\w.-]*)(?P<rest>(?::[^:@]+)?(?:@[^:@]+)?|@[^:@]+:[^:@]+)")


class Source(ABC):
    """A labelled image set.

    Attributes:
        name: what may be recorded: "org/name" or "org/name:config", "torchvision:CIFAR10", or the bare name of a
            folder or file; never a local path.
        revision: the commit of a Hub data set, where it could be found out.
        class_names: verbatim, in the order of the labels. They may hold anything (slashes, newlines): not for paths.
        labels: (N,) int64, each in [0, len(class_names)).
        columns: names of the columns that `column` takes; empty for folders and torchvision.
        window: through which `image` has been seen already, where it has.
        fit: how a picture becomes a square: see `pictures.square`.
        lacking: (n,) rows that are to be used and have no picture, as far as that is seen without reading the others.
        may_lack_images: whether a class without images is one whose name the data set lists for others, and nobody
            can remove; in folders it is a mistake.
    """

    name: str
    revision: str | None = None
    class_names: tuple[str, ...]
    labels: np.ndarray
    columns: tuple[str, ...] = ()
    window: Window | None = None
    fit: str = "crop"
    lacking: np.ndarray = np.zeros(0, np.int64)
    may_lack_images: bool = True

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def rows(self) -> np.ndarray:
        """The rows that are to be used, ascending: all of them, but for a `View` of some."""
        return np.arange(len(self))

    @cached_property
    def members(self) -> list[np.ndarray]:
        """The rows of each class that are to be used, ascending."""
        return by_class(self.labels[self.rows], len(self.class_names), self.rows)

    @cached_property
    def fingerprint(self) -> str:
        """Hex digest of content, labels and class names, whatever the place and time. Local files are read for it."""
        digest = hashlib.blake2b(digest_size=16)
        for part in (*self._content(), self.labels.astype("<i8").tobytes(), *self.class_names):
            data = normal(part).encode("utf-8", "surrogateescape") if isinstance(part, str) else part
            digest.update(len(data).to_bytes(8, "little") + data)
        return digest.hexdigest()

    @abstractmethod
    def _content(self) -> Iterable[str | bytes]:
        """What the fingerprint is made of, besides the labels and the class names."""

    def _content_of(self, rows: np.ndarray) -> Iterable[str | bytes]:
        """The same of some rows alone. All of it where that costs nothing."""
        return self._content()

    @abstractmethod
    def describe_row(self, row: int) -> str:
        """A row as a person finds it again: "cats/012.png" or "row 17 of train.parquet"."""

    @abstractmethod
    def image(self, row: int) -> Image.Image:
        """The picture of a row, read, in the mode it was stored in. May be called from several threads.

        Raises:
            DataError: it is missing or broken; the message begins with `describe_row(row)`.
        """

    def column(self, name: str) -> Sequence[Any]:
        """Another column, (N,), read as it is indexed or iterated.

        Raises:
            DataError: there is no such column; the message lists those that there are.
        """
        raise no_such_column(self, name)

    def values(self, name: str) -> Iterator[tuple[int, Any]]:
        """The rows that are to be used, each with its value in another column. Raises as `column`."""
        column = self.column(name)
        if len(self.rows) == len(self):  # to iterate is much faster than to index
            yield from enumerate(column)
        else:
            yield from ((row, column[row]) for row in self.rows.tolist())

    @cached_property
    def used(self) -> np.ndarray:
        """(classes,) bool: the classes with an image that is to be used."""
        return np.bincount(self.labels[self.rows], minlength=len(self.class_names)) > 0

    def check(self, every_class: bool) -> None:
        """Raises DataError: no images, two classes of one name, a name that is no text, or (if it matters) a class
        without images that should have some.
        """
        for name in (self.name, *self.class_names):
            if not is_text(name):
                what = "the name of the data set" if name == self.name else f"the class name in {self.name}"
                raise DataError(f"{what}, {name!r}, is not valid UTF-8: rename it")
        if not len(self):
            raise DataError(f"{self.name} holds no images: check the folder, file or split")
        self._check_names()
        empty = [n for n, there in zip(self.class_names, self.used) if not there] if every_class else []
        if not empty:
            return
        what = f"{len(empty)} of {len(self.class_names)} classes without any image: {some(empty)}"
        if not self.may_lack_images:
            raise DataError(f"{self.name}: {what}; add images or remove the class")
        say(f"note: {self.name} has {what}; they get none")

    def _check_names(self) -> None:
        spellings: dict[str, list[str]] = {}
        for name in self.class_names:
            spellings.setdefault(normal(name), []).append(name)
        twice = [found for found in spellings.values() if len(found) > 1]
        for found in twice:
            if len(set(found)) > 1:
                written = ", ".join(map(ascii, found))
                raise DataError(
                    f"{self.name} has the class {normal(found[0])!r} {len(found)} times, its accents written in "
                    f"different ways ({written}): make one class of them, or rename one"
                )
        if twice:
            names = some(found[0] for found in twice)
            raise DataError(f"{self.name} has several classes named {names}: give each a name of its own")
        bare = Counter(collapsed(n) for n in self.class_names)
        alike = [n for n in self.class_names if bare[collapsed(n)] > 1]
        if alike:
            say(f"note: classes of {self.name} differ in nothing but spaces: {some(alike)}")

    def check_lacking(self, limit: int) -> None:
        """Raises DataError: more rows than the limit are known to have no picture. To look costs nothing here."""
        if len(self.lacking) > limit:
            over = f", over the limit of --max-broken {limit}" if limit else ""
            raise DataError(
                f"{self.name}: {len(self.lacking)} of {len(self.rows)} rows have no picture{over}, the first is "
                f"{self.describe_row(int(self.lacking[0]))}: put its file back, or remove the row"
            )


def open_source(
    dataset: str,
    *,
    split: str = "train",
    image_column: str | None = None,
    label_column: str | None = None,
    every_class: bool = True,
    look: Look | None = None,
    follow_symlinks: bool = False,
) -> Source:
    """Open a labelled image set.

    Args:
        dataset: a folder of class folders (or of `split` folders of these), a folder or glob of Parquet files, a
            Parquet file, "torchvision:NAME", or a Hub id "org/name[:config][@revision]".
        split: for Parquet and the Hub also a slice, "train[:1000]". A Parquet file that is given by name is read
            whatever the split.
        image_column, label_column: needed only where several columns fit.
        every_class: refuse a folder with a class that has no image, and say of which classes other sets have none.
        look: how many images of each class are to be used, and how they are seen.
        follow_symlinks: read what links in a folder lead to outside of it, too; see `links`.

    Raises:
        DataError: it does not exist, cannot be read, or is not a labelled image set.
    """
    if look:
        look.check()
    columns = {"image_column": image_column, "label_column": label_column}
    source = _open(os.fspath(dataset), look, follow_symlinks, split=split, **columns)
    source.check(every_class)
    return look.at(source) if look else source


def open_for(recipe: Recipe) -> Source:
    """The labelled image set of a recipe, as the recipe wants it seen. Raises as `open_source`."""
    from .views import Look

    columns = {"image_column": recipe.image_column, "label_column": recipe.label_column}
    links = {"follow_symlinks": recipe.follow_symlinks}
    source = open_source(recipe.dataset, split=recipe.split, look=Look.of(recipe), **columns, **links)
    source.check_lacking(recipe.max_broken)
    return source


def by_class(labels: np.ndarray, classes: int, rows: np.ndarray) -> list[np.ndarray]:
    """The rows of each class, in their order; `labels` are those of the rows, and negative ones of no class."""
    order = np.argsort(labels, kind="stable")
    return np.split(rows[order], np.searchsorted(labels[order], np.arange(classes + 1)))[1:-1]


def _open(dataset: str, look: Look | None, follow_symlinks: bool, **options: Any) -> Source:
    """`look` is for those that can leave alone what is not looked at."""
    from .folders import open_folder
    from .hub_source import open_hub
    from .shards import check_data_set
    from .tables import ParquetSource
    from .torchvision_source import TorchvisionSource

    path = os.path.expanduser(dataset)
    if dataset.startswith("torchvision:"):
        refuse_columns(dataset, options["image_column"], options["label_column"])
        return TorchvisionSource(dataset, options["split"])
    if os.path.isdir(path):
        check_data_set(Path(path))
        return open_folder(Path(path), look=look, follow_symlinks=follow_symlinks, **options)
    if os.path.exists(path):
        if not path.endswith(".parquet"):
            how = "write it with datasets' to_parquet" if path.endswith(".arrow") else "convert it to one of these"
            raise DataError(f"{dataset!r} is neither a folder nor a .parquet file: {how}")
        return ParquetSource([Path(path)], os.path.basename(path), look=look, **options)
    if glob.has_magic(path):
        files = [Path(p) for p in sorted(glob.glob(path, recursive=True)) if p.endswith(".parquet")]
        if not files:
            raise DataError(f"no .parquet file matches {dataset!r}")
        return ParquetSource(files, os.path.basename(path), look=look, **options)
    hub = HUB_ID.fullmatch(dataset)
    bare = re.split("[:@]", dataset)[0]
    if bare.startswith(("/", ".", "~")) or bare.endswith(".parquet") or bare.count("/") > 1:
        raise DataError(f"no such folder or file: {dataset!r}")
    if not hub:
        raise DataError(
            f"{dataset!r} is no folder or file here, nor a Hub id of the form org/name[:config][@revision], "
            "nor torchvision:NAME"
        )
    rest = {part[0]: part[1:] for part in re.findall("[:@][^:@]+", hub["rest"])}
    return open_hub(hub["id"], rest.get(":"), rest.get("@"), look=look, **options)


def no_such_column(source: Source, name: str) -> DataError:
    has = f"it has {some(source.columns, 20)}" if source.columns else "it has no columns, only pictures and labels"
    return DataError(f"{source.name} has no column {name!r}: {has}")


def refuse_columns(name: str, image_column: str | None, label_column: str | None) -> None:
    for flag, value in (("--image-column", image_column), ("--label-column", label_column)):
        if value is not None:
            raise DataError(f"{name} has no columns, so {flag} {value!r} means nothing here: leave it out")
