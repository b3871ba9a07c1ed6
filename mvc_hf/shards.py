"""The synthetic data set on the disk: Parquet shards, their manifest, and resuming.

Shard i holds a fixed range of rows, is written under a temporary name and renamed when it is whole: a shard that is
there is finished. So a killed run, started again, makes the missing shards and ends with the same data set.
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
ROW_GROUP = 100  # rows that a writer holds in memory, and that a streaming reader fetches at a time


def features(class_names: tuple[str, ...]) -> Any:
    """The columns of a synthetic data set, as `datasets.Features`."""
    from datasets import ClassLabel, Features, Image, List, Value

    span = {"source": Value("int64")}
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
        }
    )


def png(image: Any) -> dict[str, Any]:
    """A PIL image as the value of an Image column."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return {"bytes": buffer.getvalue(), "path": None}


@dataclass
class Split:
    """A synthetic split in a folder of its own.

    Args:
        folder: OUT; made if it is not there.
        identity: everything that decides what comes out; a folder made with another identity is refused.
        rows: number of rows in all.
        shard_size: rows of a shard.
        class_names: of the source, in its order.

    Raises:
        OutputError: the folder holds something else, or another recipe's data set (the fields that differ are named).
    """

    folder: Path
    identity: dict[str, Any]
    rows: int
    shard_size: int
    class_names: tuple[str, ...]

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
    def writer(self, shard: int) -> Iterator[Any]:
        """`write(rows)` takes lists of rows; leaving the block without an error makes the shard appear."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        schema = features(self.class_names).arrow_schema
        schema = schema.with_metadata({**(schema.metadata or {}), b"mvc_hf": self.fingerprint.encode()})
        path = self.path(shard)
        temporary = path.with_name(f".{path.name}.tmp")
        waiting: list[dict[str, Any]] = []
        with pq.ParquetWriter(temporary, schema, compression="snappy") as file:

            def write(rows: list[dict[str, Any]], at_least: int = ROW_GROUP) -> None:
                waiting.extend(rows)
                while len(waiting) >= at_least and waiting:
                    file.write_table(pa.Table.from_pylist(waiting[:ROW_GROUP], schema=schema))
                    del waiting[:ROW_GROUP]

            yield write
            write([], at_least=1)
        os.replace(temporary, path)

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
            "rows": self.rows,
            "shard_size": self.shard_size,
            "class_names": list(self.class_names),
        }

    def _claim(self) -> None:
        """Make the folder ours, or find that it is."""
        (self.folder / "data").mkdir(parents=True, exist_ok=True)
        manifest = read_manifest(self.folder)
        if manifest is None:
            found = [p.name for p in self.folder.iterdir() if p.name != "data"]
            found += [f"data/{p.name}" for p in (self.folder / "data").iterdir()]
            if found:
                raise OutputError(
                    f"{self.folder} holds {sorted(found)[0]!r} and no {MANIFEST}: choose an empty or a new folder"
                )
            self._write_manifest({**self._header(), "complete": False})
        elif manifest["fingerprint"] != self.fingerprint:
            names = differing(self.identity, manifest["made_from"])
            raise OutputError(
                f"{self.folder} was made by another recipe; these differ: {names}; choose another folder"
            )

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
        temporary.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
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
