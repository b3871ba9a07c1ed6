"""Whether files are still what was recorded of them, asked before anything is built on them.

What is published (shards, checkpoints) is recorded by SHA-256, as the Hub does it; caches and training state, which
may be many gigabytes and stay here, by XXH3, which is as fast as memory. A large file that was found intact is not
read again until somebody touches it: its size, times and inode are remembered in the cache.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Any

from ..errors import ModelError, MvcError
from ..utils.progress import say
from .files import cache_root
from .layout import METADATA
from .notes import read_json, write_json

COMPONENTS = ("scheduler", "text_encoder", "tokenizer", "unet", "vae")
PARTS = (".json", ".safetensors", ".txt")
BLOCK = 1 << 20
WORTH_REMEMBERING = 32 << 20  # bytes; smaller files are read again faster than looked up
SAME_MOMENT = 10**8  # nanoseconds in which a file may change twice and bear the same time
Digest = Callable[[Path], str]


def sha256(path: Path) -> str:
    return _digest_of(path, hashlib.sha256())


def xxh3(path: Path) -> str:
    import xxhash

    return _digest_of(path, xxhash.xxh3_128())


def _digest_of(path: Path, state: Any) -> str:
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            state.update(block)
    return state.hexdigest()


def is_intact(path: Path, recorded: str, digest: Digest = sha256) -> bool:
    """Whether a file has the digest that is on record of it; False, too, where it is not there or cannot be read."""
    try:
        stamp = _stamp(path)
        if _remembered(path, stamp) == recorded:
            return True
        if digest(path) != recorded:
            return False
    except OSError:
        return False
    _remember(path, stamp, recorded)
    return True


def digests_of(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """SHA-256 of some files of a folder, by their names in it."""
    names = list(names)
    with ThreadPoolExecutor(4) as pool:
        return dict(zip(names, pool.map(lambda name: sha256(folder / name), names)))


def damaged(folder: Path, recorded: Mapping[str, str], digest: Digest = sha256) -> list[str]:
    """The names of those files of a folder that are missing or not as recorded."""
    with ThreadPoolExecutor(4) as pool:
        intact = pool.map(lambda item: is_intact(folder / item[0], item[1], digest), recorded.items())
        return [name for name, good in zip(recorded, intact) if not good]


def seen_to_by_another() -> bool:
    """Whether another process of the same run on this machine looks: one is enough for all of them."""
    return os.environ.get("LOCAL_RANK", "0") != "0"


def check_folder(folder: Path, recorded: Mapping[str, str], remedy: str, error: type[MvcError]) -> None:
    """See that the files of a folder are as recorded. Raises `error`, which ends with the remedy."""
    bad = damaged(folder, recorded)
    if bad:
        raise error(f"{described(folder, bad)}: {remedy}")


def is_as_recorded(path: Path) -> bool:
    """Whether a file of the cache is there, as `record` found it. Where it is damaged, a line says so."""
    if not path.exists():
        return False
    try:
        recorded = read_json(_note_of(path), "", {"xxh3": str})["xxh3"]
    except (MvcError, FileNotFoundError):
        recorded = ""
    if seen_to_by_another() or is_intact(path, recorded, xxh3):
        return True
    say(f"{path.parent.name}/{path.name} in the cache is damaged: it is made again")
    return False


def record(path: Path, content: Path) -> None:
    """Note the digest of what is about to become `path`."""
    write_json(_note_of(path), {"xxh3": xxh3(content)}, durable=False)


def _note_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.xxh3.json")


def files_of_checkpoint(folder: Path) -> list[str]:
    """The names of the files that make a checkpoint what it is, without its `mvc.json`."""
    parts = [path for component in COMPONENTS for path in (folder / component).glob("*") if path.suffix in PARTS]
    return sorted(path.relative_to(folder).as_posix() for path in (*parts, folder / "model_index.json"))


def recorded_of_checkpoint(folder: Path) -> dict[str, str]:
    """SHA-256 of each file of a checkpoint; empty for a model that has no record of them.

    Raises:
        ModelError: its `mvc.json` cannot be read.
    """
    try:
        found = read_json(folder / METADATA, way_out(folder, METADATA), error=ModelError).get("sha256")
    except (FileNotFoundError, NotADirectoryError):
        return {}
    if found is None:
        return {}
    if isinstance(found, dict) and all(isinstance(value, str) and _is_inside(name) for name, value in found.items()):
        return found
    raise ModelError(f"{folder / METADATA} has an unusable 'sha256': {way_out(folder, METADATA)}")


def check_checkpoint(folder: Path, wanted: Callable[[str], bool] = lambda name: True) -> None:
    """See that a checkpoint is as it was made.

    Args:
        wanted: the names that are asked about.

    Raises:
        ModelError: a file is missing or damaged; the line says what to do.
    """
    if seen_to_by_another():
        return
    recorded = {name: value for name, value in recorded_of_checkpoint(folder).items() if wanted(name)}
    bad = damaged(folder, recorded)
    if bad:
        raise ModelError(f"{described(folder, bad)}: {way_out(folder, bad[0])}")


def described(folder: Path, bad: list[str]) -> str:
    """What is wrong with a folder, as the beginning of a message."""
    more = f" (and {len(bad) - 1} more)" if len(bad) > 1 else ""
    what = "is not as it was made: its SHA-256 differs" if (folder / bad[0]).exists() else "is missing"
    return f"{folder / bad[0]}{more} {what}"


def way_out(folder: Path, name: str) -> str:
    """What to do about a damaged file of a checkpoint."""
    if (folder / "checkpoints" / "run.json").exists():
        return "give its mvc-hf finetune command again, which writes it again from its last training checkpoint"
    if folder.parent.name == "snapshots":  # in the cache of the Hub's client, files are links
        return f"remove {(folder / name).resolve()} and give the same command again, which fetches it again"
    return "copy or fetch the checkpoint again"


def _is_inside(name: str) -> bool:
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts


def _stamp(path: Path) -> list[int]:
    """What changes whenever somebody writes to a file, or sets its times back."""
    found = path.stat()
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino]


def _memory_of(path: Path) -> Path:
    name = hashlib.blake2b(os.fsencode(path.resolve()), digest_size=16).hexdigest()
    return cache_root() / "intact" / f"{name}.json"


def _remembered(path: Path, stamp: list[int]) -> str | None:
    if stamp[0] < WORTH_REMEMBERING:
        return None
    try:
        known = read_json(_memory_of(path), "")
    except (MvcError, OSError):
        return None
    return known.get("digest") if known.get("stamp") == stamp else None


def _remember(path: Path, stamp: list[int], digest: str) -> None:
    """Not of a file that has just been written: another write in the same moment would not show."""
    if stamp[0] < WORTH_REMEMBERING or time.time_ns() - max(stamp[1:3]) < SAME_MOMENT:
        return
    memory = _memory_of(path)
    try:
        memory.parent.mkdir(parents=True, exist_ok=True)
        write_json(memory, {"stamp": stamp, "digest": digest}, shared=True, durable=False)
    except OSError:
        return  # a cache that cannot be written only costs time
