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
from .texts import collapsed, some

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
    """

    name: str
    revision: str | None = None
    class_names: tuple[str, ...]
    labels: np.ndarray
    columns: tuple[str, ...] = ()
    window: Window | None = None
    fit: str = "crop"

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
            data = part.encode("utf-8", "surrogateescape") if isinstance(part, str) else part
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

    def check(self, every_class: bool) -> None:
        """Raises DataError: no images, two classes of one name, or (if it matters) a class without images."""
        if not len(self):
            raise DataError(f"{self.name} holds no images: check the folder, file or split")
        twice = [n for n, count in Counter(self.class_names).items() if count > 1]
        if twice:
            raise DataError(f"{self.name} has several classes named {some(twice)}: give each a name of its own")
        bare = Counter(collapsed(n) for n in self.class_names)
        alike = [n for n in self.class_names if bare[collapsed(n)] > 1]
        if alike:
            say(f"note: classes of {self.name} differ in nothing but spaces: {some(alike)}")
        if not every_class:
            return
        counts = np.bincount(self.labels, minlength=len(self.class_names))
        empty = [n for n, count in zip(self.class_names, counts) if not count]
        if empty:
            raise DataError(
                f"{self.name}: {len(empty)} of {len(self.class_names)} classes without any image: {some(empty)}; "
                "add images or remove the class"
            )


def open_source(
    dataset: str,
    *,
    split: str = "train",
    image_column: str | None = None,
    label_column: str | None = None,
    every_class: bool = True,
    look: Look | None = None,
) -> Source:
    """Open a labelled image set.

    Args:
        dataset: a folder of class folders (or of `split` folders of these), a folder or glob of Parquet files, a
            Parquet file, "torchvision:NAME", or a Hub id "org/name[:config][@revision]".
        split: for Parquet and the Hub also a slice, "train[:1000]". A Parquet file that is given by name is read
            whatever the split.
        image_column, label_column: needed only where several columns fit.
        every_class: refuse a set with a class that has no image.
        look: how many images of each class are to be used, and how they are seen.

    Raises:
        DataError: it does not exist, cannot be read, or is not a labelled image set.
    """
    if look:
        look.check()
    columns = {"image_column": image_column, "label_column": label_column}
    source = _open(os.fspath(dataset), look, split=split, **columns)
    source.check(every_class)
    return look.at(source) if look else source


def open_for(recipe: Recipe) -> Source:
    """The labelled image set of a recipe, as the recipe wants it seen. Raises as `open_source`."""
    from .views import Look

    columns = {"image_column": recipe.image_column, "label_column": recipe.label_column}
    return open_source(recipe.dataset, split=recipe.split, look=Look.of(recipe), **columns)


def by_class(labels: np.ndarray, classes: int, rows: np.ndarray) -> list[np.ndarray]:
    """The rows of each class, in their order; `labels` are those of the rows, and negative ones of no class."""
    order = np.argsort(labels, kind="stable")
    return np.split(rows[order], np.searchsorted(labels[order], np.arange(classes + 1)))[1:-1]


def _open(dataset: str, look: Look | None, **options: Any) -> Source:
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
        return open_folder(Path(path), look=look, **options)
    if os.path.exists(path):
        if not path.endswith(".parquet"):
            raise DataError(f"{dataset!r} is neither a folder nor a .parquet file: convert it to one of these")
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
