"""The flags of synthetic images that timm's train.py gets: declared, added to its parser, and checked."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from typing import Any

from ..augment.schedules import RSP_FROM, SCHEDULES
from ..config.fields import flag
from ..errors import RecipeError

LABEL_MATCHES = ("name", "index")
POLICIES = ("cifar10", "imagenet", "svhn")
ALONE = "aug_policy"  # the one that means something without synthetic images, too
# What is meant where nothing is given. argparse knows no defaults of ours, so that what was given can be told from
# what was not: in the files of settings that a run leaves, a setting that means nothing to it is null.
DEFAULTS: dict[str, Any] = {"aug_schedule": "two-phase", "aug_epoch": "real", "aug_label_match": "name"}
OF_SCHEDULE: dict[str, dict[str, Any]] = {
    "rsp": {"aug_prob": 0.8, "aug_rsp_from": "class"},
    "two-phase": {"aug_phase2_epochs": None, "aug_phase2_lr_scale": 0.1},
}

FLAGS: dict[str, dict[str, Any]] = {
    "--aug-synthetic": {
        "nargs": "+",
        "metavar": "DATASET",
        "help": "synthetic images to train with: Hub id (org/name[:config][@revision]), folder or Parquet",
    },
    "--aug-schedule": {
        "choices": SCHEDULES,
        "help": "combined: every pass visits real and synthetic images once; two-phase: combined, then real images "
        "alone at a lower rate; rsp: real images, each replaced by a synthetic one with probability --aug-prob; "
        "synthetic: no real images (default: two-phase)",
    },
    "--aug-prob": {"type": float, "metavar": "P", "help": "rsp: its probability (default: 0.8)"},
    "--aug-rsp-from": {
        "choices": RSP_FROM,
        "help": "rsp: where its image comes from: the same class, any class, or those made from the very image "
        "(default: class)",
    },
    "--aug-ratio": {
        "type": float,
        "metavar": "X",
        "help": "at most X synthetic images for each real one (default: all)",
    },
    "--aug-epoch": {
        "metavar": "real|union|N",
        "help": "samples in an epoch: as many as real images, one pass over both, or N (default: real, the budget of "
        "training without synthetic images)",
    },
    "--aug-phase2-epochs": {
        "type": int,
        "metavar": "N",
        "help": "two-phase: the last N epochs are on real images alone (default: 20%% of the epochs)",
    },
    "--aug-phase2-lr-scale": {
        "type": float,
        "metavar": "F",
        "help": "two-phase: phase two starts at F times the base rate (default: 0.1)",
    },
    "--aug-label-match": {
        "choices": LABEL_MATCHES,
        "help": "match the classes of real and synthetic images by name, or by index for sets without names "
        "(default: name)",
    },
    "--aug-filter": {
        "metavar": "EXPR",
        "help": "use only synthetic images of which this is true, such as 'label_confidence > 0.2 and copy_ratio > "
        "0.5': a condition on the columns of the scores that mvc-hf report writes",
    },
    "--aug-weights": {
        "metavar": "EXPR",
        "help": "use synthetic images in proportion to this, such as '0.1 + class_error'",
    },
    "--aug-scores": {
        "nargs": "+",
        "metavar": "FILE",
        "help": "scores of the synthetic images, a file for each DATASET (default: report/scores.parquet beside each)",
    },
    "--aug-follow-symlinks": {
        "action": "store_true",
        "help": "read what links in a folder of synthetic images lead to outside of it, too",
    },
    "--aug-policy": {
        "choices": POLICIES,
        "help": "AutoAugment with the policy that torchvision has for this data set; timm's --aa has none for CIFAR "
        "(with or without synthetic images; default: none)",
    },
}


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of synthetic images to a parser, as a group of their own."""
    group = parser.add_argument_group("Synthetic images (mvc_hf)")
    for name, declaration in FLAGS.items():
        group.add_argument(name, **declaration)


