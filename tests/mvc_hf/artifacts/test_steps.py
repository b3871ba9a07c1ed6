"""Training checkpoints as checkpoints like any other."""

import shutil

import datasets
import diffusers
import pytest
import torch
from safetensors.torch import load_file

from mvc_hf.artifacts.checkpoint import CheckpointMetadata
from mvc_hf.artifacts.steps import checkpoint_folder, drafted
from mvc_hf.config.recipe import Recipe
from mvc_hf.errors import ModelError, OutputError, Stopped
from mvc_hf.generation.generate import generate
from mvc_hf.inspection.preview import preview
from mvc_hf.publish.contents import finished
from mvc_hf.training.finetune import finetune
from mvc_hf.training.trainer import Trainer


@pytest.fixture(scope="module")
def stopped(photos, tiny_base, tmp_path_factory):
    """A run of 9 updates that was stopped after 4; a checkpoint every 2."""
    out = tmp_path_factory.mktemp("stopped") / "flowers"
    recipe = Recipe(
        dataset=str(photos), base=str(tiny_base), train_batch_size=4, max_train_steps=9, validation_steps=2,
        checkpointing_steps=2, learning_rate=1e-2, ema_decay=0.5,
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MVC_HF_CACHE", str(tmp_path_factory.mktemp("caches")))
        patch.setattr(Trainer, "_agreed", lambda self, loss, _: (loss.item(), self.step == 3))
        with pytest.raises(Stopped):
            finetune(recipe, out)
    return out


def published(state):
    """What would be published of a training checkpoint: the average, in the order of the U-Net's parameters."""
    config = diffusers.UNet2DConditionModel.load_config(state.parent / "unet.json")
    names = [name for name, _ in diffusers.UNet2DConditionModel.from_config(config).named_parameters()]
    return {name: load_file(state / "ema.safetensors")[str(i)] for i, name in enumerate(names)}


def test_every_step_is_a_whole_checkpoint(stopped):
    for step in (2, 4):
        state = stopped / "checkpoints" / f"step-{step:08d}"
        found = checkpoint_folder(state)
        assert found.name == f"flowers-{state.name}" and checkpoint_folder(state) == found
        notes = CheckpointMetadata.load(found)
        assert notes.training["steps"] == step and notes.training["of_steps"] == 9
        assert notes.training["held_out_loss"] > 0 and notes.class_names == ("apple", "pear", "plum")
        pipeline = diffusers.StableDiffusionInstructPix2PixPipeline.from_pretrained(found, safety_checker=None)
        for name, value in published(state).items():
            assert torch.equal(pipeline.unet.state_dict()[name], value), name
        assert finished(found).kind == "model"  # what push asks


def test_a_stopped_run_is_its_last_step_and_generates(stopped, photos, tmp_path, capsys):
    recipe = Recipe(dataset=str(photos), images_per_class=1, num_inference_steps=2)
    generate(recipe, stopped, tmp_path / "out")
    assert "is not finished: its checkpoint step-00000004 is taken" in capsys.readouterr().err
    generate(recipe, stopped / "checkpoints" / "step-00000002", tmp_path / "before")
    rows = [datasets.load_dataset(str(tmp_path / name), split="train")[0] for name in ("out", "before")]
    assert rows[0]["mix"] == rows[1]["mix"] and rows[0]["image"] != rows[1]["image"]
    with pytest.raises(OutputError, match="these differ: checkpoint"):
        generate(recipe, stopped / "checkpoints" / "step-00000004", tmp_path / "before")
    seen = preview(recipe, stopped / "checkpoints" / "step-00000002", classes=("1",), rows=1, pretrained=False)
    assert seen.model == "flowers-step-00000002"
    with pytest.raises(OutputError, match=r"is not finished: .* or push one of its steps"):
        finished(stopped)


def test_damage_is_told_or_made_good(stopped, tmp_path):
    out = shutil.copytree(stopped, tmp_path / "flowers")
    found = checkpoint_folder(out)
    (found / "unet" / "diffusion_pytorch_model.safetensors").write_bytes(b"")
    assert checkpoint_folder(out) == found and finished(found)
    last = out / "checkpoints" / "step-00000004"
    (last / "ema.safetensors").write_bytes(b"")
    shutil.rmtree(found)
    with pytest.raises(ModelError, match=r"ema\.safetensors is missing or damaged: take another step"):
        checkpoint_folder(last)
    assert checkpoint_folder(out).name == "flowers-step-00000002"
    shutil.rmtree(out / "vae")
    shutil.rmtree(checkpoint_folder(out / "checkpoints" / "step-00000002"))
    with pytest.raises(ModelError, match="vae is not there; take another step"):
        checkpoint_folder(out)
    assert drafted(stopped) and drafted(out) is None
    for state in (out / "checkpoints").glob("step-*"):
        shutil.rmtree(state)
    with pytest.raises(ModelError, match="has not saved a checkpoint yet"):
        checkpoint_folder(out)


def test_what_is_no_run_is_left_to_others(tmp_path):
    assert checkpoint_folder(tmp_path) is None and checkpoint_folder("org/name@v1") is None


def test_the_parts_that_no_training_changes_are_those_of_the_result(checkpoint):
    draft, result = drafted(checkpoint).sha256, CheckpointMetadata.load(checkpoint).sha256
    same = {name for name in draft if not name.startswith("checkpoints/")}
    assert {name: draft[name] for name in same} == {name: result[name] for name in same} and len(same) > 6
