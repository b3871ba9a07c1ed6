"""Whose an output folder is: none but an empty one, or one that the same run has begun, is written to.

The marker `checkpoints/run.json` holds everything that decides what comes out. It is written before the first update.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...artifacts.checkpoint import CheckpointMetadata
from ...artifacts.steps import draft_of
from ...config.files import fingerprint
from ...errors import ModelError, OutputError
from ...storage.integrity import damaged, described
from ...storage.layout import METADATA
from ...storage.locks import strangers
from ...storage.notes import read_json, write_json
from ...utils.progress import say
from .state import newest_state, notes_of, saved_states, step_of

# How long a run is, and what tells when it ends: what may be another one when it is gone on with.
LENGTH = ("max_train_steps", "warmup", "early_stopping", "looks", "before")


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


def compare(out: Path, known: dict[str, Any], words: dict[str, str] | None = None) -> None:
    """Refuse a folder of another run by what is known so far of ours; called before anything is spent on it.

    Args:
        known: of what decides what comes out, as JSON values by name.
        words: what some of them are, as a person says it: for values that are digests.

    Raises:
        OutputError: it is another recipe's; the fields that differ are named.
    """
    theirs = _marker_of(out)
    if theirs is None:
        return
    before = theirs.get("words", {})
    different = {name: value for name, value in known.items() if theirs.get(name) != value and name not in LENGTH}
    if different:
        names = [
            f"{name} ({before.get(name, 'another one')} → {words[name]})"
            if words and name in words
            else f"{name} ({theirs.get(name)!r} → {value!r})"
            for name, value in different.items()
        ]
        raise OutputError(f"{out} was made by another recipe; these differ: {', '.join(names)}; choose another folder")


def begun(out: Path) -> dict[str, Any]:
    """What a run that was begun in a folder has on record of its length; empty where none was."""
    theirs = _marker_of(out) or {}
    return {name: theirs[name] for name in LENGTH if name in theirs}


def claim(out: Path, made_from: dict[str, Any], words: dict[str, str] | None = None) -> dict[str, Any]:
    """Make the folder ours, or find that it is. A run that is to be longer or shorter than it was is gone on with.

    Args:
        made_from: what decides what comes out, as JSON values by name; its length is `LENGTH`.
        words: what some of them are, as a person says it.

    Returns:
        `made_from`, with what the run was to be before under "before".

    Raises:
        OutputError: it is another recipe's, has done more updates than this one is to have, or cannot be gone on with.
    """
    compare(out, made_from, words)
    theirs = _marker_of(out)
    if theirs is None and marker(out).exists():
        wrong = _unreadable(out)
        if not is_known(out, *fingerprints(made_from)):
            raise OutputError(wrong)
        say(f"{wrong.rpartition(':')[0]}: it is written again")
    elif theirs is not None and (left := [name for name in theirs if name not in {*made_from, *LENGTH, "words"}]):
        raise OutputError(
            f"{out} was made by another recipe; these differ: "
            f"{', '.join(f'{name} ({theirs[name]!r} → None)' for name in left)}; choose another folder"
        )
    before = (theirs or {}).get("before", [])
    if theirs is not None:
        was, now = ({name: of[name] for name in LENGTH if name in of} for of in (theirs, made_from))
        was.pop("before", None)
        if was != now:
            before = [*before, {**was, "until": _check_length(out, was, now)}]
    made_from = {**made_from, **({"before": before} if before else {})}
    if theirs is None or {k: v for k, v in theirs.items() if k != "words"} != made_from:
        marker(out).parent.mkdir(parents=True, exist_ok=True)
        write_json(marker(out), {**made_from, **({"words": words} if words else {})})
    return made_from


def fingerprints(made_from: dict[str, Any]) -> tuple[str, str]:
    """Of a run whatever its length, and of the result of this length."""
    return fingerprint({k: v for k, v in made_from.items() if k not in LENGTH}), fingerprint(made_from)


def _check_length(out: Path, was: dict[str, Any], now: dict[str, Any]) -> int:
    """The updates that a run has done which is to have another length."""
    states, steps = saved_states(out / "checkpoints"), now["max_train_steps"]
    done = step_of(states[-1]) if states else 0
    if (out / METADATA).exists() and not states:
        raise OutputError(
            f"{out} is finished after {was['max_train_steps']:,} updates, and no training checkpoint is left to go on "
            "from: choose a new folder"
        )
    if done > steps:
        raise OutputError(
            f"{out} has done {done:,} updates already, more than the {steps:,} of --max-train-steps: ask for more, or "
            f"take its checkpoint of an earlier step, or choose a new folder"
        )
    return done


def _marker_of(out: Path) -> dict[str, Any] | None:
    """None where there is none, or it cannot be read."""
    try:
        return read_json(marker(out), "choose another folder")
    except (FileNotFoundError, NotADirectoryError, OutputError):
        return None


def _unreadable(out: Path) -> str:
    try:
        read_json(marker(out), "choose another folder")
    except OutputError as error:
        return str(error)
    return ""


def is_known(out: Path, run: str, result: str) -> bool:
    """Whether a folder with an unreadable marker is ours all the same: all else in it says so, or there is nothing.

    Args:
        run, result: what `fingerprints` gives.
    """
    states = saved_states(out / "checkpoints")
    known = {notes_of(state).get("made_from") == run for state in states if notes_of(state).get("made_from")}
    for path in (out / METADATA, draft_of(out)):
        with contextlib.suppress(ModelError):
            if path.exists():
                known.add(CheckpointMetadata.load(path.parent, path.name).fingerprint == result)
    return known == {True} or not (known or states or strangers(out, "checkpoints", "training_log.csv"))


def is_finished(out: Path, result: str, more: Sequence[str] = ()) -> bool:
    """Whether the result is there, as it was made. Where it is damaged it is written again, if it can be.

    Args:
        result: its fingerprint; that of a shorter run is no result.
        more: files that it is to have, and need not have been made with.

    Raises:
        OutputError: it cannot.
    """
    if not (out / METADATA).exists():
        return False
    try:
        metadata = CheckpointMetadata.load(out)
        if metadata.fingerprint != result:
            return False
        bad = damaged(out, metadata.sha256 or {}) or [name for name in more if not (out / name).exists()]
        wrong = described(out, bad) if bad else ""
    except ModelError:
        wrong = f"{out / METADATA} cannot be read"
    if not wrong:
        return True
    if newest_state(out / "checkpoints") is None:
        raise OutputError(f"{wrong}, and no training checkpoint is left to write it again from: choose a new folder")
    say(f"{wrong}: it is written again from the last training checkpoint")
    return False
