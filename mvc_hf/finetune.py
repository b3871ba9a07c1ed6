"""Fine-tuning (Eq. 1–4): a Stable Diffusion U-Net learns to denoise, given another image and a mixed caption."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from .apart import keep_apart
from .bank import IMAGE_BATCH, LatentBank, TextBank
from .batches import KEPT_ASIDE_FROM, Batch, TrainingSet, prefetched
from .caption_lengths import say_cuts
from .captions import MODEL, CaptionSource, CaptionTable, caption_source, captioned
from .card_parts import licence_of
from .checkpoint import CAPTIONS, NOTES, Notes, versions
from .diffusion import Base, check_trainable, load_base, precision, save_pipeline, training_target, widen_unet
from .errors import DivergedError, ModelError, OutputError, RecipeError, Stopped
from .finite import all_finite
from .groups import Groups
from .integrity import damaged, described, digests_of, files_of_checkpoint
from .interrupt import Interruption
from .locks import locked_folder, strangers
from .memory import check_room, enough_memory
from .processes import agreed, on_cpu
from .progress import bar, is_main_process, say
from .recipe import FINETUNE, Recipe, differing, fingerprint
from .side_files import read_json, write_json
from .source import Source, open_for
from .texts import some
from .training_log import Log, Looks
from .training_state import load_state, newest_state, notes_of, save_state, saved_states, step_of

PROBE_IMAGES = 256  # images of each kind in a look at the kept-aside loss
# fp16's gradient scaler starts at 2^16 and halves its scale with every step that it skips; a few at the start, and one
# now and then, are its way of working.
SMALLEST_SCALE, MOST_SKIPPED = 2.0**-10, 30


def finetune(recipe: Recipe, out: str | Path) -> Notes:
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


def _finetuned(recipe: Recipe, out: Path) -> Notes:
    accelerator = accelerator_of(recipe)
    with enough_memory("finetune", accelerator.device):
        return _finetune(recipe, out, accelerator)


def _finetune(recipe: Recipe, out: Path, accelerator: Any) -> Notes:
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
    schedule = Schedule.of(recipe, len(training_set), accelerator.num_processes)
    made_from = _made_from(recipe, schedule, source, table, base, resolution)
    if is_main_process():
        _claim(out, made_from)
    accelerator.wait_for_everyone()
    if agreed(is_main_process() and _is_finished(out)):
        say(f"{out} is finished already; nothing to do")
        return Notes.load(out)

    run = Run(recipe, schedule, training_set, base, accelerator, out, fingerprint(made_from))
    run.train()
    notes = Notes(
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


def check_training_fits(recipe: Recipe, base: Base, resolution: int, images: int, device: torch.device) -> None:
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


@dataclass(frozen=True)
class Schedule:
    """How long a run is, in updates, and its learning rate at each of them."""

    steps: int
    warmup: int
    look_every: int
    samples: int  # of an update, over all processes
    peak: float
    kind: str

    @classmethod
    def of(cls, recipe: Recipe, images: int, processes: int) -> Schedule:
        """Where `max_train_steps` is not given, the number of updates follows the number of images.

        Training for a fixed number of updates learns a small set by heart: DESIGN's default is passes over the images.
        """
        samples = recipe.train_batch_size * recipe.gradient_accumulation_steps * processes
        steps = recipe.max_train_steps or max(1, math.ceil(recipe.num_train_epochs * images / samples))
        warmup = round(0.05 * steps) if recipe.lr_warmup_steps is None else recipe.lr_warmup_steps
        look_every = recipe.validation_steps or max(1, round(steps / 20))
        return cls(steps, warmup, look_every, samples, recipe.learning_rate, recipe.lr_scheduler)

    def learning_rate(self, step: int) -> float:
        """Linear warm-up, then constant or half a cosine down to zero, as diffusers' schedules of these names."""
        if step < self.warmup:
            return self.peak * (step + 1) / (self.warmup + 1)
        if self.kind == "constant":
            return self.peak
        progress = (step - self.warmup) / max(1, self.steps - self.warmup)
        return self.peak * 0.5 * (1 + math.cos(math.pi * progress))


