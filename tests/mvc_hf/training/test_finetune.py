import csv
import json
import math
import shutil

import numpy as np
import pytest
import tiny
import torch
from safetensors.torch import load_file, save_file

from mvc_hf.artifacts.checkpoint import CheckpointMetadata, load_captions
from mvc_hf.config.recipe import Recipe
from mvc_hf.errors import DataError, DivergedError, NotEnoughMemory, OutputError, RecipeError, Stopped
from mvc_hf.storage import locks
from mvc_hf.storage.locks import locked_folder
from mvc_hf.training import finetune as module
from mvc_hf.training.finetune import finetune
from mvc_hf.training.holdout import HoldoutMonitor
from mvc_hf.training.lr_schedule import TrainingSchedule


@pytest.fixture
def recipe(photos, tiny_base):
    return Recipe(
        dataset=str(photos), base=str(tiny_base), train_batch_size=4, max_train_steps=9, validation_steps=3,
        checkpointing_steps=2, learning_rate=1e-3, lr_warmup_steps=2,
    )  # fmt: skip


def change(recipe, **settings):
    return Recipe(**(recipe.to_dict() | settings))


def log(out):
    with (out / "training_log.csv").open() as file:
        return list(csv.DictReader(file))


def weights(out):
    return load_file(out / "unet" / "diffusion_pytorch_model.safetensors")


def assert_same_run(a, b):
    assert log(a) == log(b)  # every loss, rate and look, to the last digit
    for name, value in weights(a).items():
        assert torch.equal(value, weights(b)[name]), name


@pytest.fixture
def whole(recipe, tmp_path):
    finetune(recipe, tmp_path / "whole")
    return tmp_path / "whole"


@pytest.mark.parametrize("settings", [{}, {"gradient_accumulation_steps": 2}, {"use_ema": False}])
def test_killed_run_goes_on_with_the_same_losses(recipe, tmp_path, monkeypatch, settings):
    """Killed twice: in the middle of a step, and while a checkpoint is written."""
    recipe = change(recipe, **settings)
    finetune(recipe, tmp_path / "whole")
    update, save = module.Run._update, module.save_state

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

    for name, target, killed in (("_update", module.Run, dies_in_step_6), ("save_state", module, dies_while_saving)):
        with monkeypatch.context() as patch, pytest.raises(MemoryError):
            patch.setattr(target, name, killed)
            finetune(recipe, tmp_path / "killed")
    finetune(recipe, tmp_path / "killed")
    assert_same_run(tmp_path / "whole", tmp_path / "killed")


def test_ctrl_c_leaves_a_checkpoint_of_the_step_at_hand(recipe, whole, tmp_path, monkeypatch):
    import os
    import signal

    update = module.Run._update

    def interrupted(self, batches):
        if self.step == 4:
            os.kill(os.getpid(), signal.SIGINT)
        return update(self, batches)

    with monkeypatch.context() as patch, pytest.raises(Stopped, match="stopped at step 5"):
        patch.setattr(module.Run, "_update", interrupted)
        finetune(recipe, tmp_path / "stopped")
    assert (tmp_path / "stopped" / "checkpoints" / "step-00000005").is_dir()
    finetune(recipe, tmp_path / "stopped")
    assert_same_run(whole, tmp_path / "stopped")


