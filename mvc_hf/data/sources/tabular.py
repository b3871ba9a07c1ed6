"""Tables as labelled image sets: what every `datasets.Dataset` has in common, and Parquet files."""

from __future__ import annotations

import bisect
import glob
import hashlib
import itertools
import os
import re
from abc import abstractmethod
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import DataError, MvcError, OutputError
from ...storage.files import cache_root, digests, read_file
from ...utils.disk import is_disk_full
from ...utils.progress import say_once
from ...utils.text import is_text, known_as, normal_order, one_line, reason, some
from .. import decoding
from ..base import SPLIT_NAMES, Source, no_such_column
from ..named_pictures import CURE, FROM_HUB, PATH_COLUMNS, file_of_local, path_instead, shown, without_bytes
from .partial_parquet import PartialParquet

if TYPE_CHECKING:
    import datasets
    from PIL import Image

    from ..view import ViewConfig

LABEL_COLUMNS = ("label", "labels", "class", "target", "fine_label", "category")


class TableSource(Source):
    """A `datasets.Dataset`: what Parquet and the Hub have in common.

    Args:
        table: the rows.
        image_column, label_column: None to look for the only one that fits.
    """

    def __init__(self, table: datasets.Dataset, image_column: str | None, label_column: str | None) -> None:

        self.columns = tuple(table.column_names)
        self._image_column = _pick("image", _image_columns(table.features), image_column, self)
        kind = table.features[self._image_column]
        if not (_is_image(kind) or _is_binary(kind) or _is_text(kind)):
            raise DataError(
                f"the column {image_column!r} of {self.name} holds no pictures but {kind} (--image-column)"
            )
        self._label_column = _pick("label", _label_columns(table.features), label_column, self)
        table = _undecoded(table)
        self._table, self._images = table, table.select_columns([self._image_column])
        self._chosen: np.ndarray | None = None  # the rows of `_images` where they are not all
        self.labels, self.class_names = self._read_labels()

    def image(self, row: int) -> Image.Image:
        return decoding.decode(self.stored(row), self.describe_row(row))

    def check(self, every_class: bool) -> None:
        """Also raises DataError where rows hold paths that are not followed, or no row holds a picture."""
        super().check(every_class)
        lacking, seen, named = [], 0, ""
        for row, path in self._without_bytes():
            file = self._picture_file(row, path) if path else None
            if file is None or not os.path.isfile(file):
                lacking.append(row)
            else:
                seen, named = seen + 1, named or str(file)
        self.lacking = np.array(lacking, np.int64)
        if len(lacking) == len(self._images):
            raise self._no_pictures(lacking[0])
        if seen:
            say_once(
                f"note: {self.name} holds paths instead of pictures: {seen} are read from their files, the first from "
                f"{one_line(named)}"
            )

    def _no_pictures(self, row: int) -> DataError:
        what, cell = f"the column {self._image_column!r} of {self.name}", self._cell(row)
        if isinstance(cell, str):
            return DataError(
                f"{what} holds no pictures but text, the first {shown(cell)}, and no file of that name is there: name "
                f"another one (--image-column); if they are paths, `ds.cast_column({self._image_column!r}, "
                f"datasets.Image())` first, and {CURE}"
            )
        path = cell.get("path") if isinstance(cell, dict) else None
        if not path:
            return DataError(f"{what} holds no picture at all: name another one (--image-column)")
        return DataError(
            f"{what} holds paths instead of pictures, the first {shown(path)}, and no file is there: {CURE}"
        )

    def _without_bytes(self) -> Iterator[tuple[int, str | None]]:
        """Rows that are to be used and hold no bytes, each with its path if it has one."""
        for place, path in without_bytes(self._images, self._image_column):
            yield place if self._chosen is None else int(self._chosen[place]), path

    def stored(self, row: int) -> bytes:
        cell, name = self._cell(row), self.describe_row(row)
        data, path = (cell.get("bytes"), cell.get("path")) if isinstance(cell, dict) else (cell, None)
        if isinstance(data, str):
            data, path = None, data
        if data is None and path:
            data = read_file(self._picture_file(row, path), name)
        if data is None:
            raise DataError(f"{name} has no picture in the column {self._image_column!r}: remove it")
        return data

    def _cell(self, row: int) -> Any:
        """What the image column holds, undecoded."""
        if self._chosen is None:
            return self._images[row][self._image_column]
        at = int(np.searchsorted(self._chosen, row))
        if at == len(self._chosen) or self._chosen[at] != row:
            raise DataError(f"{self.describe_row(row)} is not one of those that --max-images-per-class takes")
        return self._images[at][self._image_column]

    def _take(self, view: ViewConfig, parquet: PartialParquet, rows: np.ndarray) -> None:
        """Fetch the pictures that are to be used, and no others. `rows` of the files are those of the table."""
        chosen = view.chosen(self.labels)
        if chosen is None:
            return
        self._chosen = chosen
        try:
            self._images = _undecoded(parquet.pictures(self._image_column, rows[chosen]))
        except Exception as error:  # of a file, or of a network
            raise unreadable(f"the pictures of {self.name} cannot be fetched", error) from error

    @abstractmethod
    def _picture_file(self, row: int, path: str) -> Path:
        """The file that the cell of a row names: data of others must not choose what is read from this machine.

        Raises:
            DataError: the path may not be followed; see `path_instead`.
        """

    def column(self, name: str) -> Sequence[Any]:
        known = known_as(name, self.columns)
        return super().column(name) if known is None else self._table[known]

    def _read_labels(self) -> tuple[np.ndarray, tuple[str, ...]]:
        """Labels and class names: a ClassLabel's own, else the sorted values that occur, as strings."""
        import datasets
        import pyarrow as pa
        import pyarrow.compute as pc

        feature = self._table.features[self._label_column]
        values = self._table.select_columns([self._label_column]).with_format("arrow")[:][self._label_column]
        if pa.types.is_boolean(values.type):
            values = values.cast(pa.int8())
        if pa.types.is_string_view(values.type):
            values = values.cast(pa.large_string())
        is_text = pa.types.is_string(values.type) or pa.types.is_large_string(values.type)
        if not (is_text or pa.types.is_integer(values.type) or pa.types.is_null(values.type)):
            raise DataError(
                f"the label column {self._label_column!r} of {self.name} holds {values.type}, not class names or "
                "whole numbers: convert it, or name another one (--label-column)"
            )
        blank = pc.is_null(values)
        if is_text:
            blank = pc.or_kleene(blank, pc.equal(pc.utf8_trim_whitespace(values), ""))
        elif pa.types.is_signed_integer(values.type):
            blank = pc.or_kleene(blank, pc.less(values, 0))
        unlabelled = blank.to_numpy().astype(bool)
        self._refuse_rows(unlabelled, "no label (empty, null or negative)", "label or remove them")
        if isinstance(feature, datasets.ClassLabel):
            labels = values.to_numpy().astype(np.int64)
            limit = len(feature.names)
            self._refuse_rows(
                labels >= limit, f"a label above {limit - 1}, the last of its {limit} classes", "correct them"
            )
            return labels, tuple(feature.names)
        coded = values.combine_chunks().dictionary_encode()
        found = coded.dictionary.to_pylist()
        by_name = [normal_order(value) for value in found] if is_text else found
        order = sorted(range(len(found)), key=by_name.__getitem__)
        labels = np.argsort(order)[coded.indices.to_numpy()] if found else np.zeros(0)
        return labels.astype(np.int64), tuple(str(found[i]) for i in order)

    def _refuse_rows(self, wrong: np.ndarray, what: str, cure: str) -> None:
        if wrong.any():
            first = self.describe_row(int(wrong.argmax()))
            raise DataError(
                f"{self.name}: {wrong.sum()} of {len(wrong)} rows have {what}, the first is {first}: {cure}"
            )


