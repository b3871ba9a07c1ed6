"""From settings and a checkpoint's metadata to what generating needs: data set, base, sizes, counts."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

from ..artifacts.checkpoint import CheckpointMetadata
from ..config.recipe import Recipe
from ..data.base import NoSuchColumn, Source
from ..data.loading import open_dataset
from ..data.view import ViewConfig
from ..diffusion.model import StableDiffusion
from ..errors import DataError, RecipeError
from ..hub.ids import is_hub_id
from ..methods.registry import get_method
from ..utils.memory import check_room
from ..utils.progress import say
from ..utils.text import normal, some
from . import counts as allotment

SEEN = ("fit", "window", "max_images_per_class")  # how the checkpoint saw its images, and conditions are seen


def check_sampling_fits(
    recipe: Recipe, base: StableDiffusion, resolution: int, size: tuple[int, int], device: torch.device
) -> None:
    """Raises NotEnoughMemory where not even what the VAE's last layer takes, and the pictures, can be held."""
    channels, width = base.vae.config.block_out_channels[0], 4 if recipe.mixed_precision == "no" else 2
    decoded = min(recipe.batch_size, recipe.decode_batch_size or recipe.batch_size)
    flag = "--batch-size" if decoded == recipe.batch_size else "--decode-batch-size"
    at_work = f"{flag} {decoded} at a resolution of {resolution}"
    check_room(2 * width * channels * decoded * resolution**2, device, at_work)
    pictures = f"--batch-size {recipe.batch_size} of pictures of {size[0]}×{size[1]} (--image-size)"
    check_room(2 * 3 * recipe.batch_size * math.prod(size), None, pictures)


def fit_of(recipe: Recipe, metadata: CheckpointMetadata) -> str:
    """How the squares that come out stand for pictures of another shape. The untouched base knows of none."""
    known = metadata.native_size and get_method(recipe.method).cls.needs_checkpoint
    return metadata.recipe.get("fit", "crop") if known else "crop"


def size_of(recipe: Recipe, metadata: CheckpointMetadata) -> tuple[int, int]:
    """(width, height) of the images that come out; --image-size is the longer side where they keep proportions."""
    native, side = metadata.native_size, recipe.image_size
    if not side:
        return native or (metadata.resolution,) * 2
    if native is None or fit_of(recipe, metadata) == "crop":
        return side, side
    return max(1, round(side * native[0] / max(native))), max(1, round(side * native[1] / max(native)))


def dataset_of(recipe: Recipe, metadata: CheckpointMetadata) -> str:
    """The data set of the condition images: the one given, or the one that the checkpoint names."""
    dataset, known = recipe.dataset, metadata.source
    if not dataset:
        dataset = known["name"]
        if not is_hub_id(dataset) and not dataset.startswith("torchvision:"):
            raise RecipeError(f"give --dataset: the checkpoint was trained on the local data set {dataset!r}")
        dataset += f"@{known['revision']}" if known["revision"] else ""
    return dataset


def source_of(recipe: Recipe, metadata: CheckpointMetadata) -> Source:
    """The condition images. Raises DataError where their classes are not those of the checkpoint."""
    dataset, known = dataset_of(recipe, metadata), metadata.source
    given = {name: getattr(recipe, name) for name in ("image_column", "label_column")}
    recorded = {name: column or metadata.recipe.get(name) for name, column in given.items()}

    def opened(columns: dict[str, Any]) -> Source:
        view = ViewConfig.recorded(metadata.recipe)
        return open_dataset(dataset, split=recipe.split, view=view, follow_symlinks=recipe.follow_symlinks, **columns)

    try:
        source = opened(recorded)
    except NoSuchColumn:  # other data than the checkpoint's: its columns have other names, or there are none
        if recorded == given:
            raise
        source = opened(given)
    source.check_lacking(recipe.max_broken)
    theirs, ours = (list(map(normal, names)) for names in (source.class_names, metadata.class_names))
    if theirs != ours:
        raise DataError(
            f"the classes of {source.name} are not those of the checkpoint: {_other_classes(theirs, ours)}"
        )
    if source.fingerprint != known["fingerprint"]:
        say(f"note: {source.name} is not the data that the checkpoint was trained on; its images are conditions only")
    return source


def _other_classes(theirs: list[str], ours: list[str]) -> str:
    """In what the classes of a data set and of a checkpoint differ, as words that tell it."""
    more, fewer = sorted(set(theirs) - set(ours)), sorted(set(ours) - set(theirs))
    parts = [f"it has {some(more)} besides"] if more else []
    parts += [f"it lacks {some(fewer)}"] if fewer else []
    first = next((f"{a!r} is where the checkpoint has {b!r}" for a, b in zip(theirs, ours) if a != b), "")
    return " and ".join(parts) or f"they are in another order, {first}"


def used_classes(metadata: CheckpointMetadata) -> np.ndarray | None:
    """(classes,) bool: the classes that a checkpoint has seen images of; None where it does not say (older ones)."""
    return None if metadata.images_of_class is None else np.array(metadata.images_of_class) > 0


def real_counts(recipe: Recipe, metadata: CheckpointMetadata) -> np.ndarray | None:
    """Real images of each class where no bank has counted them; None where nobody asks.

    They are those of the data set that is given, else of the one that the checkpoint was trained on.
    """
    if not allotment.needs_real(recipe):
        return None
    if metadata.images_of_class is not None and not recipe.dataset:
        return np.array(metadata.images_of_class)
    source = source_of(recipe, metadata)
    if metadata.images_of_class is not None and source.fingerprint == metadata.source["fingerprint"]:
        return np.array(metadata.images_of_class)  # without those that could not be read
    return np.array([len(rows) for rows in source.members])


def base_of(recipe: Recipe, metadata: CheckpointMetadata) -> str:
    """The untouched base: the one given, or the one that the checkpoint names."""
    name, revision = metadata.base["name"], metadata.base["revision"]
    if recipe.base:
        return recipe.base
    if revision is None:
        raise RecipeError(f"give --base: the checkpoint was made from the local model {name!r}")
    return f"{name}@{revision}"
