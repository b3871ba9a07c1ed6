"""The synthetic data set on the disk: Parquet shards, their manifest, and resuming.

Shard i holds a fixed range of rows. While it is made its rows go to a spool beside it, batch by batch; once whole
it is written under a temporary name and renamed: a shard that is there is finished. So a killed run, started again,
makes the missing rows and ends with the same data set.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import OutputError
from .recipe import differing, fingerprint

MANIFEST = "manifest.json"
MADE_FROM = b"mvc_hf_made_from"  # key of the metadata of a shard
ROW_GROUP = 100  # rows that a writer holds in memory, and that a streaming reader fetches at a time


def features(class_names: tuple[str, ...], grouped: bool = False) -> Any:
    """The columns of a synthetic data set, as `datasets.Features`; with the group of the condition where asked for."""
    from datasets import ClassLabel, Features, Image, List, Value

    span = {"source": Value("int64")}
    group = {"group": Value("string")} if grouped else {}
    return Features(
        {
            "image": Image(),
            "label": ClassLabel(names=list(class_names)),
            "prompt": Value("string"),
            "method": Value("string"),
            "index": Value("int64"),
            "seed": Value("int64"),
            "condition": Value("int64"),
            "mix": {
                "base": Value("int64"),
                "coarse": List({**span, "r": Value("int64"), "s": Value("int64")}),
                "fine": List({**span, "w": Value("int64"), "u": Value("int64"), "v": Value("int64")}),
            },
            **group,
        }
    )


def is_grouped(identity: dict[str, Any]) -> bool:
    """Whether a data set of this identity has a column of groups."""
    return bool(identity.get("group_column"))


def png(image: Any) -> dict[str, Any]:
    """A PIL image as the value of an Image column."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return {"bytes": buffer.getvalue(), "path": None}


class Spool:
    """Rows of a shard that is not whole yet, as an Arrow stream: whatever arrived before a kill can be read again.

    Attributes:
        rows: how many there are.
    """

    def __init__(self, path: Path, schema: Any):
        self.path, self.schema, self.rows = path, schema, 0

    def __enter__(self) -> Spool:
        import pyarrow as pa

        old = self.path.with_suffix(".old")
        if self.path.exists():
            os.replace(self.path, old)
        self._file = pa.OSFile(str(self.path), "wb")
        self._writer = pa.ipc.new_stream(self._file, self.schema)
        for batch in self._read(old):
            self._write(batch)
        old.unlink(missing_ok=True)
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.close()
        self._file.close()

    def write(self, rows: list[dict[str, Any]]) -> None:
        import pyarrow as pa

        self._write(pa.RecordBatch.from_pylist(rows, schema=self.schema))

    def _write(self, batch: Any) -> None:
        self._writer.write_batch(batch)
        self.rows += batch.num_rows

    def to_parquet(self, path: Path) -> None:
        """Write all rows to a Parquet file, in groups, never holding more than one group and one batch."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        read = 0
        with pq.ParquetWriter(path, self.schema, compression="snappy") as file:
            waiting = self.schema.empty_table()
            for batch in self._read(self.path):
                read += len(batch)
                waiting = pa.concat_tables([waiting, pa.Table.from_batches([batch])])
                while len(waiting) >= ROW_GROUP:
                    file.write_table(waiting[:ROW_GROUP])
                    waiting = waiting[ROW_GROUP:]
            if len(waiting):
                file.write_table(waiting)
        if read != self.rows:  # a spool that broke off under our hands must not become a shard
            raise OutputError(f"{self.path} holds {read} of {self.rows} rows: give the same command again")

    def _read(self, path: Path) -> Iterator[Any]:
        """The whole batches of a stream that may break off anywhere; none of another recipe's."""
        import pyarrow as pa

        try:
            with pa.memory_map(str(path)) as file, pa.ipc.open_stream(file) as stream:
                if stream.schema.equals(self.schema, check_metadata=True):
                    yield from stream
        except FileNotFoundError:
            return
        except (pa.ArrowInvalid, OSError):
            return  # broken off: what came before it was whole


