"""Fine-tuning (Eq. 1–4): a Stable Diffusion U-Net learns to denoise, given another image and a mixed caption."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from ..artifacts.checkpoint import CheckpointMetadata, versions
from ..artifacts.steps import DRAFT, UNET_CONFIG, UNET_FROZEN, drafted, frozen_files
from ..captions.formats.endings import is_captions_file
from ..captions.loading import caption_source
from ..captions.sources import MODEL, CaptionSource, captioned
from ..captions.table import CaptionTable
from ..captions.token_lengths import say_cuts
from ..config.fields import FINETUNE
from ..config.files import fingerprint
from ..config.recipe import Recipe
from ..data.apart import keep_apart
from ..data.base import Source
from ..data.groups import Groups
from ..data.loading import open_for
from ..diffusion.banks.latents import IMAGE_BATCH, LatentBank
from ..diffusion.banks.text import TextBank
from ..diffusion.lora import check_lora, save_adapter
from ..diffusion.model import StableDiffusion, load_base
from ..diffusion.saving import save_frozen_parts, save_pipeline
from ..diffusion.unet import check_trainable, frozen_tensors
from ..errors import RecipeError
from ..hub.metadata import licence_of
from ..storage.integrity import digests_of, files_of_checkpoint
from ..storage.layout import ADAPTER, CAPTIONS, PLACES
from ..storage.locks import locked_folder
from ..storage.notes import write_json
from ..utils.distributed import agreed, in_turn
from ..utils.memory import check_room, enough_memory
from ..utils.progress import is_main_process, say
from ..utils.text import counted, some
from .dataset import TrainingSet
from .holdout import HOLDOUT_FROM
from .lr_schedule import TrainingSchedule
from .output.folder import begun, check_folder, claim, compare, fingerprints, is_finished
from .output.leaving import leave
from .output.tracking import trackers_of
from .setup.accelerator import accelerator_of
from .setup.allocator import kept_for_reuse
from .setup.optimizer import bytes_of_moments, check_optimizer
from .trainer import Trainer


def finetune(recipe: Recipe, out: str | Path) -> CheckpointMetadata:
    """Fine-tune a base on a labelled image set; resumes what an earlier, killed call of the same recipe left.

    A run in the folder that has ended or was stopped goes on where this recipe asks for more updates.

    Args:
        recipe: with `dataset` and `base`.
        out: gets a diffusers pipeline, `mvc.json`, `captions.parquet`, `training_log.csv` and `checkpoints/`.

    Returns:
        What `mvc.json` says of the result.

    Raises:
        MvcError: for anything that the user can mend; nothing that was done is lost.
    """
    if not recipe.base:
        raise RecipeError("no base model: give --base, a Stable Diffusion folder or Hub id")
    trackers_of(recipe.report_to)
    out = Path(out)
    keep_apart(recipe.dataset, out)
    check_folder(out)
    with locked_folder(out):
        return _finetuned(recipe, out)


def said_of(metadata: CheckpointMetadata) -> str:
    """What was done, in a line: "fine-tuned 20 steps on 36 images of 2 classes, 4 of 40 kept aside"."""
    done, classes = metadata.training, len(metadata.class_names)
    apart = f", {done['held_out']} of {done['images'] + done['held_out']:,} kept aside" if done["held_out"] else ""
    steps, images = counted(done["steps"], "step"), counted(done["images"], "image")
    return f"fine-tuned {steps} on {images} of {counted(classes, 'class')}{apart}"


@dataclass(frozen=True)
class _Inputs:
    """What a run is made from, opened and encoded."""

    source: Source
    base: StableDiffusion
    resolution: int
    table: CaptionTable
    training_set: TrainingSet
    known: dict[str, Any]  # of what decides what comes out, by name
    words: dict[str, str]  # what some of it is, as a person says it


def _finetuned(recipe: Recipe, out: Path) -> CheckpointMetadata:
    accelerator = accelerator_of(recipe)
    with enough_memory("finetune", accelerator.device), kept_for_reuse(accelerator.device):
        return _finetune(recipe, out, accelerator)


def _finetune(recipe: Recipe, out: Path, accelerator: Any) -> CheckpointMetadata:
    inputs = _prepared(recipe, out, accelerator)
    schedule = TrainingSchedule.of(recipe, len(inputs.training_set), accelerator.num_processes)
    if recipe.lr_warmup_steps is None:  # a run that is gone on with has had its warm-up
        schedule = replace(schedule, warmup=begun(out).get("warmup", schedule.warmup))
    made_from = _made_from(recipe, schedule, inputs)
    if is_main_process():
        made_from = claim(out, made_from, inputs.words)
        if Path(recipe.dataset).expanduser().exists():
            write_json(out / PLACES, {"dataset": str(Path(recipe.dataset).expanduser().absolute())})
    made_from = agreed(made_from)
    run, result = fingerprints(made_from)
    if agreed(is_main_process() and is_finished(out, result, ADAPTER if recipe.lora_keep_adapter else ())):
        say(f"{out} is finished already; nothing to do")
        if recipe.checkpoints_total_limit == 0 and is_main_process():
            leave(out, 0)
        return CheckpointMetadata.load(out)

    trainer = Trainer(recipe, schedule, inputs.training_set, inputs.base, accelerator, out, run)
    if is_main_process():
        _say_of_the_length(made_from, schedule, trainer.step)
        _draft(out, _metadata(recipe, schedule, inputs, made_from, {}), inputs, trainer.state.unet)
    _say_how_many(schedule, inputs.training_set)
    trainer.train()
    unet = trainer.published_unet()
    metadata = _metadata(recipe, schedule, inputs, made_from, trainer.summary())
    if is_main_process():
        save_pipeline(inputs.base, unet, out)
        inputs.table.save(out / CAPTIONS)
        names = [*files_of_checkpoint(out), CAPTIONS]
        if recipe.lora_keep_adapter and recipe.lora_rank:
            save_adapter(trainer.state.unet, recipe.lora_rank, inputs.base.name, out)
            names += ADAPTER
        metadata = replace(metadata, sha256=digests_of(out, names))
        metadata.save(out)
        leave(out, recipe.checkpoints_total_limit)
    accelerator.wait_for_everyone()
    return metadata


def _draft(out: Path, metadata: CheckpointMetadata, inputs: _Inputs, unet: Any) -> None:
    """What makes a checkpoint of every step that is saved; parts that are there are not written again."""
    there = drafted(out)
    if there is None:
        save_frozen_parts(inputs.base, unet, out, out / UNET_CONFIG)
        if frozen := frozen_tensors(unet):
            save_file(frozen, out / UNET_FROZEN)
        inputs.table.save(out / CAPTIONS)
    if there is None or there.fingerprint != metadata.fingerprint:
        sha256 = digests_of(out, frozen_files(out)) if there is None else there.sha256
        replace(metadata, sha256=sha256).save(out / "checkpoints", DRAFT)


def _say_how_many(schedule: TrainingSchedule, training_set: TrainingSet) -> None:
    apart = len(training_set.held_out)
    if apart:
        kept = f"; {apart} of {apart + len(training_set)} are kept aside (--holdout-fraction)"
        say(f"{counted(schedule.steps, 'step')} on {counted(len(training_set), 'image')}{kept}")


def _say_of_the_length(made_from: dict[str, Any], schedule: TrainingSchedule, step: int) -> None:
    """What another length does to the rates of a run that is gone on with."""
    before = made_from.get("before")
    if not before or before[-1]["max_train_steps"] == schedule.steps or step >= schedule.steps:
        return
    was = replace(schedule, steps=before[-1]["max_train_steps"])
    say(f"going on to {counted(schedule.steps, 'step')}; the run was to have {was.steps:,}")
    if schedule.kind in ("cosine", "linear") and step:
        way = "by a cosine" if schedule.kind == "cosine" else "by a line"
        last, now = was.learning_rate(step - 1), schedule.learning_rate(step)
        say(
            f"note: the rate goes from {last:.3g} to {now:.3g}, and {way} down to 0 at step {schedule.steps:,}; "
            "a run of that length from the start has other rates before"
        )


def _prepared(recipe: Recipe, out: Path, accelerator: Any) -> _Inputs:
    """Open data and base, caption and encode: what can be refused is refused before anything is spent on it."""
    known = _settings(recipe)
    compare(out, known)
    check_optimizer(recipe)
    check_lora(recipe.lora_rank)
    source = open_for(recipe)
    words = {"dataset": f"{counted(len(source.rows), 'image')} of {source.name}"}
    known["dataset"] = source.fingerprint
    compare(out, known, words)
    groups = Groups.of(source, recipe.group_column) if recipe.group_column else None
    captioner = captioner_of(recipe)
    base = load_base(recipe.base, recipe.variant)
    words["base"] = base.name
    known["base"] = base.fingerprint()
    compare(out, known, words)
    resolution = base.check_resolution(recipe.resolution or base.resolution)
    check_trainable(base.scheduler)
    check_training_fits(recipe, base, resolution, len(source.rows), accelerator.device)
    table = captions_of(recipe, captioner, source)
    words["captions"] = f"{counted(len(table), 'caption')} by {_captions_name(recipe)}"
    known["captions"] = _caption_print(table)
    compare(out, known, words)
    say_cuts(table, source.class_words, base)

    base.to(accelerator.device)
    with in_turn(accelerator):  # one process encodes, the others find it done
        text = TextBank.build(table, base)
        images = LatentBank.build(source, base, resolution=resolution, max_broken=recipe.max_broken)
    base.vae.to("cpu")  # from here on only the U-Net works: the memory is its own
    base.text_encoder.to("cpu")
    _say_what_is_alone(table, images, recipe)
    training_set = TrainingSet(
        recipe, text, images,
        scaling_factor=base.vae.config.scaling_factor, num_timesteps=base.scheduler.config.num_train_timesteps,
        groups=groups,
    )  # fmt: skip
    if recipe.holdout_fraction and not len(training_set.held_out):
        few = max(map(len, images.members)) < HOLDOUT_FROM
        why = f"no class has {HOLDOUT_FROM} images" if few else "no group is small enough"
        say(f"{why}: none is kept aside, so nothing will tell when training copies")
    return _Inputs(source, base, resolution, table, training_set, known, words)


def check_training_fits(
    recipe: Recipe, base: StableDiffusion, resolution: int, images: int, device: torch.device
) -> None:
    """Refuse what cannot be held even in part: the VAE's first layer, or weights, Adam's moments and activations.

    Raises:
        NotEnoughMemory: with the flag to lower.
    """
    first = 4 * base.vae.config.block_out_channels[0] * resolution**2  # bytes of an image, in full precision
    check_room(min(IMAGE_BATCH, images) * first, device, f"encoding images at --resolution {resolution}")
    weights = sum(parameter.numel() for parameter in base.unet.parameters())
    trained = 0 if recipe.lora_rank else weights  # adapters are small
    latents = recipe.train_batch_size * (resolution // base.vae_factor) ** 2
    width = 4 if recipe.mixed_precision == "no" else 2
    needed = (
        4 * (weights + trained)
        + bytes_of_moments(recipe, trained)
        + 2 * width * latents * base.unet.config.block_out_channels[0]
    )
    check_room(needed, device, f"--train-batch-size {recipe.train_batch_size} at --resolution {resolution}")


def _settings(recipe: Recipe) -> dict[str, Any]:
    """The settings that decide what comes out, but for the length, and for what is known by its content."""
    settings = recipe.identity(FINETUNE)
    for name in ("max_train_steps", "num_train_epochs", "early_stopping", "validation_steps", "resolution", "dataset",
                 "base", "captions"):  # fmt: skip
        settings.pop(name, None)
    return settings


def _made_from(recipe: Recipe, schedule: TrainingSchedule, inputs: _Inputs) -> dict[str, Any]:
    """Everything that decides what comes out: data and models by their content, not by where they lie."""
    window = inputs.source.window
    return {
        **inputs.known,
        **({"window": str(window)} if window else {}),
        "resolution": inputs.resolution,
        "images of an update": schedule.samples,
        "max_train_steps": schedule.steps,
        "warmup": schedule.warmup,
        # Looks decide something only where they may end the run.
        **({"early_stopping": recipe.early_stopping, "looks": schedule.validation_steps} if recipe.early_stopping
           else {}),
    }  # fmt: skip


def _caption_print(table: CaptionTable) -> str:
    return fingerprint({"captions": table.captions, "labels": table.labels.tolist()})


def _metadata(
    recipe: Recipe, schedule: TrainingSchedule, inputs: _Inputs, made_from: dict[str, Any], summary: dict[str, Any]
) -> CheckpointMetadata:
    """What `mvc.json` says of the run."""
    base, images = inputs.base, inputs.training_set.images
    named = {"name": base.name, "revision": base.revision, "fingerprint": made_from["base"]}
    return CheckpointMetadata(
        fingerprint=fingerprints(made_from)[1],
        recipe=_publishable(recipe, schedule, inputs),
        class_names=images.class_names,
        source=_described(inputs.source),
        base=named | licence_of(base.name, base.revision, "model"),
        resolution=inputs.resolution,
        native_size=images.native_size,
        grey=images.grey,
        training=summary,
        versions=versions(*_extras(recipe)),
        images_of_class=tuple(map(len, images.members)),
    )


def _extras(recipe: Recipe) -> list[str]:
    """The libraries that it was made with besides those that every run is made with."""
    return ["peft"] * bool(recipe.lora_rank) + ["bitsandbytes"] * (recipe.optimizer == "adamw8bit")


def _described(source: Source) -> dict[str, Any]:
    return {
        "name": source.name, "revision": source.revision, "fingerprint": source.fingerprint,
        "images": len(source.rows), **licence_of(source.name.partition(":")[0], source.revision, "dataset"),
    }  # fmt: skip


def _publishable(recipe: Recipe, schedule: TrainingSchedule, inputs: _Inputs) -> dict[str, Any]:
    """The settings as run, without local paths. A model that wrote the captions is named with its commit."""
    settings, source = recipe.to_dict(FINETUNE), inputs.source
    made_by = (inputs.table.origin or {}) if recipe.captions == MODEL else {}
    model = "@".join(filter(None, (made_by.get("model"), made_by.get("revision")))) or None
    return settings | {
        "dataset": source.name, "base": inputs.base.name, "captions": _captions_name(recipe), "caption_model": model,
        "max_train_steps": schedule.steps, "window": str(source.window) if source.window else None,
        "class_names": None,  # what they came to is in the captions
    }  # fmt: skip


def _captions_name(recipe: Recipe) -> str:
    """How captions are named, without a local path."""
    return Path(recipe.captions).name if is_captions_file(recipe.captions) else recipe.captions


def captioner_of(recipe: Recipe) -> CaptionSource:
    keep = recipe.pairing == "self" if recipe.keep_duplicates is None else recipe.keep_duplicates
    return caption_source(recipe.captions, keep_duplicates=keep, recipe=recipe)


def captions_of(recipe: Recipe, captioner: CaptionSource, source: Source) -> CaptionTable:
    """The pool of every class; where each image goes with its own caption, no caption may be left out of it."""
    table = captioned(captioner, source)
    return table if recipe.pairing == "self" else table.limited(recipe.max_captions_per_class, recipe.seed)


def _say_what_is_alone(table: CaptionTable, images: LatentBank, recipe: Recipe) -> None:
    """Classes with one caption cannot be mixed, and those with one image have no other for a condition."""
    if recipe.pairing != "same-class":
        return
    one_caption = [name for name, size in zip(images.class_names, table.pool_size) if size == 1]
    one_image = [name for name, rows in zip(images.class_names, images.members) if len(rows) == 1]
    if one_caption and recipe.coarse + recipe.fine:
        say(_some_of(one_caption, images, "have one caption and cannot be mixed"))
    if one_image:
        say(_some_of(one_image, images, "have one image, which is its own condition"))


def _some_of(names: list[str], images: LatentBank, what: str) -> str:
    return f"{len(names)} of {len(images.class_names)} classes {what}: {some(names, 3)}"
