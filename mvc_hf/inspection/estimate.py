"""What a run will cost on this machine, measured on a few real batches of every stage before it is spent.

Every stage runs as it will run, with the real data and models, for a warm-up batch and a few more; what it makes is
thrown away. The rest is arithmetic: how many batches there will be, and how large what they leave behind.
"""

from __future__ import annotations

import gc
import math
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..artifacts.checkpoint import CheckpointMetadata, load_captions
from ..artifacts.schema import png
from ..captions.loading import caption_source
from ..captions.sources import MODEL
from ..captions.table import CaptionTable
from ..data.apart import keep_apart
from ..data.base import Source
from ..data.decoding import is_grey, to_rgb
from ..data.loading import open_for
from ..diffusion.latent_bank import IMAGE_BATCH, LatentBank, moments_of
from ..diffusion.model import load_base, precision
from ..diffusion.sampling import Guidance, make_scheduler, sample
from ..diffusion.text_bank import TEXT_BATCH, TextBank
from ..diffusion.unet import check_trainable, widen_unet
from ..errors import DataError, DivergedError, ModelError, MvcError, RecipeError
from ..generation.counts import images_of_class
from ..generation.inputs import base_of, check_sampling_fits, real_counts, size_of, source_of, used_classes
from ..hub.download import locate
from ..methods.mvc import Mvc
from ..methods.pretrained import Pretrained
from ..storage.layout import CAPTIONS, CHECKPOINT, NOTES, SYNTHETIC
from ..training.dataset import TrainingSet
from ..training.finetune import accelerator_of, captioner_of, captions_of, check_training_fits
from ..training.holdout import PROBE_IMAGES
from ..training.lr_schedule import TrainingSchedule
from ..training.trainer import Trainer
from ..utils.distributed import Alone
from ..utils.memory import Peak, is_memory_error, too_small
from ..utils.progress import say
from .cost_table import Estimate, Plan, Stage

if TYPE_CHECKING:
    from ..config.run_recipe import RunRecipe

SAMPLES = 32  # images and captions that are encoded
BATCHES = 4  # measured at most of each stage, after one to warm up
SECONDS = 10.0  # spent at most on each stage, where a batch does not take longer
COLUMNS, COPY = 60, 8  # bytes of a row beside the image, and of each copy of its mix, compressed
HALF, FULL = 2, 4  # bytes of a number
FORWARD = 1 / 3  # of the time of an update's batch: what a look at kept-aside images takes


def plan(pipeline: RunRecipe) -> Plan:
    """Measure. Nothing is written to the output folder, and no cache is filled but those of fetched models and data.

    Raises:
        MvcError: what the run itself would raise; and memory that does not suffice, with the stage that it is.
    """
    if os.environ.get("WORLD_SIZE", "1") != "1":
        raise RecipeError("a plan is measured in one process: give the command without accelerate launch or torchrun")
    pipeline.check()
    keep_apart(pipeline.recipe.dataset, *(pipeline.folder / name for name in (CHECKPOINT, SYNTHETIC, CAPTIONS)))
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mvc-hf-plan-") as folder:
        stages, disk = _Rehearsal(pipeline, Path(folder)).all()
    upload = 0
    if pipeline.push_to_hub:
        upload = disk["shards"] + (0 if pipeline.model else disk["checkpoint"])
    return Plan(tuple(stages), disk, upload, str(Alone().device), time.monotonic() - started)


