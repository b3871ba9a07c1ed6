"""The synthetic data set on the disk: Parquet shards, their manifest, and resuming.

Shard i holds a fixed range of rows. While it is made its rows go to a partial shard beside it, batch by batch. Once
whole it is written under a temporary name, its SHA-256 is recorded, and it is renamed: one that is there is finished.
So a killed run, started again, makes the missing rows and ends with the same data set; and a shard that is no longer
what was recorded is made again. More rows than there are come after them (see `growing`).
"""

from __future__ import annotations

import json
import os
import re
import shutil
import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..config.files import fingerprint
from ..errors import OutputError
from ..storage.integrity import is_intact, sha256
from ..storage.layout import MANIFEST, RECORDS, REPORT
from ..storage.locks import parts_at_work, strangers
from ..storage.manifest import read_manifest
from ..storage.notes import atomic_write, write_json
from ..utils.progress import say
from ..utils.text import counted
from . import growing
from .sameness import compare
from .schema import ROW_GROUP, features, is_grouped, schema_of

OURS = re.compile(r"\.?train-\d+-of-\d+\.parquet(\.spool|\.tmp|\.damaged|\.begun)?")
MADE_FROM = b"mvc_hf_made_from"  # key of the metadata of a shard


class PartialShard:
    """Rows of a shard that is not whole yet. Whatever arrived before a kill can be read again, and nothing else can.

    The file is a row of records, each a number of bytes, their digest, and the bytes: the schema first, then batches
    in Arrow's own form. From the first record on that breaks off or was damaged, all is cut away and made again.

    Attributes:
        rows: how many there are.
    """

    HEAD = struct.Struct("<Q16s")

    def __init__(self, path: Path, schema: Any):
        self.path, self.schema, self.rows = path, schema, 0

    def __enter__(self) -> PartialShard:
        self.path.touch()
        end = 0
        for batch, place in self._read():
            self.rows, end = self.rows + batch.num_rows, place
        self._file = self.path.open("r+b")
        self._file.truncate(end)
        self._file.seek(end)
        if end == 0:
            self._append(self.schema.serialize())
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, rows: list[dict[str, Any]]) -> None:
        import pyarrow as pa

        batch = pa.RecordBatch.from_pylist(rows, schema=self.schema)
        self._append(batch.serialize())
        self.rows += batch.num_rows

    def to_parquet(self, path: Path) -> None:
        """Write all rows to a Parquet file, in groups, never holding more than one group and one batch."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        self._file.flush()
        read = 0
        with pq.ParquetWriter(path, self.schema, compression="snappy") as file:
            waiting = self.schema.empty_table()
            for batch, _ in self._read():
                read += len(batch)
                waiting = pa.concat_tables([waiting, pa.Table.from_batches([batch])])
                while len(waiting) >= ROW_GROUP:
                    file.write_table(waiting[:ROW_GROUP])
                    waiting = waiting[ROW_GROUP:]
            if len(waiting):
                file.write_table(waiting)
        if read != self.rows:  # a partial shard that broke off under our hands must not become a shard
            raise OutputError(f"{self.path} holds {read} of {self.rows} rows: give the same command again")

    def _append(self, content: Any) -> None:
        self._file.write(self.HEAD.pack(content.size, _digest(content)))
        self._file.write(content)
        self._file.flush()

    def _read(self) -> Iterator[tuple[Any, int]]:
        """The whole batches, each with the place where it ends; none of another recipe's."""
        import pyarrow as pa

        with self.path.open("rb") as file:
            for number, content in enumerate(self._records(file)):
                if number:
                    yield pa.ipc.read_record_batch(pa.py_buffer(content), self.schema), file.tell()
                elif content != self.schema.serialize().to_pybytes():
                    return

    def _records(self, file: Any) -> Iterator[bytes]:
        left = self.path.stat().st_size
        while len(head := file.read(self.HEAD.size)) == self.HEAD.size:
            size, digest = self.HEAD.unpack(head)
            left -= len(head) + size
            if left < 0 or _digest(content := file.read(size)) != digest:
                return
            yield content


def _digest(content: Any) -> bytes:
    import xxhash

    return xxhash.xxh3_128(content).digest()


