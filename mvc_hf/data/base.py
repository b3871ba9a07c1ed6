"""A labelled image set as one interface, and what every kind of it has in common."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ..config.class_words import words_of
from ..errors import DataError
from ..utils.progress import say
from ..utils.text import collapsed, is_text, normal, some

if TYPE_CHECKING:
    from PIL import Image

    from .window import IntensityWindow

SPLIT_NAMES = ("train", "training", "test", "val", "valid", "validation", "dev", "eval")


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
    window: IntensityWindow | None = None
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
    def class_words(self) -> tuple[str, ...]:
        """The class names as captions say them; whoever knows better sets it."""
        return words_of(self.class_names)

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

    def stored(self, row: int) -> bytes | None:
        """The file of a picture as it is stored, undecoded; None where there is none that `image` shows as it is.

        Raises:
            DataError: it is missing.
        """
        return None

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


def by_class(labels: np.ndarray, classes: int, rows: np.ndarray) -> list[np.ndarray]:
    """The rows of each class, in their order; `labels` are those of the rows, and negative ones of no class."""
    order = np.argsort(labels, kind="stable")
    return np.split(rows[order], np.searchsorted(labels[order], np.arange(classes + 1)))[1:-1]


class NoSuchColumn(DataError):
    """A column was named that the data set has not."""


def no_such_column(source: Source, name: str) -> NoSuchColumn:
    has = f"it has {some(source.columns, 20)}" if source.columns else "it has no columns, only pictures and labels"
    return NoSuchColumn(f"{source.name} has no column {name!r}: {has}")


def refuse_columns(name: str, image_column: str | None, label_column: str | None) -> None:
    for flag, value in (("--image-column", image_column), ("--label-column", label_column)):
        if value is not None:
            raise NoSuchColumn(f"{name} has no columns, so {flag} {value!r} means nothing here: leave it out")
