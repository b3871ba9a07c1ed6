"""What timm's own flags say, looked at before a model is built: timm finds out later, and in a traceback."""

from __future__ import annotations

import argparse
import difflib
import os
from typing import Any

from torch.utils.data import IterableDataset

from ..augment.targets import class_numbers, largest_label
from ..errors import DataError, ModelError, RecipeError
from ..utils.progress import say
from ..utils.text import brief, reason, some

FILES = ("resume", "initial_checkpoint", "class_map")  # flags that name one


def check_config(path: str) -> None:
    """Raises RecipeError: the file of timm's --config cannot be read, or holds no settings."""
    import yaml

    from ..config.files import read_text

    try:
        values = yaml.safe_load(read_text(path, "config"))
    except RecipeError:
        raise
    except Exception as error:  # as for recipes: PyYAML fails in many ways
        raise RecipeError(f"--config {brief(path)} is not valid YAML: {reason(error)}") from error
    if not isinstance(values, dict) or not all(isinstance(name, str) for name in values):
        raise RecipeError(f"--config {brief(path)} holds no settings: write one 'name: value' a line")


def check_flags(args: argparse.Namespace) -> None:
    """Raises MvcError: a model that is not known, images or files that are not there, a number of classes below 1."""
    check_model(getattr(args, "model", None))
    root = getattr(args, "data_dir", None) or getattr(args, "data", None)
    _check_images(root, getattr(args, "dataset", None))
    for name in FILES:
        path = getattr(args, name, None)
        beside = os.path.join(root or "", str(path))  # where timm looks for a class map, too
        if path and not os.path.isfile(path) and not (name == "class_map" and os.path.isfile(beside)):
            raise RecipeError(f"--{name.replace('_', '-')} {brief(path)}: there is no such file")
    classes = getattr(args, "num_classes", None)
    if isinstance(classes, int) and classes < 1:
        raise RecipeError(f"--num-classes is {classes}; it must be at least 1")


def check_model(name: Any) -> None:
    """Raises ModelError for a model that timm does not have, with the nearest ones that it has."""
    from timm.models import is_model, list_models

    if name is None:
        return
    if not isinstance(name, str) or not name:
        raise ModelError(f"--model {brief(name)} is no name of a model: timm.list_models() says which there are")
    source, colon, place = name.partition(":")
    if colon or "/" in name:  # of the Hub, or a folder
        if source == "local-dir" and not os.path.isdir(place):
            raise ModelError(f"--model {brief(name)}: there is no such folder")
        return
    if not is_model(name):
        near = difflib.get_close_matches(name.partition(".")[0].lower(), list_models(), 3, 0.5)
        hint = f"did you mean {some(near)}?" if near else "timm.list_models() says which there are"
        raise ModelError(f"timm has no model {brief(name)}: {hint}")


def _check_images(root: str | None, dataset: str | None) -> None:
    """Folders only: what has a name of its own (hfds/, torch/) is found or fetched by timm."""
    if dataset:
        return
    if root is None:
        raise DataError("no real images: name their folder, or give --dataset hfds/org/name or torch/name")
    if not os.path.exists(root):
        raise DataError(f"no such folder of real images: {brief(root)}")
    if not os.path.isdir(root) and not root.endswith(".tar"):
        raise DataError(f"{brief(root)} is no folder: name one with a folder of real images for each class in it")


def check_classes(real: Any, given: int | None) -> None:
    """Whether the model tells all classes apart that the training images have, by their names and by their labels.

    Args:
        given: what the model was built for.

    Raises:
        RecipeError: it has fewer; training would end in an index that is out of range.
    """
    if not isinstance(given, int):
        return
    classes = None if isinstance(real, IterableDataset) else class_numbers(real)
    if classes is None:
        check_labels(largest_label(real), given, "training")
        return
    needed = 1 + max(classes.values())
    if given < needed:
        raise RecipeError(
            f"--num-classes is {given}, but the real images have {needed} classes ({some(classes, 3)}): "
            f"give --num-classes {needed}"
        )
    if given > needed:
        say(f"note: the model has {given} classes, the real images {needed}: --num-classes {needed} would fit them")


def check_labels(largest: int, given: int | None, which: str) -> None:
    """Raises RecipeError: the model has too few classes for some images' labels, which a batch would find out."""
    if given and largest >= given:
        raise RecipeError(
            f"--num-classes is {given}, and the {which} images have labels up to {largest}: give at least "
            f"{largest + 1}"
        )


def place_of(dataset: Any, name: str | None, root: str | None, split: str | None) -> tuple[str, ...]:
    """Where timm reads images from: two equal places hold the same images.

    Args:
        dataset: as timm's create_dataset made it.
        name, root, split: what it was asked for. Of folders, where `split` may or may not be a folder within `root`,
            the one that is read counts.
    """
    read = getattr(getattr(dataset, "reader", None), "root", None) or getattr(dataset, "root", None)
    prefix = (name or "").lower()
    if read is not None and (not prefix or prefix in ("torch/folder", "torch/image_folder")):
        return (os.path.realpath(read),)
    return prefix, os.path.realpath(root) if root else "", split or ""


def say_where_validated(training: tuple[str, ...] | None, validation: tuple[str, ...]) -> None:
    """One line where the validation images are the training images, which timm does without a word."""
    if training != validation:
        return
    if len(training) > 1:
        why = "give --val-split another split than --train-split"
    else:
        why = f"{brief(training[0])} has no folders train and validation with the classes in them"
    say(f"warning: validation is on the training images, so its accuracy says nothing of new ones: {why}")
