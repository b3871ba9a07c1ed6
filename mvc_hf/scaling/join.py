"""Parts of a data set, made on machines that share nothing, put together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..artifacts.growing import path_of, recorded
from ..artifacts.shards import ShardedDatasetWriter
from ..errors import OutputError
from ..generation.generate import complete
from ..generation.selection import as_range
from ..storage.locks import locked_folder
from ..storage.manifest import read_manifest
from ..utils.progress import bar, say

# What folders of one data set have in common, besides what their rows were made from.
SAME = {
    "shard_size": "--shard-size", "rows": "the number of images", "images_of_class": "the images of each class",
    "parts": "how they were extended", "class_names": "class names",
}  # fmt: skip


@dataclass(frozen=True)
class Part:
    """A folder of `generate`, and which shards it has: SHA-256 by number."""

    folder: Path
    manifest: dict[str, Any]
    shards: dict[int, str]

    @classmethod
    def of(cls, folder: Path) -> Part:
        """Raises OutputError: it is no folder of `generate`."""
        manifest = read_manifest(folder) if folder.is_dir() else None
        if manifest is None:
            raise OutputError(f"{folder} is no data set of mvc-hf generate: give the folders that it made")
        listed = {shard["file"]: shard["sha256"] for shard in manifest["shards"]}
        count = -(-manifest["rows"] // max(manifest["shard_size"], 1))
        shards = {}
        for number in range(count):
            path = path_of(folder, number, count)
            known = recorded(path) or listed.get(path.relative_to(folder).as_posix())
            if known and path.is_file():
                shards[number] = known
        return cls(folder, manifest, shards)

    @property
    def count(self) -> int:
        return -(-self.manifest["rows"] // self.manifest["shard_size"])

    def path(self, shard: int) -> Path:
        return path_of(self.folder, shard, self.count)


def join(folders: Sequence[str | Path], out: str | Path) -> ShardedDatasetWriter:
    """Put the shards of several folders into one data set: the one that a single process would have made.

    The folders stay as they are. `out` may be one of them, which then gets what it lacks. A killed call, given again,
    goes on.

    Raises:
        OutputError: they are no parts of one data set, a shard is in none of them, one was made twice with other
            bytes, or is damaged. Nothing is written then but shards that are whole.
    """
    parts = [Part.of(Path(folder)) for folder in folders]
    first = min(parts, key=lambda part: min(part.shards, default=part.count))  # whatever order they are given in
    for part in parts:
        _check_same(first, part)
    found = _collected(parts)
    if missing := [number for number in range(first.count) if number not in found]:
        raise OutputError(
            f"{len(missing)} of {first.count} shards are in none of these folders: make them by the same mvc-hf "
            f"generate command with --shards {as_range(missing)}"
        )
    manifest = first.manifest
    with locked_folder(Path(out)):
        joined = ShardedDatasetWriter(
            Path(out), manifest["made_from"], manifest["rows"], manifest["shard_size"],
            tuple(manifest["class_names"]), manifest["provenance"], manifest["images_of_class"],
        )  # fmt: skip
        joined.arrange(manifest["parts"])
        todo = joined.missing()
        with bar(len(todo), "joining", " shards") as shown:
            for number in todo:
                part = found[number]
                joined.adopt(number, part.path(number), part.shards[number])
                shown.update()
        complete(joined)
    return joined


def _check_same(first: Part, part: Part) -> None:
    """Raises OutputError: the folders are not of one data set; what differs is named."""
    mine, theirs = first.manifest, part.manifest
    ours, others = mine["made_from"], theirs["made_from"]
    different = [
        f"{name} ({ours.get(name)!r} → {others.get(name)!r})"
        for name in {**ours, **others}
        if ours.get(name) != others.get(name)
    ]
    different += [word for name, word in SAME.items() if mine.get(name) != theirs.get(name)]
    if different:
        raise OutputError(
            f"{first.folder} and {part.folder} are no parts of one data set; these differ: {', '.join(different)}"
        )
    versions = [(manifest["provenance"] or {}).get("versions") for manifest in (mine, theirs)]
    if versions[0] != versions[1]:
        say(f"note: {part.folder} was made with other versions of libraries: the card has those of {first.folder}")


def _collected(parts: Sequence[Part]) -> dict[int, Part]:
    """For each shard the first folder that has it. Raises OutputError where another one has other bytes of it."""
    found: dict[int, Part] = {}
    for part in parts:
        for number, digest in part.shards.items():
            other = found.setdefault(number, part)
            if other.shards[number] != digest:
                raise OutputError(
                    f"{other.path(number)} and {part.path(number)} are the same shard with other bytes (another "
                    "device, or other versions of libraries): move one of them away, or leave its folder out"
                )
    return found
