"""Inputs of several rows: parts of them, and several of them together."""

import numpy as np
import pytest
import torch

from mvc_hf.methods.base import FromRecord, Method, SamplingInputs
from mvc_hf.methods.mvc import Mvc
from mvc_hf.methods.pretrained import Pretrained


def inputs(first, rows, *, image=True, start_step=0):
    values = torch.arange(first, first + rows, dtype=torch.float32)
    latents = values[:, None, None, None].expand(rows, 4, 2, 2)
    columns = {name: [f"{name} {first + i}" for i in range(rows)] for name in ("prompt", "condition", "mix")}
    return SamplingInputs(
        latents, start_step, values[:, None, None].expand(rows, 7, 3), torch.zeros(7, 3),
        latents + 0.5 if image else None, np.arange(first, first + rows), columns,
    )  # fmt: skip


@pytest.mark.parametrize("image", [True, False])
def test_parts_of_joined_inputs_are_the_inputs_again(image):
    one, two = inputs(0, 2, image=image), inputs(2, 3, image=image)
    joined = SamplingInputs.joined([one, two])
    for part, whole in ((joined[:2], one), (joined[2:], two)):
        assert torch.equal(part.latents, whole.latents) and torch.equal(part.prompt_embeds, whole.prompt_embeds)
        assert part.labels.tolist() == whole.labels.tolist() and part.provenance == whole.provenance
        assert (part.image_latents is None) == (not image)
        assert not image or torch.equal(part.image_latents, whole.image_latents)


def test_inputs_of_different_steps_are_not_sampled_together():
    with pytest.raises(ValueError, match="different steps"):
        SamplingInputs.joined([inputs(0, 1), inputs(1, 1, start_step=2)])


def test_the_built_in_methods_go_by_what_a_row_records_too():
    for method in (Mvc, Pretrained):
        assert issubclass(method, FromRecord) and all(hasattr(method, name) for name in Method.__annotations__)
