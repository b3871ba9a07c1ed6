"""Mixing visual concepts: from an address to a mix of its class and a real image of it."""

import numpy as np
import pytest
import torch
from rows_alone import CAPTIONS, IMAGES, SHAPE, components

from mvc_hf.errors import DataError
from mvc_hf.methods.mvc import Mvc, MvcConfig
from mvc_hf.utils.rng import Stream, normal

LABELS, INDEX = np.repeat(np.arange(3), 40), np.tile(np.arange(40), 3)
CAPTION_CLASS, IMAGE_CLASS = np.repeat(np.arange(3), CAPTIONS), np.repeat(np.arange(3), IMAGES)


def mvc(coarse=2, fine=3, **of):
    return Mvc(MvcConfig(coarse, fine), components(**of))


def test_captions_and_image_are_of_the_class_and_all_of_them_come():
    found = mvc().inputs(LABELS, INDEX)
    assert found.labels.tolist() == LABELS.tolist() and found.start_step == 0
    named = found.prompt_embeds.flatten(1).long().numpy()
    assert all((CAPTION_CLASS[row] == label).all() for row, label in zip(named, LABELS))
    conditions = np.array(found.provenance["condition"])
    assert (IMAGE_CLASS[conditions] == LABELS).all() and set(conditions) == set(range(10))
    assert (found.image_latents.flatten(1) == torch.from_numpy(conditions)[:, None]).all()  # the mode, unscaled
    assert {mix["base"] for mix in found.provenance["mix"]} == set(range(8))


def test_a_mix_has_p_coarse_and_q_fine_copies_from_others_than_its_base():
    provenance = mvc(coarse=2, fine=3).inputs(LABELS, INDEX).provenance
    for label, prompt, mix in zip(LABELS, provenance["prompt"], provenance["mix"]):
        assert prompt == f"caption {mix['base']}"
        alone = CAPTIONS[label] == 1  # one caption cannot be mixed
        assert (len(mix["coarse"]), len(mix["fine"])) == ((0, 0) if alone else (2, 3))
        assert mix["base"] not in [copy["source"] for copy in mix["coarse"] + mix["fine"]]


def test_a_row_follows_from_its_address_and_the_seed_alone():
    whole = mvc().inputs(LABELS, INDEX)
    for rows in (slice(7, 9), [100, 3, 50]):
        part = mvc().inputs(LABELS[rows], INDEX[rows])
        assert torch.equal(part.latents, whole.latents[rows])
        assert torch.equal(part.prompt_embeds, whole.prompt_embeds[rows])
        for name, values in whole.provenance.items():
            assert part.provenance[name] == np.array(values, object)[rows].tolist()
    other = mvc(seed=1).inputs(LABELS, INDEX)
    assert other.provenance["condition"] != whole.provenance["condition"]
    assert other.provenance["mix"] != whole.provenance["mix"]
    assert np.array_equal(whole.latents.numpy(), normal(0, Stream.NOISE, LABELS, INDEX, SHAPE))


def test_what_a_row_records_is_the_row_again():
    made = mvc().inputs(LABELS, INDEX)
    again = mvc(seed=5).recorded(LABELS, INDEX, made.provenance)  # another seed has other noise, and no other mix
    assert torch.equal(again.prompt_embeds, made.prompt_embeds)
    assert torch.equal(again.image_latents, made.image_latents) and again.provenance == made.provenance
    assert not torch.equal(again.latents, made.latents)


def test_a_record_of_another_checkpoint_is_refused():
    record = {"mix": [{"base": 8, "coarse": [], "fine": []}], "condition": [0]}
    with pytest.raises(DataError, match="the mix names caption 8; the checkpoint has 8"):
        mvc().recorded(np.array([0]), np.array([0]), record)
