"""The training loop: update the weights, note the loss, save; and again."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..config.recipe import Recipe
from ..diffusion.compiling import CompiledUNet
from ..diffusion.finite import all_finite
from ..diffusion.lora import add_lora, merged_unet
from ..diffusion.model import StableDiffusion
from ..diffusion.unet import trained_parameters, widen_unet
from ..errors import DivergedError, Stopped
from ..utils.interrupt import Interruption
from ..utils.memory import is_memory_error
from ..utils.progress import bar, is_main_process, say
from .average import follow
from .dataset import TrainingSet, made_together, prefetched, sample_numbers
from .divergence import LossCheck, diverged
from .holdout import HoldoutMonitor, probe_loss
from .images import FixedImages
from .lr_schedule import TrainingSchedule
from .objective import Batch, denoising_loss
from .output.best import BestWeights
from .output.log import TrainingLog
from .output.state import TrainingState, notes_of, saved_states
from .output.tracking import Tracking
from .setup.optimizer import make_optimizer

PROBE_BATCHES = 2  # batches of an update in one that is only looked at: it keeps nothing for a gradient


class BatchTooLarge(Exception):
    """The memory did not suffice for the passes of a batch. No weight has changed."""


class Trainer:
    """One training run, which goes on where an earlier one in its folder ended.

    Args:
        base: its U-Net is widened, given adapters where the recipe asks for LoRA, and trained in place.
        accelerator: accelerate's, for this recipe.
        out: gets `training_log.csv` and `checkpoints/`.
        made_from: a fingerprint, kept in the checkpoints: they can tell whose they are.

    Attributes:
        step: updates done.
        loss: of the last update, over all processes; None where fp16's gradient scaler has skipped it.
        published_step: of the weights that are published, once they are asked for.
        batch_size, accumulation: images at a time, and batches of an update: the recipe's, or by halves.
    """

    def __init__(
        self, recipe: Recipe, schedule: TrainingSchedule, training_set: TrainingSet, base: StableDiffusion,
        accelerator: Any, out: Path, made_from: str = "",
    ):  # fmt: skip
        from diffusers.training_utils import EMAModel

        self.recipe, self.schedule, self.set, self.accelerator = recipe, schedule, training_set, accelerator
        self.alphas_cumprod = base.scheduler.alphas_cumprod.to(accelerator.device)
        self.prediction_type: str = base.scheduler.config.prediction_type
        self.batch_size, self.accumulation = recipe.train_batch_size, recipe.gradient_accumulation_steps
        unet = widen_unet(base.unet).requires_grad_(True).train().to(accelerator.device)
        if recipe.lora_rank is not None:
            add_lora(unet, recipe.lora_rank, recipe.seed)
        if recipe.gradient_checkpointing:
            unet.enable_gradient_checkpointing()
        self.parameters = list(trained_parameters(unet))  # to look for them in each step takes a hundredth of it
        self.ema = EMAModel(self.parameters, decay=recipe.ema_decay) if recipe.use_ema else None
        self.unet, self.optimizer = accelerator.prepare(unet, make_optimizer(recipe, self.parameters))
        self.compiled = CompiledUNet(self.unet, recipe.compile)
        trained = accelerator.unwrap_model(self.unet)
        self.state = TrainingState(trained, self.ema, self.optimizer.optimizer, accelerator.scaler)
        self.checkpoints, self.made_from = out / "checkpoints", made_from
        self.log, self.loss_check = TrainingLog(out / "training_log.csv"), LossCheck(accelerator.scaler)
        self.monitor, self.best = HoldoutMonitor(), BestWeights(self.checkpoints)
        self.images = FixedImages(recipe, base, training_set, self.checkpoints) if recipe.validation_images else None
        self.published_step: int | None = None
        self.loss: float | None = None
        self.step = self._resumed()
        self.tracking = Tracking(recipe, self.checkpoints, self.step)

    def train(self) -> None:
        """All updates that are left; Ctrl-C leaves a checkpoint behind.

        Raises:
            DivergedError: numbers are not finite; the last sound checkpoint is kept.
            Stopped: by Ctrl-C, in this or in another process.
        """
        with (
            Interruption(f"a checkpoint is written after this step{self._if_others_end()}") as interruption,
            bar(self.schedule.steps, "fine-tuning", " steps", done=self.step) as shown,
            self.tracking,
        ):
            batches = self._batches()
            while self.step < self.schedule.steps and not self._copies():
                try:
                    update = self._update(batches)
                except BatchTooLarge:
                    if not self._halve_batches():
                        raise
                    batches = self._batches()
                    continue
                loss, stop = self._agreed(update, interruption.requested)
                self.step += 1
                self._note(loss)
                self._log()
                shown.update(1)
                shown.set_postfix(loss="—" if self.loss is None else f"{self.loss:.4f}", refresh=False)
                last = self.step == self.schedule.steps
                if self.step % self.recipe.checkpointing_steps == 0 or last or stop:
                    self._save()
                if stop and not last:
                    raise Stopped(
                        f"stopped at step {self.step}; the same command goes on from there", signal=interruption.signal
                    )
        self.check_sound()

    def _if_others_end(self) -> str:
        """What is said beside that: to a step that waits for a process which has died comes no end."""
        several = self.accelerator.num_processes > 1
        return "; if another process has died, the same command goes on from the last one" if several else ""

    def updates(self) -> Iterator[torch.Tensor]:
        """Update after update, each with its loss, without validation and checkpoints: for those who only measure."""
        batches = self._batches()
        while True:
            yield self._update(batches)

    def check_sound(self) -> None:
        """Look at the weights, their average and the optimizer, and let both predict something. Changes nothing.

        The loss of a step tells of the weights before it. So what is saved, and what is published, is looked at here
        first, and a good checkpoint never makes room for a bad one.

        Raises:
            DivergedError: something is not finite. All processes find the same.
        """
        if not all_finite([*self.state.weights(), *self.state.moments()]):
            raise self._diverged("weights are not finite")
        few = self.set.rows[: min(2, self.batch_size)]
        with self.state.averaged():
            published = self._probe(few)
        if not math.isfinite(published) or not math.isfinite(self._probe(few)):
            raise self._diverged("what the weights predict is not finite")

    def published_unet(self) -> Any:
        """The U-Net as it is published: the moving average of its weights, where there is one.

        With `early_stopping` it is that of the step with the best held-out loss. Adapters are merged into it; they
        themselves are then in `state.unet`.
        """
        unet, best = self.accelerator.unwrap_model(self.unet), self.monitor.best_step
        if self.ema is not None:
            self.ema.copy_to(self.parameters)
        self.published_step = self.step
        if self.recipe.early_stopping and 0 < best < self.step and self.best.put_back(best, unet):
            self.published_step = best
            say(f"published are the weights of step {best}, with the best kept-aside loss ({self.monitor.best:.4f})")
        return merged_unet(unet).eval()

    def summary(self) -> dict[str, Any]:
        """Of the weights that are published."""
        figures: dict[str, Any] = {"steps": self.step}
        if self._is_halved():
            figures["images_at_a_time"] = self.batch_size
        if self.published_step not in (None, self.step):
            figures |= {"published_step": self.published_step, "published_held_out_loss": self.monitor.best}
        return figures | {"images": len(self.set), "held_out": len(self.set.held_out), **self.monitor.last}

    def _batches(self) -> Iterator[Batch]:
        """Made ahead while a GPU works; on a CPU a thread that makes them would be taken from the model."""
        accelerator = self.accelerator
        numbers = sample_numbers(
            range(self.step, self.schedule.steps), self.batch_size, self.accumulation,
            accelerator.process_index, accelerator.num_processes,
        )  # fmt: skip
        return (made_together if accelerator.device.type == "cpu" else prefetched)(self.set, numbers)

    def _update(self, batches: Iterator[Batch]) -> torch.Tensor:
        """One update of the weights; returns this process's loss. Raises BatchTooLarge."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.schedule.learning_rate(self.step)
        total = self._gradients(batches)
        total += 0 * self.accelerator.clip_grad_norm_(self.parameters, self.recipe.max_grad_norm)  # 0 or NaN: of both
        self.optimizer.step()
        self.optimizer.zero_grad()
        if self.ema is not None:
            follow(self.ema, self.parameters)
        return total

    def _gradients(self, batches: Iterator[Batch]) -> torch.Tensor:
        """Both passes of all batches of an update; returns the loss."""
        total = torch.zeros((), device=self.accelerator.device)
        for _ in range(self.accumulation):
            batch = next(batches)
            try:
                with self.accelerator.accumulate(self.unet), self.compiled.common():
                    loss = self._loss(batch, self.recipe.snr_gamma)
                    self.accelerator.backward(loss)
            except Exception as error:
                if is_memory_error(error):
                    raise BatchTooLarge from error
                raise
            total += loss.detach() / self.accumulation
        return total

    def _halve_batches(self) -> bool:
        """Whether updates can be made of half the images at a time, from now on: the same ones, and the same mean.

        Once, and not of one process among several: the others would wait for the gradients of those it had.
        """
        alone = self.accelerator.num_processes == 1
        if not alone or self._is_halved() or self.batch_size % 2:
            return False
        say(
            f"note: the memory does not suffice for {self.batch_size} images at a time: from step {self.step + 1} on "
            f"it is {self.batch_size // 2}, and as many in an update (--train-batch-size {self.batch_size // 2} "
            f"--gradient-accumulation-steps {2 * self.accumulation} is the same from the start)"
        )
        self._take_halves()
        return True

    def _take_halves(self) -> None:
        self.batch_size, self.accumulation = self.batch_size // 2, 2 * self.accumulation
        self.accelerator.gradient_accumulation_steps, self.accelerator.step = self.accumulation, 0
        self.state.optimizer.zero_grad()
        self.compiled.begun = False

    def _is_halved(self) -> bool:
        return self.batch_size < self.recipe.train_batch_size

    def _loss(self, batch: Batch, snr_gamma: float | None = None) -> torch.Tensor:
        with self.accelerator.autocast():
            batch = batch.to(self.accelerator.device)
            return denoising_loss(self.unet, self.alphas_cumprod, self.prediction_type, batch, snr_gamma)

    def _agreed(self, loss: torch.Tensor, stop: bool) -> tuple[float, bool]:
        """The loss over all processes, and whether any of them was asked to stop: they must stop at the same step."""
        mean = self.accelerator.reduce(torch.stack([loss, torch.full_like(loss, float(stop))]), "mean")
        loss_of_all, stopped = mean.tolist()  # the only time in a step that the device is waited for
        return loss_of_all, stopped > 0

    def _note(self, loss: float) -> None:
        """Keep the loss of the step. Raises DivergedError where it is not finite, and was not merely skipped."""
        if problem := self.loss_check.problem(loss):
            raise self._diverged(problem)
        self.loss = loss if math.isfinite(loss) else None

    def _log(self) -> None:
        """Log the step; now and then with the loss on held-out images and on as many that were trained on."""
        loss, rate = "" if self.loss is None else self.loss, self.schedule.learning_rate(self.step - 1)
        row: dict[str, float | str] = {"step": self.step, "loss": loss, "lr": rate}
        due = self.step % self.schedule.validation_steps == 0 or self.step == self.schedule.steps
        if due and len(self.set.held_out):
            self._validate()
            row |= self.monitor.last
        sheet = None
        if due and self.images is not None and is_main_process():
            with self.state.averaged(), self.compiled.seldom():
                sheet = self.images.draw(self.step, self.state.unet)
        if is_main_process():
            self.log.write(row)
            self.tracking.log(row, sheet)

    def _validate(self) -> None:
        with self.state.averaged():
            held_out, seen = self._probe(self.set.held_out), self._probe(self.set.seen)
            if not (math.isfinite(held_out) and math.isfinite(seen)):
                raise self._diverged("the loss on kept-aside images is not finite")
            self.monitor.note(self.step, held_out, seen)
            if self.recipe.early_stopping and self.monitor.best_step == self.step and is_main_process():
                self.best.keep(self.step, self.state.unet)

    def _probe(self, rows: np.ndarray) -> float:
        with self.compiled.seldom():
            return probe_loss(self._loss, self.set, rows, PROBE_BATCHES * self.batch_size)

    def _copies(self) -> bool:
        if stop := self.monitor.out_of_patience(self.recipe.early_stopping):
            say(f"stopped at step {self.step}: no better kept-aside loss since step {self.monitor.best_step}")
        return stop

    def _diverged(self, what: str) -> DivergedError:
        return diverged(what, self.step, self.recipe, self.checkpoints)

    def _save(self) -> None:
        self.check_sound()
        # "looks" is what the first checkpoints called it: they can still be gone on from.
        notes = {"looks": vars(self.monitor), "loss": self.loss, "made_from": self.made_from}
        if self._is_halved():
            notes["halved"] = True
        self.state.save(self.checkpoints, self.step, notes, keep=max(1, self.recipe.checkpoints_total_limit))
        if is_main_process():
            kept = [notes_of(state).get("looks", {}) for state in saved_states(self.checkpoints)]
            self.best.forget_all_but(looks.get("best_step", 0) for looks in kept)
        self.accelerator.wait_for_everyone()

    def _resumed(self) -> int:
        """The number of updates that an earlier run has done; all that it left is put back."""
        step, notes = self.state.resume(self.checkpoints)
        if notes:
            self.monitor, self.loss = HoldoutMonitor(**notes["looks"]), notes["loss"]
            if notes.get("halved"):
                self._take_halves()
            say(f"going on from step {step} of {self.schedule.steps}")
        if is_main_process():
            self.log.forget_after(step)
        return step
