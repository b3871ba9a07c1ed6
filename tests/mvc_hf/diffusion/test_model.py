"""Loading a base: from which files, by which name, and what is none."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from mvc_hf.diffusion.model import load_base
from mvc_hf.errors import ModelError, RecipeError


@pytest.mark.parametrize("resolution", [30, 15, 2])
def test_resolution_that_cannot_be_halved(tiny_base, resolution):
    base = load_base(str(tiny_base))
    assert base.resolution == 16
    with pytest.raises(RecipeError, match=rf"--resolution {resolution} .* multiple of 4"):
        base.check_resolution(resolution)


def broken(tiny_base, folder, change):
    shutil.copytree(tiny_base, folder)
    change(folder)
    return str(folder)


def change_index(folder):
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "FluxPipeline"}))


def pickle_only(folder):
    (folder / "unet" / "diffusion_pytorch_model.safetensors").rename(folder / "unet" / "diffusion_pytorch_model.bin")


def cut_short(folder):
    path = folder / "unet" / "diffusion_pytorch_model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda f: (f / "model_index.json").unlink(), "no model_index.json"),
        (lambda f: (f / "model_index.json").write_text("{"), "not valid JSON"),
        (change_index, "is a FluxPipeline"),
        (pickle_only, "no safetensors in unet/; pickle files are not loaded"),
        (cut_short, "cannot load"),
    ],
)
def test_what_is_not_stable_diffusion(tiny_base, tmp_path, change, says):
    with pytest.raises(ModelError, match=says) as error:
        load_base(broken(tiny_base, tmp_path / "model", change))
    assert "\n" not in str(error.value)


def test_model_that_is_not_there():
    with pytest.raises(ModelError, match=r"no model at '\./nowhere'"):
        load_base("./nowhere")
    with pytest.raises(ModelError, match="cannot get no/where from the Hub"):
        load_base("no/where")


def as_variant(folder, variant, *parts, keep=False):
    """The weights of some parts (of all, if none is named) under the name of a variant."""
    for part in parts or ("text_encoder", "vae", "unet"):
        for file in (folder / part).glob("*el.safetensors"):
            (shutil.copy if keep else shutil.move)(file, file.with_suffix(f".{variant}.safetensors"))


@pytest.mark.parametrize("parts", [(), ("unet",), ("text_encoder", "vae")])
def test_weights_of_a_variant_alone_are_taken(tiny_base, tmp_path, parts):
    folder = shutil.copytree(tiny_base, tmp_path / "base")
    as_variant(folder, "fp16", *parts)
    base, plain = load_base(str(folder)), load_base(str(tiny_base))
    assert torch.equal(base.unet.conv_in.weight, plain.unet.conv_in.weight)
    assert base.encoder_fingerprint("vae") == plain.encoder_fingerprint("vae")
    assert load_base(str(folder), "fp16").fingerprint() == base.fingerprint()
    with pytest.raises(ModelError, match="--variant bf16"):
        load_base(str(folder), "bf16")


def test_weights_in_pieces_are_taken_of_a_variant_too(tiny_base, tmp_path):
    folder = shutil.copytree(tiny_base, tmp_path / "base")
    for part in ("unet", "text_encoder"):
        (next((folder / part).glob("*.safetensors"))).unlink()
    base = load_base(str(tiny_base))
    base.unet.save_pretrained(folder / "unet", variant="fp16", max_shard_size="100KB")
    base.text_encoder.save_pretrained(folder / "text_encoder", variant="fp16", max_shard_size="1MB")
    assert len(list((folder / "unet").glob("*fp16*.safetensors"))) > 1
    assert torch.equal(load_base(str(folder)).unet.conv_in.weight, base.unet.conv_in.weight)


def test_the_fingerprint_is_of_the_weights_that_are_loaded(tiny_base, tmp_path):
    folder = shutil.copytree(tiny_base, tmp_path / "base")
    as_variant(folder, "ema", "unet", keep=True)
    file = folder / "unet" / "diffusion_pytorch_model.ema.safetensors"
    save_file({name: value + 1 for name, value in load_file(file).items()}, file)
    plain, ema = load_base(str(folder)), load_base(str(folder), "ema")
    assert torch.equal(ema.unet.conv_in.weight, plain.unet.conv_in.weight + 1)
    assert plain.fingerprint() == load_base(str(tiny_base)).fingerprint() != ema.fingerprint()


def test_several_variants_have_to_be_chosen_from(tiny_base, tmp_path):
    folder = shutil.copytree(tiny_base, tmp_path / "base")
    as_variant(folder, "bf16", "unet", keep=True)
    as_variant(folder, "fp16", "unet")
    with pytest.raises(ModelError, match=r"several variants in unet/ \(bf16, fp16\): choose one with --variant"):
        load_base(str(folder))
    load_base(str(folder), "bf16")


def test_a_single_file_is_told_how_to_become_a_folder(tmp_path):
    (tmp_path / "dreamy v2.safetensors").write_bytes(b"x")
    with pytest.raises(
        ModelError, match=r"is a single file: .*from_single_file\('.*dreamy v2.safetensors'\)"
    ) as caught:
        load_base(str(tmp_path / "dreamy v2.safetensors"))
    assert "\n" not in str(caught.value)
    (tmp_path / "old.ckpt").write_bytes(b"x")
    with pytest.raises(ModelError, match=r"is a file, not a model in diffusers' layout.*pickles are not loaded"):
        load_base(str(tmp_path / "old.ckpt"))


def test_another_precision_is_taken_without_a_word(tiny_base, capsys, caplog):
    base = load_base(str(tiny_base)).to(torch.device("cpu"), torch.bfloat16)
    assert {part.dtype for part in (base.unet, base.vae, base.text_encoder)} == {torch.bfloat16}
    assert capsys.readouterr().err == "" and not caplog.records


def test_a_tokenizer_is_known_by_what_it_does(tiny_base, tmp_path):
    base = load_base(str(tiny_base))
    known = base.tokenizer_fingerprint()
    base.encode_text(["a cat"])  # which sets how it pads and cuts
    assert base.tokenizer_fingerprint() == known
    copy = shutil.copytree(tiny_base, tmp_path / "copy")
    shutil.rmtree(copy / "tokenizer")
    base.tokenizer.save_pretrained(copy / "tokenizer")
    assert load_base(str(copy)).tokenizer_fingerprint() == known

    file = copy / "tokenizer" / "tokenizer.json"
    rules = json.loads(file.read_text(encoding="utf-8"))
    first, second, *others = rules["model"]["merges"]
    rules["model"]["merges"] = [second, first, *others]  # other ids for some texts, and the same vocabulary
    file.write_text(json.dumps(rules), encoding="utf-8")
    assert load_base(str(copy)).tokenizer_fingerprint() != known
