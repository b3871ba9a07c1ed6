"""A folder of pictures whose labels stand in its metadata.csv or metadata.jsonl."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import DataError
from ...storage.files import digests, read_file
from ...utils.progress import say
from ...utils.text import brief, normal_order, one_line
from .. import decoding
from ..base import Source, no_such_column
from .listing import Listing
from .metadata import Metadata

if TYPE_CHECKING:
    from PIL import Image


class ListedSource(Source):
    """Pictures in the order of the lines that name them.

    Classes are the labels that there are: numbers by size, words by their letters.

    Raises:
        DataError: a line has no label, or one that is neither a word nor a whole number.
    """

    def __init__(self, listing: Listing, name: str, metadata: Metadata, label_column: str) -> None:
        self.name, self._listing, self._metadata = name, listing, metadata
        self._files = metadata.paths
        values = [
            _label(value, path, label_column) for path, value in zip(self._files, metadata.columns[label_column])
        ]
        self.class_names = tuple(sorted(set(values), key=_order))
        at = {label: i for i, label in enumerate(self.class_names)}
        self.labels = np.array([at[label] for label in values], np.int64)
        self.columns = tuple(column for column in metadata.columns if column != label_column)
        say(f"note: the classes of {name} are those of {one_line(label_column)!r} in {metadata.file}")

    @cached_property
    def lacking(self) -> np.ndarray:  # type: ignore[override]
        there = [(self._listing.root / file).is_file() for file in self._files]
        return np.flatnonzero(~np.array(there, bool))

    def describe_row(self, row: int) -> str:
        return one_line(self._files[row])

    def image(self, row: int) -> Image.Image:
        return decoding.decode(self.stored(row), self.describe_row(row))

    def stored(self, row: int) -> bytes:
        path = self._listing.root / self._files[row]
        self._listing.links.check(path)
        return read_file(path, self.describe_row(row))

    def column(self, name: str) -> Sequence[Any]:
        if name not in self.columns:
            raise no_such_column(self, name)
        return self._metadata.columns[name]

    def _content(self) -> Iterator[str | bytes]:
        yield from ("listed", self._metadata.content)
        yield from self._pictures(np.arange(len(self)))

    def _content_of(self, rows: np.ndarray) -> Iterator[str | bytes]:
        yield from ("listed", self._metadata.content)
        yield from self._pictures(rows)

    def _pictures(self, rows: np.ndarray) -> Iterator[bytes]:
        there = [row for row in rows.tolist() if row not in set(self.lacking.tolist())]
        for row in there:
            self._listing.links.check(self._listing.root / self._files[row])
        yield from digests([self._listing.root / self._files[row] for row in there])


def _label(value: Any, path: str, column: str) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, str) and value.strip():
        return value
    raise DataError(f"{one_line(path)}: {column} is {brief(value)}; it must be the name or the number of a class")


def _order(label: str) -> tuple[int, int, tuple[str, str]]:
    number = label.isascii() and label.isdecimal() and len(label) < 19
    return (0, int(label), ("", "")) if number else (1, 0, normal_order(label))
