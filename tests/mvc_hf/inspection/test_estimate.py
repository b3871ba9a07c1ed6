"""What a plan says of a run, against what the run then leaves, and a clock that is ours."""

import itertools
import re
import tempfile
from types import SimpleNamespace

import pytest
import torch
import yaml
from tiny_blip import tiny_captioner

import mvc_hf.training.finetune
from mvc_hf import cli
from mvc_hf.config.run_recipe import RunRecipe
from mvc_hf.errors import RecipeError
from mvc_hf.generation import generator as generating
from mvc_hf.inspection import estimate, measuring
from mvc_hf.inspection.estimate import plan
from mvc_hf.workflows.pipeline import run


@pytest.fixture
def settings(photos, tiny_base, tmp_path):
    return {
        "dataset": str(photos), "base": str(tiny_base), "output": str(tmp_path / "out"), "train_batch_size": 4,
        "max_train_steps": 6, "checkpointing_steps": 2, "images_per_class": 8, "num_inference_steps": 3,
        "batch_size": 6,
    }  # fmt: skip


def bytes_of(*folders):
    return sum(path.stat().st_size for folder in folders for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("more", [{}, {"use_ema": False, "image_size": 32}, {"resolution": 32}])
def test_sizes_are_those_of_the_run(settings, tmp_path, monkeypatch, more):
    monkeypatch.setenv("MVC_HF_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    pipeline = RunRecipe.from_dict(settings | more)
    found = plan(pipeline)
    assert {p.name for p in tmp_path.rglob("*")} == {"temporary"}  # neither output nor cache nor anything temporary
    run(pipeline)
    checkpoint = tmp_path / "out" / "checkpoint"
    weights = [checkpoint / part for part in ("unet", "vae", "text_encoder")]
    made = {
        "caches": bytes_of(tmp_path / "cache"),
        "checkpoint": bytes_of(*weights),
        "training state": bytes_of(checkpoint / "checkpoints"),
    }
    for name, count in made.items():
        assert 0.75 < found.disk[name] / count < 1.05, name
    shards = bytes_of(tmp_path / "out" / "synthetic" / "data") / 24
    assert 0.2 < found.disk["shards"] / 24 / shards < 5  # the schema of so small a set takes as much as the pictures


def test_the_table(settings, tmp_path, capsys):
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(settings | {"push-to-hub": True}))
    assert cli.run(["plan", str(path)]) == 0
    out, err = capsys.readouterr()
    assert re.search(r"^stage +time +memory +what$", out, re.MULTILINE)
    for stage in ("caption", "encode", "finetune", "generate", "in all"):
        assert re.search(rf"^{stage} .*\d+ [smh].*[MG]B", out, re.MULTILINE), stage
    for what in ("24 captions, 27 images", "6 updates of 4 images", "24 images (mvc)"):
        assert what in out
    assert re.search(r"^upload +about [\d.]+ [kM]B$", out, re.MULTILINE)
    assert "plan: measuring finetune" in err
    assert not (tmp_path / "out").exists()


def test_a_run_that_is_shorter_than_its_measurement(settings, capsys, tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(settings | {"max_train_steps": 1}))
    assert cli.run(["plan", str(path)]) == 0
    assert "1 updates of 4 images" in capsys.readouterr().out


class Clock:
    """Stands still, but for what the stages are said to take."""

    def __init__(self):
        self.now = 0.0

    def monotonic(self):
        return self.now

    def takes(self, seconds, function):
        seconds = iter(seconds)

        def slow(*arguments, **options):
            self.now += next(seconds)
            return function(*arguments, **options)

        return slow


def test_times_are_those_of_the_batches(settings, monkeypatch):
    """A slow first update is the warm-up; then 2 to 3 s each. Denoising takes 1 s a step of a batch of 6."""
    clock = Clock()
    for module in (measuring, estimate):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=clock.monotonic))
    update = mvc_hf.training.trainer.Trainer._update
    monkeypatch.setattr(mvc_hf.training.trainer.Trainer, "_update", clock.takes([7, 2, 3, 2, 2, 2], update))
    sample = generating.sample

    def slow_sample(*arguments, on_step, **options):
        def step():
            clock.now += 1
            on_step()

        return sample(*arguments, on_step=step, **options)

    monkeypatch.setattr(generating, "sample", slow_sample)
    found = {stage.name: stage.time for stage in plan(RunRecipe.from_dict(settings | {"holdout_fraction": 0})).stages}
    assert found["finetune"].low == pytest.approx(0.9 * 6 * 2)
    assert found["finetune"].high == pytest.approx(1.1 * 6 * 3)
    assert found["generate"].low == pytest.approx(0.9 * 24 / 6 * 3)
    assert found["generate"].high == pytest.approx(1.1 * 24 / 6 * 3)


