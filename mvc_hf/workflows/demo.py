"""The embedded demo: the whole job on 200 real images and a small base that has never seen their look."""

from __future__ import annotations

import time
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from ..config.recipe import Recipe
from ..data.base import Source
from ..data.loading import open_dataset
from ..errors import OutputError
from ..generation.generate import generate
from ..generation.opening import open_generator
from ..report.contact_sheet import contact_sheet
from ..storage.locks import locked_folder, strangers
from ..storage.notes import atomic_write, read_json, write_json
from ..training.finetune import finetune
from ..utils.distributed import process_state
from ..utils.progress import say

CAPTION_COLUMN = "caption"
PER_CLASS = 100
MARKER, MADE_BY = "demo.json", "mvc-hf demo"  # by which the folder is known again
LEAVES = ("checkpoint", "synthetic", "contact_sheet.png", "results.json", "real", "classifier")
SHOWN = 6  # images of each kind and class on the contact sheet

# Chosen on images that the demo does not report on: docs/evidence.md.
FINETUNING: dict[str, Any] = {
    "captions": f"column:{CAPTION_COLUMN}",
    "train_batch_size": 32,
    "max_train_steps": 150,
    "learning_rate": 3e-4,
    "validation_steps": 50,
    "checkpointing_steps": 50,
}
GENERATING: dict[str, Any] = {
    "images_per_class": PER_CLASS,
    "guidance_scale": 4.0,
    "coarse": 2,
    "fine": 8,
    "num_inference_steps": 6,
    "batch_size": 100,
    "shard_size": 500,
}


def assets() -> Path:
    """The folder of the embedded base and images."""
    return Path(str(resources.files("mvc_hf") / "assets"))


def demo(out: str | Path) -> Path:
    """Fine-tune, generate, draw; leaves checkpoint/, synthetic/, contact_sheet.png and results.json in `out`.

    Returns:
        The folder of the embedded base and images.

    Raises:
        OutputError: the folder holds something else, or another command writes into it.
    """
    out = Path(out)
    with locked_folder(out):
        _claim(out)
        _run(out)
    return assets()


def _claim(out: Path) -> None:
    """Make the folder the demo's, or find that it is."""
    others = strangers(out, MARKER)
    try:
        if read_json(out / MARKER, "").get("made_by") == MADE_BY:
            return
        others.append(MARKER)  # somebody else's
    except FileNotFoundError:
        pass
    except OutputError:  # damaged: what lies beside it tells
        others = sorted(set(others).difference(LEAVES))
    if others:
        raise OutputError(f"{out} holds {others[0]!r} and is not the demo's: choose an empty or a new folder")
    write_json(out / MARKER, {"made_by": MADE_BY})


def _run(out: Path) -> None:
    base, real = str(assets() / "base"), str(assets() / "real.parquet")
    times = {}

    started = time.monotonic()
    metadata = finetune(Recipe(dataset=real, base=base, **FINETUNING), out / "checkpoint")
    times["finetune"] = time.monotonic() - started

    started = time.monotonic()
    recipe = Recipe(dataset=real, **GENERATING)
    made = generate(recipe, out / "checkpoint", out / "synthetic")
    times["generate"] = time.monotonic() - started

    started = time.monotonic()
    say("drawing the contact sheet")
    draw_sheet(recipe, Recipe(method="pretrained", base=base, **GENERATING), out)
    times["contact sheet"] = time.monotonic() - started

    results = {
        "finetune": metadata.recipe,
        "training": metadata.training,
        "generate": recipe.to_dict("generate") | {"dataset": metadata.source["name"]},
        "images": made.rows,
        "seconds_of_this_call": {stage: round(seconds, 1) for stage, seconds in times.items()},
    }
    write_json(out / "results.json", results)


def draw_sheet(mvc: Recipe, pretrained: Recipe, out: Path) -> None:
    """For each class: real | MVC | pretrained."""
    state = process_state()
    source = open_dataset(mvc.dataset)
    classes = len(source.class_names)
    labels, index = np.repeat(np.arange(classes), SHOWN), np.tile(np.arange(SHOWN), classes)
    columns = {"real": [_first_images(source, label) for label in range(classes)]}
    for title, recipe in (("MVC", mvc), ("pretrained", pretrained)):
        images, _ = open_generator(recipe, out / "checkpoint", state).images(labels, index)
        columns[title] = [images[i : i + SHOWN] for i in range(0, len(images), SHOWN)]
    with atomic_write(out / "contact_sheet.png") as temporary:
        contact_sheet(columns, source.class_names).save(temporary, "PNG")


def _first_images(source: Source, label: int) -> list:
    return [source.image(int(row)) for row in np.flatnonzero(source.labels == label)[:SHOWN]]
