"""Whose an output folder is: none but an empty one, or one that the same run has begun, is written to.

The marker `checkpoints/run.json` holds everything that decides what comes out. It is written before the first update.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from ...artifacts.checkpoint import CheckpointMetadata
from ...config.files import differing, fingerprint
from ...errors import ModelError, OutputError
from ...storage.integrity import damaged, described
from ...storage.layout import METADATA
from ...storage.locks import strangers
from ...storage.notes import read_json, write_json
from ...utils.progress import say
from .state import newest_state, notes_of, saved_states


def check_folder(out: Path) -> None:
    """Refuse a folder that is not ours, before anything is spent.

    Raises:
        OutputError: it is a file, or holds something else than a run.
    """
    if out.exists() and not out.is_dir():
        raise OutputError(f"{out} is a file: choose a folder")
    if marker(out).exists():
        return
    # A run that was killed before it had its marker has left nothing but an empty folder for it.
    if strangers(out, "checkpoints") or strangers(out / "checkpoints", "run.json"):
        raise OutputError(f"{out} is not empty and was not made by mvc-hf finetune: choose an empty or a new folder")


def marker(out: Path) -> Path:
    """The file that says whose a folder is."""
    return out / "checkpoints" / "run.json"


def claim(out: Path, made_from: dict[str, Any]) -> None:
    """Make the folder ours, or find that it is.

    Args:
        made_from: what decides what comes out, as JSON values by name.

    Raises:
        OutputError: it is another recipe's; the fields that differ are named.
    """
    path = marker(out)
    theirs: dict[str, Any] | None = None
    try:
        theirs = read_json(path, "choose another folder")
    except FileNotFoundError:
        pass
    except OutputError as error:
        if not is_known(out, fingerprint(made_from)):
            raise
        say(f"{str(error).rpartition(':')[0]}: it is written again")
    if theirs is None:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, made_from)
    elif theirs != made_from:
        names = differing(made_from, theirs)
        raise OutputError(f"{out} was made by another recipe; these differ: {names}; choose another folder")


def is_known(out: Path, mine: str) -> bool:
    """Whether a folder with an unreadable marker is ours all the same: all else in it says so, or there is nothing."""
    states = saved_states(out / "checkpoints")
    known = {notes_of(state).get("made_from") for state in states} - {None}
    if (out / METADATA).exists():
        with contextlib.suppress(ModelError):
            known.add(CheckpointMetadata.load(out).fingerprint)
    return known == {mine} or not (states or strangers(out, "checkpoints", "training_log.csv"))


def is_finished(out: Path) -> bool:
    """Whether the result is there, as it was made. Where it is damaged it is written again, if it can be.

    Raises:
        OutputError: it cannot.
    """
    if not (out / METADATA).exists():
        return False
    try:
        bad = damaged(out, CheckpointMetadata.load(out).sha256 or {})
        wrong = described(out, bad) if bad else ""
    except ModelError:
        wrong = f"{out / METADATA} cannot be read"
    if not wrong:
        return True
    if newest_state(out / "checkpoints") is None:
        raise OutputError(f"{wrong}, and no training checkpoint is left to write it again from: choose a new folder")
    say(f"{wrong}: it is written again from the last training checkpoint")
    return False