def test_killed_while_the_result_is_written(recipe, whole, tmp_path, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(MemoryError):
        patch.setattr(module.CaptionTable, "save", lambda *_: (_ for _ in ()).throw(MemoryError))
        finetune(recipe, tmp_path / "killed")
    assert not (tmp_path / "killed" / "mvc.json").exists()
    finetune(recipe, tmp_path / "killed")
    assert_same_run(whole, tmp_path / "killed")


def test_finished_run_is_left_as_it_is(recipe, whole, capsys):
    before = (whole / "mvc.json").stat().st_mtime_ns
    finetune(recipe, whole)
    assert (whole / "mvc.json").stat().st_mtime_ns == before
    assert "finished already" in capsys.readouterr().err


def test_two_half_batches_are_one_batch(recipe, tmp_path):
    finetune(change(recipe, train_batch_size=8, max_train_steps=3), tmp_path / "one")
    finetune(change(recipe, train_batch_size=4, gradient_accumulation_steps=2, max_train_steps=3), tmp_path / "two")
    for a, b in zip(log(tmp_path / "one"), log(tmp_path / "two")):
        assert float(a["loss"]) == pytest.approx(float(b["loss"]), rel=1e-5)


def test_training_lowers_the_loss(recipe, tmp_path):
    finetune(change(recipe, max_train_steps=150, learning_rate=3e-3, validation_steps=75), tmp_path / "out")
    losses = [float(row["loss"]) for row in log(tmp_path / "out")]
    assert np.mean(losses[-30:]) < 0.9 * np.mean(losses[:10])


def test_notes_and_captions(recipe, whole, photos, tiny_base):
    notes = CheckpointMetadata.load(whole)
    assert notes.class_names == ("apple", "pear", "plum")
    assert notes.source["name"] == "photos" and notes.source["images"] == 27
    assert notes.base["name"] == "tiny-base" and notes.resolution == 16 and notes.native_size == (16, 16)
    assert len(load_captions(whole, notes.class_names)) == 24
    for path in whole.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            for secret in (str(photos), str(tiny_base), str(whole)):
                assert secret.encode() not in content, path
    assert not [p for p in whole.rglob("*") if p.suffix in (".bin", ".pt", ".pkl", ".pth")]


def test_folder_of_another_recipe_is_refused_by_field(recipe, whole):
    with pytest.raises(OutputError, match=r"these differ: fine \(8 → 3\); choose another folder"):
        finetune(change(recipe, fine=3), whole)
    finetune(change(recipe, checkpointing_steps=5), whole)  # says only how it is computed


def test_other_images_of_the_same_name_are_noticed(recipe, whole, photos, tmp_path):
    shutil.copytree(photos, tmp_path / "moved" / "photos")
    finetune(change(recipe, dataset=str(tmp_path / "moved" / "photos")), whole)  # only moved: the same data
    tiny.image_folder(tmp_path / "moved" / "photos", {"plum": 4}, seed=9)
    with pytest.raises(OutputError, match="these differ: dataset"):
        finetune(change(recipe, dataset=str(tmp_path / "moved" / "photos")), whole)


def test_folder_that_is_not_ours_is_left_alone(recipe, tmp_path):
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(OutputError, match="not empty and was not made by mvc-hf"):
        finetune(recipe, tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]
    with pytest.raises(OutputError, match="is a file"):
        finetune(recipe, tmp_path / "thesis.tex")


def test_number_of_steps_follows_the_number_of_images():
    recipe = Recipe(train_batch_size=8, gradient_accumulation_steps=2, num_train_epochs=24)
    assert TrainingSchedule.of(recipe, 200, processes=1).steps == 300
    assert TrainingSchedule.of(recipe, 2000, processes=1).steps == 3000
    assert TrainingSchedule.of(recipe, 2000, processes=4).steps == 750
    assert TrainingSchedule.of(Recipe(max_train_steps=7), 2000, processes=4).steps == 7


@pytest.mark.parametrize(("kind", "warmup"), [("constant", 0), ("constant", 5), ("cosine", 0), ("cosine", 10)])
def test_learning_rate_is_that_of_diffusers(kind, warmup):
    """Theirs is zero at the first of the warm-up steps; ours wastes no step and is one step ahead."""
    from diffusers.optimization import get_scheduler

    schedule = TrainingSchedule.of(Recipe(max_train_steps=50, lr_scheduler=kind, lr_warmup_steps=warmup), 10, 1)
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=schedule.peak)
    name = {"constant": "constant_with_warmup", "cosine": "cosine"}[kind]
    theirs = get_scheduler(name, optimizer, num_warmup_steps=warmup, num_training_steps=50)
    for step in range(50):
        if step >= warmup:
            assert schedule.learning_rate(step) == pytest.approx(theirs.get_last_lr()[0])
        optimizer.step()
        theirs.step()
    rates = [schedule.learning_rate(step) for step in range(warmup + 1)]
    assert rates == pytest.approx([schedule.peak * (i + 1) / (warmup + 1) for i in range(warmup + 1)])