def _undecoded(table: datasets.Dataset) -> datasets.Dataset:
    """Else `datasets` itself opens whatever path a cell holds."""
    import datasets

    for column, feature in table.features.items():
        if isinstance(feature, datasets.Image):
            table = table.cast_column(column, datasets.Image(decode=False))
    return table


def unreadable(what: str, error: Exception) -> MvcError:
    """For a set that cannot be opened. What it is read through takes room, too, and not where the output lies."""
    if not is_disk_full(error):
        return DataError(f"{what}: {reason(error)}")
    import datasets

    caches = f"the cache of `datasets` ({datasets.config.HF_DATASETS_CACHE}) or ours ({cache_root()})"
    return OutputError(
        f"{what}: the disk is full that it is converted to, of {caches}; make room there, or set HF_DATASETS_CACHE "
        "and MVC_HF_CACHE to folders on another one"
    )


def _pick(what: str, candidates: list[str], given: str | None, source: Source) -> str:
    if given is not None:
        known = known_as(given, source.columns)
        if known is None:
            raise no_such_column(source, given)
        return known
    if len(candidates) == 1:
        return candidates[0]
    found = f"several columns may hold the {what}: {some(candidates)}" if candidates else f"no {what} column is found"
    raise DataError(f"{source.name}: {found}; say which with --{what}-column (columns: {some(source.columns, 20)})")


