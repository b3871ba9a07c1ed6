"""Where captions come from, and the table that holds them.

A caption source makes a `CaptionTable` for a labelled image set: from a column of it, from templates, or from a
Parquet file. Another captioner is one more class with a `table` method and one more line in `caption_source`.
"""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from .errors import DataError, OutputError, RecipeError
from .progress import say
from .texts import collapsed, reason, some

if TYPE_CHECKING:
    import pyarrow as pa

    from .source import Source

PREFIX = "This is an image of {}."
TEMPLATES = (  # after the prompt templates of OpenAI's CLIP
    "a photo of a {}.",
    "a close-up photo of a {}.",
    "a bright photo of a {}.",
    "a dark photo of a {}.",
    "a cropped photo of a {}.",
    "a blurry photo of a {}.",
    "a photo of a large {}.",
    "a photo of a small {}.",
)
EXISTS = "use column:NAME, template, 'template:a photo of a {}' or a captions Parquet (a path ending in .parquet)"


def with_prefix(class_name: str, caption: str) -> str:
    """The caption after "This is an image of ⟨y⟩.", on one line, with single spaces throughout.

    A caption that has the prefix already keeps it once, so that applying this twice changes nothing; an empty one
    becomes the prefix alone.
    """
    prefix, caption = collapsed(PREFIX.format(class_name)), collapsed(caption)
    if f"{caption} ".startswith(f"{prefix} "):
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
    """

    labels: np.ndarray
    captions: list[str]
    rows: np.ndarray
    num_classes: int | None = None

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
    ) -> CaptionTable:
        """Sort by (label, row), stably, and of equal captions of one class keep the first."""
        labels, rows = np.asarray(labels, np.int64).reshape(-1), np.asarray(rows, np.int64).reshape(-1)
        order = np.lexsort((rows, labels))
        if not keep_duplicates:
            seen: set[tuple[int, str]] = set()
            keys = [(int(labels[i]), captions[i]) for i in order]
            fresh = [not (key in seen or seen.add(key)) for key in keys]
            order = order[np.array(fresh, bool)]
        return cls(labels[order], [captions[i] for i in order], rows[order], num_classes)

    def __len__(self) -> int:
        return len(self.captions)

    @cached_property
    def pool_start(self) -> np.ndarray:
        """(num_classes,) int64: the first row of each class's pool."""
        return np.searchsorted(self.labels, np.arange(self.num_classes)).astype(np.int64)

    @cached_property
    def pool_size(self) -> np.ndarray:
        """(num_classes,) int64: how many captions each class has."""
        return np.bincount(self.labels, minlength=self.num_classes).astype(np.int64)

    def limited(self, max_per_class: int = 256, seed: int = 0) -> CaptionTable:
        """At most `max_per_class` captions of each class, in their order.

        Which ones depends only on the seed, the label and the number of the class's captions.
        """
        if max_per_class < 1:
            raise RecipeError(f"--max-captions-per-class is {max_per_class}; it must be at least 1")
        kept = []
        for label in np.flatnonzero(self.pool_size):
            key = np.array([seed, label], np.uint64)
            order = np.random.Generator(np.random.Philox(key=key)).permutation(self.pool_size[label])
            kept.append(self.pool_start[label] + np.sort(order[:max_per_class]))
        at = np.concatenate(kept) if kept else np.zeros(0, np.int64)
        return CaptionTable(self.labels[at], [self.captions[i] for i in at], self.rows[at], self.num_classes)

    def check_every_class(self, class_names: Sequence[str]) -> CaptionTable:
        """This table; raises DataError naming the classes without a caption."""
        counts = np.bincount(self.labels, minlength=len(class_names))
        without = [n for n, count in zip(class_names, counts) if not count]
        if without:
            raise DataError(
                f"{len(without)} of {len(class_names)} classes have no caption: {some(without)}; every class needs at "
                "least one"
            )
        return self

    def save(self, path: str | Path) -> None:
        """Write Parquet: label (int64), caption (string), row (int64, null for −1). The file appears when it is whole.

        Raises:
            OutputError: it cannot be written.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        path = Path(path)
        columns = {
            "label": pa.array(self.labels),
            "caption": pa.array(self.captions, pa.string()),
            "row": pa.array(self.rows, mask=self.rows < 0),
        }
        temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
        try:
            pq.write_table(pa.table(columns), temporary)
            os.replace(temporary, path)
        except OSError as error:
            raise OutputError(f"captions cannot be written to {path}: {error.strerror or error}") from error
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)

    @classmethod
    def load(
        cls, path: str | Path, class_names: Sequence[str] | None = None, *, keep_duplicates: bool = True
    ) -> CaptionTable:
        """Read what `save` wrote, or what a person wrote or edited. A saved table comes back row for row.

        Args:
            path: Parquet with `label`, `caption` and, if captions belong to rows, `row`.
            class_names: check the labels against these, take class names for labels too, and put the prefix where
                it is missing.
            keep_duplicates: False to keep the first of equal captions of a class.

        Raises:
            DataError: it cannot be read, a column is missing, or a value is wrong; the message names the row.
        """
        import pyarrow.parquet as pq

        name = Path(path).name
        try:
            table = pq.read_table(path, partitioning=None)
        except FileNotFoundError as error:
            raise DataError(f"no such captions file: {str(path)!r}") from error
        except Exception as error:
            raise DataError(f"{name} cannot be read as Parquet: {reason(error)}") from error
        missing = [c for c in ("label", "caption") if c not in table.column_names]
        if missing:
            raise DataError(
                f"{name} has no column {missing[0]!r}: captions need label, caption and, if they belong to images, row"
            )
        labels = _labels(table["label"].to_pylist(), class_names, name)
        captions = table["caption"].to_pylist()
        for at, caption in enumerate(captions):
            if not isinstance(caption, str):
                raise DataError(f"row {at} of {name}: caption is {caption!r}; it must be a string")
        if class_names is not None:
            captions = [with_prefix(class_names[y], caption) for y, caption in zip(labels, captions)]
        rows = _rows(table["row"], name) if "row" in table.column_names else [-1] * len(labels)
        num_classes = None if class_names is None else len(class_names)
        return cls.build(labels, captions, rows, num_classes=num_classes, keep_duplicates=keep_duplicates)


def _labels(values: list[Any], class_names: Sequence[str] | None, name: str) -> list[int]:
    known = {n: y for y, n in enumerate(class_names or ())}
    limit = len(known) if class_names is not None else 2**31
    labels = []
    for at, value in enumerate(values):
        label = known.get(value, value) if isinstance(value, str) else value
        if isinstance(label, bool) or not isinstance(label, int) or not 0 <= label < limit:
            wanted = "a whole number from 0" if class_names is None else f"0..{limit - 1} or the name of a class"
            raise DataError(f"row {at} of {name}: label is {value!r}; it must be {wanted}")
        labels.append(label)
    return labels


def _rows(column: pa.ChunkedArray, name: str) -> list[int]:
    rows = [-1 if value is None or value != value else value for value in column.to_pylist()]
    for at, row in enumerate(rows):
        if isinstance(row, float) and row.is_integer():  # what pandas makes of whole numbers with gaps
            rows[at] = row = int(row)
        if isinstance(row, bool) or not isinstance(row, int) or row < -1:
            raise DataError(f"row {at} of {name}: row is {row!r}; it must be a row number of the data set, or empty")
    return rows


class CaptionSource(Protocol):
    """Anything that captions a labelled image set."""

    def table(self, source: Source) -> CaptionTable:
        """Captions for every class of `source`. Raises DataError where a class has none."""
        ...


@dataclass(frozen=True)
class ColumnCaptions:
    """A column of the data set: a string a row, or a list of strings. An empty one becomes the prefix alone."""

    name: str
    keep_duplicates: bool = False

    def table(self, source: Source) -> CaptionTable:
        labels, captions, rows, empty = [], [], [], 0
        for row, value in enumerate(source.column(self.name)):
            for caption in self._of_row(value, row, source):
                empty += not caption.strip()
                labels.append(source.labels[row])
                captions.append(with_prefix(source.class_names[source.labels[row]], caption))
                rows.append(row)
        if empty:
            say(f"{empty} of {len(captions)} captions in {self.name!r} are empty: the class name stands alone there")
        options = {"num_classes": len(source.class_names), "keep_duplicates": self.keep_duplicates}
        return CaptionTable.build(labels, captions, rows, **options).check_every_class(source.class_names)

    def _of_row(self, value: Any, row: int, source: Source) -> Iterable[str]:
        values = value if isinstance(value, list) else [value]
        for caption in values or [""]:
            if not isinstance(caption, str | None):
                raise DataError(
                    f"{source.describe_row(row)}: the column {self.name!r} holds {type(caption).__name__}, not text; "
                    "name a column of strings or lists of strings"
                )
            yield caption or ""


@dataclass(frozen=True)
class TemplateCaptions:
    """Each template, with the class name in place of {}, is a caption of the class as a whole."""

    templates: tuple[str, ...] = TEMPLATES

    def __post_init__(self) -> None:
        if not self.templates:
            raise RecipeError("no caption template is given: name at least one, such as 'a photo of a {}'")
        for template in self.templates:
            if template.count("{}") != 1:
                raise RecipeError(f"the caption template {template!r} must hold {{}} once, where the class name goes")

    def table(self, source: Source) -> CaptionTable:
        pairs = [(y, n, template) for y, n in enumerate(source.class_names) for template in self.templates]
        captions = [with_prefix(n, template.replace("{}", n)) for _, n, template in pairs]
        table = CaptionTable.build(
            [y for y, _, _ in pairs], captions, [-1] * len(pairs), num_classes=len(source.class_names)
        )
        return table.check_every_class(source.class_names)


@dataclass(frozen=True)
class FileCaptions:
    """A captions Parquet: label (number or class name), caption, row."""

    path: str | Path
    keep_duplicates: bool = False

    def table(self, source: Source) -> CaptionTable:
        table = CaptionTable.load(self.path, source.class_names, keep_duplicates=self.keep_duplicates)
        name = Path(self.path).name
        at = table.rows >= 0
        for row, label in zip(table.rows[at].tolist(), table.labels[at].tolist()):
            if row >= len(source) or source.labels[row] != label:
                if row < len(source):
                    has = f"is of the class {source.class_names[source.labels[row]]!r}"
                else:
                    has = "is not there"
                raise DataError(
                    f"{name} has a caption of the class {source.class_names[label]!r} for row {row}, which {has} in "
                    f"{source.name}: it was made for another data set, revision or split"
                )
        return table.check_every_class(source.class_names)


def caption_source(spec: str, *, keep_duplicates: bool = False) -> CaptionSource:
    """The source that a setting names: template, template:TEXT, column:NAME, or a path ending in .parquet.

    Args:
        spec: the setting.
        keep_duplicates: True to keep equal captions of a class, of a column or a file, as often as they come.

    Raises:
        RecipeError: there is no such captioner.
        DataError: the file does not exist.
    """
    kind, _, value = spec.partition(":")
    if spec.endswith(".parquet") and kind not in ("template", "column"):
        if not os.path.isfile(os.path.expanduser(spec)):
            raise DataError(f"no such captions file: {spec!r}")
        return FileCaptions(os.path.expanduser(spec), keep_duplicates)
    if spec == "template":
        return TemplateCaptions()
    if kind == "template":
        return TemplateCaptions((value,))
    if kind == "column" and value:
        return ColumnCaptions(value, keep_duplicates)
    if spec == "blip2":
        raise RecipeError(
            "captioner 'blip2' is not available in this version; use column:NAME, template or a captions Parquet"
        )
    raise RecipeError(f"unknown captioner {spec!r}; {EXISTS}")