def test_copying_is_noticed_once(capsys):
    looks = HoldoutMonitor()
    for step, held_out, seen in ((10, 0.30, 0.30), (20, 0.20, 0.19), (30, 0.21, 0.15), (40, 0.25, 0.10)):
        looks.note(step, held_out, seen)
    said = capsys.readouterr().err
    assert said.count("warning") == 1
    assert "at step 30" in said and "--max-train-steps 20" in said
    assert looks.since_best == 2


def test_early_stopping(recipe, tmp_path, monkeypatch, capsys):
    losses = iter([0.5, 0.9, 0.4, 0.9, 0.5, 0.9, 0.6, 0.9] + [0.7] * 99)  # held out, seen, held out, …
    monkeypatch.setattr(module.Run, "_probe", lambda *_: next(losses))
    notes = finetune(change(recipe, max_train_steps=60, early_stopping=2), tmp_path / "out")
    assert notes.training["steps"] == 12  # best at step 6, then two looks without a better one
    assert "no better kept-aside loss since step 6" in capsys.readouterr().err
    assert (tmp_path / "out" / "mvc.json").exists()


def test_v_prediction_gradient_checkpointing_and_eight_channels(recipe, tmp_path):
    base = tiny.tiny_base(tmp_path / "v", prediction_type="v_prediction", in_channels=8)
    settings = {"base": str(base), "gradient_checkpointing": True, "max_train_steps": 2}
    finetune(change(recipe, **settings), tmp_path / "out")
    assert (
        json.loads((tmp_path / "out/scheduler/scheduler_config.json").read_text())["prediction_type"] == "v_prediction"
    )
    assert all(math.isfinite(float(row["loss"])) for row in log(tmp_path / "out"))


def test_bf16(recipe, tmp_path):
    finetune(change(recipe, mixed_precision="bf16", max_train_steps=2), tmp_path / "out")
    assert all(value.dtype == torch.float32 for value in weights(tmp_path / "out").values())


@pytest.mark.parametrize(
    ("settings", "error", "says"),
    [
        ({"base": ""}, RecipeError, "give --base"),
        ({"resolution": 30}, RecipeError, "multiple of 4"),
        ({"dataset": "./nowhere"}, DataError, "no such folder or file: './nowhere'"),
        ({"captions": "column:text"}, DataError, "photos"),
        ({"captions": "blip3"}, RecipeError, "blip3"),
    ],
)
def test_bad_input_is_told_before_anything_is_made(recipe, tmp_path, settings, error, says):
    with pytest.raises(error, match=says):
        finetune(change(recipe, **settings), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="fp16 works with a GPU")
def test_fp16_needs_a_gpu(recipe, tmp_path):
    with pytest.raises(RecipeError, match="fp16 needs a GPU"):
        finetune(change(recipe, mixed_precision="fp16"), tmp_path / "out")


def test_class_that_cannot_be_mixed_is_said_once(recipe, tmp_path, capsys):
    finetune(change(recipe, captions="template:a {}", max_train_steps=2), tmp_path / "out")
    assert capsys.readouterr().err.count("3 of 3 classes have one caption and cannot be mixed") == 1


def test_damaged_checkpoint_is_left_out_and_the_run_ends_the_same(recipe, whole, tmp_path, monkeypatch, capsys):
    with monkeypatch.context() as patch, pytest.raises(MemoryError):
        patch.setattr(module, "save_pipeline", lambda *_: (_ for _ in ()).throw(MemoryError))
        finetune(recipe, tmp_path / "out")
    (tmp_path / "out/checkpoints/step-00000009/ema.safetensors").write_bytes(b"")
    finetune(recipe, tmp_path / "out")
    said = capsys.readouterr().err
    assert "step-00000009/ema.safetensors is missing or damaged" in said and "going on from step 8 of 9" in said
    assert_same_run(whole, tmp_path / "out")
    assert not list((tmp_path / "out/checkpoints").glob(".*"))  # what was set aside has gone


