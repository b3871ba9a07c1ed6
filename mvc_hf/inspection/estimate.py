"""What a run will cost on this machine, measured on a few real batches of every stage before it is spent.

Every stage runs as it will run, with the real data and models, for a warm-up batch and a few more; what it makes is
thrown away. The rest is arithmetic: how many batches there will be, and how large what they leave behind.
"""

from __future__ import annotations

import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from ..artifacts.checkpoint import CheckpointMetadata
from ..artifacts.steps import checkpoint_folder
from ..config.fields import FINETUNE
from ..config.recipe import Recipe
from ..data.apart import keep_apart
from ..data.decoding import is_grey, to_rgb
from ..data.groups import Groups
from ..data.loading import open_for
from ..diffusion.model import StableDiffusion, load_base, precision
from ..diffusion.sampling import make_scheduler
from ..diffusion.unet import check_trainable, widen_unet
from ..errors import ModelError, RecipeError
from ..generation.counts import images_of_class
from ..generation.inputs import base_of, check_sampling_fits, real_counts, size_of, used_classes
from ..generation.opening import Loaded, Resolved, assemble, load, resolve, settled
from ..hub.download.models import locate
from ..methods.registry import get_method
from ..storage.layout import CAPTIONS, CHECKPOINT, METADATA, SYNTHETIC
from ..training.finetune import check_training_fits
from ..utils.distributed import Alone
from ..utils.progress import say
from .cost_table import Plan
from .measuring import Cost, Sample, StageMeasurements
from .stage_costs import (
    Captions,
    measure_captioning,
    measure_encoding,
    measure_finetuning,
    measure_generating,
    sample_banks,
)

if TYPE_CHECKING:
    from ..config.run_recipe import RunRecipe
    from ..data.base import Source


@dataclass(frozen=True)
class Opened:
    """What the stages of a run work on.

    Attributes:
        found: what its data set will be made from. Where there is no checkpoint yet, its metadata is what
            fine-tuning would write, as far as the sample tells.
        sample: of the images that the run looks at; None where it looks at none.
        model: that is encoded with, and fine-tuned.
        loaded: to generate with; None where the run fine-tunes first.
        seconds: that loading a model took.
        groups: of the images, where the recipe names a column of them.
    """

    found: Resolved
    sample: Sample | None
    model: StableDiffusion
    loaded: Loaded | None
    seconds: float
    groups: Groups | None


def plan(run: RunRecipe) -> Plan:
    """Measure. Nothing is written to the output folder, and no cache is filled but those of fetched models and data.

    Raises:
        MvcError: what the run itself would raise; and memory that does not suffice, with the stage that it is.
    """
    if os.environ.get("WORLD_SIZE", "1") != "1":
        raise RecipeError("a plan is measured in one process: give the command without accelerate launch or torchrun")
    run.check()
    keep_apart(run.recipe.dataset, *(run.folder / name for name in (CHECKPOINT, SYNTHETIC, CAPTIONS)))
    started, device = time.monotonic(), Alone().device
    precision(run.recipe.mixed_precision)
    opened = _open_checkpoint(run, device) if run.model else _open_base(run.recipe, device)
    with tempfile.TemporaryDirectory(prefix="mvc-hf-plan-") as folder:
        measured = _measure(opened, device, Path(folder))
    upload = 0
    if run.push_to_hub:
        upload = measured.disk["shards"] + measured.disk.get("checkpoint", 0)
    return Plan(tuple(measured.stages), measured.disk, upload, str(device), time.monotonic() - started)


def _open_checkpoint(run: RunRecipe, device: torch.device) -> Opened:
    """For a run that only generates."""
    there = locate(checkpoint_folder(run.model) or run.model, METADATA)
    if there is None:
        raise ModelError(f"no checkpoint at {run.model!r}: give a folder made by mvc-hf finetune")
    found = resolve(run.recipe, there[0])
    _say_begin(found.source, found.metadata.class_names, device)
    sample = None if found.source is None else Sample.of(found.source)
    groups = _groups_of(run.recipe, found.source)
    started = time.monotonic()
    loaded = load(found, device)
    return Opened(found, sample, loaded.model, loaded, time.monotonic() - started, groups)