def _image_columns(features: datasets.Features) -> list[str]:
    """Columns of pictures; only where there are none, columns of bytes; then texts with a usual name of paths."""
    return (
        [n for n, f in features.items() if _is_image(f)]
        or [n for n, f in features.items() if _is_binary(f)]
        or [n for n, f in features.items() if _is_text(f) and n in PATH_COLUMNS]
    )


def _label_columns(features: datasets.Features) -> list[str]:
    """ClassLabel columns; only where there are none, columns with a usual name."""
    import datasets

    return [n for n, f in features.items() if isinstance(f, datasets.ClassLabel)] or [
        n for n in LABEL_COLUMNS if n in features
    ]


def _is_image(feature: Any) -> bool:
    """An Image, or the {bytes, path} structure of one that lost its type."""
    import datasets

    parts = set(feature) if isinstance(feature, dict) else set()
    return isinstance(feature, datasets.Image) or "bytes" in parts or parts == {"path"}


def _is_binary(feature: Any) -> bool:
    return getattr(feature, "dtype", None) in ("binary", "large_binary")


def _is_text(feature: Any) -> bool:
    return getattr(feature, "dtype", None) in ("string", "large_string")


class ParquetSource(TableSource):
    """Parquet files as one table. Of `split` only the slice matters; the files are the split already."""

    def __init__(
        self, files: list[Path], name: str, split: str, image_column: str | None, label_column: str | None,
        view: ViewConfig | None = None,
    ) -> None:  # fmt: skip
        import datasets
        import pyarrow.parquet as pq

        self.name, self._files, self._split = name, files, split
        self._slice = "".join(split.partition("[")[1:])
        rows = []
        for file in files:
            if not is_text(str(file.absolute())):
                raise DataError(f"the path of {file.name!r} is not valid UTF-8, and Arrow opens no other: rename it")
            if file.exists() and not file.is_file():  # a pipe would be waited for
                raise DataError(f"{one_line(file.name)} is no regular file: name a Parquet file")
            try:
                rows.append(pq.read_metadata(file).num_rows)
            except Exception as error:
                raise DataError(f"{file.name} cannot be read as Parquet ({reason(error)}): replace it") from error
        self._ends = list(itertools.accumulate(rows))
        if not sum(rows):
            raise DataError(f"{name} holds no rows: check the file or split")
        try:
            self._rows = rows_of_slice(self._slice, sum(rows))
            refuse_empty_slice(name, split, self._rows, sum(rows))
            if view and view.max_images_per_class:
                partial = PartialParquet(tuple(str(f.absolute()) for f in files))
                table = partial.columns().select(self._rows)
            else:
                paths = [glob.escape(str(f.absolute())) for f in files]
                table = datasets.load_dataset("parquet", data_files={"train": paths}, split=f"train{self._slice}")
        except DataError:
            raise
        except Exception as error:
            raise unreadable(f"{name} cannot be read, split {split!r}", error) from error
        super().__init__(table, image_column, label_column)
        if view and view.max_images_per_class:
            self._take(view, partial, self._rows)

    def describe_row(self, row: int) -> str:
        if self._slice:
            return f"row {row} of {self.name} ({self._split})"
        at = self._file_of(row)
        return f"row {row - (self._ends[at - 1] if at else 0)} of {one_line(self._files[at].name)}"

    def _content(self) -> Iterator[str | bytes]:
        yield from ("parquet", self._slice, self._image_column)
        yield from digests(self._files)
        lacking = set(self.lacking.tolist())
        named = [(row, path) for row, path in self._without_bytes() if path and row not in lacking]
        yield from digests([self._picture_file(row, path) for row, path in named])

    def _content_of(self, rows: np.ndarray) -> Iterator[str | bytes]:
        yield from ("some rows of parquet", self._image_column)
        lacking = set(self.lacking.tolist())
        for row in rows.tolist():
            yield hashlib.blake2b(b"" if row in lacking else self.stored(row), digest_size=16).digest()

    def _file_of(self, row: int) -> int:
        return bisect.bisect_right(self._ends, int(self._rows[row]))

    def _picture_file(self, row: int, path: str) -> Path:
        parquet = self._files[self._file_of(row)]
        file = file_of_local(parquet, path)
        if file is not None:
            return file
        if os.path.isabs(path):
            raise path_instead(self.describe_row(row), path, FROM_HUB)
        raise path_instead(self.describe_row(row), path, f"it is no file below the folder of {parquet.name}; {CURE}")


