"""Fine-tuning (Eq. 1–4): a Stable Diffusion U-Net learns to denoise, given another image and a mixed caption."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from ..artifacts.checkpoint import CheckpointMetadata, versions
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
from ..diffusion.model import StableDiffusion, load_base, precision
from ..diffusion.saving import save_pipeline
from ..diffusion.unet import check_trainable
from ..errors import RecipeError
from ..hub.metadata import licence_of
from ..storage.integrity import digests_of, files_of_checkpoint
from ..storage.layout import CAPTIONS, PLACES
from ..storage.locks import locked_folder
from ..storage.notes import write_json
from ..utils.distributed import agreed, on_cpu
from ..utils.memory import check_room, enough_memory
from ..utils.progress import is_main_process, say
from ..utils.text import some
from .dataset import TrainingSet
from .holdout import HOLDOUT_FROM
from .lr_schedule import TrainingSchedule
from .output.folder import check_folder, claim, is_finished
from .trainer import Trainer


def finetune(recipe: Recipe, out: str | Path) -> CheckpointMetadata:
    """Fine-tune a base on a labelled image set; resumes what an earlier, killed call of the same recipe left.

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
    out = Path(out)
    keep_apart(recipe.dataset, out)
    check_folder(out)
    with locked_folder(out):
        return _finetuned(recipe, out)


@dataclass(frozen=True)
class _Inputs:
    """What a run is made from, opened and encoded."""

    source: Source
    base: StableDiffusion
    resolution: int
    table: CaptionTable
    training_set: TrainingSet


def _finetuned(recipe: Recipe, out: Path) -> CheckpointMetadata:
    accelerator = accelerator_of(recipe)
    with enough_memory("finetune", accelerator.device):
        return _finetune(recipe, out, accelerator)


def _finetune(recipe: Recipe, out: Path, accelerator: Any) -> CheckpointMetadata:
    inputs = _prepared(recipe, accelerator)
    schedule = TrainingSchedule.of(recipe, len(inputs.training_set), accelerator.num_processes)
    made_from = _made_from(recipe, schedule, inputs)
    if is_main_process():
        claim(out, made_from)
        if Path(recipe.dataset).expanduser().exists():
            write_json(out / PLACES, {"dataset": str(Path(recipe.dataset).expanduser().absolute())})
    accelerator.wait_for_everyone()
    if agreed(is_main_process() and is_finished(out)):
        say(f"{out} is finished already; nothing to do")
        return CheckpointMetadata.load(out)

    trainer = Trainer(recipe, schedule, inputs.training_set, inputs.base, accelerator, out, fingerprint(made_from))
    trainer.train()
    metadata = _metadata(recipe, schedule, inputs, made_from, trainer.summary())
    if is_main_process():
        save_pipeline(inputs.base, trainer.published_unet(), out)
        inputs.table.save(out / CAPTIONS)
        metadata = replace(metadata, sha256=digests_of(out, [*files_of_checkpoint(out), CAPTIONS]))
        metadata.save(out)
    accelerator.wait_for_everyone()
    return metadata


def _prepared(recipe: Recipe, accelerator: Any) -> _Inputs:
    """Open data and base, caption and encode: what can be refused is refused before anything is spent on it."""
    source = open_for(recipe)
    groups = Groups.of(source, recipe.group_column) if recipe.group_column else None
    captioner = captioner_of(recipe)
    base = load_base(recipe.base, recipe.variant)
    resolution = base.check_resolution(recipe.resolution or base.resolution)
    check_trainable(base.scheduler)
    check_training_fits(recipe, base, resolution, len(source.rows), accelerator.device)
    table = captions_of(recipe, captioner, source)
    say_cuts(table, source.class_words, base)

    base.to(accelerator.device)
    with accelerator.main_process_first():  # one process encodes, the others find it done
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
    return _Inputs(source, base, resolution, table, training_set)


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
    latents = recipe.train_batch_size * (resolution // base.vae_factor) ** 2
    width = 4 if recipe.mixed_precision == "no" else 2
    needed = 4 * 4 * weights + 2 * width * latents * base.unet.config.block_out_channels[0]
    check_room(needed, device, f"--train-batch-size {recipe.train_batch_size} at --resolution {resolution}")


def accelerator_of(recipe: Recipe) -> Any:
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState

    precision(recipe.mixed_precision)  # says so if this machine does not have it
    # Without this, a second run in one process would have to have the precision of the first one.
    if hasattr(AcceleratorState, "_reset_state"):
        AcceleratorState._reset_state()
    return Accelerator(
        gradient_accumulation_steps=recipe.gradient_accumulation_steps,
        mixed_precision=recipe.mixed_precision,
        cpu=on_cpu(),
    )


def _made_from(recipe: Recipe, schedule: TrainingSchedule, inputs: _Inputs) -> dict[str, Any]:
    """Everything that decides what comes out: data and models by their content, not by where they lie."""
    source, table = inputs.source, inputs.table
    return {
        **recipe.identity(FINETUNE),
        "dataset": source.fingerprint,
        **({"window": str(source.window)} if source.window else {}),
        "captions": fingerprint({"captions": table.captions, "labels": table.labels.tolist()}),
        "base": inputs.base.fingerprint(),
        "resolution": inputs.resolution,
        "max_train_steps": schedule.steps,
        "lr_warmup_steps": schedule.warmup,
        "validation_steps": schedule.validation_steps,
        "images of an update": schedule.samples,
    }


def _metadata(
    recipe: Recipe, schedule: TrainingSchedule, inputs: _Inputs, made_from: dict[str, Any], summary: dict[str, Any]
) -> CheckpointMetadata:
    """What `mvc.json` says of the run."""
    base, images = inputs.base, inputs.training_set.images
    named = {"name": base.name, "revision": base.revision, "fingerprint": made_from["base"]}
    return CheckpointMetadata(
        fingerprint=fingerprint(made_from),
        recipe=_publishable(recipe, schedule, inputs),
        class_names=images.class_names,
        source=_described(inputs.source),
        base=named | licence_of(base.name, base.revision, "model"),
        resolution=inputs.resolution,
        native_size=images.native_size,
        grey=images.grey,
        training=summary,
        versions=versions(),
        images_of_class=tuple(map(len, images.members)),
    )


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
    captions = Path(recipe.captions).name if is_captions_file(recipe.captions) else recipe.captions
    return settings | {
        "dataset": source.name, "base": inputs.base.name, "captions": captions, "caption_model": model,
        "max_train_steps": schedule.steps, "window": str(source.window) if source.window else None,
        "class_names": None,  # what they came to is in the captions
    }  # fmt: skip


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
