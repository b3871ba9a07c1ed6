"""One writer at a time: a lock in every output folder, and beside every output file, while a command works on it.

Several commands may each write a part of a folder: they hold a lock for their part, and that of the folder only while
they change what all of them share. The system lets go of a lock when its process ends, however it ends: what a killed
command leaves blocks nobody.
"""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import os
import re
import socket
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from ..errors import MvcError, OutputError
from ..utils.progress import say
from .notes import read_json, write_json

LOCK, HOLDER = ".{}.lock", ".{}.holder.json"
FOLDER = "mvc-hf"  # in the place of a file's name, for a whole folder
PART = "mvc-hf.part-{}"  # the same, for a part of a folder
PARTS = re.compile(r"\.(mvc-hf\.part-[0-9a-f]+)\.(lock|holder\.json|holder\.json\.tmp)")
TURN = 600.0  # seconds in which others have had their turn at what all share
PATIENCE = 5.0  # seconds in which a command that is just ending, or being killed, may let go
# Some file systems have no locks. Newer filelocks then lock by a file's existence, which outlives a killed process.
_CAN_FALL_BACK = "fallback_to_soft" in inspect.signature(FileLock).parameters
_NO_OTHER_KIND: dict[str, Any] = {"fallback_to_soft": False} if _CAN_FALL_BACK else {}


def locked_folder(folder: Path) -> contextlib.AbstractContextManager[None]:
    """Let no other command write into a folder; it is made, and goes again where nothing came into it.

    Only the main process of several takes the lock. Where the file system has no locks, a line says so.

    Raises:
        OutputError: another command has it; the line says which one. Or it is a file.
    """
    return _locked(folder, FOLDER, folder)


def turn_in_folder(folder: Path) -> contextlib.AbstractContextManager[None]:
    """Do what only one of those may do at a time who write parts of a folder. They wait for each other."""
    return _locked(folder, FOLDER, folder, patience=TURN, beside_parts=True)


@contextlib.contextmanager
def locked_part(folder: Path, part: Iterable[int]) -> Iterator[None]:
    """Let no other command write the same parts of a folder. Taken in one's turn (`turn_in_folder`), and kept.

    Raises:
        OutputError: another command writes some of them; the line says which one.
    """
    if os.environ.get("RANK", "0") != "0":
        yield
        return
    numbers = sorted(part)
    for holder in parts_at_work(folder):
        if set(numbers) & set(_numbers_of(holder)):
            raise OutputError(
                f"some of these shards of {folder} are being written by another mvc-hf{_described(holder)}: wait "
                "until it has ended, or choose others (--shards)"
            )
    name = PART.format(hashlib.blake2b(repr(numbers).encode(), digest_size=6).hexdigest())
    with _locked(folder, name, folder, about={"part": numbers}):
        yield


def parts_at_work(folder: Path) -> list[Path]:
    """The notes of those who write parts of a folder just now. What killed ones left is taken away."""
    working = []
    for path in sorted(folder.glob(f".{PART.format('*')}.lock")):
        holder = path.with_name(HOLDER.format(path.name[1:].removesuffix(".lock")))
        lock = FileLock(path, **_NO_OTHER_KIND)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            working.append(holder)
            continue
        except (NotImplementedError, OSError):
            continue
        for left in (holder, path):
            with contextlib.suppress(OSError):
                left.unlink()
        lock.release()
    return working


def _numbers_of(holder: Path) -> list[int]:
    try:
        return read_json(holder, "", {"part": list})["part"]
    except (MvcError, OSError):
        return []


def locked_file(path: Path) -> contextlib.AbstractContextManager[None]:
    """As `locked_folder`, of a single file."""
    return _locked(path.absolute().parent, path.name, path)


@contextlib.contextmanager
def waiting_lock(path: Path) -> Iterator[None]:
    """Let one process after the other work on an entry of the cache. One that can only be read needs no lock."""
    lock = FileLock(path, **_NO_OTHER_KIND)
    try:
        lock.acquire()
    except (NotImplementedError, OSError):
        yield
        return
    try:
        yield
    finally:
        lock.release()


def strangers(folder: Path, *known: str) -> list[str]:
    """What lies in a folder besides what is known by name. What a lock or a killed write leaves is no stranger."""
    ours = {*known, *(f".{name}.tmp" for name in known), LOCK.format(FOLDER), HOLDER.format(FOLDER)}
    ours.add(f".{HOLDER.format(FOLDER)}.tmp")
    there = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    return sorted(name for name in there - ours if not PARTS.fullmatch(name))


@contextlib.contextmanager
def _locked(
    folder: Path, name: str, out: Path, *, patience: float | None = None, beside_parts: bool = False,
    about: dict[str, Any] | None = None,
) -> Iterator[None]:  # fmt: skip
    if os.environ.get("RANK", "0") != "0":
        yield
        return
    made = [place for place in (folder, *folder.parents) if not place.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise OutputError(f"{folder} is a file: choose a folder") from error
    lock, holder = FileLock(folder / LOCK.format(name), **_NO_OTHER_KIND), folder / HOLDER.format(name)
    held = _acquire(lock, holder, out, PATIENCE if patience is None else patience)
    try:
        if name == FOLDER and not beside_parts and (others := parts_at_work(folder)):
            raise _taken(out, others[0])
        if held:
            with contextlib.suppress(OSError):  # on a full disk, say: it only serves a message
                write_json(holder, {**_who(), **(about or {})}, durable=False)
        yield
    finally:
        if held:
            for path in (holder, Path(lock.lock_file)):
                with contextlib.suppress(OSError):
                    path.unlink()
            lock.release()
        for place in made:
            with contextlib.suppress(OSError):
                place.rmdir()


def _taken(out: Path, holder: Path) -> OutputError:
    return OutputError(
        f"{out} is being written by another mvc-hf{_described(holder)}: wait until it has ended, or choose another "
        "place"
    )


def _acquire(lock: FileLock, holder: Path, out: Path, patience: float) -> bool:
    """Whether the lock is held now; False where there can be none."""
    try:
        lock.acquire(timeout=patience, poll_interval=0.1)
        return True
    except Timeout as error:
        raise _taken(out, holder) from error
    except (NotImplementedError, OSError) as error:
        if os.access(holder.parent, os.W_OK):  # else nothing can be written there, and that will be said
            why = getattr(error, "strerror", None) or error
            say(f"note: {out} cannot be locked ({why}): do not let two commands write there at once")
        return False


def _who() -> dict[str, str | int]:
    return {"pid": os.getpid(), "host": socket.gethostname(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}


def _described(holder: Path) -> str:
    """Who holds a lock, as far as it is known."""
    try:
        who = read_json(holder, "", {"pid": int, "host": str, "since": str})
    except (MvcError, OSError):
        return ""
    return f" (process {who['pid']} on {who['host']}, since {who['since']})"
