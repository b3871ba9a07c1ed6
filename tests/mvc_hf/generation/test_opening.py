"""The four steps of opening a generation, apart and together."""

import shutil

import numpy as np
import pytest
import torch

from mvc_hf.config.recipe import Recipe
from mvc_hf.diffusion.banks.on_demand import OnDemandLatentBank, OnDemandTextBank
from mvc_hf.errors import ModelError, RecipeError
from mvc_hf.generation import opening
from mvc_hf.generation.opening import assemble, encode, load, open_generator, resolve
from mvc_hf.utils.distributed import Alone

CPU = torch.device("cpu")


@pytest.fixture(params=["mvc", "pretrained"])
def recipe(request, photos, tiny_base):
    return Recipe(dataset=str(photos), base=str(tiny_base), method=request.param, num_inference_steps=2)


def test_banks_on_demand_give_what_whole_ones_give(recipe, checkpoint):
    found = resolve(recipe, checkpoint)
    loaded = load(found, CPU)
    whole, few = (
        assemble(found, loaded, encode(found, loaded, *banks))
        for banks in ((), (OnDemandTextBank, OnDemandLatentBank))
    )
    labels, index = np.array([0, 1, 2, 2]), np.array([0, 3, 1, 0])
    one, other = (generator.method.inputs(labels, index) for generator in (whole, few))
    assert one.provenance == other.provenance and one.labels.tolist() == labels.tolist() and one.start_step == 0
    assert torch.equal(one.latents, other.latents)
    torch.testing.assert_close(one.prompt_embeds, other.prompt_embeds, atol=2e-3, rtol=2e-3)
    if recipe.method == "mvc":
        torch.testing.assert_close(one.image_latents, other.image_latents, atol=2e-3, rtol=2e-3)
    else:
        assert one.image_latents is None is other.image_latents and found.source is None
    images, _ = open_generator(recipe, checkpoint, Alone()).images(labels, index)
    for image, same in zip(images, few.images_of(other, labels, index)):
        assert np.abs(np.asarray(image, int) - np.asarray(same, int)).max() <= 1


def test_settings_that_the_method_has_not_do_not_count(recipe, checkpoint, photos):
    found = resolve(recipe, checkpoint).recipe
    assert (found.coarse, found.fine) == ((2, 8) if recipe.method == "mvc" else (0, 0))


def test_nothing_is_loaded_to_resolve(recipe, checkpoint, monkeypatch):
    for name in ("load_base", "load_captions", "source_of"):
        monkeypatch.setattr(opening, name, lambda *_: pytest.fail("loaded"))
    assert resolve(recipe, checkpoint).metadata.class_names == ("apple", "pear", "plum")


def test_what_is_damaged_or_missing_is_told_before_a_model_is_loaded(recipe, checkpoint, tmp_path, monkeypatch):
    monkeypatch.setattr(opening, "load_base", lambda *_: pytest.fail("loaded"))
    folder = shutil.copytree(checkpoint, tmp_path / "checkpoint")
    (folder / "captions.parquet").write_bytes(b"")
    with pytest.raises(ModelError, match=r"captions\.parquet"):
        load(resolve(recipe, folder), CPU)
    if recipe.method == "pretrained":
        with pytest.raises(RecipeError, match="give --base"):
            load(resolve(Recipe(method="pretrained"), checkpoint), CPU)