def _ours(args: Any) -> dict[str, Any]:
    names = [name[2:].replace("-", "_") for name in FLAGS]
    return {name: getattr(args, name) for name in names}


def check_policy(args: Any) -> None:
    """Raises RecipeError: a policy that torchvision lacks, or one of timm's beside it."""
    policy = getattr(args, ALONE)
    if policy is not None and policy not in POLICIES:
        raise RecipeError(f"--aug-policy must be one of {', '.join(POLICIES)}, got {policy!r}")
    if policy and getattr(args, "aa", None):
        raise RecipeError(f"--aa {args.aa} and --aug-policy {policy} are two policies: give one of them")


def check_idle(args: Any) -> None:
    """Raises RecipeError: a setting of synthetic images is given, and there are none."""
    for name, value in _ours(args).items():
        given = value is not None and value is not False and value != []
        if given and name not in (ALONE, "aug_synthetic"):
            raise RecipeError(f"{flag(name)} means nothing without --aug-synthetic DATASET")


def check_schedule(args: Any) -> None:
    """Fill in what the schedule takes where nothing was given.

    Raises:
        RecipeError: a setting is given that means nothing to the schedule.
    """
    for schedule, own in OF_SCHEDULE.items():
        for name, default in own.items():
            value = getattr(args, name)
            if schedule == args.aug_schedule:
                setattr(args, name, default if value is None else value)
            elif value is not None:
                raise RecipeError(
                    f"{flag(name)} means nothing under --aug-schedule {args.aug_schedule}: leave it out, or give "
                    f"--aug-schedule {schedule}"
                )


def check_settings(args: Any) -> None:
    """Normalise and check the settings, wherever they come from: a YAML config bypasses argparse.

    Raises:
        RecipeError: a value is out of range or means nothing to the schedule, or timm flags do not go with synthetic
            images.
    """
    for name, default in DEFAULTS.items():
        setattr(args, name, default if getattr(args, name) is None else getattr(args, name))
    if isinstance(args.aug_synthetic, str):
        args.aug_synthetic = [args.aug_synthetic]
    if isinstance(args.aug_scores, str):
        args.aug_scores = [args.aug_scores]
    for name in ("aug_filter", "aug_weights"):
        if not isinstance(getattr(args, name), str | None):
            raise RecipeError(f"{flag(name)} must be an expression, got {getattr(args, name)!r}")
    choices: dict[str, tuple[str, ...]] = {
        "aug_schedule": SCHEDULES,
        "aug_rsp_from": RSP_FROM,
        "aug_label_match": LABEL_MATCHES,
    }
    for name, words in choices.items():
        if getattr(args, name) not in (None, *words):
            raise RecipeError(f"{flag(name)} must be one of {', '.join(words)}, got {getattr(args, name)!r}")
    limits: dict[str, tuple[Callable[[Any], bool], str]] = {
        "aug_prob": (lambda x: 0 <= x <= 1, "from 0 to 1"),
        "aug_ratio": (lambda x: x > 0, "above 0"),
        "aug_phase2_epochs": (lambda x: x >= 1, "at least 1"),
        "aug_phase2_lr_scale": (lambda x: 0 < x < math.inf, "above 0"),
        "aug_epoch": (lambda x: x in ("real", "union") or int(x) >= 1, "real, union, or a number of at least 1"),
    }
    for name, (allowed, wanted) in limits.items():
        value = getattr(args, name)
        try:
            fine = value is None or allowed(value)
        except (TypeError, ValueError):
            fine = False
        if not fine:
            raise RecipeError(f"{flag(name)} must be {wanted}, got {value!r}")
    check_schedule(args)
    if getattr(args, "use_multi_epochs_loader", False):
        raise RecipeError(
            "--use-multi-epochs-loader prepares images of the next epoch before this one ends, so they would be those "
            "of this epoch's schedule: leave it out; timm's usual loader keeps its workers between epochs too"
        )
    if getattr(args, "naflex_loader", False):
        raise RecipeError("--naflex-loader orders its samples itself and does not go with --aug-synthetic")
