"""Fine-tuning with LoRA: what it leaves is a checkpoint like any other, and all that knows of one knows of it."""

import json

import diffusers
import pytest
import torch
from safetensors.torch import load_file
from training_runs import assert_same_run, change, dies_in, weights

from mvc_hf.artifacts.checkpoint import CheckpointMetadata
from mvc_hf.artifacts.steps import checkpoint_folder
from mvc_hf.config.recipe import Recipe
from mvc_hf.diffusion.unet import widen_unet
from mvc_hf.errors import OutputError, RecipeError
from mvc_hf.generation.generate import generate
from mvc_hf.publish.contents import finished
from mvc_hf.publish.model_card import model_card
from mvc_hf.storage.layout import ADAPTER
from mvc_hf.training.finetune import finetune

peft = pytest.importorskip("peft")


@pytest.fixture(scope="module")
def lora(small_recipe):
    return change(small_recipe, lora_rank=4, lora_keep_adapter=True, learning_rate=1e-2, ema_decay=0.5)


@pytest.fixture(scope="module")
def done(lora, tmp_path_factory):
    """A finished run. Not to be written to."""
    out = tmp_path_factory.mktemp("lora") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MVC_HF_CACHE", str(tmp_path_factory.mktemp("caches")))
        finetune(lora, out)
    return out


def base_unet(tiny_base):
    return widen_unet(diffusers.UNet2DConditionModel.from_pretrained(tiny_base, subfolder="unet"))


def test_plain_diffusers_loads_it_and_it_has_learnt(done, tiny_base, monkeypatch):
    pipeline = diffusers.StableDiffusionInstructPix2PixPipeline.from_pretrained(done)
    now, before = pipeline.unet.state_dict(), base_unet(tiny_base).state_dict()
    changed = {name for name in now if not torch.equal(now[name], before[name])}
    assert {"conv_in.weight", "conv_in.bias"} < changed
    assert {name.rpartition("to_")[2] for name in changed if "attn" in name} == {
        "q.weight", "k.weight", "v.weight", "out.0.weight"
    }  # fmt: skip
    assert all("conv_in" in name or ".attn" in name for name in changed)


def test_the_adapter_on_the_widened_base_is_what_is_published(done, tiny_base):
    model = peft.PeftModel.from_pretrained(base_unet(tiny_base), str(done / "adapter")).merge_and_unload()
    assert all(torch.equal(value, weights(done)[name]) for name, value in model.state_dict().items())
    config = json.loads((done / ADAPTER[0]).read_text())
    assert config["base_model_name_or_path"] == "tiny-base" and config["modules_to_save"] == ["conv_in"]


@pytest.mark.parametrize("settings", [{}, {"use_ema": False}, {"early_stopping": 2}, {"gradient_checkpointing": True}])
def test_a_killed_run_goes_on_with_the_same_losses(lora, tmp_path, monkeypatch, settings):
    recipe = change(lora, **settings)
    finetune(recipe, tmp_path / "whole")
    with monkeypatch.context() as patch, pytest.raises(MemoryError):
        dies_in(patch, step=5)
        finetune(recipe, tmp_path / "killed")
    finetune(recipe, tmp_path / "killed")
    assert_same_run(tmp_path / "whole", tmp_path / "killed")
    adapters = [load_file(tmp_path / name / ADAPTER[1]) for name in ("whole", "killed")]
    assert all(torch.equal(value, adapters[1][name]) for name, value in adapters[0].items())


def test_training_checkpoints_are_small_and_each_is_a_whole_checkpoint(done, tmp_path, monkeypatch):
    monkeypatch.setenv("MVC_HF_CACHE", str(tmp_path / "cache"))
    last = sorted((done / "checkpoints").glob("step-*"))[-1]
    saved = sum(path.stat().st_size for path in last.glob("*.safetensors"))
    assert saved < (done / "unet" / "diffusion_pytorch_model.safetensors").stat().st_size / 2
    monkeypatch.setitem(__import__("sys").modules, "peft", None)  # nobody needs it to use what it left
    whole = checkpoint_folder(last)
    assert all(torch.equal(value, weights(whole)[name]) for name, value in weights(done).items())


def test_the_other_commands_take_it_as_any_other(done, photos, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "peft", None)
    generate(
        Recipe(dataset=str(photos), images_per_class=1, num_inference_steps=2), done, tmp_path / "images"
    )  # fmt: skip
    assert (tmp_path / "images" / "README.md").exists()


def test_what_is_published_and_said(done, lora, tmp_path):
    files = finished(done).files
    assert set(ADAPTER) < set(files)
    metadata = CheckpointMetadata.load(done)
    assert metadata.recipe["lora_rank"] == 4 and "peft" in metadata.versions
    card = model_card(done)
    assert "a LoRA adapter of rank 4 beside" in card and "is in `adapter/`" in card


def test_rank_is_part_of_the_run_and_keeping_the_adapter_is_not(done, lora, tmp_path, capsys):
    with pytest.raises(OutputError, match=r"lora_rank \(4 → 8\)"):
        finetune(change(lora, lora_rank=8), done)
    with pytest.raises(OutputError, match=r"lora_rank \(4 → None\)"):
        finetune(change(lora, lora_rank=None, lora_keep_adapter=False), done)
    without = change(lora, lora_keep_adapter=False)
    finetune(without, tmp_path / "out")
    assert not (tmp_path / "out" / "adapter").exists() and "is in `adapter/`" not in model_card(tmp_path / "out")
    finetune(lora, tmp_path / "out")
    assert "adapter_config.json (and 1 more) is missing: it is written again" in capsys.readouterr().err
    assert (tmp_path / "out" / ADAPTER[1]).read_bytes() == (done / ADAPTER[1]).read_bytes()


def test_what_a_setting_has_nothing_to_do_with_is_refused():
    with pytest.raises(RecipeError, match="--lora-keep-adapter goes with --lora-rank"):
        Recipe(lora_keep_adapter=True)
    with pytest.raises(RecipeError, match="--lora-rank is 0; it must be at least 1"):
        Recipe(lora_rank=0)
