"""What runs on a GPU: every stage in every precision. Skipped where there is none."""

import math
import os
import subprocess
import sys
import warnings
from pathlib import Path

import datasets
import numpy as np
import pytest
import tiny
import torch
from tiny_blip import tiny_captioner
from training_runs import change, die, log, weights

from mvc_hf import cli, mixing
from mvc_hf.captions.loading import caption_source
from mvc_hf.config.recipe import Recipe
from mvc_hf.config.run_recipe import RunRecipe
from mvc_hf.data.loading import open_dataset
from mvc_hf.errors import NotEnoughMemory
from mvc_hf.generation.generate import generate
from mvc_hf.generation.opening import open_generator
from mvc_hf.inspection.estimate import plan
from mvc_hf.inspection.preview import preview
from mvc_hf.inspection.replay import replay
from mvc_hf.training.finetune import finetune
from mvc_hf.training.output.state import TrainingState
from mvc_hf.utils.distributed import Alone
from mvc_hf.utils.memory import Peak

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here: torch.cuda.is_available() says no")

GPU = torch.device("cuda")
ROUNDING = {"no": 2, "fp16": 16, "bf16": 32}  # levels of 255 between two sizes of a batch


@pytest.fixture(scope="module")
def recipe(photos, tiny_base):
    return Recipe(
        dataset=str(photos), base=str(tiny_base), train_batch_size=4, max_train_steps=6, validation_steps=3,
        checkpointing_steps=2, learning_rate=1e-3, lr_warmup_steps=1, images_per_class=4, num_inference_steps=3,
        batch_size=4, shard_size=5,
    )  # fmt: skip


@pytest.fixture(scope="module")
def made(recipe, tmp_path_factory):
    """Fine-tuned in full precision, and kept: checkpoint/, and what the caches hold."""
    out = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MVC_HF_CACHE", str(out / "cache"))
        finetune(recipe, out / "checkpoint")
    return out


def images(folder):
    found = datasets.load_dataset(str(folder), split="train")
    return np.stack([np.asarray(image, np.int64) for image in found["image"]])


@pytest.mark.parametrize(
    ("mixed_precision", "gradient_checkpointing"), [("no", False), ("fp16", False), ("bf16", False), ("fp16", True)]
)
def test_fine_tuning(recipe, tmp_path, mixed_precision, gradient_checkpointing):
    settings = {"mixed_precision": mixed_precision, "gradient_checkpointing": gradient_checkpointing}
    with Peak(GPU) as peak:
        finetune(change(recipe, **settings), tmp_path / "out")
    assert peak.bytes > 2**20
    rows = log(tmp_path / "out")
    assert [int(row["step"]) for row in rows] == [1, 2, 3, 4, 5, 6]
    losses = [float(row["loss"]) for row in rows if row["loss"]]  # fp16's scaler may have skipped the first ones
    assert len(losses) >= (4 if mixed_precision == "fp16" else 6) and all(map(math.isfinite, losses))
    assert float(rows[-1]["held_out_loss"]) > 0
    found = weights(tmp_path / "out")
    assert all(value.dtype == torch.float32 and bool(value.isfinite().all()) for value in found.values())
    start = weights(Path(recipe.base))
    assert any(not torch.equal(found[name], start[name]) for name in start if found[name].shape == start[name].shape)


def test_gradient_checkpointing_takes_less_memory_and_gives_the_same(photos, tmp_path):
    base = tiny.tiny_base(tmp_path / "base")
    peaks, losses = [], []
    for checkpointing in (False, True):
        recipe = Recipe(
            dataset=str(photos), base=str(base), train_batch_size=64, resolution=128, max_train_steps=2,
            gradient_checkpointing=checkpointing, holdout_fraction=0.0,
        )  # fmt: skip
        torch.cuda.empty_cache()
        with Peak(GPU) as peak:
            finetune(recipe, tmp_path / str(checkpointing))
        peaks.append(peak.bytes)
        losses.append([float(row["loss"]) for row in log(tmp_path / str(checkpointing))])
    assert peaks[1] < peaks[0]
    assert losses[1] == pytest.approx(losses[0], rel=1e-2)


