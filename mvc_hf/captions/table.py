"""The table that holds captions, and the Parquet file that a person can open and edit."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ..config.files import differing
from ..errors import DataError, OutputError, RecipeError
from ..storage.notes import atomic_write
from ..utils.rng import Stream, words
from ..utils.text import collapsed, normal, reason, some
from .formats import json_lines, spreadsheet
from .formats.endings import COLUMNS, CSV, JSON_LINES, PARQUET, ending_of

PREFIX = "This is an image of {}."
PREFIXED = re.compile(re.escape(PREFIX.partition("{")[0]) + r"\S", re.IGNORECASE)  # whatever the class is called in it
ORIGIN = b"mvc_hf"  # the key of what a file says of where its captions come from


def with_prefix(class_name: str, caption: str) -> str:
    """The caption after "This is an image of ⟨y⟩.", on one line, with single spaces throughout.

    A caption that has the prefix already, however its accents are written, keeps it once, so that applying this twice
    changes nothing; an empty one becomes the prefix alone.
    """
    prefix, caption = collapsed(PREFIX.format(class_name)), collapsed(caption)
    if normal(f"{caption} ").startswith(normal(f"{prefix} ")):
        return caption
    return f"{prefix} {caption}".rstrip()


@dataclass(frozen=True, eq=False)
class CaptionTable:
    """Captions of all classes, sorted by (label, row): the pool of a class is a range of rows of this table.

    Attributes:
        labels: (K,) int64, ascending.
        captions: K strings, prefixed.
        rows: (K,) int64, the row of the source that a caption describes; −1 where it belongs to the whole class.
        num_classes: also counts classes without captions; by default as many as the labels need.
        origin: what made them and of which data, as JSON values, without local paths; None where nobody knows.
    """

    labels: np.ndarray
    captions: list[str]
    rows: np.ndarray
    num_classes: int | None = None
    origin: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        labels, rows = np.asarray(self.labels, np.int64), np.asarray(self.rows, np.int64)
        if not len(labels) == len(self.captions) == len(rows):
            raise ValueError("labels, captions and rows must have the same length; see CaptionTable.build")
        if (np.lexsort((rows, labels)) != np.arange(len(labels))).any():
            raise ValueError("labels and rows must be sorted; see CaptionTable.build")
        needed = int(labels[-1]) + 1 if len(labels) else 0
        object.__setattr__(self, "labels", labels)
        object.__setattr__(self, "rows", rows)
        object.__setattr__(self, "captions", list(self.captions))
        object.__setattr__(self, "num_classes", needed if self.num_classes is None else self.num_classes)

    @classmethod
    def build(
        cls,
        labels: Sequence[int] | np.ndarray,
        captions: Sequence[str],
        rows: Sequence[int] | np.ndarray,
        *,
        num_classes: int | None = None,
        keep_duplicates: bool = False,
        origin: dict[str, Any] | None = None,
    ) -> CaptionTable:
        """Sort by (label, row), stably, and of equal captions of one class keep the first."""
        labels, rows = np.asarray(labels, np.int64).reshape(-1), np.asarray(rows, np.int64).reshape(-1)
        order = np.lexsort((rows, labels))
        if not keep_duplicates:
            seen: set[tuple[int, str]] = set()
            fresh = []
            for i in order.tolist():
                key = int(labels[i]), captions[i]
                fresh.append(key not in seen)
                seen.add(key)
            order = order[np.array(fresh, bool)]
        return cls(labels[order], [captions[i] for i in order.tolist()], rows[order], num_classes, origin)

    def __len__(self) -> int:
        return len(self.captions)

    @property
    def _classes(self) -> int:
        assert self.num_classes is not None  # once it is built
        return self.num_classes

    @cached_property
    def pool_start(self) -> np.ndarray:
        """(num_classes,) int64: the first row of each class's pool."""
        return np.searchsorted(self.labels, np.arange(self._classes)).astype(np.int64)

    @cached_property
    def pool_size(self) -> np.ndarray:
        """(num_classes,) int64: how many captions each class has."""
        return np.bincount(self.labels, minlength=self._classes).astype(np.int64)

    def limited(self, max_per_class: int = 256, seed: int = 0) -> CaptionTable:
        """At most `max_per_class` captions of each class, in their order.

        Caption i of a class has a random word at the address (seed, label, i), and those with the smallest are kept.
        """
        if max_per_class < 1:
            raise RecipeError(f"--max-captions-per-class is {max_per_class}; it must be at least 1")
        kept = []
        for label in np.flatnonzero(self.pool_size):
            drawn = words(seed, Stream.CAPTION_LIMIT, label, np.arange(self.pool_size[label]), 1)[:, 0]
            order = np.argsort(drawn, kind="stable")
            kept.append(self.pool_start[label] + np.sort(order[:max_per_class]))
        at = np.concatenate(kept) if kept else np.zeros(0, np.int64)
        captions = [self.captions[i] for i in at.tolist()]
        return replace(self, labels=self.labels[at], captions=captions, rows=self.rows[at])

    def _listed(self) -> Iterator[tuple[int, str, int | None]]:
        """Label, caption and row of each caption; no row where it belongs to the whole class."""
        for label, caption, row in zip(self.labels.tolist(), self.captions, self.rows.tolist()):
            yield label, caption, None if row < 0 else row

    def check_every_class(self, class_names: Sequence[str], used: np.ndarray | None = None) -> CaptionTable:
        """This table; raises DataError naming the classes without a caption, of those that are used."""
        missing = np.bincount(self.labels, minlength=len(class_names)) == 0
        without = [class_names[y] for y in np.flatnonzero(missing if used is None else missing & used).tolist()]
        if without:
            raise DataError(
                f"{len(without)} of {len(class_names)} classes have no caption: {some(without)}; every class needs at "
                "least one"
            )
        return self

    def save(self, path: str | Path, class_names: Sequence[str] | None = None) -> None:
        """Write Parquet: label (int64), caption (string), row (int64, null for −1). The file appears when it is whole.

        Its metadata tell the origin. Equal tables make equal files. A name that ends in .csv or .jsonl gets that
        format, with class names for labels and without an origin.

        Args:
            class_names: for CSV and JSON Lines.

        Raises:
            OutputError: it cannot be written, or its name says no format.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        path = Path(path)
        if (ending := ending_of(path)) != PARQUET:
            names = class_names or list(map(str, range(self._classes)))
            data = {CSV: spreadsheet, JSON_LINES: json_lines}[ending].written(self._listed(), names)
            try:
                with atomic_write(path) as temporary:
                    temporary.write_bytes(data)
            except OSError as error:
                raise OutputError(f"captions cannot be written to {path}: {error.strerror or error}") from error
            return
        columns = {
            "label": pa.array(self.labels),
            "caption": pa.array(self.captions, pa.string()),
            "row": pa.array(self.rows, mask=self.rows < 0),
        }
        try:
            table = pa.table(columns)
            if self.origin is not None:
                origin = json.dumps(self.origin, sort_keys=True, allow_nan=False)
                table = table.replace_schema_metadata({ORIGIN: origin})
            with atomic_write(path) as temporary:
                pq.write_table(table, temporary)
        except OSError as error:
            raise OutputError(f"captions cannot be written to {path}: {error.strerror or error}") from error

    @classmethod
    def load(
        cls, path: str | Path, class_names: Sequence[str] | None = None, *, keep_duplicates: bool = True,
        class_words: Sequence[str] | None = None,
    ) -> CaptionTable:  # fmt: skip
        """Read what `save` wrote, or what a person wrote or edited. A saved table comes back row for row.

        Args:
            path: Parquet, CSV or JSON Lines, by its ending, with `label`, `caption` and, if captions belong to rows,
                `row`.
            class_names: check the labels against these, and take class names for labels too.
            class_words: the classes as the prefix says them: it is put where a caption has none.
            keep_duplicates: False to keep the first of equal captions of a class.

        Raises:
            DataError: it cannot be read, a column is missing, or a value is wrong; the message names the row.
        """
        name, metadata = Path(path).name, None
        if Path(path).suffix.lower() == CSV:
            columns = spreadsheet.read(Path(path), class_names)
        elif Path(path).suffix.lower() == JSON_LINES:
            columns = json_lines.read(Path(path))
        else:
            columns, metadata = _parquet(path, name)
        missing = [c for c in ("label", "caption") if c not in columns]
        if missing:
            raise DataError(
                f"{name} has no column {missing[0]!r}: captions need label, caption and, if they belong to images, row"
            )
        labels = _labels(columns["label"], class_names, name)
        captions = columns["caption"]
        for at, caption in enumerate(captions):
            if not isinstance(caption, str):
                raise DataError(f"row {at} of {name}: caption is {caption!r}; it must be a string")
        if class_words is not None:
            captions = [
                collapsed(caption) if PREFIXED.match(collapsed(caption)) else with_prefix(class_words[y], caption)
                for y, caption in zip(labels, captions)
            ]
        rows = _rows(columns["row"], name) if "row" in columns else [-1] * len(labels)
        return cls.build(
            labels,
            captions,
            rows,
            num_classes=None if class_names is None else len(class_names),
            keep_duplicates=keep_duplicates,
            origin=_origin(metadata),
        )


def already_written(path: Path, origin: dict[str, Any]) -> bool:
    """Whether a captions file of this origin is there. A person may have edited it: it is not to be written again.

    Raises:
        OutputError: something else is there; what differs is named.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    ending = ending_of(path)
    if not path.exists():
        return False
    if not path.is_file():
        raise OutputError(f"{path} is there, and no regular file: choose another name")
    if ending != PARQUET:
        raise OutputError(f"{path} is there, and may have been edited: choose another name, or take it (--captions)")
    try:
        theirs = _origin(pq.read_schema(path).metadata)
    except (pa.ArrowException, OSError):
        theirs = None
    if theirs is None:
        raise OutputError(f"{path} is there, and does not say what made it (edited?): choose another name, or move it")
    if theirs != origin:
        what = differing(origin, theirs)
        raise OutputError(f"{path} is there, made otherwise; these differ: {what}; choose another name, or move it")
    return True