@dataclass
class Split:
    """A synthetic split in a folder of its own.

    Args:
        folder: OUT; made if it is not there.
        identity: everything that decides what comes out; a folder made with another identity is refused.
        rows: number of rows in all.
        shard_size: rows of a shard.
        class_names: of the source, in its order.
        provenance: what else the manifest tells of where it comes from, without deciding what comes out.
        images_of_class: rows of each class, for the manifest.

    Raises:
        OutputError: the folder holds something else, or another recipe's data set (the fields that differ are named).
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
        self.fingerprint = fingerprint(self.identity)
        self._claim()

    def path(self, shard: int) -> Path:
        return self.folder / "data" / f"train-{shard:05d}-of-{self.count:05d}.parquet"

    def rows_of(self, shard: int) -> range:
        return range(shard * self.shard_size, min(self.rows, (shard + 1) * self.shard_size))

    def missing(self) -> list[int]:
        """The shards that have still to be made."""
        return [shard for shard in range(self.count) if not self._is_whole(shard)]

    @contextmanager
    def writer(self, shard: int) -> Iterator[Spool]:
        """A spool that holds what an earlier, killed run made of the shard and takes the other rows, in order.

        Leaving the block without an error makes the shard appear.
        """
        schema = features(self.class_names, is_grouped(self.identity)).arrow_schema
        made_from = json.dumps(
            self.identity, sort_keys=True, allow_nan=False
        ).encode()  # so that a shard can tell by itself
        own = {b"mvc_hf": self.fingerprint.encode(), MADE_FROM: made_from}
        schema = schema.with_metadata({**(schema.metadata or {}), **own})
        path = self.path(shard)
        with Spool(path.with_name(f".{path.name}.spool"), schema) as spool:
            yield spool
        temporary = path.with_name(f".{path.name}.tmp")
        spool.to_parquet(temporary)
        os.replace(temporary, path)
        spool.path.unlink()

    def finish(self) -> None:
        """Write the manifest of a data set that has all its shards."""
        shards = [
            {"file": str(path.relative_to(self.folder)), "rows": len(self.rows_of(i)), "sha256": sha256(path)}
            for i, path in enumerate(map(self.path, range(self.count)))
        ]
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
        }

    def _claim(self) -> None:
        """Make the folder ours, or find that it is. A folder that is refused is left as it was."""
        manifest = read_manifest(self.folder)
        found = {p.name for p in self.folder.iterdir()} if self.folder.is_dir() else set()
        if manifest is None and found - {f".{MANIFEST}.tmp"}:  # that one is ours: killed at the very start
            raise OutputError(f"{self.folder} holds {min(found)!r} and no {MANIFEST}: choose an empty or a new folder")
        if manifest is not None and manifest["fingerprint"] != self.fingerprint:
            names = differing(self.identity, manifest["made_from"])
            raise OutputError(
                f"{self.folder} was made by another recipe; these differ: {names}; choose another folder"
            )
        if manifest is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._write_manifest({**self._header(), "complete": False})
        (self.folder / "data").mkdir(exist_ok=True)

    def _is_whole(self, shard: int) -> bool:
        import pyarrow.parquet as pq

        path = self.path(shard)
        if not path.exists():
            return False
        found = pq.read_metadata(path)
        if (found.metadata or {}).get(b"mvc_hf") == self.fingerprint.encode():
            return found.num_rows == len(self.rows_of(shard))
        raise OutputError(f"{path} was not made by this recipe: move it away, or choose another folder")

    def _write_manifest(self, values: dict[str, Any]) -> None:
        temporary = self.folder / f".{MANIFEST}.tmp"
        temporary.write_text(
            json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8"
        )
        os.replace(temporary, self.folder / MANIFEST)


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """The manifest of a folder; None where there is none.

    Raises:
        OutputError: there is one, but not of ours.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        if manifest["format"] == 1 and isinstance(manifest["made_from"], dict):
            return manifest
    except FileNotFoundError:
        return None
    except (json.JSONDecodeError, KeyError, TypeError, UnicodeDecodeError):
        pass
    raise OutputError(f"{folder / MANIFEST} is not a manifest of mvc-hf: choose another folder")


def sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()
