"""JSON files beside what was made: written whole or not at all, and read with an error that names the way out."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import UnionType
from typing import Any

from ..errors import MvcError, OutputError

Kinds = Mapping[str, type | UnionType | tuple[type, ...]]  # of the values that a note must have

SEAL = "seal"  # the name under which a note holds the digest of its other values; other programs write none


@contextlib.contextmanager
def atomic_write(path: Path, *, shared: bool = False, durable: bool = True) -> Iterator[Path]:
    """A temporary file that takes the place of `path` when the block ends without an error: a file is whole or absent.

    Args:
        shared: several processes may write it at once; each does so under a name of its own. Otherwise the name is
            always the same, so that what a killed process left is written over.
        durable: wait until the disk has it, so that not even a power cut leaves an empty file under the name.
    """
    temporary = path.with_name(f".{path.name}.{f'{os.getpid()}.' if shared else ''}tmp")
    try:
        yield temporary
        if durable:
            _to_the_disk(temporary)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def _to_the_disk(path: Path) -> None:
    with path.open("rb+") as file:
        try:
            os.fsync(file.fileno())
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS):  # not every file system can
                raise


def write_json(path: Path, values: Mapping[str, Any], *, indent: int | None = 2, **options: bool) -> None:
    """Write a note, under a seal by which a change can be seen. Options as of `atomic_write`."""
    as_read = json.loads(json.dumps(values, allow_nan=False))
    text = json.dumps({**as_read, SEAL: _seal(as_read)}, indent=indent, ensure_ascii=False) + "\n"
    with atomic_write(path, **options) as temporary:
        temporary.write_text(text, encoding="utf-8")


def read_json(
    path: Path, way_out: str, kinds: Kinds | None = None, error: type[MvcError] = OutputError
) -> dict[str, Any]:
    """Read a note.

    Args:
        way_out: what to do where it cannot be read; ends the message.
        kinds: values that it must have, with their types.

    Raises:
        FileNotFoundError: there is none.
        error: it is empty, cut off, changed, or of another kind; one line that names the file and the way out.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise
    except OSError as problem:
        raise error(f"{path} cannot be read ({problem.strerror}): {way_out}") from problem
    except (ValueError, RecursionError) as problem:  # also bytes that are no text, and numbers without end
        what = "is not valid JSON" if path.stat().st_size else "is empty"
        raise error(f"{path} {what}: {way_out}") from problem
    if not isinstance(values, dict):
        raise error(f"{path} holds no settings by name: {way_out}")
    if values.pop(SEAL, None) not in (None, _seal(values)):
        raise error(f"{path} is not as it was written: {way_out}")
    for name, kind in (kinds or {}).items():
        if not isinstance(values.get(name), kind):
            what = "has no" if name not in values else "has an unusable"
            raise error(f"{path} {what} {name!r}: {way_out}")
    return values


def _seal(values: dict[str, Any]) -> str:
    text = json.dumps(values, sort_keys=True, ensure_ascii=True)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
