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

FLAGS: dict[str, dict[str, Any]] = {
    "--aug-synthetic": {
        "nargs": "+",
        "metavar": "DATASET",
        "help": "synthetic images to train with: Hub id (org/name[:config][@revision]), folder or Parquet",
    },
    "--aug-schedule": {
        "default": "two-phase",
        "choices": SCHEDULES,
        "help": "combined: every pass visits real and synthetic images once; two-phase: combined, then real images "
        "alone at a lower rate; rsp: real images, each replaced by a synthetic one with probability --aug-prob; "
        "synthetic: no real images (default: two-phase)",
    },
    "--aug-prob": {"type": float, "default": 0.8, "metavar": "P", "help": "rsp's probability (default: 0.8)"},
    "--aug-rsp-from": {
        "default": "class",
        "choices": RSP_FROM,
        "help": "where rsp's image comes from: the same class, any class, or those that were made from the very image "
        "(default: class)",
    },
    "--aug-ratio": {
        "type": float,
        "metavar": "X",
        "help": "at most X synthetic images for each real one (default: all)",
    },
    "--aug-epoch": {
        "default": "real",
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
        "default": 0.1,
        "metavar": "F",
        "help": "two-phase: phase two starts at F times the base rate (default: 0.1)",
    },
    "--aug-label-match": {
        "default": "name",
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


def add_flags(parser: argparse.ArgumentParser) -> dict[str, Any]:
    """Add the flags of synthetic images to a parser, as a group of their own; returns their names and defaults."""
    group = parser.add_argument_group("Synthetic images (mvc_hf)")
    actions = [group.add_argument(name, **declaration) for name, declaration in FLAGS.items()]
    return {action.dest: action.default for action in actions}


def check_policy(args: Any) -> None:
    """Raises RecipeError: a policy that torchvision lacks, or one of timm's beside it."""
    policy = getattr(args, ALONE)
    if policy is not None and policy not in POLICIES:
        raise RecipeError(f"--aug-policy must be one of {', '.join(POLICIES)}, got {policy!r}")
    if policy and getattr(args, "aa", None):
        raise RecipeError(f"--aa {args.aa} and --aug-policy {policy} are two policies: give one of them")


def check_settings(args: Any) -> None:
    """Normalise and check the settings, wherever they come from: a YAML config bypasses argparse.

    Raises:
        RecipeError: a value is out of range, or timm flags do not go with synthetic images.
    """
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
        if getattr(args, name) not in words:
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
    if getattr(args, "use_multi_epochs_loader", False):
        raise RecipeError(
            "--use-multi-epochs-loader prepares images of the next epoch before this one ends, so they would be those "
            "of this epoch's schedule: leave it out; timm's usual loader keeps its workers between epochs too"
        )
    if getattr(args, "naflex_loader", False):
        raise RecipeError("--naflex-loader orders its samples itself and does not go with --aug-synthetic")