def _open_base(recipe: Recipe, device: torch.device) -> Opened:
    """For a run that fine-tunes first."""
    method = get_method(recipe.method)
    source = open_for(recipe)
    _say_begin(source, source.class_names, device)
    sample, groups = Sample.of(source), _groups_of(recipe, source)
    started = time.monotonic()
    model = load_base(recipe.base, recipe.variant)
    seconds = time.monotonic() - started
    check_trainable(model.scheduler)
    resolution = model.check_resolution(recipe.resolution or model.resolution)
    check_training_fits(recipe, model, resolution, len(source.rows), device)
    metadata = _notes_to_come(recipe, sample, model, resolution)
    check_sampling_fits(recipe, model, resolution, size_of(recipe, metadata), device)
    make_scheduler(recipe.scheduler, model.scheduler.config, recipe.num_inference_steps)  # says what it does not take
    found = Resolved(settled(recipe, method), method, model.folder, "", None, metadata)
    return Opened(found, sample, model, None, seconds, groups)


def _groups_of(recipe: Recipe, source: Source | None) -> Groups | None:
    return Groups.of(source, recipe.group_column) if recipe.group_column and source is not None else None


def _say_begin(source: Source | None, class_names: tuple[str, ...], device: torch.device) -> None:
    images = "" if source is None else f"{len(source.rows)} images of "
    say(f"plan: {images}{len(class_names)} classes, on {device}")


def _notes_to_come(recipe: Recipe, sample: Sample, model: StableDiffusion, resolution: int) -> CheckpointMetadata:
    """What fine-tuning would note of its checkpoint, as far as a sample of the images tells."""
    source, images = sample.source, [sample.source.image(int(row)) for row in sample.rows]
    sizes = {to_rgb(image).size for image in images}
    return CheckpointMetadata(
        fingerprint="",
        recipe=recipe.to_dict(FINETUNE),
        class_names=tuple(source.class_names),
        source={"name": source.name, "revision": source.revision, "fingerprint": source.fingerprint},
        base={"name": model.name, "revision": model.revision, "fingerprint": ""},
        resolution=resolution,
        native_size=sizes.pop() if len(sizes) == 1 else None,
        grey=all(map(is_grey, images)),
        training={},
        versions={},
        images_of_class=tuple(map(len, source.members)),
    )


def _measure(opened: Opened, device: torch.device, folder: Path) -> StageMeasurements:
    """Stage by stage, each in small."""
    found, sample, model = opened.found, opened.sample, opened.model
    recipe, resolution = found.recipe, found.metadata.resolution
    trained_on = sample if opened.loaded is None else None
    measured = StageMeasurements(device)
    if trained_on is not None:
        captions = measured.measure("caption", lambda: measure_captioning(recipe, trained_on, device))
    else:
        captions = Captions(found.captions, len(found.captions))
    model.to(device)
    measured.measure("encode", lambda: measure_encoding(model, captions, sample, resolution))
    if trained_on is not None:
        measured.measure(
            "finetune",
            lambda: measure_finetuning(recipe, model, captions.table, trained_on, opened.groups, resolution, folder),
            opened.seconds,
        )
    measured.measure("generate", lambda: _generating(opened, captions, trained_on, device), opened.seconds)
    return measured


def _generating(
    opened: Opened, captions: Captions, trained_on: Sample | None, device: torch.device
) -> tuple[Cost, None]:
    """Over a generator as `generate` opens it, but for its banks: those of the sample."""
    found, loaded = opened.found, opened.loaded or _to_generate_with(opened)
    recipe, metadata, needs_images = found.recipe, found.metadata, found.method.cls.needs_images
    loaded.model.to(device)
    banks = sample_banks(loaded.model, captions.table, opened.sample, metadata.resolution, images=needs_images)
    generator = assemble(found, loaded, banks)
    loaded.model.to(device, precision(recipe.mixed_precision))
    total = int(_images_of_class(found, opened.sample).sum())
    return measure_generating(generator, len(banks.text.table.pool_size), total, trained_on)


def _to_generate_with(opened: Opened) -> Loaded:
    """The model that was fine-tuned a little, or the base anew where the method takes it untouched."""
    found = opened.found
    recipe, metadata, model = found.recipe, found.metadata, opened.model
    if found.method.cls.needs_checkpoint:
        widen_unet(model.unet).eval().requires_grad_(False)
    else:
        model = load_base(base_of(recipe, metadata), recipe.variant)
    scheduler = make_scheduler(recipe.scheduler, model.scheduler.config, recipe.num_inference_steps)
    return Loaded(model, scheduler, size_of(recipe, metadata))


def _images_of_class(found: Resolved, sample: Sample | None) -> np.ndarray:
    """Synthetic images of each class."""
    if sample is None:
        real, used = real_counts(found.recipe, found.metadata), used_classes(found.metadata)
    else:
        real, used = np.array([len(rows) for rows in sample.source.members]), sample.source.used
    return images_of_class(found.recipe, len(found.metadata.class_names), real, used)