@pytest.mark.parametrize("mixed_precision", ["no", "fp16"])
def test_a_killed_run_goes_on(recipe, tmp_path, monkeypatch, mixed_precision):
    """With the moving average, the optimizer's moments and the scaler on the device; sums may differ in rounding."""
    recipe = change(recipe, mixed_precision=mixed_precision)
    finetune(recipe, tmp_path / "whole")
    save = TrainingState.save

    def dies_after(self, folder, step, *rest, **options):
        save(self, folder, step, *rest, **options)
        if step == 4:
            die()

    with monkeypatch.context() as patch, pytest.raises(MemoryError):
        patch.setattr(TrainingState, "save", dies_after)
        finetune(recipe, tmp_path / "killed")
    finetune(recipe, tmp_path / "killed")
    whole, killed = log(tmp_path / "whole"), log(tmp_path / "killed")
    assert [row["step"] for row in whole] == [row["step"] for row in killed]
    for a, b in zip(whole, killed):
        assert bool(a["loss"]) == bool(b["loss"])
        assert not a["loss"] or float(a["loss"]) == pytest.approx(float(b["loss"]), rel=2e-2)
    a, b = weights(tmp_path / "whole"), weights(tmp_path / "killed")
    equal = sum(torch.equal(a[name], b[name]) for name in a)
    print(f"{mixed_precision}: {equal} of {len(a)} weights of the resumed run are the same bit for bit")
    for name in a:
        torch.testing.assert_close(a[name], b[name], rtol=5e-2, atol=5e-3)


@pytest.mark.parametrize(
    ("method", "mixed_precision"), [("mvc", "no"), ("mvc", "fp16"), ("mvc", "bf16"), ("pretrained", "fp16")]
)
def test_generating_twice_makes_the_same_pictures(recipe, made, tmp_path, method, mixed_precision):
    """Bit for bit, for the same batches on one device; and each row comes again."""
    recipe = change(recipe, method=method, mixed_precision=mixed_precision)
    for out in ("one", "two"):
        generate(recipe, made / "checkpoint", tmp_path / out)
    one, two = images(tmp_path / "one"), images(tmp_path / "two")
    assert one.shape == (12, 16, 16, 3) and np.array_equal(one, two)
    assert all(picture.std() > 0 for picture in one)

    generate(change(recipe, batch_size=1), made / "checkpoint", tmp_path / "single")
    largest = np.abs(one - images(tmp_path / "single")).max()
    print(f"{method}, {mixed_precision}: batches of 1 for those of 4 differ by at most {largest} of 255")
    assert largest <= ROUNDING[mixed_precision]
    where = {"model": str(made / "checkpoint"), "condition_data": recipe.dataset, "base": recipe.base}
    for number in (0, 7):
        found = replay(str(tmp_path / "single"), number, **where)  # in a batch of one, as the row was made
        print(f"{method}, {mixed_precision}: row {number} again: differs by at most {found.largest} of 255")
        assert found.matches and found.plan == {}
        assert replay(str(tmp_path / "one"), number, **where).matches


@pytest.mark.parametrize("mixed_precision", ["fp16", "bf16"])
def test_half_precision_makes_nearly_the_same_pictures(recipe, made, tmp_path, mixed_precision):
    for precision in ("no", mixed_precision):
        generate(change(recipe, mixed_precision=precision), made / "checkpoint", tmp_path / precision)
    difference = np.abs(images(tmp_path / "no") - images(tmp_path / mixed_precision))
    assert difference.mean() < 8  # of 255; another row is off by dozens


@pytest.mark.parametrize("scheduler", ["EulerDiscreteScheduler", "EulerAncestralDiscreteScheduler", "PNDMScheduler"])
def test_other_schedulers(recipe, made, tmp_path, scheduler):
    recipe = change(recipe, scheduler=scheduler, mixed_precision="fp16")
    for out in ("one", "two"):
        generate(recipe, made / "checkpoint", tmp_path / out)
    assert np.array_equal(images(tmp_path / "one"), images(tmp_path / "two"))


@pytest.mark.parametrize("mixed_precision", ["no", "fp16"])
def test_preview_shows_what_generate_makes(recipe, made, tmp_path, mixed_precision):
    recipe = change(recipe, mixed_precision=mixed_precision, images_per_class=1)
    generate(recipe, made / "checkpoint", tmp_path / "out")
    found = preview(recipe, made / "checkpoint", rows=1)
    shown = np.stack([np.asarray(row.images[found.own], np.int64) for row in found.rows])
    assert np.abs(shown - images(tmp_path / "out")).max() <= ROUNDING[mixed_precision]
    assert all(row.pretrained is not None for row in found.rows)


