"""Adapters: what is trained, how they begin, and that merging them changes nothing."""

import sys

import pytest
import torch
from diffusers import UNet2DConditionModel
from peers import inputs

from mvc_hf.diffusion.lora import add_lora, check_lora, merged, merged_unet
from mvc_hf.diffusion.unet import frozen_tensors, trained_tensors, widen_unet
from mvc_hf.errors import RecipeError

pytest.importorskip("peft")


@pytest.fixture
def unet(tiny_base):
    return widen_unet(UNet2DConditionModel.from_pretrained(tiny_base, subfolder="unet")).requires_grad_(True)


def predicted(unet):
    latents, text, _, image = inputs()
    with torch.no_grad():
        return unet(torch.cat([latents, image], dim=1), torch.tensor([1, 300, 900]), text)[0]


def test_what_is_trained_is_conv_in_and_the_adapters(unet):
    names = set(trained_tensors(add_lora(unet, 3, 0)))
    assert {"conv_in.weight", "conv_in.bias"} < names
    assert all(".lora_" in name for name in names if not name.startswith("conv_in"))
    attentions = sum(name.endswith("to_q.base_layer.weight") for name in unet.state_dict())
    assert len(names) == 2 + 2 * 4 * attentions and attentions == 8
    assert not set(frozen_tensors(unet)) & names and len(frozen_tensors(unet)) + len(names) == len(unet.state_dict())


def test_adapters_begin_with_no_effect_and_follow_from_the_seed(unet, tiny_base):
    before = predicted(unet)
    drawn = trained_tensors(add_lora(unet, 3, 0))
    assert torch.equal(predicted(unet), before)
    torch.manual_seed(5)  # of no matter

    def again(seed):
        fresh = widen_unet(UNet2DConditionModel.from_pretrained(tiny_base, subfolder="unet"))
        return trained_tensors(add_lora(fresh, 3, seed))

    assert all(torch.equal(value, again(0)[name]) for name, value in drawn.items())
    downs = [name for name in drawn if "lora_A" in name]
    assert not any(torch.equal(drawn[name], again(1)[name]) for name in downs)
    assert torch.cat([drawn[name].flatten() for name in downs]).std() == pytest.approx(1 / 3, rel=0.05)


def test_merged_it_does_what_the_adapters_did(unet):
    add_lora(unet, 3, 0)
    with torch.no_grad():
        for name, parameter in unet.named_parameters():
            if ".lora_B." in name:
                parameter.normal_(generator=torch.Generator().manual_seed(len(name)))
    plain, expected = merged_unet(unet), predicted(unet)
    assert torch.allclose(predicted(plain), expected, atol=1e-4) and plain.config == unet.config
    unet.fuse_lora()  # diffusers' own
    unet.unload_lora()
    theirs = unet.state_dict()
    assert set(plain.state_dict()) == set(theirs)
    assert all(torch.equal(value, theirs[name]) for name, value in plain.state_dict().items())


def test_without_adapters_nothing_is_merged(unet):
    tensors = unet.state_dict()
    assert merged_unet(unet) is unet
    assert all(value is tensors[name] for name, value in merged(tensors).items())


def test_without_peft_a_line_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    check_lora(None)
    with pytest.raises(RecipeError, match=r"--lora-rank needs peft: pip install 'mvc_hf\[lora\]'"):
        check_lora(4)
