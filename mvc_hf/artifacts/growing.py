"""More rows into a synthetic data set that is there: what is whole keeps its bytes, what is new comes after it.

Shards are named after their number of all, so they get other names. The last shard, where it was not full, becomes the
beginning of a longer one. Every step can be killed; the same command goes on from there.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import OutputError
from ..storage.integrity import is_intact
from ..storage.layout import RECORDS
from ..storage.notes import read_json, write_json
from ..utils.progress import say
from ..utils.text import brief

if TYPE_CHECKING:
    from .shards import PartialShard

# Settings that say how many rows there are. No row depends on them: its address decides it.
HOW_MANY = ("images_per_class", "images_of_class", "total", "balance", "per_image")
BEGUN = "begun"  # what a shard that was not full is called until the longer one is whole
BESIDE = ("spool", "damaged", "tmp", BEGUN)
LAYOUT = "layout.json"  # among the records, and in the manifest: the parts, in case one of the two is lost
Parts = list[list[int]]


def of_rows(identity: dict[str, Any]) -> dict[str, Any]:
    """What of a data set's identity decides its rows, however many there are."""
    return {name: value for name, value in identity.items() if name not in HOW_MANY}


def path_of(folder: Path, shard: int, count: int) -> Path:
    return folder / "data" / f"train-{shard:05d}-of-{count:05d}.parquet"


def beside(path: Path, kind: str) -> Path:
    return path.with_name(f".{path.name}.{kind}")


def record_of(path: Path) -> Path:
    """The file that has the SHA-256 of a shard, or of what a shard begins with."""
    return path.parent.parent / RECORDS / f"{path.stem}.json"


def recorded(path: Path) -> str | None:
    try:
        return read_json(record_of(path), "", {"sha256": str})["sha256"]
    except (FileNotFoundError, NotADirectoryError, OutputError):
        return None


def record(path: Path, digest: str) -> None:
    write_json(record_of(path), {"sha256": digest})


def read_layout(folder: Path, manifest: dict[str, Any] | None) -> Parts | None:
    """The parts on record; None where there are none that can be read. The records are written before the manifest."""
    known = None
    if manifest:
        known = manifest.get("parts") or [manifest["images_of_class"] or [manifest["rows"]]]
    parts = _kept_layout(folder)
    return parts if parts and (known is None or parts[: len(known)] == known) else known


def keep_layout(folder: Path, parts: Parts) -> None:
    if _kept_layout(folder) != parts:
        write_json(folder / RECORDS / LAYOUT, {"parts": parts})


def _kept_layout(folder: Path) -> Parts | None:
    try:
        return read_json(folder / RECORDS / LAYOUT, "", {"parts": list})["parts"]
    except (FileNotFoundError, NotADirectoryError, OutputError):
        return None


def grown(parts: Parts, wanted: Sequence[int], class_names: Sequence[str], folder: Path) -> Parts:
    """The parts of a data set that is to have other counts: those that it has, and one more where these are larger.

    Args:
        parts: rows of each class, counted up to the end of each part: the first run, and whatever was added to it.
        wanted: rows of each class.

    Raises:
        OutputError: some class would have fewer.
    """
    last = parts[-1]
    for name, there, now in zip(class_names if len(last) == len(class_names) else [""] * len(last), last, wanted):
        if now < there:
            of = f" of {brief(name)}" if name else ""
            raise OutputError(
                f"{folder} is a data set of {there:,} images{of}, and this asks for {now:,}: what is there is never "
                "taken away; ask for as many of each class or more, or choose another folder"
            )
    return parts if list(wanted) == last else [*parts, list(wanted)]


def record_all(folder: Path, known: dict[str, str]) -> None:
    """Give shards that only the manifest has on record records of their own, before they get other names.

    Args:
        known: their SHA-256 by name.
    """
    for name, digest in known.items():
        if (folder / name).exists() and not recorded(folder / name):
            record(folder / name, digest)


def rename(folder: Path, parts: Parts, shard_size: int) -> None:
    """Give what is there of the earlier parts the names of the last one."""
    *earlier, now = [-(-sum(part) // shard_size) for part in parts]
    for count in set(earlier) - {now}:
        for shard in range(count):
            old, new = path_of(folder, shard, count), path_of(folder, shard, now)
            for source, target in [(old, new), *((beside(old, kind), beside(new, kind)) for kind in BESIDE)]:
                if not source.exists():
                    continue
                if digest := recorded(source):
                    record(target, digest)
                os.replace(source, target)
                record_of(source).unlink(missing_ok=True)


def is_short(path: Path, rows: int) -> bool:
    """Whether a shard has fewer rows than it is to have."""
    import pyarrow.parquet as pq

    return pq.read_metadata(path).num_rows < rows


def set_aside(path: Path, digest: str) -> None:
    """Make a shard that was whole the beginning of a longer one."""
    begun = beside(path, BEGUN)
    record(begun, digest)
    os.replace(path, begun)
    record_of(path).unlink(missing_ok=True)


def forget(folder: Path) -> None:
    """What lies there without anybody knowing in which order its rows were to come is not gone on from."""
    for path in [*(folder / RECORDS).glob("*.json"), *(folder / "data").glob(".*.spool")]:
        path.unlink()


def go_on(spool: PartialShard, path: Path) -> None:
    """Put the rows of a shard that was not full at the beginning of the longer one."""
    import pyarrow.parquet as pq

    begun = beside(path, BEGUN)
    if not begun.exists():
        return
    if not is_intact(begun, recorded(begun) or ""):
        say(f"{begun} is not as it was made (its SHA-256 differs): its rows are made again")
        return
    done = spool.rows
    with pq.ParquetFile(begun) as file:
        for batch in _after(file.iter_batches(), done):
            spool.write(batch.to_pylist())


def _after(batches: Iterator[Any], done: int) -> Iterator[Any]:
    """Record batches without their first rows."""
    for batch in batches:
        if len(batch) > done:
            yield batch.slice(done)
        done = max(0, done - len(batch))
