"""One measuring function for each stage of a run, over the stage's own code, on a few real batches."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from ..artifacts.schema import png
from ..captions.loading import caption_source
from ..captions.sources import MODEL
from ..captions.table import CaptionTable
from ..config.recipe import Recipe
from ..data.base import Source
from ..data.decoding import to_rgb
from ..data.groups import Groups
from ..diffusion.banks.latents import IMAGE_BATCH, LatentBank, moments_of
from ..diffusion.banks.text import TEXT_BATCH, TextBank
from ..diffusion.lora import merged_unet
from ..diffusion.model import StableDiffusion
from ..diffusion.sampling import steps_from
from ..errors import DivergedError
from ..generation.finishing import png_threads
from ..generation.generator import Generator
from ..generation.opening import Banks
from ..training.dataset import TrainingSet
from ..training.finetune import captioner_of, captions_of
from ..training.holdout import PROBE_IMAGES
from ..training.lr_schedule import TrainingSchedule
from ..training.setup.accelerator import accelerator_of
from ..training.setup.allocator import kept_for_reuse
from ..training.setup.optimizer import bytes_of_moments
from ..training.trainer import Trainer
from .cost_table import Estimate
from .measuring import BATCHES, SAMPLES, Cost, Enough, Sample, StepClock, seconds_per_item

COLUMNS, COPY = 60, 8  # bytes of a row beside the image, and of each copy of its mix, compressed
HALF, FULL = 2, 4  # bytes of a number
FORWARD = 1 / 3  # of the time of an update's batch: what a look at kept-aside images takes


@dataclass(frozen=True)
class Captions:
    """The captions that is measured with, and how many the run will have: more, where a model writes them."""

    table: CaptionTable
    count: int


def measure_captioning(recipe: Recipe, sample: Sample, device: torch.device) -> tuple[Cost, Captions]:
    """All captions where they are there already; else a few by the model that is to write them."""
    source = sample.source
    if recipe.captions != MODEL:
        started = time.monotonic()
        table = captions_of(recipe, captioner_of(recipe), source)
        took = Estimate.of([time.monotonic() - started])
        return Cost(f"{len(table)} captions ({Path(recipe.captions).name})", took), Captions(table, len(table))

    from ..captions.image_to_text import CaptionModel, draws_of

    captioner: Any = caption_source(MODEL, recipe=recipe)
    model = CaptionModel(captioner.weights, device, recipe.caption_prompt)
    written: dict[int, str] = {}

    def batches() -> Iterator[int]:
        for rows in sample.batches(recipe.caption_batch_size):
            numbers = np.arange(len(rows)) % recipe.captions_per_image
            prepared = [model.prepare(source.image(int(row))) for row in rows]
            draws = draws_of(recipe.seed, rows, numbers, recipe.caption_max_new_tokens)
            written.update(zip(rows.tolist(), model.captions(prepared, draws, recipe.caption_max_new_tokens)))
            yield len(rows)

    each, total = seconds_per_item(batches()), len(source.rows) * recipe.captions_per_image
    rows = sorted(written)
    texts = [written[row] for row in rows]
    table = CaptionTable.build(source.labels[rows], texts, rows, num_classes=len(source.class_names))
    # What is not captioned yet counts like what is: pools become as long as the settings let them.
    pools = np.array([len(members) for members in source.members]) * recipe.captions_per_image
    kept = pools if recipe.pairing == "self" else np.minimum(pools, recipe.max_captions_per_class)
    cost = Cost(f"{total} captions by {captioner.weights.name}", each.times(total))
    return cost, Captions(table, int(kept.sum()))


def measure_encoding(
    model: StableDiffusion, captions: Captions, sample: Sample | None, resolution: int
) -> tuple[Cost, None]:
    """A few captions, and a few images where the run looks at any."""
    texts = (list(captions.table.captions) * TEXT_BATCH)[: min(TEXT_BATCH, captions.count)]

    def text_batches() -> Iterator[int]:
        while True:
            model.encode_text(texts).half().cpu()
            yield len(texts)

    def image_batches(sample: Sample) -> Iterator[int]:
        for rows in sample.batches(IMAGE_BATCH):
            moments_of(sample.source, rows.tolist(), model, resolution)
            yield len(rows)

    took = seconds_per_item(text_batches()).times(captions.count)
    what, numbers = f"{captions.count} captions", model.tokens * model.width * (captions.count + 1)
    if sample is not None:
        images = len(sample.source.rows)
        took = took + seconds_per_item(image_batches(sample)).times(images)
        what = f"{what}, {images} images"
        numbers += 2 * math.prod(latent_shape(model, resolution)) * images
    return Cost(what, took, {"caches": HALF * numbers}), None


def measure_finetuning(
    recipe: Recipe,
    model: StableDiffusion,
    table: CaptionTable,
    sample: Sample,
    groups: Groups | None,
    resolution: int,
    folder: Path,
) -> tuple[Cost, None]:
    """A few updates. How long the run will be, and what it keeps aside, is counted as the run does it."""
    trained, held_out = training_images(recipe, model, table, sample.source, groups)
    banks = sample_banks(model, table, sample, resolution)
    training_set = _training_set(replace(recipe, holdout_fraction=0.0), model, banks.text, banks.images)
    schedule = TrainingSchedule.of(recipe, trained, 1)
    model.vae.to("cpu")
    model.text_encoder.to("cpu")
    enough = replace(schedule, steps=max(schedule.steps, BATCHES + 2))  # a run may be shorter than its measurement
    run = Trainer(recipe, enough, training_set, model, accelerator_of(recipe), folder)

    def updates() -> Iterator[int]:
        for loss in run.updates():
            if not math.isfinite(loss.item()) and run.accelerator.scaler is None:  # waits, as the real loop does
                raise DivergedError("the loss is not finite within the first updates: take a lower --learning-rate")
            yield 1

    with kept_for_reuse(run.accelerator.device):
        each = seconds_per_item(updates())
    probed = 2 * min(PROBE_IMAGES, held_out) * math.ceil(schedule.steps / schedule.validation_steps)
    looks = each.times(FORWARD * probed / schedule.samples)
    trained = sum(parameter.numel() for parameter in run.parameters)
    # As it will be loaded for generating.
    model.unet = merged_unet(run.accelerator.unwrap_model(run.unet, keep_fp32_wrapper=False))
    model.unet.to(run.accelerator.device)
    what = f"{schedule.steps} updates of {schedule.samples} images"
    return Cost(
        what, each.times(schedule.steps) + looks, _disk_of_training(recipe, model, schedule.steps, trained)
    ), None


def measure_generating(generator: Generator, classes: int, total: int, sample: Sample | None) -> tuple[Cost, None]:
    """The denoising steps of a few batches, and their decoding.

    Args:
        generator: over the banks of the sample, which have this number of classes.
        total: images that the run will make.
        sample: real images, whose size on the disk stands for that of those to come; none where the model has learnt
            to make such: what one makes that has not learnt yet is noise, which takes more room than pictures do.
    """
    recipe = generator.recipe
    size = min(recipe.batch_size, total)
    step, steps, latents = _denoising(generator, classes, size)
    images: list[Image.Image] = []

    def decoding() -> Iterator[int]:
        with png_threads() as pool:  # of a run they work beside the sampling, which hides them as far as it can
            for _ in range(BATCHES + 1):
                images[:] = [generator.finished(Image.fromarray(array)) for array in generator.decoded(latents)]
                list(pool.map(png, images))
                yield len(latents)

    each = step.times(steps / size) + seconds_per_item(decoding())
    if sample is not None:
        real = [to_rgb(sample.source.image(int(row))) for row in sample.rows]
        images = [generator.coloured(image.resize(generator.size)) for image in real]
    row = (
        float(np.mean([len(png(image)["bytes"]) for image in images])) + COLUMNS + COPY * (recipe.coarse + recipe.fine)
    )
    return Cost(f"{total} images ({generator.method.name})", each.times(total), {"shards": int(total * row)}), None


def sample_banks(
    model: StableDiffusion, table: CaptionTable, sample: Sample | None, resolution: int, images: bool = True
) -> Banks:
    """Captions and images of the sample, encoded, as a small data set of its own: of the sample's classes alone.

    Args:
        images: whether they are asked for.
    """
    if sample is None:
        classes, labels = np.unique(table.labels)[:SAMPLES], np.zeros(0, np.int64)
    else:
        classes, labels = np.unique(sample.source.labels[sample.rows], return_inverse=True)
    rng, each = np.random.default_rng(0), max(2, SAMPLES // len(classes))
    chosen: list[tuple[int, str]] = []
    for number, label in enumerate(classes):
        pool = np.flatnonzero(table.labels == label)
        pool = pool if len(pool) else np.arange(len(table))  # a captioner's sample may have missed the class
        chosen += [(number, table.captions[i]) for i in rng.permutation(pool)[:each]]
    small = CaptionTable.build(
        [number for number, _ in chosen], [text for _, text in chosen], [-1] * len(chosen),
        num_classes=len(classes), keep_duplicates=True,
    )  # fmt: skip
    embeddings = model.encode_text([*small.captions, ""]).half().cpu()
    text = TextBank(small, embeddings[:-1].contiguous(), embeddings[-1])
    if sample is None or not images:
        return Banks(text)
    moments = moments_of(sample.source, sample.rows.tolist(), model, resolution)
    return Banks(text, LatentBank(moments, labels, tuple(map(str, classes)), None, False))


def latent_shape(model: StableDiffusion, resolution: int) -> tuple[int, int, int]:
    side = resolution // model.vae_factor
    return model.vae.config.latent_channels, side, side


def _training_set(
    recipe: Recipe, model: StableDiffusion, text: TextBank, images: LatentBank, groups: Groups | None = None
) -> TrainingSet:
    return TrainingSet(
        recipe, text, images,
        scaling_factor=model.vae.config.scaling_factor, num_timesteps=model.scheduler.config.num_train_timesteps,
        groups=groups,
    )  # fmt: skip


def training_images(
    recipe: Recipe, model: StableDiffusion, table: CaptionTable, source: Source, groups: Groups | None
) -> tuple[int, int]:
    """How many images are trained on, and how many kept aside: of a training set over banks without content."""
    labels = np.full(len(source), -1)
    labels[source.rows] = source.labels[source.rows]
    moments = torch.empty(len(source), 2, 1, 1, 1, device="meta")
    images = LatentBank(moments, labels, tuple(source.class_names), None, False)
    embeddings = torch.empty(len(table), model.tokens, model.width, device="meta")
    whole = _training_set(recipe, model, TextBank(table, embeddings, embeddings[:1]), images, groups)
    return len(whole), len(whole.held_out)


def _disk_of_training(recipe: Recipe, model: StableDiffusion, steps: int, trained: int) -> dict[str, int]:
    """Weights are stored in full precision, for resuming with Adam's two moments and the moving average.

    Args:
        trained: parameters that are trained. With LoRA all others are stored once.
    """
    unet, vae, text = (FULL * sum(p.numel() for p in part.parameters()) for part in (
        model.unet, model.vae, model.text_encoder
    ))  # fmt: skip
    kept = min(recipe.checkpoints_total_limit, math.ceil(steps / recipe.checkpointing_steps))
    state = FULL * trained * (1 + recipe.use_ema) + bytes_of_moments(recipe, trained)
    frozen = unet if recipe.lora_rank else 0
    return {"checkpoint": unet + vae + text, "training state": state * kept + frozen}


def _denoising(generator: Generator, classes: int, size: int) -> tuple[Estimate, float, torch.Tensor]:
    """The time of a step of a batch, how many steps there are, and latents as they come out, or are half-way.

    Where guidance does not act on all steps, only one with all its passes is measured, and counted as often as its
    passes make up those of all steps.
    """
    guidance = generator.guidance
    whole = replace(generator.recipe, guidance_start=0.0, guidance_stop=1.0)
    generator = replace(generator, recipe=whole)
    clock = StepClock(generator.model.unet.device)
    for number in range(BATCHES):
        index, labels = np.divmod(number * size + np.arange(size), classes)
        inputs = generator.method.inputs(labels, index)
        latents = inputs.latents.to(clock.device)
        clock.start_batch()
        try:
            latents = generator.latents(inputs, labels, index, on_step=clock.step)
        except Enough:
            break
    steps = len(generator.scheduler.timesteps)
    first = steps - steps_from(generator.scheduler, inputs.start_step)
    return clock.estimate(), guidance.passes_in(first, steps) / len(guidance.passes), latents
