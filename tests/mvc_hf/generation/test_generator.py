"""From addresses to rows: whatever the method gives, the pictures are as the source's."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from mvc_hf.config.recipe import Recipe
from mvc_hf.data.groups import Groups
from mvc_hf.generation.generator import Generator, _generators
from mvc_hf.generation.opening import open_generator
from mvc_hf.methods.mvc import Mvc
from mvc_hf.methods.pretrained import Pretrained
from mvc_hf.utils.distributed import Alone

LABELS, INDEX = np.array([0, 1, 2]), np.array([0, 4, 1])


@pytest.fixture
def generator(checkpoint, photos):
    return open_generator(Recipe(dataset=str(photos), num_inference_steps=2, seed=3), checkpoint, Alone())


def test_a_row_has_its_address_and_what_it_was_made_from(generator):
    rows = generator.rows(LABELS, INDEX)
    images, inputs = generator.images(LABELS, INDEX)
    for i, row in enumerate(rows):
        assert (row["label"], row["index"], row["seed"], row["method"]) == (LABELS[i], INDEX[i], 3, "mvc")
        assert (row["prompt"], row["condition"]) == (inputs.provenance["prompt"][i], inputs.provenance["condition"][i])
        assert images[i].size == (16, 16) and images[i].mode == "RGB" and "group" not in row


def test_the_label_is_the_methods(generator):
    """Not the address': a method may make something of another class."""
    make = generator.method.inputs
    generator.method = SimpleNamespace(
        name="other",
        needs_checkpoint=True,
        inputs=lambda labels, index: replace(make(labels, index), labels=(labels + 1) % 3),
    )
    assert [row["label"] for row in generator.rows(LABELS, INDEX)] == [1, 2, 0]


def test_the_group_of_the_condition_is_recorded_where_groups_are(generator):
    rows = generator.rows(LABELS, INDEX)
    generator.groups = Groups(["left", "right"], np.arange(27) % 2)
    for row in generator.rows(LABELS, INDEX):
        assert row["group"] == ("left", "right")[row["condition"] % 2]
    assert all("group" not in row for row in rows)


def finished(image, *, method=Mvc, size=(16, 16), fit="crop", grey=False, native=None):
    metadata = SimpleNamespace(recipe={"fit": fit}, grey=grey, native_size=native)
    return Generator(Recipe(method=method.name), metadata, None, method, None, size).finished(image)


def test_squares_become_pictures_of_the_sources_shape_and_channels():
    square = Image.fromarray(np.tile(np.linspace(0, 255, 16, dtype=np.uint8)[:, None, None], (1, 16, 3)))
    assert finished(square) is square
    assert finished(square, size=(40, 20)).size == (40, 20)
    padded = finished(square, size=(32, 16), fit="pad", native=(32, 16))
    assert padded.size == (32, 16)
    assert np.asarray(padded).min() > 40 and np.asarray(padded).max() < 215  # the bars above and below are gone
    assert finished(square, grey=True).mode == "L"
    assert finished(square, grey=True, method=Pretrained).mode == "RGB"  # the base knows nothing of the source


def test_noise_on_the_way_belongs_to_the_address():
    def first(labels, index, seed=0):
        generators = _generators(seed, np.array(labels), np.array(index), torch.device("cpu"))
        return [torch.randn(1, generator=g).item() for g in generators]

    assert first([0, 1, 2], [5, 5, 6])[1:] == first([1, 2], [5, 6])
    assert len({*first([0, 0, 1], [0, 1, 0]), *first([0], [0], seed=1)}) == 4


def test_the_number_of_steps_is_told_as_they_are_done(generator):
    steps = []
    inputs = generator.method.inputs(LABELS, INDEX)
    found = generator.latents(inputs, LABELS, INDEX, on_step=lambda: steps.append(1))
    assert len(steps) == 2 and found.shape == (3, 4, 8, 8)
