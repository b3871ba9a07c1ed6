"""The U-Net with eight input channels (Eq. 4)."""

import diffusers
import pytest
import torch
from peers import inputs

from mvc_hf.diffusion.model import load_base
from mvc_hf.diffusion.unet import check_trainable, widen_unet
from mvc_hf.errors import ModelError


def test_widened_unet_starts_as_the_original(tiny_base):
    base = load_base(str(tiny_base))
    z, text, _, image = inputs()
    t = torch.tensor([5, 500, 999])
    before = base.unet(z, t, text).sample
    wide = widen_unet(base.unet)
    assert wide.config.in_channels == wide.conv_in.in_channels == 8
    after = wide(torch.cat([z, 100 * image], 1), t, text).sample
    torch.testing.assert_close(after, before)
    assert (wide.conv_in.weight[:, 4:] == 0).all()


def test_eight_channel_base_keeps_its_channels(pix2pix):
    _, base = pix2pix
    before = base.unet.conv_in.weight.clone()
    assert widen_unet(base.unet) is base.unet
    assert (base.unet.conv_in.weight == before).all()
    assert before[:, 4:].abs().sum() > 0


def test_a_base_that_predicts_something_else_is_refused():
    scheduler = diffusers.DDPMScheduler(prediction_type="sample")
    with pytest.raises(ModelError, match="'sample'"):
        check_trainable(scheduler)


def test_widening_keeps_kind_place_and_whether_it_is_trained(tiny_base):
    unet = load_base(str(tiny_base)).unet.double().requires_grad_(False)
    wide = widen_unet(unet)
    assert wide is unet and wide.conv_in.weight.dtype == torch.float64 and not wide.conv_in.weight.requires_grad
    assert widen_unet(wide).conv_in.weight.shape[1] == 8  # once is enough
    wide = widen_unet(load_base(str(tiny_base)).unet.requires_grad_(True))
    assert all(parameter.requires_grad for parameter in wide.conv_in.parameters())


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
def test_both_kinds_of_prediction_can_be_trained(kind):
    check_trainable(diffusers.DDPMScheduler(prediction_type=kind))
