"""--resume of timm's train.py: whether the run goes on with the synthetic images that it began with."""

from __future__ import annotations

import argparse
import contextlib
from pathlib import Path
from typing import Any

from ..config.fields import flag
from ..errors import RecipeError
from ..utils.progress import say
from ..utils.text import brief
from .timm_flags import FLAGS

NAMES = ("aug_synthetic", "aug_scores")  # of files and data sets, which may have been moved
NOT_COMPARED = ("aug_follow_symlinks",)  # changes no image


def check_resumed(args: Any) -> None:
    """Hold the flags of synthetic images against those of the run that goes on.

    Those stand in the checkpoint, as timm saves it, or else in the args.yaml beside it. A folder of another name may
    be the same one in another place: that is said, and no error.

    Raises:
        RecipeError: another flag differs, so the images of the run would be other ones from here on.
    """
    path = getattr(args, "resume", None)
    if not path:
        return
    before = settings_of(Path(path))
    if before is None:
        if args.aug_synthetic:
            say(f"note: nothing says which --aug- flags {brief(path)} was trained with; give the same ones")
        return
    for name in (name[2:].replace("-", "_") for name in FLAGS):
        then, now = _plain(before.get(name)), _plain(getattr(args, name))
        if then == now or name in NOT_COMPARED:
            continue
        what = f"{brief(path)} was trained {_with(name, then)}, and this command goes on {_with(name, now)}"
        if name in NAMES and then and now and not any("@" in str(value) for value in (*then, *now)):
            say(f"note: {what}; fine where it is the same in another place")
            continue
        raise RecipeError(
            f"{what}: give the same, or begin a new run from its weights with --initial-checkpoint {brief(path)}"
        )


def settings_of(checkpoint: Path) -> dict[str, Any] | None:
    """The settings of the run that a checkpoint of timm's is of; None where nothing says them.

    Nothing of a checkpoint is run: it is read as torch reads weights, with plain settings allowed beside them.
    """
    import torch
    import yaml

    with contextlib.suppress(Exception):  # of many kinds; timm says what is wrong with its file, if it cares
        with torch.serialization.safe_globals([argparse.Namespace]):
            state = torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True)
        if isinstance(found := state.get("args"), argparse.Namespace):
            return vars(found)
    with contextlib.suppress(OSError, ValueError, yaml.YAMLError):
        found = yaml.safe_load((checkpoint.parent / "args.yaml").read_text(encoding="utf-8"))
        if isinstance(found, dict):
            return found
    return None


def _plain(value: Any) -> Any:
    """Settings as they can be compared: what stands for nothing is None, several are a list."""
    if value is None or value is False or value == []:
        return None
    return list(value) if isinstance(value, list | tuple) else value


def _with(name: str, value: Any) -> str:
    if value is None:
        return f"without {flag(name)}"
    return f"with {flag(name)} {' '.join(map(str, value)) if isinstance(value, list) else value}"