def test_looks_at_kept_aside_images_take_time(settings, monkeypatch):
    clock = Clock()
    for module in (measuring, estimate):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=clock.monotonic))
    update = mvc_hf.training.trainer.Trainer._update
    monkeypatch.setattr(mvc_hf.training.trainer.Trainer, "_update", clock.takes(itertools.repeat(3.0), update))
    times = [
        next(s.time.low for s in plan(RunRecipe.from_dict(settings | more)).stages if s.name == "finetune")
        for more in ({"holdout_fraction": 0}, {"validation_steps": 1}, {"validation_steps": 3})
    ]
    assert times[0] < times[2] < times[1]
    assert times[1] - times[0] == pytest.approx(3 * (times[2] - times[0]))


def test_no_more_steps_than_time_allows(settings, monkeypatch):
    monkeypatch.setattr(measuring, "SECONDS", -1.0)
    steps, sample = [], generating.sample

    def counted(*arguments, on_step, **options):
        return sample(*arguments, on_step=lambda: steps.append(1) or on_step(), **options)

    monkeypatch.setattr(generating, "sample", counted)
    plan(RunRecipe.from_dict(settings | {"num_inference_steps": 50}))
    assert len(steps) == 2


def test_a_model_that_captions(settings, tmp_path):
    folder = tiny_captioner(tmp_path / "blip")
    more = {"captioner": "blip2", "caption_model": str(folder), "captions_per_image": 2, "caption_batch_size": 8}
    found = plan(RunRecipe.from_dict(settings | more))
    assert found.stages[0].what == "54 captions by blip" and found.stages[0].time.high > 0
    assert found.stages[1].what.startswith("54 captions, 27 images")
    assert not (tmp_path / "out").exists()


def test_a_checkpoint_that_is_there(settings, photos, tmp_path):
    run(RunRecipe.from_dict(settings | {"max_train_steps": 1}))
    settings = {name: value for name, value in settings.items() if name not in ("base", "dataset")}
    settings |= {"model": str(tmp_path / "out" / "checkpoint"), "output": str(tmp_path / "more")}
    found = plan(RunRecipe.from_dict(settings | {"dataset": str(photos)}))
    assert [stage.name for stage in found.stages] == ["encode", "generate"] and "checkpoint" not in found.disk
    base = str(tmp_path / "out" / "checkpoint")
    found = plan(RunRecipe.from_dict(settings | {"method": "pretrained", "base": base}))  # needs no images
    assert found.stages[0].what == "24 captions" and not (tmp_path / "more").exists()


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"base": "./none"}, "no model at './none'"),
        ({"dataset": "./none"}, "no such folder or file"),
        ({"resolution": 18}, "--resolution 18 cannot be halved"),
        ({"mixed_precision": "fp16"}, "fp16 needs a GPU"),
        ({"scheduler": "Nonsense"}, "Nonsense"),
        ({"model": "./none"}, "no checkpoint at './none'"),
        ({"captions": "nothing"}, "unknown captioner 'nothing'"),
        ({"nonsense": 1}, "unknown setting 'nonsense'"),
    ],
)
@pytest.mark.skipif(torch.cuda.is_available(), reason="fp16 works there")
def test_bad_recipes_in_one_line(settings, tmp_path, capsys, more, says):
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(settings | more))
    assert cli.run(["plan", str(path)]) == 1
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith("Error: ") and says in last


def test_memory_that_does_not_suffice(settings, tmp_path, monkeypatch, capsys):
    def full(*_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB")

    monkeypatch.setattr(mvc_hf.training.trainer.Trainer, "_update", full)
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(settings))
    assert cli.run(["plan", str(path)]) == 1
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert "memory does not suffice to finetune by these settings; what helps: --train-batch-size" in last


def test_several_processes_are_refused(settings, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(RecipeError, match="without accelerate launch"):
        plan(RunRecipe.from_dict(settings))
