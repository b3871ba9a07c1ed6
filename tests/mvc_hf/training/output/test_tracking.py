"""Trackers see what is learnt, and change nothing of it."""

import csv
import json

import pytest
from training_runs import change, log, weights

from mvc_hf.errors import HostError, RecipeError
from mvc_hf.training.finetune import finetune
from mvc_hf.training.output import tracking


def events(out):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(out / "checkpoints" / "logs"), size_guidance={"images": 0, "scalars": 0})
    return found.Reload()


def test_tensorboard_shows_the_log_and_the_images_and_the_weights_are_the_same_bit_for_bit(recipe, whole, tmp_path):
    pytest.importorskip("tensorboard")
    watched = change(recipe, report_to="tensorboard", validation_images=2, num_inference_steps=2)
    finetune(watched, tmp_path / "watched")
    mine, theirs = weights(tmp_path / "watched"), weights(whole)
    assert all((mine[name] == theirs[name]).all() for name in theirs)
    assert [row["loss"] for row in log(tmp_path / "watched")] == [row["loss"] for row in log(whole)]
    found = events(tmp_path / "watched")
    with (tmp_path / "watched" / "training_log.csv").open() as file:
        rows = list(csv.DictReader(file))
    for name in ("loss", "lr", "held_out_loss", "seen_loss"):
        logged = {event.step: event.value for event in found.Scalars(name)} if name in found.Tags()["scalars"] else {}
        assert logged == pytest.approx({int(row["step"]): float(row[name]) for row in rows if row[name]}, rel=1e-6)
    assert len(found.Scalars("steps_per_second")) == 9
    assert [event.step for event in found.Images("images")] == [3, 6, 9]


def test_a_run_that_goes_on_forgets_what_came_after_its_checkpoint(recipe, tmp_path, monkeypatch):
    pytest.importorskip("tensorboard")
    from mvc_hf.training.trainer import Trainer

    update = Trainer._update

    def dies_in_step_6(self, batches):
        if self.step == 5:
            raise MemoryError
        return update(self, batches)

    watched = change(recipe, report_to="tensorboard")
    with monkeypatch.context() as patch, pytest.raises(MemoryError):
        patch.setattr(Trainer, "_update", dies_in_step_6)
        finetune(watched, tmp_path / "out")
    finetune(watched, tmp_path / "out")
    assert [event.step for event in events(tmp_path / "out").Scalars("loss")] == list(range(1, 10))


def test_nothing_of_names_and_places_is_handed_on(recipe):
    told = json.dumps(tracking._settings(change(recipe, captions="/home/ann/captions.parquet")))
    assert recipe.dataset not in told and recipe.base not in told and "ann" not in told
    assert json.loads(told)["learning_rate"] == recipe.learning_rate


def test_one_that_is_not_installed(recipe, tmp_path, monkeypatch):
    monkeypatch.setattr(tracking.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RecipeError, match="--report-to wandb needs the package wandb, which is not installed: pip"):
        finetune(change(recipe, report_to="wandb"), tmp_path / "out")
    with pytest.raises(RecipeError, match="needs one of tensorboard, wandb, trackio"):
        tracking.trackers_of("all")
    assert tracking.trackers_of("none") == () and not (tmp_path / "out").exists()


class Failing:
    name = "wandb"

    def log(self, values, step):
        raise ConnectionError("no network")

    def finish(self):
        raise AssertionError


def test_one_that_fails_does_not_end_the_training(recipe, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(tracking, "trackers_of", lambda report_to: ("wandb",))
    monkeypatch.setattr(tracking.Tracking, "_started", lambda self, name: Failing())
    with tracking.Tracking(recipe, tmp_path, 0) as watched:
        for step in (1, 2):
            watched.log({"step": step, "loss": 0.5})
    said = capsys.readouterr().err
    assert said.count("wandb has failed (no network); training goes on without it") == 1


def test_one_that_does_not_start_is_told_of_before_anything_is_spent(recipe, tmp_path, monkeypatch):
    def fails(self, name):
        raise RuntimeError("api_key not configured (Bearer secret-key)")

    monkeypatch.setattr(tracking, "trackers_of", lambda report_to: ("wandb",))
    monkeypatch.setattr(tracking.Tracking, "_started", fails)
    with (
        pytest.raises(HostError, match="--report-to wandb does not start") as caught,
        tracking.Tracking(recipe, tmp_path, 0),
    ):
        pass
    assert "secret" not in str(caught.value)