def _parquet(path: str | Path, name: str) -> tuple[dict[str, list[Any]], Any]:
    """The columns of captions that a Parquet file has, and its metadata."""
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path, partitioning=None)
    except FileNotFoundError as error:
        raise DataError(f"no such captions file: {str(path)!r}") from error
    except Exception as error:
        raise DataError(f"{name} cannot be read as Parquet: {reason(error)}") from error
    return {c: table[c].to_pylist() for c in COLUMNS if c in table.column_names}, table.schema.metadata


def _origin(metadata: dict[bytes, bytes] | None) -> dict[str, Any] | None:
    try:
        found = json.loads((metadata or {}).get(ORIGIN, b"null"))
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _labels(values: list[Any], class_names: Sequence[str] | None, name: str) -> list[int]:
    names = list(enumerate(class_names or ()))
    known = {normal(n): y for y, n in names} | {n: y for y, n in names}
    limit = len(names) if class_names is not None else 2**31
    labels = []
    for at, value in enumerate(values):
        label = known.get(value, known.get(normal(value), value)) if isinstance(value, str) else value
        if isinstance(label, bool) or not isinstance(label, int) or not 0 <= label < limit:
            wanted = "a whole number from 0" if class_names is None else f"0..{limit - 1} or the name of a class"
            raise DataError(f"row {at} of {name}: label is {value!r}; it must be {wanted}")
        labels.append(label)
    return labels


def _rows(column: list[Any], name: str) -> list[int]:
    rows = [-1 if value is None or value != value else value for value in column]
    for at, row in enumerate(rows):
        if isinstance(row, float) and row.is_integer():  # what pandas makes of whole numbers with gaps
            rows[at] = row = int(row)
        if isinstance(row, bool) or not isinstance(row, int) or row < -1:
            raise DataError(f"row {at} of {name}: row is {row!r}; it must be a row number of the data set, or empty")
    return rows
