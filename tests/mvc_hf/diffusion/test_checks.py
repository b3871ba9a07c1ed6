"""Bases that are damaged, or of another kind: one line each, before anything is spent."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from mvc_hf.diffusion.model import load_base
from mvc_hf.errors import ModelError

UNET, VAE = "unet/diffusion_pytorch_model.safetensors", "vae/diffusion_pytorch_model.safetensors"
TEXT = "text_encoder/model.safetensors"


def set_config(path, **values):
    def change(folder):
        file = folder / path
        file.write_text(json.dumps(json.loads(file.read_text()) | values))

    return change


def set_text(path, text):
    return lambda folder: (folder / path).write_text(text)


def set_weights(path, edit):
    def change(folder):
        tensors = load_file(folder / path)
        edit(tensors)
        save_file(tensors, folder / path)

    return change


def with_nan(tensors, value=float("nan")):
    name = sorted(name for name in tensors if tensors[name].is_floating_point())[-1]
    tensors[name].view(-1)[-1] = value


def cut(path):
    return lambda folder: (folder / path).write_bytes((folder / path).read_bytes()[:-100])


def swapped(folder):
    shutil.copy(folder / VAE, folder / UNET)


def without_one(tensors):
    del tensors[sorted(tensors)[0]]


def of_another_shape(tensors):
    name = max(tensors, key=lambda n: tensors[n].ndim)
    tensors[name] = tensors[name][:1].clone()


BASES = [
    *((set_weights(path, with_nan), "1 weights of .* are not finite") for path in (UNET, VAE, TEXT)),
    (set_weights(UNET, lambda t: with_nan(t, float("inf"))), "1 weights of .*unet are not finite"),
    *((cut(path), "cannot load") for path in (UNET, VAE, TEXT)),
    (set_text(UNET, ""), "cannot load"),
    (swapped, "weights of .*unet are in none of its files"),
    *((set_weights(path, without_one), "are in none of its files") for path in (UNET, VAE, TEXT)),
    (set_weights(UNET, of_another_shape), "cannot load|other shapes"),
    (set_weights(TEXT, of_another_shape), "cannot load|other shapes"),
    *((lambda f, part=part: shutil.rmtree(f / part), f"has no {part}/ folder")
      for part in ("tokenizer", "text_encoder", "vae", "unet", "scheduler")),
    (lambda f: (f / "unet/config.json").unlink(), "has no unet/config.json"),
    (lambda f: (f / "scheduler/scheduler_config.json").unlink(), "has no scheduler/scheduler_config.json"),
    (lambda f: [p.unlink() for p in (f / "tokenizer").iterdir()], "cannot load|takes all words for the same"),
    (set_text("tokenizer/tokenizer.json", "[]"), "cannot load|takes all words for the same"),
    (set_text("model_index.json", "[]"), "model_index.json holds no settings"),
    (set_text("unet/config.json", "{"), "unet/config.json is not valid JSON"),
    (set_text("vae/config.json", "[" * 100_000), "vae/config.json is not valid JSON"),
    (set_text("unet/config.json", "{}"), "cannot load|do not fit|none of its files"),
    (set_config("vae/config.json", scaling_factor=float("nan")), "scaling_factor is nan, which cannot be"),
    (set_config("vae/config.json", scaling_factor=0), "scaling_factor is 0: it must be greater than 0"),
    (set_config("vae/config.json", scaling_factor="0.18"), "scaling_factor is '0.18'"),
    (set_config("vae/config.json", layers_per_block=10**9), r"layers_per_block is 1e\+09, which cannot be"),
    (set_config("unet/config.json", block_out_channels=[8, 10**12]), "block_out_channels is"),
    (set_config("unet/config.json", cross_attention_dim=48), "cannot load|other shapes|do not fit"),
    (set_config("unet/config.json", in_channels="four"), "cannot load"),
    (set_config("text_encoder/config.json", num_hidden_layers=10**9), "num_hidden_layers"),
    (set_config("text_encoder/config.json", vocab_size=10), "cannot load|other shapes|knows"),
    (set_config("scheduler/scheduler_config.json", num_train_timesteps=10**12), "num_train_timesteps"),
    (set_config("scheduler/scheduler_config.json", beta_end=float("inf")), "beta_end is inf"),
    (set_config("scheduler/scheduler_config.json", beta_end=9.0), "no noise schedule"),
    (set_config("scheduler/scheduler_config.json", beta_schedule="magic"), "cannot load"),
    (set_config("scheduler/scheduler_config.json", _class_name="FlowMatchEulerDiscreteScheduler"), "predicts ε or v"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "says"), BASES)
def test_a_base_that_cannot_be_used_is_one_line(tiny_base, tmp_path, change, says):
    folder = shutil.copytree(tiny_base, tmp_path / "model")
    change(folder)
    with pytest.raises(ModelError, match=says) as caught:
        load_base(str(folder))
    assert "\n" not in str(caught.value) and str(folder) in str(caught.value)


def test_weights_in_half_precision_and_a_base_without_a_size_are_fine(tiny_base, tmp_path):
    folder = shutil.copytree(tiny_base, tmp_path / "model")
    set_weights(UNET, lambda t: t.update({n: v.half() for n, v in t.items()}))(folder)
    set_config("unet/config.json", sample_size=None)(folder)
    base = load_base(str(folder))
    assert base.unet.dtype == torch.float32
    with pytest.raises(ModelError, match="give --resolution"):
        _ = base.resolution