@dataclass
class ShardedDatasetWriter:
    """A synthetic split in a folder of its own.

    Args:
        folder: OUT; made if it is not there.
        identity: everything that decides what comes out; a folder whose rows were made with another one is refused.
            Of rows there may be fewer in it (`growing.HOW_MANY`): the others are added.
        rows: number of rows in all.
        shard_size: rows of a shard.
        class_names: of the source, in its order.
        provenance: what else the manifest tells of where it comes from, without deciding what comes out.
        images_of_class: rows of each class, for the manifest.

    Attributes:
        parts: rows of each class up to the end of the first run, and of each that added some: the order of the rows.

    Raises:
        OutputError: the folder holds something else, another recipe's data set (the fields that differ are named), or
            more rows than these.
    """

    folder: Path
    identity: dict[str, Any]
    rows: int
    shard_size: int
    class_names: tuple[str, ...]
    provenance: dict[str, Any] | None = None
    images_of_class: list[int] | None = None

    def __post_init__(self) -> None:
        self.count = -(-self.rows // self.shard_size)
        self._rows_from = growing.of_rows(self.identity)
        self.fingerprint = fingerprint(self._rows_from)
        self.parts: growing.Parts = [[self.rows] if self.images_of_class is None else list(self.images_of_class)]
        self._claim()

    def __str__(self) -> str:
        """What there is, in a line."""
        of = counted(len(self.class_names), "class")
        return f"{counted(self.rows, 'image')} of {of} in {counted(self.count, 'shard')}"

    def path(self, shard: int) -> Path:
        return growing.path_of(self.folder, shard, self.count)

    def rows_of(self, shard: int) -> range:
        return range(shard * self.shard_size, min(self.rows, (shard + 1) * self.shard_size))

    def missing(self, among: Iterable[int] | None = None) -> list[int]:
        """The shards that have still to be made, of some or of all.

        Those that are damaged are among them: they are set aside until they are made again, and a line says so.
        """
        return [shard for shard in (range(self.count) if among is None else among) if not self._is_whole(shard)]

    def absent(self) -> list[int]:
        """The shards that are not there, or of which nothing is on record; those that are there are not read."""
        return [i for i in range(self.count) if not (self.path(i).exists() and self._recorded(i))]

    def arrange(self, parts: growing.Parts | None) -> None:
        """Take the order of rows over from a data set that was made in several parts; an empty one can still do so.

        Raises:
            OutputError: there are rows in another order.
        """
        if parts is None or parts == self.parts:
            return
        if len(self.absent()) < self.count:
            raise OutputError(f"{self.folder} has these rows in another order: choose an empty or a new folder")
        self.parts = parts
        growing.keep_layout(self.folder, parts)
        self._begin_manifest()

    def adopt(self, shard: int, source: Path, digest: str) -> None:
        """Take over a shard of the same data set that was made elsewhere. Raises OutputError where it is damaged."""
        path = self.path(shard)
        with atomic_write(path) as temporary:
            shutil.copyfile(source, temporary)
            if sha256(temporary) != digest or _fingerprint_of(temporary) != self.fingerprint:
                raise OutputError(
                    f"{source} is not as it was made: give its generate command again, which makes it again"
                )
            growing.record(path, digest)
        self._clear(shard)

    @contextmanager
    def writer(self, shard: int) -> Iterator[PartialShard]:
        """A partial shard that holds what an earlier, killed run made of the shard and takes the other rows, in order.

        Leaving the block without an error makes the shard appear.
        """
        schema = schema_of(features(self.class_names, is_grouped(self.identity)))
        made_from = json.dumps(self._rows_from, sort_keys=True, allow_nan=False)  # so that a shard can tell by itself
        own = {b"mvc_hf": self.fingerprint.encode(), MADE_FROM: made_from.encode()}
        schema = schema.with_metadata({**(schema.metadata or {}), **own})
        path = self.path(shard)
        with PartialShard(growing.beside(path, "spool"), schema) as partial:
            growing.go_on(partial, path)
            yield partial
            with atomic_write(path) as temporary:
                partial.to_parquet(temporary)
                growing.record(path, sha256(temporary))
        self._clear(shard)

    def reopen(self) -> None:
        """Take back that the data set is complete: a shard of it is missing. What is on record of the others stays."""
        self._begin_manifest()

    def finish(self) -> None:
        """Write the manifest of a data set that has all its shards, as they were recorded when they were made."""
        shards = self._shards()
        if len(shards) < self.count:
            raise OutputError(f"{self.folder / RECORDS} lacks a record of a shard: give the same command again")
        self._write_manifest({**self._header(), "complete": True, "shards": shards})

    def _header(self) -> dict[str, Any]:
        return {
            "format": 1,
            "fingerprint": self.fingerprint,
            "made_from": self.identity,
            "provenance": self.provenance,
            "rows": self.rows,
            "shard_size": self.shard_size,
            "class_names": list(self.class_names),
            "images_of_class": self.images_of_class,
            "parts": self.parts,
        }

    def _claim(self) -> None:
        """Make the folder ours, or find that it is. A folder that is refused is left as it was."""
        try:
            manifest = read_manifest(self.folder, "choose another folder")
        except OutputError as error:
            if not self._is_known():
                raise
            say(f"{str(error).rpartition(':')[0]}: its shards are of this recipe, and it is written again")
            manifest = None
        else:
            found = strangers(self.folder, MANIFEST) if manifest is None else []
            if found and not self._is_known():
                what = f"{self.folder} holds {found[0]!r} and no {MANIFEST}"
                raise OutputError(f"{what}: choose an empty or a new folder")
        if manifest is not None:
            left = {name: None for name in manifest["made_from"] if name not in self.identity}
            compare(self.folder, {**left, **self.identity}, manifest, self.provenance)
        self._on_record = {} if manifest is None else {shard["file"]: shard["sha256"] for shard in manifest["shards"]}
        before = growing.read_layout(self.folder, manifest)
        if before is None:
            growing.forget(self.folder)
            self.folder.mkdir(parents=True, exist_ok=True)
            self._begin_manifest()
        for name in ("data", RECORDS):
            (self.folder / name).mkdir(exist_ok=True)
        if before is not None:
            self._grow(before)
        growing.keep_layout(self.folder, self.parts)
        if before is not None and (manifest is None or manifest.get("parts") != self.parts):
            self._begin_manifest()
        growing.rename(self.folder, self.parts, self.shard_size)

    def _begin_manifest(self) -> None:
        self._write_manifest({**self._header(), "complete": False, "shards": self._shards()})

    def _grow(self, before: growing.Parts) -> None:
        """Put the rows that the folder does not have yet behind the others."""
        wanted, self.parts = self.parts[-1], before
        parts = growing.grown(before, wanted, self.class_names, self.folder)
        if parts != before:
            if parts_at_work(self.folder):
                raise OutputError(
                    f"{self.folder} is being written by others, and this asks for more images: wait for them"
                )
            there = sum(before[-1])
            say(f"{self.folder} is a data set of {there:,} images: {self.rows - there:,} more are made")
            growing.record_all(self.folder, self._on_record)
        self.parts = parts

    def _is_known(self) -> bool:
        """Whether a folder without a manifest that can be read is ours all the same: its shards say so."""
        if strangers(self.folder, MANIFEST, RECORDS, "data", "README.md", "samples.png", REPORT):
            return False
        files = sorted((self.folder / "data").glob("*")) if (self.folder / "data").is_dir() else []
        if any(not OURS.fullmatch(path.name) for path in files):
            return False
        shards = [path for path in files if path.suffix == ".parquet"]
        found = {_fingerprint_of(path) for path in shards}
        return self.fingerprint in found and found <= {self.fingerprint, None}  # None: damaged

    def _is_whole(self, shard: int) -> bool:
        path, recorded = self.path(shard), self._recorded(shard)
        if not path.exists():
            return False
        if recorded and is_intact(path, recorded):
            if growing.is_short(path, len(self.rows_of(shard))):
                growing.set_aside(path, recorded)
                return False
            self._clear(shard)
            return True
        if _fingerprint_of(path) not in (None, self.fingerprint):
            raise OutputError(f"{path} was not made by this recipe: move it away, or choose another folder")
        why = "is not as it was made (its SHA-256 differs)" if recorded else "has no record of its SHA-256"
        say(f"{path} {why}: it is made again")
        os.replace(path, growing.beside(path, "damaged"))
        return False

    # What is on record of each shard from the moment when it was finished

    def _shards(self) -> list[dict[str, Any]]:
        return [
            {"file": self.path(i).relative_to(self.folder).as_posix(), "rows": len(self.rows_of(i)), "sha256": known}
            for i in range(self.count)
            if (known := self._recorded(i))
        ]

    def _recorded(self, shard: int) -> str | None:
        """SHA-256 of a shard."""
        path = self.path(shard)
        return growing.recorded(path) or self._on_record.get(path.relative_to(self.folder).as_posix())

    def _clear(self, shard: int) -> None:
        """Forget what a finished shard was made from."""
        path = self.path(shard)
        for kind in growing.BESIDE:
            growing.beside(path, kind).unlink(missing_ok=True)
        growing.record_of(growing.beside(path, growing.BEGUN)).unlink(missing_ok=True)

    def _write_manifest(self, values: dict[str, Any]) -> None:
        write_json(self.folder / MANIFEST, values)


def _fingerprint_of(path: Path) -> str | None:
    """The fingerprint that a shard carries; "" for Parquet of others, None for what is no Parquet."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return ((pq.read_metadata(path).metadata or {}).get(b"mvc_hf") or b"").decode(errors="replace")
    except (pa.ArrowException, OSError):
        return None