def rows_of_slice(part: str, count: int) -> np.ndarray:
    """The rows that "[:10%]" and its like mean, of so many; all of them for ""."""
    import datasets

    parts = datasets.ReadInstruction.from_spec(f"train{part}").to_absolute({"train": count})
    return np.concatenate([np.arange(p.from_, p.to) for p in parts])


def refuse_empty_slice(name: str, split: str, rows: np.ndarray, count: int) -> None:
    """`datasets` takes some slices without a row, such as [2:1], for all that comes after."""
    if not len(rows):
        raise DataError(f"{name} has {count} rows, and --split {split!r} takes none of them: take others")


def parquet_in(folder: Path) -> list[Path]:
    return sorted(p for p in folder.glob("*.parquet") if not p.name.startswith("."))


def files_of_split(files: list[Path], split: str, name: str) -> list[Path]:
    """The files whose names tell the split ("train-00000-of-00002.parquet"); all of them where no name tells any."""

    def named(split: str) -> list[Path]:
        word = re.compile(rf"(?<![^\W_]){re.escape(split)}(?![^\W\d_])", re.IGNORECASE)
        return [f for f in files if word.search(f.stem)]

    mine = named(split)
    if not mine:
        others = [s for s in SPLIT_NAMES if named(s)]
        if others or split != "train":
            has = f"it has {some(others)}" if others else "its files name no split, which makes them 'train'"
            raise DataError(f"{name} has no split {split!r}: {has} (--split)")
        mine = files
    shards = Counter(m.groups() for f in mine if (m := re.fullmatch(r"(.+)-\d{5}-of-(\d{5})", f.stem)))
    for (stem, wanted), there in shards.items():
        if there != int(wanted):
            raise DataError(
                f"{name} has {there} of the {int(wanted)} files {stem}-*-of-{wanted}.parquet: fetch the rest, or name "
                "the files to use"
            )
    return mine