class Run:
    """One training run: the loop, its state on the disk, and the weights that come out."""

    def __init__(
        self, recipe: Recipe, schedule: Schedule, training_set: TrainingSet, base: Base, accelerator: Any, out: Path,
        made_from: str = "",
    ):  # fmt: skip
        from diffusers.training_utils import EMAModel

        self.recipe, self.schedule, self.set, self.accelerator = recipe, schedule, training_set, accelerator
        self.scheduler, self.out, self.looks, self.step, self.loss = base.scheduler, out, Looks(), 0, None
        self.made_from = made_from  # a fingerprint, kept in the checkpoints: they can tell whose they are
        self.skipped = 0  # steps in a row that the gradient scaler left out
        unet = widen_unet(base.unet).requires_grad_(True).train().to(accelerator.device)
        if recipe.gradient_checkpointing:
            unet.enable_gradient_checkpointing()
        self.ema = EMAModel(unet.parameters(), decay=recipe.ema_decay) if recipe.use_ema else None
        optimizer = torch.optim.AdamW(
            unet.parameters(), lr=recipe.learning_rate, betas=(recipe.adam_beta1, recipe.adam_beta2),
            weight_decay=recipe.adam_weight_decay, eps=recipe.adam_epsilon, fused=True,
        )  # fmt: skip
        self.unet, self.optimizer = accelerator.prepare(unet, optimizer)
        self.log = Log(out / "training_log.csv")
        self._resume()

    def train(self) -> None:
        """All updates that are left; Ctrl-C leaves a checkpoint behind."""
        with (
            Interruption("a checkpoint is written after this step") as interruption,
            bar(self.schedule.steps, "fine-tuning", " steps") as shown,
        ):
            shown.update(self.step)
            batches = self._batches()
            while self.step < self.schedule.steps and not self._copies():
                loss, stop = self._agreed(self._update(batches), interruption.requested)
                self.step += 1
                self._note(loss)
                self._look()
                shown.update(1)
                shown.set_postfix(loss="—" if self.loss is None else f"{self.loss:.4f}", refresh=False)
                last = self.step == self.schedule.steps
                if self.step % self.recipe.checkpointing_steps == 0 or last or stop:
                    self._save()
                if stop and not last:
                    raise Stopped(f"stopped at step {self.step}; the same command goes on from there")
        self.check_sound()

    def updates(self) -> Iterator[torch.Tensor]:
        """Update after update, each with its loss, without looks and checkpoints: for those who only measure."""
        batches = self._batches()
        while True:
            yield self._update(batches)

    def published_unet(self) -> Any:
        """The U-Net as it is published: the moving average of its weights, where there is one."""
        unet = self.accelerator.unwrap_model(self.unet)
        if self.ema is not None:
            self.ema.copy_to(unet.parameters())
        return unet.eval()

    def summary(self) -> dict[str, Any]:
        return {"steps": self.step, "images": len(self.set), "held_out": len(self.set.held_out), **self.looks.last}

    def _batches(self) -> Iterator[Batch]:
        """Made ahead while a GPU works; on a CPU the threads that make them would be taken from the model."""
        if self.accelerator.device.type == "cpu":
            return map(self.set.batch, self._numbers())
        return prefetched(self.set, self._numbers())

    def _numbers(self) -> Iterator[np.ndarray]:
        """This process's sample numbers, batch by batch, from the step at hand to the end."""
        size, world = self.recipe.train_batch_size, self.accelerator.num_processes
        mine = self.accelerator.process_index * size + np.arange(size)
        for step in range(self.step, self.schedule.steps):
            for micro in range(self.recipe.gradient_accumulation_steps):
                yield step * self.schedule.samples + micro * size * world + mine

    def _agreed(self, loss: torch.Tensor, stop: bool) -> tuple[float, bool]:
        """The loss over all processes, and whether any of them was asked to stop: they must stop at the same step."""
        mean = self.accelerator.reduce(torch.stack([loss, torch.full_like(loss, float(stop))]), "mean")
        loss, stopped = mean.tolist()  # the only time in a step that the device is waited for
        return loss, stopped > 0

    def _note(self, loss: float) -> None:
        """Keep the loss of the step, None for one that fp16's gradient scaler has skipped, as it does now and then.

        Raises:
            DivergedError: the loss or the norm of its gradient is not finite, and no scaler has kept that from the
                weights; or it skips one step after the other.
        """
        scaler = self.accelerator.scaler
        if math.isfinite(loss):
            self.loss, self.skipped = loss, 0
            return
        if scaler is None:
            raise self._diverged("the loss or its gradient is not finite")
        self.loss, self.skipped = None, self.skipped + 1
        scale = scaler.get_scale()
        if scale < SMALLEST_SCALE or self.skipped >= MOST_SKIPPED:
            raise self._diverged(
                f"fp16 has skipped {self.skipped} steps in a row, down to a gradient scale of {scale:g}"
            )

    def check_sound(self) -> None:
        """Look at the weights, their average and the optimizer, and let both predict something. Changes nothing.

        Between two looks the weights can only be found out by the loss of the next step; so what is saved, and what
        is published, is looked at here first, and a good checkpoint never makes room for a bad one.

        Raises:
            DivergedError: something is not finite. All processes find the same.
        """
        tensors = [*self.unet.parameters(), *(self.ema.shadow_params if self.ema else ())]
        for state in self.optimizer.optimizer.state.values():
            tensors += [value for value in state.values() if isinstance(value, torch.Tensor) and value.ndim]
        if not all_finite(tensors):
            raise self._diverged("weights are not finite")
        few = self.set.rows[: min(2, self.recipe.train_batch_size)]
        with self._averaged():
            published = self._denoising_loss(few)
        if not math.isfinite(published) or not math.isfinite(self._denoising_loss(few)):
            raise self._diverged("what the weights predict is not finite")

    def _diverged(self, what: str) -> DivergedError:
        recipe, saved = self.recipe, saved_states(self.out / "checkpoints")
        kept = f"the checkpoint of step {step_of(saved[-1])} is kept" if saved else "nothing was saved yet"
        less = [f"a lower --learning-rate (it is {recipe.learning_rate:g})"]
        if recipe.mixed_precision != "no":
            less.append(f"--mixed-precision {'bf16' if recipe.mixed_precision == 'fp16' else 'no'}")
        if recipe.max_grad_norm > 1:
            less.append("--max-grad-norm 1")
        return DivergedError(f"{what} at step {self.step}: take {' or '.join(less)}, and another folder; {kept}")

    def _update(self, batches: Iterator[Batch]) -> torch.Tensor:
        """One update of the weights; returns this process's loss."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.schedule.learning_rate(self.step)
        total = torch.zeros((), device=self.accelerator.device)
        for _ in range(self.recipe.gradient_accumulation_steps):
            with self.accelerator.accumulate(self.unet):
                loss = self._loss(next(batches).to(self.accelerator.device))
                self.accelerator.backward(loss)
                total += loss.detach() / self.recipe.gradient_accumulation_steps
                if self.accelerator.sync_gradients:
                    norm = self.accelerator.clip_grad_norm_(self.unet.parameters(), self.recipe.max_grad_norm)
                    if norm is not None:  # DeepSpeed keeps it to itself
                        total += 0 * norm  # nothing, or NaN: one number tells of both
                self.optimizer.step()
                self.optimizer.zero_grad()
        if self.ema is not None:
            self.ema.step(self.unet.parameters())
        return total

    def _loss(self, batch: Batch) -> torch.Tensor:
        """Eq. 4: the mean squared error of the prediction at z_t (Eq. 1), given e_I and e_T."""
        noisy = self.scheduler.add_noise(batch.latents, batch.noise, batch.timesteps)
        with self.accelerator.autocast():
            predicted = self.unet(
                torch.cat([noisy, batch.image_latents], dim=1),
                batch.timesteps,
                encoder_hidden_states=batch.prompt_embeds,
                return_dict=False,
            )[0]
        target = training_target(self.scheduler, batch.latents, batch.noise, batch.timesteps)
        return F.mse_loss(predicted.float(), target.float())

    def _look(self) -> None:
        """Log the step; now and then compare kept-aside images with as many that were trained on."""
        due = self.step % self.schedule.look_every == 0 or self.step == self.schedule.steps
        row = {
            "step": self.step,
            "loss": "" if self.loss is None else self.loss,
            "lr": self.schedule.learning_rate(self.step - 1),
        }
        if due and len(self.set.held_out):
            held_out = self._probe(self.set.held_out)
            step = max(1, len(self.set.rows) // len(self.set.held_out))
            seen = self._probe(self.set.rows[::step][: len(self.set.held_out)])
            if not (math.isfinite(held_out) and math.isfinite(seen)):
                raise self._diverged("the loss on kept-aside images is not finite")
            self.looks.note(self.step, held_out, seen)
            row |= self.looks.last
        if is_main_process():
            self.log.write(row)

    def _probe(self, rows: np.ndarray) -> float:
        """Denoising loss of some images with the averaged weights."""
        with self._averaged():
            return self._denoising_loss(rows)

    @torch.no_grad()
    def _denoising_loss(self, rows: np.ndarray) -> float:
        """Of some images, at evenly spread, always equal noise."""
        probe = self.set.probe(np.random.default_rng(0).permutation(rows)[:PROBE_IMAGES])
        size = self.recipe.train_batch_size
        parts = zip(*(value.split(size) for value in vars(probe).values()))
        losses = [(self._loss(Batch(*part).to(self.accelerator.device)), len(part[0])) for part in parts]
        return sum(loss.item() * count for loss, count in losses) / sum(count for _, count in losses)

    @contextlib.contextmanager
    def _averaged(self) -> Iterator[None]:
        """With the moving average in the place of the weights, where there is one."""
        parameters = self.accelerator.unwrap_model(self.unet).parameters
        if self.ema is not None:
            self.ema.store(parameters())
            self.ema.copy_to(parameters())
        try:
            yield
        finally:
            if self.ema is not None:
                self.ema.restore(parameters())

    def _copies(self) -> bool:
        patience = self.recipe.early_stopping
        stop = patience is not None and self.looks.since_best >= patience
        if stop:
            say(f"stopped at step {self.step}: no better kept-aside loss since step {self.looks.best_step}")
        return stop

    def _save(self) -> None:
        self.check_sound()
        if is_main_process():
            save_state(
                self.out / "checkpoints", self.step, unet=self.accelerator.unwrap_model(self.unet), ema=self.ema,
                optimizer=self.optimizer.optimizer, scaler=self.accelerator.scaler,
                notes={"looks": vars(self.looks), "loss": self.loss, "made_from": self.made_from},
                keep=self.recipe.checkpoints_total_limit,
            )  # fmt: skip
        self.accelerator.wait_for_everyone()

    def _resume(self) -> None:
        state = agreed(newest_state(self.out / "checkpoints") if is_main_process() else None)
        if state:
            if self.ema is not None:
                self.ema.to(self.accelerator.device)
            self.step, notes = load_state(
                state, unet=self.accelerator.unwrap_model(self.unet), ema=self.ema,
                optimizer=self.optimizer.optimizer, scaler=self.accelerator.scaler,
            )  # fmt: skip
            self.looks, self.loss = Looks(**notes["looks"]), notes["loss"]
            if not all_finite([*self.unet.parameters(), *(self.ema.shadow_params if self.ema else ())]):
                raise OutputError(f"the weights in {state} are not finite: remove it to go on from the one before")
            say(f"going on from step {self.step} of {self.schedule.steps}")
        if is_main_process():
            self.log.forget_after(self.step)


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
    recipe: Recipe, schedule: Schedule, source: Source, table: CaptionTable, base: Base, resolution: int
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
    recipe: Recipe, source: Source, table: CaptionTable, base: Base, schedule: Schedule
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
            known.add(Notes.load(out).fingerprint)
    return known == {mine} or not (states or strangers(out, "checkpoints", "training_log.csv"))


def _is_finished(out: Path) -> bool:
    """Whether the result is there, as it was made. Where it is damaged it is written again, if it can be.

    Raises:
        OutputError: it cannot.
    """
    if not (out / NOTES).exists():
        return False
    try:
        bad = damaged(out, Notes.load(out).sha256 or {})
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
