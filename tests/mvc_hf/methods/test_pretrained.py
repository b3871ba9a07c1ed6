"""The untouched base, prompted with the captions as they are."""

import numpy as np
import pytest
import torch
from rows_alone import components

from mvc_hf.methods.mvc import Mvc, MvcConfig
from mvc_hf.methods.pretrained import Pretrained, PretrainedConfig

LABELS, INDEX = np.repeat(np.arange(3), 20), np.tile(np.arange(20), 3)


def test_captions_are_not_mixed_and_no_image_is_looked_at():
    found = Pretrained(PretrainedConfig(), components(channels=4)).inputs(LABELS, INDEX)
    assert found.image_latents is None and set(found.provenance["condition"]) == {None}
    for embedding, prompt, mix in zip(found.prompt_embeds, found.provenance["prompt"], found.provenance["mix"]):
        assert (embedding == mix["base"]).all() and prompt == f"caption {mix['base']}"
        assert mix["coarse"] == mix["fine"] == []


def test_the_base_captions_and_the_noise_are_those_of_mvc():
    """So the two columns of a preview differ in the method alone."""
    plain = Pretrained(PretrainedConfig(), components()).inputs(LABELS, INDEX)
    mixed = Mvc(MvcConfig(2, 8), components()).inputs(LABELS, INDEX)
    assert plain.provenance["prompt"] == mixed.provenance["prompt"] and torch.equal(plain.latents, mixed.latents)


@pytest.mark.parametrize(("channels", "shape"), [(4, None), (8, (60, 4, 2, 2))])
def test_a_base_that_takes_an_image_gets_an_empty_one(channels, shape):
    found = Pretrained(PretrainedConfig(), components(channels=channels)).inputs(LABELS, INDEX).image_latents
    assert (found is None) if shape is None else (found.shape == shape and not found.any())


def test_what_a_row_records_is_the_row_again():
    method = Pretrained(PretrainedConfig(), components())
    made = method.inputs(LABELS, INDEX)
    again = method.recorded(LABELS, INDEX, made.provenance)
    assert torch.equal(again.prompt_embeds, made.prompt_embeds) and again.provenance == made.provenance
