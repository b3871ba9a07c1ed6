"""The sheet of samples on the card of a checkpoint: synthetic images of some classes, drawn where none is there."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ..artifacts.checkpoint import CheckpointMetadata
from ..config.recipe import Recipe
from ..errors import MvcError
from ..generation.inputs import source_of
from ..inspection.preview import preview
from ..publish.rendering import SAMPLES, short_name
from ..report.contact_sheet import contact_sheet
from ..storage.layout import METADATA, PLACES
from ..storage.notes import atomic_write, read_json
from ..utils.progress import say
from ..utils.text import reason

CLASSES, IMAGES = 8, 4
SAME = ("coarse", "fine", "mixed_precision", "split")  # settings that are those of the fine-tuning
CELL = 112  # pixels of an image on the sheet
SLOW = 100_000_000  # weights of a U-Net that takes minutes for each image where there is no accelerator


def draw_samples(folder: Path, dataset: str = "", *, wanted: bool | None = None) -> Path | None:
    """Draw `samples.png`: the first images of some classes, as `generate` makes them. No real image is on it.

    A sheet that is there is kept. What keeps one from being drawn is said in a line, and no error: a card without
    pictures is a card.

    Args:
        folder: of a finished checkpoint; what is none is left alone, for `push` to say so.
        dataset: the real images that are conditions (default: those that it was trained on, where they are on the Hub
            or of torchvision, or still lie on this machine where they lay then).
        wanted: None leaves it out where it would take many minutes: a large model and no accelerator.

    Returns:
        The sheet; None where there is none.
    """
    sheet = folder / SAMPLES
    if sheet.exists():
        return sheet
    if wanted is False or not (folder / METADATA).is_file():
        return None
    try:
        metadata = CheckpointMetadata.load(folder)
        if wanted is None and _is_slow(folder):
            say("note: no sheet of samples is drawn without a GPU; --samples draws one, which takes long")
            return None
        _draw(folder, dataset, metadata)
    except (MvcError, OSError) as error:  # the latter: a folder that cannot be written to
        say(f"note: the card goes without a sheet of samples: {reason(error)}")
        return None
    return sheet


def _draw(folder: Path, dataset: str, metadata: CheckpointMetadata) -> None:
    made_by = metadata.recipe
    known: dict[str, Any] = {name: made_by[name] for name in SAME if name in made_by}
    recipe = Recipe.from_dict({"dataset": dataset or _remembered(folder, known, metadata), **known})
    pair = f"{recipe.coarse},{recipe.fine}"
    found = preview(recipe, folder, classes=(str(CLASSES),), rows=IMAGES, settings=pair, pretrained=False)
    images: dict[str, list] = {}
    for row in found.rows:
        images.setdefault(short_name(row.class_name), []).append(row.images[0])
    drawn = contact_sheet({"synthetic": list(images.values())}, list(images), cell=CELL)
    with atomic_write(folder / SAMPLES) as temporary:
        drawn.save(temporary, "PNG")


def _remembered(folder: Path, known: dict[str, Any], metadata: CheckpointMetadata) -> str:
    """Where the very images lay that it was trained on, if they are still there; "" otherwise.

    The folder may be a stranger's: what it names is used only if it is what the checkpoint was made from.
    """
    try:
        place = read_json(folder / PLACES, "", {"dataset": str})["dataset"]
        if os.path.exists(place):
            recipe = Recipe.from_dict({"dataset": place, **known})
            return place if source_of(recipe, metadata).fingerprint == metadata.source["fingerprint"] else ""
    except (OSError, MvcError):
        pass
    return ""


def _is_slow(folder: Path) -> bool:
    """By the size of the U-Net's weights, of at least two bytes each."""
    import torch

    weights = sum(path.stat().st_size for path in (folder / "unet").glob("*.safetensors"))
    return weights > 2 * SLOW and not (torch.cuda.is_available() or torch.backends.mps.is_available())