def waits(work):
    """How often some work waits for the device."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            work()
        finally:
            torch.cuda.set_sync_debug_mode("default")
    return sum("synchronizing CUDA operation" in str(warning.message) for warning in seen)


@pytest.mark.parametrize("scheduler", ["DPMSolverMultistepScheduler", "EulerDiscreteScheduler"])
def test_no_denoising_step_waits_for_the_device(recipe, made, scheduler):
    def of_steps(steps):
        generator = open_generator(change(recipe, num_inference_steps=steps, scheduler=scheduler), out, Alone())
        labels, index = np.zeros(4, np.int64), np.arange(4)
        inputs = generator.method.inputs(labels, index)
        generator.latents(inputs, labels, index)
        return waits(lambda: generator.latents(inputs, labels, index))

    out = made / "checkpoint"
    few, many = of_steps(3), of_steps(9)
    print(f"{scheduler}: {few} waits in 3 steps, {many} in 9")
    assert few == many > 0  # at the beginning and the end


def test_mixing_on_the_device_is_mixing(recipe):
    embeddings = torch.randn(40, 77, 32).half()
    plans = mixing.plan(0, 0, np.arange(64), pool_start=0, pool_size=40, tokens=77, width=32, coarse=2, fine=8)
    expected = mixing.apply(embeddings, plans)
    assert torch.equal(mixing.apply(embeddings.to(GPU), plans).cpu(), expected)


def test_captions(photos, tmp_path):
    model = tiny_captioner(tmp_path / "blip")
    settings = Recipe(captions="blip2", caption_model=str(model), caption_max_new_tokens=8)
    table = caption_source("blip2", keep_duplicates=True, recipe=settings).table(open_dataset(str(photos)))
    assert len(table.captions) == 27 and len(set(table.captions)) > 3


def test_plan_measures_the_device(recipe, tmp_path):
    settings = {"dataset": recipe.dataset, "base": recipe.base, "output": str(tmp_path / "out"), "batch_size": 4}
    settings |= {"train_batch_size": 4, "max_train_steps": 6, "images_per_class": 4, "num_inference_steps": 3}
    found = plan(RunRecipe.from_dict(settings | {"mixed_precision": "bf16"}))
    assert found.device.startswith("cuda") and "GPU memory" in str(found)
    assert all(stage.memory > 0 for stage in found.stages)


def test_the_commands(photos, tiny_base, tmp_path, capsys):
    def run(*arguments):
        assert cli.run(list(map(str, arguments))) == 0, capsys.readouterr().err

    common = ["--mixed-precision", "fp16"]
    training = ["--base", tiny_base, "--max-train-steps", 2, "--gradient-checkpointing"]
    out, images_of = tmp_path / "checkpoint", ["--dataset", photos, "--num-inference-steps", 2]
    run("finetune", photos, "-o", out, *training, *common)
    run("preview", out, "-o", tmp_path / "sheet.png", "--rows", 1, *images_of, *common)
    run("generate", out, "-o", tmp_path / "synthetic", "--images-per-class", 2, *images_of, *common)
    run("replay", tmp_path / "synthetic", 3, "--model", out, "--dataset-source", photos)
    assert (tmp_path / "sheet.png").stat().st_size > 1000 and len(images(tmp_path / "synthetic")) == 6


def test_too_little_memory_is_told_in_a_line(recipe, made, tmp_path):
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + 2**25) / total)
    try:
        with pytest.raises(NotEnoughMemory, match="--train-batch-size") as error:
            finetune(change(recipe, train_batch_size=256, resolution=64), tmp_path / "out")
        assert "the GPU's memory" in str(error.value)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="one GPU here, or none: torch.cuda.device_count() < 2")
def test_two_gpus_do_what_one_does(recipe, photos, tiny_base, tmp_path):
    finetune(change(recipe, checkpointing_steps=100), tmp_path / "one")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", 2]
    command += ["-m", "mvc_hf.cli", "finetune", photos, "-o", tmp_path / "two", "--base", tiny_base]
    command += ["--train-batch-size", 2, "--max-train-steps", 6, "--learning-rate", 1e-3, "--lr-warmup-steps", 1]
    done = subprocess.run(
        list(map(str, [*command, "--validation-steps", 3])), capture_output=True, text=True, timeout=300,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    losses = [[float(row["loss"]) for row in log(tmp_path / out)] for out in ("one", "two")]
    assert losses[1] == pytest.approx(losses[0], rel=1e-2)
