"""The loop: what it does is the same however it is interrupted, and nothing that is not finite gets past it."""

import math
import os
import signal
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from training_runs import assert_same_run, change, die, dies_in, log, weights

from mvc_hf.errors import DivergedError, NotEnoughMemory, Stopped
from mvc_hf.training import finetune as finetune_module
from mvc_hf.training import trainer
from mvc_hf.training.finetune import finetune
from mvc_hf.training.holdout import HoldoutMonitor
from mvc_hf.training.output import state
from mvc_hf.training.trainer import Trainer


@pytest.mark.parametrize("settings", [{}, {"gradient_accumulation_steps": 2}, {"use_ema": False}])
def test_killed_run_goes_on_with_the_same_losses(recipe, tmp_path, monkeypatch, settings):
    """Killed twice: in the middle of a step, and while a checkpoint is written."""
    recipe = change(recipe, **settings)
    finetune(recipe, tmp_path / "whole")
    update, save = Trainer._update, state.save_state

    def dies_in_step_6(self, batches):
        if self.step == 5:
            raise MemoryError
        return update(self, batches)

    def dies_while_saving(folder, step, **parts):
        path = save(folder, step, **parts)
        if step == 6:
            path.rename(folder / f".{path.name}.tmp")
            raise MemoryError
        return path

    for name, target, killed in (("_update", Trainer, dies_in_step_6), ("save_state", state, dies_while_saving)):
        with monkeypatch.context() as patch, pytest.raises(MemoryError):
            patch.setattr(target, name, killed)
            finetune(recipe, tmp_path / "killed")
    finetune(recipe, tmp_path / "killed")
    assert_same_run(tmp_path / "whole", tmp_path / "killed")


def test_ctrl_c_leaves_a_checkpoint_of_the_step_at_hand(recipe, whole, tmp_path, monkeypatch):
    update = Trainer._update

    def interrupted(self, batches):
        if self.step == 4:
            os.kill(os.getpid(), signal.SIGINT)
        return update(self, batches)

    with monkeypatch.context() as patch, pytest.raises(Stopped, match="stopped at step 5"):
        patch.setattr(Trainer, "_update", interrupted)
        finetune(recipe, tmp_path / "stopped")
    assert (tmp_path / "stopped" / "checkpoints" / "step-00000005").is_dir()
    finetune(recipe, tmp_path / "stopped")
    assert_same_run(whole, tmp_path / "stopped")


def test_two_half_batches_are_one_batch(recipe, tmp_path):
    finetune(change(recipe, train_batch_size=8, max_train_steps=3), tmp_path / "one")
    finetune(change(recipe, train_batch_size=4, gradient_accumulation_steps=2, max_train_steps=3), tmp_path / "two")
    for a, b in zip(log(tmp_path / "one"), log(tmp_path / "two")):
        assert float(a["loss"]) == pytest.approx(float(b["loss"]), rel=1e-5)


def too_large(monkeypatch, size, times=99):
    """Passes of so many images do not fit into the memory, so many times."""
    loss, left = Trainer._loss, [times]

    def fails(self, batch, snr_gamma=None):
        found = loss(self, batch, snr_gamma)
        if len(batch) == size and found.requires_grad and left[0]:
            left[0] -= 1
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB")
        return found

    monkeypatch.setattr(Trainer, "_loss", fails)


def test_a_batch_that_does_not_fit_is_halved_once_and_said(recipe, tmp_path, monkeypatch, capsys):
    """What comes out is what the flags that are named would have given, to the last bit."""
    asked = change(recipe, train_batch_size=4, gradient_accumulation_steps=2)
    finetune(change(recipe, train_batch_size=2, gradient_accumulation_steps=4), tmp_path / "flags")
    capsys.readouterr()
    too_large(monkeypatch, 4)
    metadata = finetune(asked, tmp_path / "halved")
    assert_same_run(tmp_path / "flags", tmp_path / "halved")
    assert metadata.training["images_at_a_time"] == 2 and metadata.recipe["train_batch_size"] == 4
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("note: the memory")]
    assert len(said) == 1 and "--train-batch-size 2 --gradient-accumulation-steps 4" in said[0]


