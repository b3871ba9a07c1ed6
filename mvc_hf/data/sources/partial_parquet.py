"""Some rows of Parquet files, here or on the Hub: of the pictures, only those that are wanted are fetched.

Everything else (labels, captions, groups) is small, and read of all rows, so that row numbers are those of the whole.
Both lie in the cache as Arrow files, mapped into memory. Parquet can be read by row groups only: a group without a
wanted picture is never touched, of the others the column of the pictures is read once, and the wanted ones kept.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...config.files import fingerprint
from ...hub.download.remote_files import RemoteFiles
from ...storage.files import cache_root
from ...storage.integrity import is_as_recorded, record
from ...storage.locks import waiting_lock
from ...storage.parquet import open_parquet
from ...utils.progress import bar

if TYPE_CHECKING:
    import datasets
    import pyarrow as pa
    import pyarrow.parquet as pq

AT_ONCE = 16  # files that are read at a time: what takes long is to wait for the Hub


@dataclass(frozen=True)
class PartialParquet:
    """Parquet files as one table.

    Args:
        files: paths, or URLs at a commit.
        features: of `datasets`, where more is known than the files say.
    """

    files: tuple[str, ...]
    features: datasets.Features | None = None

    @cached_property
    def sizes(self) -> list[int]:
        """Rows of each file."""
        return [footer.num_rows for footer in self._footers]

    def columns(self) -> datasets.Dataset:
        """All rows, with nothing in the columns of pictures and other bytes."""

        def read(at: int) -> pa.Table:
            light = [field.name for field in self._schema if not _is_heavy(field.type)]
            with self._open(at) as file:
                return file.read(columns=light, use_threads=False)

        def batches() -> Iterator[pa.RecordBatch]:
            with bar(len(self.files), "reading labels", " files") as shown, ThreadPoolExecutor(AT_ONCE) as pool:
                for first in range(0, len(self.files), AT_ONCE):
                    some = range(first, min(first + AT_ONCE, len(self.files)))
                    for at, table in zip(some, pool.map(read, some)):
                        yield from _hollow(table, self.sizes[at], self._schema)
                        shown.update()

        return self._cached("columns", "", batches)

    def pictures(self, column: str, rows: np.ndarray) -> datasets.Dataset:
        """One column of some rows, which are ascending."""

        def batches() -> Iterator[pa.RecordBatch]:
            ends = np.cumsum(self.sizes)
            with bar(len(rows), "fetching", " images") as shown:
                for at, (end, count) in enumerate(zip(ends, self.sizes)):
                    mine = rows[(rows >= end - count) & (rows < end)] - (end - count)
                    if not len(mine):
                        continue
                    with self._open(at) as file:
                        for table in _of_file(file, column, mine):
                            yield from table.to_batches()
                            shown.update(len(table))

        return self._cached("pictures", fingerprint({"column": column, "rows": rows.tolist()}), batches, column)

    @cached_property
    def _schema(self) -> pa.Schema:
        """Of all files; `features`, or what the first one says, in its metadata."""
        import datasets

        with self._open(0) as file:
            found = file.schema_arrow
        known = self.features if self.features and set(self.features) == set(found.names) else None
        return (known or datasets.Features.from_arrow_schema(found)).arrow_schema

    @cached_property
    def _footers(self) -> list[pq.FileMetaData]:
        def read(file: str) -> pq.FileMetaData:
            with open_parquet(file, system=_system_of(file)) as opened:
                return opened.metadata

        with ThreadPoolExecutor(AT_ONCE) as pool:
            return list(pool.map(read, self.files))

    def _open(self, at: int) -> AbstractContextManager[pq.ParquetFile]:
        return open_parquet(self.files[at], self._footers[at], _system_of(self.files[at]))

    def _cached(
        self, kind: str, key: str, batches: Callable[[], Iterator[pa.RecordBatch]], column: str | None = None
    ) -> datasets.Dataset:
        import datasets
        import pyarrow as pa

        made_from = {"files": list(map(_state, self.files)), "features": str(self.features)}
        folder = cache_root() / f"rows-{fingerprint(made_from)}"
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{kind}{key and '-'}{key}.arrow"
        with waiting_lock(folder / "lock"):
            if not is_as_recorded(path):
                schema = self._schema if column is None else _with_features(self._schema, column)
                temporary = path.with_name(f".{path.name}.tmp")
                with pa.OSFile(str(temporary), "wb") as file, pa.ipc.new_stream(file, schema) as stream:
                    for batch in batches():
                        stream.write_batch(batch.cast(schema))
                record(path, temporary)
                os.replace(temporary, path)
        return datasets.Dataset.from_file(str(path))


def _hollow(light: pa.Table, count: int, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """The batches of a table of some columns, with nulls in those that it lacks."""
    import pyarrow as pa

    for batch in light.to_batches() or [pa.record_batch([pa.nulls(count)], ["nothing"])]:
        columns = [
            batch[field.name].cast(field.type)
            if field.name in light.column_names
            else pa.nulls(len(batch), field.type)
            for field in schema
        ]
        yield pa.record_batch(columns, schema=schema)


def _of_file(file: pq.ParquetFile, column: str, rows: np.ndarray) -> Iterator[pa.Table]:
    """The column of some rows of a file, row group by row group."""
    sizes = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
    for group, (end, size) in enumerate(zip(itertools.accumulate(sizes), sizes)):
        mine = rows[(rows >= end - size) & (rows < end)] - (end - size)
        if len(mine):
            yield file.read_row_group(group, columns=[column], use_threads=False).take(mine)


def _with_features(schema: pa.Schema, column: str) -> pa.Schema:
    """The schema of one column alone, with what `datasets` knows of it."""
    import datasets

    features = datasets.Features.from_arrow_schema(schema)
    return datasets.Features({column: features[column]}).arrow_schema


def _is_heavy(kind: Any) -> bool:
    """Whether a column of a type holds bytes, at any depth."""
    import pyarrow as pa

    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return True
    return any(_is_heavy(kind.field(i).type) for i in range(kind.num_fields))


def _system_of(file: str) -> RemoteFiles | None:
    """Where a file is opened; None for this machine."""
    return RemoteFiles() if "://" in file else None


def _state(file: str) -> list[Any]:
    """What tells whether a file is still the one that it was. A URL names its commit."""
    if "://" in file:
        return [file]
    about = Path(file).stat()
    return [file, about.st_size, about.st_mtime_ns]
