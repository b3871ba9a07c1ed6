"""Fine-tuning (Eq. 1–4): a Stable Diffusion U-Net learns to denoise, given another image and a mixed caption."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from ..artifacts.checkpoint import CheckpointMetadata, versions
from ..captions.loading import caption_source
from ..captions.sources import MODEL, CaptionSource, captioned
from ..captions.table import CaptionTable
from ..captions.token_lengths import say_cuts
from ..config.fields import FINETUNE
from ..config.files import differing, fingerprint
from ..config.recipe import Recipe
from ..data.apart import keep_apart
from ..data.base import Source
from ..data.groups import Groups
from ..data.loading import open_for
from ..diffusion.latent_bank import IMAGE_BATCH, LatentBank
from ..diffusion.model import StableDiffusion, load_base, precision
from ..diffusion.saving import save_pipeline
from ..diffusion.text_bank import TextBank
from ..diffusion.unet import check_trainable
from ..errors import ModelError, OutputError, RecipeError
from ..hub.metadata import licence_of
from ..storage.integrity import damaged, described, digests_of, files_of_checkpoint
from ..storage.layout import CAPTIONS, NOTES
from ..storage.locks import locked_folder, strangers
from ..storage.notes import read_json, write_json
from ..utils.distributed import agreed, on_cpu
from ..utils.memory import check_room, enough_memory
from ..utils.progress import is_main_process, say
from ..utils.text import some
from .dataset import KEPT_ASIDE_FROM, TrainingSet
from .lr_schedule import TrainingSchedule
from .state import newest_state, notes_of, saved_states
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
    _check_folder(out)
    with locked_folder(out):
        return _finetuned(recipe, out)


def _finetuned(recipe: Recipe, out: Path) -> CheckpointMetadata:
    accelerator = accelerator_of(recipe)
    with enough_memory("finetune", accelerator.device):
        return _finetune(recipe, out, accelerator)


def _finetune(recipe: Recipe, out: Path, accelerator: Any) -> CheckpointMetadata:
    source = open_for(recipe)
    groups = Groups.of(source, recipe.group_column) if recipe.group_column else None
    captioner = captioner_of(recipe)
    base = load_base(recipe.base, recipe.variant)
    resolution = base.check_resolution(recipe.resolution or base.resolution)
    check_trainable(base.scheduler)
    check_training_fits(recipe, base, resolution, len(source.rows), accelerator.device)
    table = captions_of(recipe, captioner, source)
    say_cuts(table, source.class_names, base)

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
        few = max(map(len, images.members)) < KEPT_ASIDE_FROM
        why = f"no class has {KEPT_ASIDE_FROM} images" if few else "no group is small enough"
        say(f"{why}: none is kept aside, so nothing will tell when training copies")
    schedule = TrainingSchedule.of(recipe, len(training_set), accelerator.num_processes)
    made_from = _made_from(recipe, schedule, source, table, base, resolution)
    if is_main_process():
        _claim(out, made_from)
    accelerator.wait_for_everyone()
    if agreed(is_main_process() and _is_finished(out)):
        say(f"{out} is finished already; nothing to do")
        return CheckpointMetadata.load(out)

    run = Trainer(recipe, schedule, training_set, base, accelerator, out, fingerprint(made_from))
    run.train()
    notes = CheckpointMetadata(
        fingerprint=fingerprint(made_from),
        recipe=_publishable(recipe, source, table, base, schedule),
        class_names=images.class_names,
        source=_described(source),
        base={
            "name": base.name,
            "revision": base.revision,
            "fingerprint": made_from["base"],
            **licence_of(base.name, base.revision, "model"),
        },
        resolution=resolution,
        native_size=images.native_size,
        grey=images.grey,
        training=run.summary(),
        versions=versions(),
        images_of_class=tuple(map(len, images.members)),
    )
    if is_main_process():
        save_pipeline(base, run.published_unet(), out)
        table.save(out / CAPTIONS)
        notes = replace(notes, sha256=digests_of(out, [*files_of_checkpoint(out), CAPTIONS]))
        notes.save(out)
    accelerator.wait_for_everyone()
    return notes


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


def _made_from(
    recipe: Recipe,
    schedule: TrainingSchedule,
    source: Source,
    table: CaptionTable,
    base: StableDiffusion,
    resolution: int,
) -> dict[str, Any]:
    """Everything that decides what comes out: data and models by their content, not by where they lie."""
    return {
        **recipe.identity(FINETUNE),
        "dataset": source.fingerprint,
        **({"window": str(source.window)} if source.window else {}),
        "captions": fingerprint({"captions": table.captions, "labels": table.labels.tolist()}),
        "base": base.fingerprint(),
        "resolution": resolution,
        "max_train_steps": schedule.steps,
        "lr_warmup_steps": schedule.warmup,
        "validation_steps": schedule.look_every,
        "images of an update": schedule.samples,
    }


def _described(source: Source) -> dict[str, Any]:
    return {
        "name": source.name, "revision": source.revision, "fingerprint": source.fingerprint,
        "images": len(source.rows), **licence_of(source.name.partition(":")[0], source.revision, "dataset"),
    }  # fmt: skip


def _publishable(
    recipe: Recipe, source: Source, table: CaptionTable, base: StableDiffusion, schedule: TrainingSchedule
) -> dict[str, Any]:
    """The settings as run, without local paths. A model that wrote the captions is named with its commit."""
    settings = recipe.to_dict(FINETUNE)
    made_by = table.origin if recipe.captions == MODEL else {}
    model = "@".join(filter(None, (made_by.get("model"), made_by.get("revision")))) or None
    captions = Path(recipe.captions).name if recipe.captions.endswith(".parquet") else recipe.captions
    return settings | {
        "dataset": source.name, "base": base.name, "captions": captions, "caption_model": model,
        "max_train_steps": schedule.steps, "window": str(source.window) if source.window else None,
    }  # fmt: skip


def captioner_of(recipe: Recipe) -> CaptionSource:
    keep = recipe.pairing == "self" if recipe.keep_duplicates is None else recipe.keep_duplicates
    return caption_source(recipe.captions, keep_duplicates=keep, recipe=recipe)


def captions_of(recipe: Recipe, captioner: CaptionSource, source: Source) -> CaptionTable:
    """The pool of every class; where each image goes with its own caption, no caption may be left out of it."""
    table = captioned(captioner, source)
    return table if recipe.pairing == "self" else table.limited(recipe.max_captions_per_class, recipe.seed)


def _check_folder(out: Path) -> None:
    """Refuse a folder that is not ours, before anything is spent."""
    if out.exists() and not out.is_dir():
        raise OutputError(f"{out} is a file: choose a folder")
    if _marker(out).exists():
        return
    # A run that was killed before it had its marker has left nothing but an empty folder for it.
    if strangers(out, "checkpoints") or strangers(out / "checkpoints", "run.json"):
        raise OutputError(f"{out} is not empty and was not made by mvc-hf finetune: choose an empty or a new folder")


def _marker(out: Path) -> Path:
    return out / "checkpoints" / "run.json"


def _claim(out: Path, made_from: dict[str, Any]) -> None:
    """Make the folder ours, or find that it is; another recipe's is refused by name of the fields that differ."""
    marker = _marker(out)
    try:
        theirs = read_json(marker, "choose another folder")
    except FileNotFoundError:
        theirs = None
    except OutputError as error:
        if not _is_known(out, fingerprint(made_from)):
            raise
        say(f"{str(error).rpartition(':')[0]}: it is written again")
        theirs = None
    if theirs is None:
        marker.parent.mkdir(parents=True, exist_ok=True)
        write_json(marker, made_from)
    elif theirs != made_from:
        names = differing(made_from, theirs)
        raise OutputError(f"{out} was made by another recipe; these differ: {names}; choose another folder")


def _is_known(out: Path, mine: str) -> bool:
    """Whether a folder with an unreadable marker is ours all the same: all else in it says so, or there is nothing."""
    states = saved_states(out / "checkpoints")
    known = {notes_of(state).get("made_from") for state in states} - {None}
    if (out / NOTES).exists():
        with contextlib.suppress(ModelError):
            known.add(CheckpointMetadata.load(out).fingerprint)
    return known == {mine} or not (states or strangers(out, "checkpoints", "training_log.csv"))


def _is_finished(out: Path) -> bool:
    """Whether the result is there, as it was made. Where it is damaged it is written again, if it can be.

    Raises:
        OutputError: it cannot.
    """
    if not (out / NOTES).exists():
        return False
    try:
        bad = damaged(out, CheckpointMetadata.load(out).sha256 or {})
        wrong = described(out, bad) if bad else ""
    except ModelError:
        wrong = f"{out / NOTES} cannot be read"
    if not wrong:
        return True
    if newest_state(out / "checkpoints") is None:
        raise OutputError(f"{wrong}, and no training checkpoint is left to write it again from: choose a new folder")
    say(f"{wrong}: it is written again from the last training checkpoint")
    return False


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