@pytest.mark.parametrize("left", [(), ("checkpoints",), ("checkpoints", "checkpoints/.run.json.tmp", ".mvc-hf.lock")])
def test_a_folder_of_a_run_killed_before_its_first_note_is_taken_up_again(recipe, tmp_path, left):
    (tmp_path / "out").mkdir()
    for name in left:
        (tmp_path / "out" / name).touch() if "." in name else (tmp_path / "out" / name).mkdir()
    finetune(change(recipe, max_train_steps=1), tmp_path / "out")
    assert (tmp_path / "out" / "mvc.json").exists() and not list((tmp_path / "out").glob(".*"))


@pytest.mark.parametrize("name", ["checkpoints/notes.txt", "checkpoints/run.yaml", "run.json", "checkpoint"])
def test_a_folder_with_something_else_beside_that_is_refused(recipe, tmp_path, name):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / name).write_text("mine")
    with pytest.raises(OutputError, match="was not made by mvc-hf"):
        finetune(recipe, tmp_path)
    assert (tmp_path / name).read_text() == "mine"


@pytest.mark.parametrize("text", ["", "[]", '{"step": 1'])
def test_marker_of_something_else(recipe, tmp_path, text):
    """Nothing beside it vouches for us, and something does not."""
    (tmp_path / "checkpoints" / "step-00000001").mkdir(parents=True)
    (tmp_path / "checkpoints" / "run.json").write_text(text)
    with pytest.raises(OutputError, match=r"run\.json .*: choose another folder"):
        finetune(recipe, tmp_path)
    assert (tmp_path / "checkpoints" / "run.json").read_text() == text


def test_a_second_run_in_the_same_folder_is_told_of_the_first(recipe, tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "PATIENCE", 0.1)
    with locked_folder(tmp_path / "out"), pytest.raises(OutputError, match=r"another mvc-hf \(process "):
        finetune(recipe, tmp_path / "out")


def test_equal_runs_make_equal_files_whatever_the_caches_hold(recipe, whole, tmp_path, monkeypatch):
    monkeypatch.setenv("MVC_HF_CACHE", str(tmp_path / "other"))
    finetune(recipe, tmp_path / "cold")
    finetune(recipe, tmp_path / "warm")
    digests = [CheckpointMetadata.load(out).sha256 for out in (whole, tmp_path / "cold", tmp_path / "warm")]
    assert digests[0] == digests[1] == digests[2] and len(digests[0]) > 8


# --- numbers that are not finite


def broken_update(at, value=math.nan, what="loss"):
    """An update that goes wrong at a step: in its loss, or in a weight that nobody looks at until it is saved."""
    update = module.Run._update

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
        patch.setattr(module.Run, "_update", broken_update(at, value, what))
        finetune(recipe, out)
    last = (at - 1) // 2 * 2
    assert f"the checkpoint of step {last} is kept" in str(caught.value) and "\n" not in str(caught.value)
    assert [path.name for path in (out / "checkpoints").glob("step-*")] == [f"step-{last:08d}"]
    assert not (out / "mvc.json").exists() and not (out / "unet").exists()
    assert all(math.isfinite(float(row["loss"])) for row in log(out))
    assert finetune(recipe, out).training["steps"] == 9  # the fault is gone: it goes on from there


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_kept_aside_loss_that_is_not_finite_is_not_merely_no_better(recipe, tmp_path, monkeypatch, bad):
    losses = iter([0.5, 0.9, bad, 0.9])
    monkeypatch.setattr(module.Run, "_probe", lambda *_: next(losses))
    with pytest.raises(DivergedError, match="the loss on kept-aside images is not finite at step 6"):
        finetune(change(recipe, early_stopping=1), tmp_path / "out")
    assert not (tmp_path / "out" / "mvc.json").exists()


def test_a_rate_that_explodes(recipe, tmp_path):
    """A real one: nothing is published, whether the loss or the weights show it first."""
    recipe = change(recipe, learning_rate=1.0, adam_weight_decay=100.0, max_grad_norm=1e9, max_train_steps=60)
    with pytest.raises(DivergedError, match="or --max-grad-norm 1, and another folder"):
        finetune(recipe, tmp_path / "out")
    assert not (tmp_path / "out" / "mvc.json").exists()


