"""The training loop: updates, looks at what is kept aside, checkpoints, resuming."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from ..config.recipe import Recipe
from ..diffusion.finite import all_finite
from ..diffusion.model import StableDiffusion
from ..diffusion.unet import widen_unet
from ..errors import DivergedError, OutputError, Stopped
from ..utils.distributed import agreed
from ..utils.interrupt import Interruption
from ..utils.progress import bar, is_main_process, say
from .dataset import Batch, TrainingSet, prefetched
from .holdout import PROBE_IMAGES, HoldoutMonitor
from .lr_schedule import TrainingSchedule
from .metrics import TrainingLog
from .objective import training_target
from .state import load_state, newest_state, save_state, saved_states, step_of

# fp16's gradient scaler starts at 2^16 and halves its scale with every step that it skips; a few at the start, and one
# now and then, are its way of working.
SMALLEST_SCALE, MOST_SKIPPED = 2.0**-10, 30


class Trainer:
    """One training run: the loop, its state on the disk, and the weights that come out."""

    def __init__(
        self,
        recipe: Recipe,
        schedule: TrainingSchedule,
        training_set: TrainingSet,
        base: StableDiffusion,
        accelerator: Any,
        out: Path,
        made_from: str = "",
    ):
        from diffusers.training_utils import EMAModel

        self.recipe, self.schedule, self.set, self.accelerator = recipe, schedule, training_set, accelerator
        self.scheduler, self.out, self.looks, self.step, self.loss = base.scheduler, out, HoldoutMonitor(), 0, None
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
        self.log = TrainingLog(out / "training_log.csv")
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
            self.looks, self.loss = HoldoutMonitor(**notes["looks"]), notes["loss"]
            if not all_finite([*self.unet.parameters(), *(self.ema.shadow_params if self.ema else ())]):
                raise OutputError(f"the weights in {state} are not finite: remove it to go on from the one before")
            say(f"going on from step {self.step} of {self.schedule.steps}")
        if is_main_process():
            self.log.forget_after(self.step)
