"""Parquet files, opened so that none of Arrow's threads is left with a Python object in its hands.

Arrow reads ahead in threads of its own, which outlive the reading. One that still holds a file object of Python when
the interpreter ends takes the whole process down with it, after everything was done (exit code 134). So what lies on
this machine is opened by Arrow itself; what comes through fsspec is read in the thread that asks for it, and no other.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow.parquet as pq


@contextmanager
def open_parquet(file: str, metadata: pq.FileMetaData | None = None, system: Any = None) -> Iterator[pq.ParquetFile]:
    """A Parquet file here or elsewhere; read it with `use_threads=False`.

    Args:
        file: a path here, or in `system`.
        metadata: its footer, where that is known.
        system: a file system of fsspec, or what opens files as one does.
    """
    import pyarrow.parquet as pq

    with _opened(file, system) as opened, pq.ParquetFile(opened, metadata=metadata, pre_buffer=False) as parquet:
        yield parquet


def _opened(file: str, system: Any) -> Any:
    if system is not None:
        return system.open(file, "rb")
    import pyarrow as pa

    return pa.OSFile(file)