def test_a_checkpoint_with_weights_that_are_not_finite_is_not_gone_on_from(recipe, tmp_path, monkeypatch):
    """As versions before this one wrote them."""
    with monkeypatch.context() as patch, pytest.raises(MemoryError):
        patch.setattr(module.Run, "check_sound", lambda self: self.step == 6 and (_ for _ in ()).throw(MemoryError))
        finetune(recipe, tmp_path / "out")
    file = tmp_path / "out" / "checkpoints" / "step-00000004" / "unet.safetensors"
    tensors = load_file(file)
    next(iter(tensors.values())).view(-1)[0] = math.nan
    save_file(tensors, file)
    with pytest.raises(OutputError, match="step-00000004 are not finite: remove it to go on from the one before"):
        finetune(recipe, tmp_path / "out")
    shutil.rmtree(file.parent)
    assert finetune(recipe, tmp_path / "out").training["steps"] == 9


@pytest.fixture
def scaled(monkeypatch):
    """Training with a gradient scaler, as in fp16; `overflows` are the steps whose gradients are not finite."""
    make, overflows = module.accelerator_of, set()

    def with_scaler(recipe):
        accelerator = make(recipe)
        accelerator.scaler = torch.amp.GradScaler("cpu")
        return accelerator

    def overflowing(self, batch, loss=module.Run._loss):
        found = loss(self, batch)
        return found * math.inf if self.step in overflows and found.requires_grad else found

    monkeypatch.setattr(module, "accelerator_of", with_scaler)
    monkeypatch.setattr(module.Run, "_loss", overflowing)
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


# --- what is written is JSON


def test_every_json_file_is_strict(recipe, tmp_path):
    """NaN and Infinity are no JSON, whatever Python's own module writes: other readers stop at them."""
    finetune(change(recipe, holdout_fraction=0.0), tmp_path / "out")

    def refuse(name):
        raise AssertionError(name)

    files = list((tmp_path / "out").rglob("*.json"))
    assert {"mvc.json", "run.json", "state.json"} <= {file.name for file in files}
    for file in files:
        json.loads(file.read_text(), parse_constant=refuse)


def test_looks_of_older_versions_are_read():
    assert HoldoutMonitor(best=math.inf).best is None


# --- what the base says of itself


@pytest.mark.parametrize("limit", [None, 512, int(1e30), 8])
def test_the_text_encoder_knows_how_many_tokens_it_reads(recipe, tmp_path, tiny_base, limit):
    """A tokenizer's file may say nothing, or anything; what is published says the truth."""
    base = shutil.copytree(tiny_base, tmp_path / "base")
    file = base / "tokenizer" / "tokenizer_config.json"
    values = json.loads(file.read_text())
    values.pop("model_max_length")
    file.write_text(json.dumps(values | ({} if limit is None else {"model_max_length": limit})))
    finetune(change(recipe, base=str(base), max_train_steps=1), tmp_path / "out")
    saved = json.loads((tmp_path / "out" / "tokenizer" / "tokenizer_config.json").read_text())
    assert saved["model_max_length"] == 77


# --- memory


def test_memory_that_does_not_suffice_is_one_line(recipe, tmp_path, monkeypatch):
    def full(*_):
        raise RuntimeError("[enforce fail at alloc_cpu.cpp:118] err == 0. DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(module.Run, "_update", full)
    with pytest.raises(NotEnoughMemory, match=r"memory does not suffice to finetune.*--train-batch-size"):
        finetune(recipe, tmp_path / "out")


def test_what_no_machine_holds_is_refused_before_anything_is_encoded(recipe, tmp_path, monkeypatch):
    monkeypatch.setattr("mvc_hf.utils.memory._there_is", lambda device: 10 * 2**20)
    monkeypatch.setattr(module, "captions_of", None)
    with pytest.raises(NotEnoughMemory, match="encoding images at --resolution 8192 takes at least 32 GiB"):
        finetune(change(recipe, resolution=8192), tmp_path / "out")
    with pytest.raises(NotEnoughMemory, match="--train-batch-size 8192 at --resolution 16 takes at least"):
        finetune(change(recipe, train_batch_size=8192), tmp_path / "out")
    assert not (tmp_path / "out").exists()
