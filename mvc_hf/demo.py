"""The embedded demo: the whole job on 1,000 real images and a small base that has never seen their look."""

from __future__ import annotations

import json
import time
from importlib import resources
from pathlib import Path

import numpy as np

from .errors import OutputError
from .finetune import finetune
from .generate import Studio, generate
from .processes import process_state
from .progress import say
from .quality import contact_sheet
from .recipe import Recipe
from .source import Source, open_source

CAPTION_COLUMN = "caption"
PER_CLASS = 300
SHOWN = 6  # images of each kind and class on the contact sheet

# Chosen for variety rather than looks: the more guidance, the more the images of a class resemble each other.
FINETUNING = {
    "captions": f"column:{CAPTION_COLUMN}",
    "train_batch_size": 32,
    "max_train_steps": 250,
    "learning_rate": 1e-3,
    "validation_steps": 50,
    "checkpointing_steps": 100,
}
GENERATING = {
    "images_per_class": PER_CLASS,
    "guidance_scale": 2.0,
    "num_inference_steps": 10,
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
    """
    out = Path(out)
    if out.exists() and not out.is_dir():
        raise OutputError(f"{out} is a file: choose a folder")
    base, real = str(assets() / "base"), str(assets() / "real.parquet")
    out.mkdir(parents=True, exist_ok=True)
    times = {}

    started = time.monotonic()
    notes = finetune(Recipe(dataset=real, base=base, **FINETUNING), out / "checkpoint")
    times["finetune"] = time.monotonic() - started

    started = time.monotonic()
    recipe = Recipe(dataset=real, **GENERATING)
    split = generate(recipe, out / "checkpoint", out / "synthetic")
    times["generate"] = time.monotonic() - started

    started = time.monotonic()
    say("drawing the contact sheet")
    draw_sheet(recipe, Recipe(method="pretrained", base=base, **GENERATING), out)
    times["contact sheet"] = time.monotonic() - started

    results = {
        "finetune": notes.recipe,
        "training": notes.training,
        "generate": recipe.to_dict("generate") | {"dataset": notes.source["name"]},
        "images": split.rows,
        "seconds_of_this_call": {stage: round(seconds, 1) for stage, seconds in times.items()},
    }
    (out / "results.json").write_text(json.dumps(results, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    return assets()


def draw_sheet(mvc: Recipe, pretrained: Recipe, out: Path) -> None:
    """For each class: real | MVC | pretrained."""
    state = process_state()
    source = open_source(mvc.dataset)
    classes = len(source.class_names)
    labels, k = np.repeat(np.arange(classes), SHOWN), np.tile(np.arange(SHOWN), classes)
    columns = {"real": [_first_images(source, label) for label in range(classes)]}
    for title, recipe in (("MVC", mvc), ("pretrained", pretrained)):
        images, _ = Studio.open(recipe, out / "checkpoint", state).images(labels, k)
        columns[title] = [images[i : i + SHOWN] for i in range(0, len(images), SHOWN)]
    contact_sheet(columns, source.class_names).save(out / "contact_sheet.png")


def _first_images(source: Source, label: int) -> list:
    return [source.image(int(row)) for row in np.flatnonzero(source.labels == label)[:SHOWN]]