class _Rehearsal:
    """The stages of a run, one after the other, each in small."""

    def __init__(self, pipeline: RunRecipe, folder: Path):
        self.recipe, self.folder, self.device = pipeline.recipe, folder, Alone().device
        self.disk: dict[str, int] = {}
        precision(self.recipe.mixed_precision)
        self.notes, checkpoint = None, None
        if pipeline.model:
            found = locate(pipeline.model, NOTES)
            if found is None:
                raise ModelError(f"no checkpoint at {pipeline.model!r}: give a folder made by mvc-hf finetune")
            checkpoint, self.notes = found[0], CheckpointMetadata.load(found[0])
        self.source = self._open_source()
        self.class_names = self.notes.class_names if self.notes else self.source.class_names
        images = f"{len(self.source.rows)} images of " if self.source else ""
        say(f"plan: {images}{len(self.class_names)} classes, on {self.device}")
        self.rows = self._readable_rows() if self.source else np.zeros(0, np.int64)
        loading = time.monotonic()
        self.base = load_base(str(checkpoint)) if checkpoint else load_base(self.recipe.base, self.recipe.variant)
        self.loading = time.monotonic() - loading
        self.resolution = self.notes.resolution if self.notes else self._resolution()
        self.table = load_captions(checkpoint, self.notes.class_names) if checkpoint else None
        if not self.notes:
            check_training_fits(self.recipe, self.base, self.resolution, len(self.source.rows), self.device)
        check_sampling_fits(self.recipe, self.base, self.resolution, self._size(), self.device)

    def all(self) -> tuple[list[Stage], dict[str, int]]:
        stages = [] if self.notes else [self._caption()]
        stages.append(self._measured("encode", self._encode))
        if not self.notes:
            stages.append(self._measured("finetune", self._finetune))
        stages.append(self._measured("generate", self._generate))
        return stages, self.disk

    # Opening

    def _open_source(self) -> Source | None:
        """The images; None where nothing needs them."""
        if self.notes and self.recipe.method != "pretrained":
            return source_of(self.recipe, self.notes)
        if self.notes:
            return None
        return open_for(self.recipe)

    def _resolution(self) -> int:
        check_trainable(self.base.scheduler)
        return self.base.check_resolution(self.recipe.resolution or self.base.resolution)

    # Captions

    def _caption(self) -> Stage:
        """The stage, and the table that the others work with."""
        if self.recipe.captions != MODEL:
            with Peak(self.device) as peak:
                started = time.monotonic()
                self.table = captions_of(self.recipe, captioner_of(self.recipe), self.source)
                took = time.monotonic() - started
            what = f"{len(self.table)} captions ({Path(self.recipe.captions).name})"
            return Stage("caption", what, Estimate.of([took]), peak.bytes)
        return self._measured("caption", self._caption_with_model)

    def _caption_with_model(self) -> tuple[str, Estimate]:
        from ..captions.image_to_text import CaptionModel, draws_of

        recipe = self.recipe
        captioner = caption_source(MODEL, recipe=recipe)
        model = CaptionModel(captioner.weights, self.device, recipe.caption_prompt)
        total = len(self.source.rows) * recipe.captions_per_image
        first: dict[int, str] = {}

        def batches() -> Iterator[int]:
            for rows in self._batches_of(recipe.caption_batch_size):
                numbers = np.arange(len(rows)) % recipe.captions_per_image
                prepared = [model.prepare(self.source.image(int(row))) for row in rows]
                draws = draws_of(recipe.seed, rows, numbers, recipe.caption_max_new_tokens)
                first.update(zip(rows.tolist(), model.captions(prepared, draws, recipe.caption_max_new_tokens)))
                yield len(rows)

        each = _per_item(batches())
        rows = sorted(first)
        labels = self.source.labels[rows]
        # What is not captioned yet counts like what is: pools become as long as the settings let them.
        self.table = CaptionTable.build(labels, [first[row] for row in rows], rows, num_classes=len(self.class_names))
        self.captions_in_all = self._pool_size(recipe.captions_per_image)
        return f"{total} captions by {captioner.weights.name}", each.times(total)

    def _pool_size(self, per_image: int) -> int:
        counts = self._images_of_class() * per_image
        kept = counts if self.recipe.pairing == "self" else np.minimum(counts, self.recipe.max_captions_per_class)
        return int(kept.sum())

    # Encoding

    def _encode(self) -> tuple[str, Estimate]:
        self.base.to(self.device)
        texts = list(self.table.captions)
        known = getattr(self, "captions_in_all", len(texts))
        sample_texts = (texts * TEXT_BATCH)[:TEXT_BATCH]
        batch = min(TEXT_BATCH, known)
        text = _per_item(self._texts(sample_texts[:batch]))
        total = text.times(known)
        what = f"{known} captions"
        if self.source:
            each = _per_item(self._images())
            total, what = total + each.times(len(self.source.rows)), f"{what}, {len(self.source.rows)} images"
        moments = 2 * math.prod(self._latent_shape()) * len(self.source.rows) if self.source else 0
        self.disk["caches"] = HALF * (self.base.tokens * self.base.width * (known + 1) + moments)
        return what, total

    def _texts(self, texts: list[str]) -> Iterator[int]:
        while True:
            self.base.encode_text(texts).half().cpu()
            yield len(texts)

    def _images(self) -> Iterator[int]:
        for rows in self._batches_of(IMAGE_BATCH):
            self._moments(rows)
            yield len(rows)

    # Fine-tuning

    def _finetune(self) -> tuple[str, Estimate]:
        text, images = self._banks()
        training_set = TrainingSet(
            replace(self.recipe, holdout_fraction=0.0), text, images,
            scaling_factor=self.base.vae.config.scaling_factor,
            num_timesteps=self.base.scheduler.config.num_train_timesteps,
        )  # fmt: skip
        kept_aside = self._kept_aside()
        schedule = TrainingSchedule.of(self.recipe, len(self.source.rows) - kept_aside, 1)
        self.base.vae.to("cpu")
        self.base.text_encoder.to("cpu")
        enough = replace(schedule, steps=max(schedule.steps, BATCHES + 2))  # a run may be shorter than its measurement
        run = Trainer(self.recipe, enough, training_set, self.base, accelerator_of(self.recipe), self.folder)
        each = _per_item(self._updates(run))
        probed = 2 * min(PROBE_IMAGES, kept_aside) * math.ceil(schedule.steps / schedule.validation_steps)
        looks = each.times(FORWARD * probed / schedule.samples)
        self._note_sizes(schedule.steps)
        run.accelerator.unwrap_model(run.unet, keep_fp32_wrapper=False)  # as it will be loaded for generating
        what = f"{schedule.steps} updates of {schedule.samples} images"
        return what, each.times(schedule.steps) + looks + Estimate.of([self.loading])

    def _updates(self, run: Trainer) -> Iterator[int]:
        for loss in run.updates():
            if not math.isfinite(loss.item()) and run.accelerator.scaler is None:  # waits, as the real loop does
                raise DivergedError("the loss is not finite within the first updates: take a lower --learning-rate")
            yield 1

    def _kept_aside(self) -> int:
        counts = self._images_of_class()
        share = [max(1, round(self.recipe.holdout_fraction * n)) for n in counts if n >= 10]
        return sum(share) if self.recipe.holdout_fraction else 0

    def _note_sizes(self, steps: int) -> None:
        """Weights are stored in full precision, for resuming with Adam's two moments and the moving average."""
        unet = _weights(self.base.unet)
        self.disk["checkpoint"] = unet + _weights(self.base.vae) + _weights(self.base.text_encoder)
        written = math.ceil(steps / self.recipe.checkpointing_steps)
        kept = min(self.recipe.checkpoints_total_limit, written)
        self.disk["training state"] = unet * (3 + self.recipe.use_ema) * kept

    # Generating

    def _generate(self) -> tuple[str, Estimate]:
        recipe = self.recipe
        dtype = precision(recipe.mixed_precision)
        if recipe.method == "pretrained":
            recipe = replace(recipe, coarse=0, fine=0)
            self.base = load_base(recipe.base if not self.notes else base_of(recipe, self.notes), recipe.variant)
        else:
            widen_unet(self.base.unet)
        self.base.unet.eval().requires_grad_(False)
        scheduler = make_scheduler(recipe.scheduler, self.base.scheduler.config, recipe.num_inference_steps)
        self.base.to(self.device)
        text, images = self._banks(latents=recipe.method != "pretrained")
        method: Any = Pretrained(recipe, self.base, text, self._latent_shape())
        if images is not None:
            method = Mvc(recipe, self.base, text, images)
        self.base.to(self.device, dtype)
        total = int(images_of_class(recipe, len(self.class_names), self._real(), self._used()).sum())
        size = min(recipe.batch_size, total)
        steps, latents = self._sampled(method, scheduler, size)
        decoded: list[np.ndarray] = []
        each = steps.times(len(scheduler.timesteps) / size) + _per_item(self._decoded(latents, decoded))
        self.disk["shards"] = int(total * self._png_bytes(decoded[-1]))
        return f"{total} images ({recipe.method})", each.times(total) + Estimate.of([self.loading])

    def _real(self) -> np.ndarray | None:
        """Real images of each class, where they have to be counted."""
        if self.source is None:
            return real_counts(self.recipe, self.notes)
        return self._images_of_class()

    def _used(self) -> np.ndarray | None:
        """Classes that may get images: those that have some."""
        return used_classes(self.notes) if self.source is None else self.source.used

    def _images_of_class(self) -> np.ndarray:
        return np.array([len(rows) for rows in self.source.members])

    def _sampled(self, method: Any, scheduler: Any, size: int) -> tuple[Estimate, torch.Tensor]:
        """The time of a denoising step of a batch, and latents as they come out, or are half-way."""
        recipe, present = self.recipe, np.unique(method.text.table.labels)
        started = last = time.monotonic()
        seconds: list[float] = []

        def on_step() -> None:
            nonlocal last
            if self.device.type == "cuda":
                torch.cuda.synchronize()
            now = time.monotonic()
            seconds.append(now - last)
            last = now
            if now - started > SECONDS and len(seconds) > 1:
                raise _Enough

        for number in range(BATCHES):
            k, at = np.divmod(number * size + np.arange(size), len(present))
            found = method.conditions(present[at], k)
            last, latents = time.monotonic(), found.latents.to(self.device)
            image = None if found.image_latents is None else found.image_latents.to(self.device)
            try:
                latents = sample(
                    method.model.unet, scheduler, latents, found.prompt_embeds.to(self.device),
                    found.null_embeds.to(self.device), image,
                    Guidance(recipe.guidance_scale, recipe.image_guidance_scale),
                    num_inference_steps=recipe.num_inference_steps, on_step=on_step,
                    generators=[torch.Generator(self.device).manual_seed(int(index)) for index in k],
                )  # fmt: skip
            except _Enough:
                break
        groups = np.array_split(seconds[1:], min(BATCHES, len(seconds) - 1)) if len(seconds) > 1 else [seconds]
        return Estimate.of([float(np.mean(group)) for group in groups]), latents

    def _decoded(self, latents: torch.Tensor, pixels: list[np.ndarray]) -> Iterator[int]:
        for _ in range(BATCHES + 1):
            pixels[:] = [self.base.decode_latents(latents).numpy()]
            for array in pixels[0]:
                png(_resized(array, self._size()))
            yield len(latents)

    def _size(self) -> tuple[int, int]:
        """(width, height) of the images that come out, as far as the sample tells."""
        if self.notes:
            return size_of(self.recipe, self.notes)
        if self.recipe.image_size:
            return (self.recipe.image_size,) * 2
        sizes = {self.source.image(int(row)).size for row in self.rows}
        return sizes.pop() if len(sizes) == 1 else (self.resolution,) * 2

    def _png_bytes(self, made: np.ndarray) -> float:
        """Mean size of an image and its columns in a shard.

        Without a checkpoint that of real images in the size of those to come: what a model makes that has not learnt
        yet is noise, which takes more room than pictures do.
        """
        images = [_resized(array, self._size()) for array in made]
        if not self.notes and self.source:
            found = [self.source.image(int(row)) for row in self.rows]
            images = [to_rgb(image).resize(self._size()) for image in found]
            if self.recipe.method != "pretrained" and all(map(is_grey, found)):
                images = [image.convert("L") for image in images]
        copies = self.recipe.coarse + self.recipe.fine if self.recipe.method == "mvc" else 0
        return float(np.mean([len(png(image)["bytes"]) for image in images])) + COLUMNS + COPY * copies

    # What the stages share

    def _measured(self, name: str, stage: Callable[[], tuple[str, Estimate]]) -> Stage:
        say(f"plan: measuring {name} …")
        try:
            with Peak(self.device) as peak:
                what, estimate = stage()
        except Exception as error:
            if isinstance(error, MvcError) or not is_memory_error(error):
                raise
            raise too_small(name, self.device) from error
        finally:
            gc.collect()
            if self.device.type == "cuda":
                torch.cuda.empty_cache()
        return Stage(name, what, estimate, peak.bytes)

    def _latent_shape(self) -> tuple[int, int, int]:
        latent = self.resolution // self.base.vae_factor
        return self.base.vae.config.latent_channels, latent, latent

    def _readable_rows(self) -> np.ndarray:
        """A sample of rows, all over the data. Raises DataError where none of them can be read."""
        rows, error = [], None
        known = self.source.rows
        for row in known[np.unique(np.linspace(0, len(known) - 1, min(SAMPLES, len(known))).round().astype(int))]:
            try:
                self.source.image(int(row))
                rows.append(row)
            except DataError as broken:
                error = broken
        if not rows:
            raise DataError(f"no image can be read: {error}")
        return np.array(rows)

    def _batches_of(self, size: int) -> Iterator[np.ndarray]:
        """Batches of rows of the sample, over and over."""
        for number in range(BATCHES + 1):
            yield np.take(self.rows, number * size + np.arange(size), mode="wrap")

    def _moments(self, rows: np.ndarray) -> torch.Tensor:
        return moments_of(self.source, [int(row) for row in rows], self.base, self.resolution)

    def _banks(self, latents: bool = True) -> tuple[TextBank, LatentBank | None]:
        """Captions and images of the sample, encoded, as banks of their own."""
        labels = self.source.labels[self.rows] if self.source else np.arange(min(SAMPLES, len(self.class_names)))
        rng, table = np.random.default_rng(0), self.table
        chosen = []
        for label in np.unique(labels):
            pool = np.flatnonzero(table.labels == label)
            pool = pool if len(pool) else np.arange(len(table))  # a captioner's sample may have missed the class
            chosen += [(label, table.captions[i]) for i in rng.permutation(pool)[: max(2, SAMPLES // len(labels))]]
        small = CaptionTable.build(
            [label for label, _ in chosen], [text for _, text in chosen], [-1] * len(chosen),
            num_classes=len(self.class_names), keep_duplicates=True,
        )  # fmt: skip
        embeddings = self.base.encode_text([*small.captions, ""]).half().cpu()
        text = TextBank(small, embeddings[:-1].contiguous(), embeddings[-1])
        if not latents:
            return text, None
        return text, LatentBank(self._moments(self.rows), labels, tuple(self.class_names), None, False)


class _Enough(Exception):
    """Enough steps were measured."""


def _per_item(batches: Iterator[int]) -> Estimate:
    """Seconds for each item of some batches, given by their sizes as each is done. The first one warms up.

    A batch that takes longer than all the time there is, is the only one.
    """
    started = last = time.monotonic()
    seconds: list[float] = []
    for number, size in enumerate(batches):
        now = time.monotonic()
        if number or now - started > SECONDS:
            seconds.append((now - last) / size)
        last = now
        if seconds and (now - started > SECONDS or len(seconds) == BATCHES):
            break
    if not seconds:
        raise DataError("nothing could be measured: the data set is too small")
    return Estimate.of(seconds)


def _weights(module: Any) -> int:
    """Bytes of a part of the model on the disk: full precision."""
    return FULL * sum(parameter.numel() for parameter in module.parameters())


def _resized(array: np.ndarray, size: tuple[int, int]) -> Any:
    from PIL import Image

    image = Image.fromarray(array)
    return image if image.size == size else image.resize(size, Image.Resampling.LANCZOS)