def test_a_run_of_halves_goes_on_by_halves(recipe, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        too_large(patch, 4, times=1)
        finetune(recipe, tmp_path / "whole")
    with monkeypatch.context() as patch, pytest.raises(MemoryError):
        too_large(patch, 4, times=1)
        dies_in(patch, step=5)
        finetune(recipe, tmp_path / "killed")
    assert finetune(recipe, tmp_path / "killed").training["images_at_a_time"] == 2
    assert_same_run(tmp_path / "whole", tmp_path / "killed")


@pytest.mark.parametrize("settings", [{"train_batch_size": 3}, {"train_batch_size": 4}])
def test_what_does_not_fit_by_halves_either_names_the_flag(recipe, tmp_path, monkeypatch, settings):
    too_large(monkeypatch, settings["train_batch_size"])
    too_large(monkeypatch, 2)
    with pytest.raises(NotEnoughMemory, match="what helps: --train-batch-size"):
        finetune(change(recipe, **settings), tmp_path / "out")


def test_one_process_of_several_halves_nothing(recipe, tmp_path, monkeypatch):
    too_large(monkeypatch, 4)
    halve = Trainer._halve_batches

    def among_several(self):
        self.accelerator = SimpleNamespace(num_processes=2)
        return halve(self)

    monkeypatch.setattr(Trainer, "_halve_batches", among_several)
    with pytest.raises(NotEnoughMemory, match="what helps: --train-batch-size"):
        finetune(recipe, tmp_path / "out")


def test_training_lowers_the_loss(recipe, tmp_path):
    settings = {"max_train_steps": 150, "learning_rate": 3e-3, "validation_steps": 75, "checkpointing_steps": 150}
    finetune(change(recipe, **settings), tmp_path / "out")
    losses = [float(row["loss"]) for row in log(tmp_path / "out")]
    assert np.mean(losses[-30:]) < 0.9 * np.mean(losses[:10])


def test_early_stopping(recipe, tmp_path, monkeypatch, capsys):
    losses = iter([0.5, 0.9, 0.4, 0.9, 0.5, 0.9, 0.6, 0.9] + [0.7] * 99)  # held out, seen, held out, …
    note = HoldoutMonitor.note
    monkeypatch.setattr(HoldoutMonitor, "note", lambda self, step, *_: note(self, step, next(losses), next(losses)))
    notes = finetune(change(recipe, max_train_steps=60, early_stopping=2), tmp_path / "out")
    assert notes.training["steps"] == 12  # best at step 6, then two measurements without a better one
    assert "no better kept-aside loss since step 6" in capsys.readouterr().err
    assert (tmp_path / "out" / "mvc.json").exists()


def broken_update(at, value=math.nan, what="loss"):
    """An update that goes wrong at a step: in its loss, or in a weight that nobody sees until it is saved."""
    update = Trainer._update

    def changed(self, batches):
        loss = update(self, batches)
        if self.step != at - 1:
            return loss
        if what == "weights":
            with torch.no_grad():
                next(self.unet.parameters()).view(-1)[0] = value
        if what == "average":
            self.ema.shadow_params[0].view(-1)[0] = value
        if what == "moments":
            next(iter(self.optimizer.optimizer.state.values()))["exp_avg_sq"].view(-1)[0] = value
        return torch.full_like(loss, value) if what == "loss" else loss

    return changed


@pytest.mark.parametrize(
    ("at", "value", "what", "says"),
    [
        (5, math.nan, "loss", "the loss or its gradient is not finite at step 5: take a lower --learning-rate"),
        (5, math.inf, "loss", "not finite at step 5"),
        (6, math.nan, "weights", "weights are not finite at step 6"),
        (6, math.inf, "average", "weights are not finite at step 6"),
        (6, math.inf, "moments", "weights are not finite at step 6"),
        (6, 1e38, "weights", "not finite at step 6"),
        (9, math.nan, "average", "not finite at step 9"),
    ],
)
def test_what_is_not_finite_stops_a_run_and_keeps_the_sound_checkpoint(
    recipe, tmp_path, monkeypatch, at, value, what, says
):
    """Whether or not somebody would have looked at it on the way."""
    recipe = change(recipe, checkpoints_total_limit=1, holdout_fraction=0.0, early_stopping=None)
    out = tmp_path / "out"
    with monkeypatch.context() as patch, pytest.raises(DivergedError, match=says) as caught:
        patch.setattr(Trainer, "_update", broken_update(at, value, what))
        finetune(recipe, out)
    last = (at - 1) // 2 * 2
    assert f"the checkpoint of step {last} is kept" in str(caught.value) and "\n" not in str(caught.value)
    assert [path.name for path in (out / "checkpoints").glob("step-*")] == [f"step-{last:08d}"]
    assert not (out / "mvc.json").exists() and not (out / "unet").exists()
    assert all(math.isfinite(float(row["loss"])) for row in log(out))
    assert finetune(recipe, out).training["steps"] == 9  # the fault is gone: it goes on from there


@pytest.mark.parametrize("which", ["held_out", "seen"])
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_heldout_loss_that_is_not_finite_is_not_merely_no_better(recipe, tmp_path, monkeypatch, bad, which):
    probe, seen = trainer.probe_loss, []

    def breaks_in_step_6(loss, training_set, rows, batch_size):
        measured = np.array_equal(rows, getattr(training_set, which))
        seen.append(measured)
        return bad if measured and sum(seen) == 2 else probe(loss, training_set, rows, batch_size)

    monkeypatch.setattr(trainer, "probe_loss", breaks_in_step_6)
    with pytest.raises(DivergedError, match="the loss on kept-aside images is not finite at step 6"):
        finetune(change(recipe, early_stopping=1), tmp_path / "out")
    assert not (tmp_path / "out" / "mvc.json").exists()


def test_a_rate_that_explodes(recipe, tmp_path):
    """A real one: nothing is published, whether the loss or the weights show it first."""
    recipe = change(recipe, learning_rate=1.0, adam_weight_decay=100.0, max_grad_norm=1e9, max_train_steps=60)
    with pytest.raises(DivergedError, match="or --max-grad-norm 1, and another folder"):
        finetune(recipe, tmp_path / "out")
    assert not (tmp_path / "out" / "mvc.json").exists()


@pytest.fixture
def scaled(monkeypatch):
    """Training with a gradient scaler, as in fp16; `overflows` are the steps whose gradients are not finite."""
    make, overflows = finetune_module.accelerator_of, set()

    def with_scaler(recipe):
        accelerator = make(recipe)
        accelerator.scaler = torch.amp.GradScaler("cpu")
        return accelerator

    def overflowing(self, batch, snr_gamma=None, loss=Trainer._loss):
        found = loss(self, batch)
        return found * math.inf if self.step in overflows and found.requires_grad else found

    monkeypatch.setattr(finetune_module, "accelerator_of", with_scaler)
    monkeypatch.setattr(Trainer, "_loss", overflowing)
    return overflows


def test_a_step_that_the_gradient_scaler_skips_is_no_error(recipe, scaled, tmp_path):
    scaled |= {0, 1, 4}
    notes = finetune(change(recipe, validation_steps=4, checkpointing_steps=4), tmp_path / "out")
    assert notes.training["steps"] == 9
    losses = [row["loss"] for row in log(tmp_path / "out")]
    assert [i for i, loss in enumerate(losses) if loss == ""] == [0, 1, 4]
    assert all(torch.isfinite(value).all() for value in weights(tmp_path / "out").values())


def test_a_gradient_scaler_that_does_nothing_but_skip(recipe, scaled, tmp_path):
    scaled |= set(range(3, 100))
    with pytest.raises(DivergedError, match=r"fp16 has skipped 27 steps in a row, down to a gradient scale of 0.0004"):
        finetune(change(recipe, max_train_steps=60, validation_steps=60, checkpointing_steps=60), tmp_path / "out")


def test_updates_alone_train_and_leave_nothing_behind(recipe, tmp_path, monkeypatch):
    """What measures a run before it is begun takes them so."""
    made = []
    init = Trainer.__init__
    monkeypatch.setattr(Trainer, "__init__", lambda self, *a, **k: made.append(self) or init(self, *a, **k))
    monkeypatch.setattr(Trainer, "train", lambda self: None)
    monkeypatch.setattr(finetune_module, "save_pipeline", die)
    with pytest.raises(MemoryError):
        finetune(recipe, tmp_path / "out")
    losses = [loss.item() for loss, _ in zip(made[0].updates(), range(3))]
    assert all(map(math.isfinite, losses)) and made[0].step == 0
    assert log(tmp_path / "out") == [] and not list((tmp_path / "out" / "checkpoints").glob("step-*"))


def test_checking_that_a_run_is_sound_changes_nothing(recipe, whole, tmp_path, monkeypatch):
    note = Trainer._note

    def checked(self, loss):
        note(self, loss)
        self.check_sound()

    monkeypatch.setattr(Trainer, "_note", checked)
    finetune(recipe, tmp_path / "checked")
    assert_same_run(whole, tmp_path / "checked")
