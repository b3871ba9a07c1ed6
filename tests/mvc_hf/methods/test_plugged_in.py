"""A method that is defined in the tests alone goes through everything that a built-in one goes through."""

import shutil

import datasets
import numpy as np
import pytest
import yaml
from dummy_method import NextClass, NextClassByBase, NextClassConfig

from mvc_hf.artifacts.checkpoint import CheckpointMetadata, load_captions
from mvc_hf.config.recipe import Recipe
from mvc_hf.config.run_recipe import RunRecipe
from mvc_hf.config.stages.generating import METHOD_NAMES
from mvc_hf.data.loading import open_dataset
from mvc_hf.errors import OutputError, RecipeError
from mvc_hf.generation.generate import generate
from mvc_hf.generation.generator import Generator
from mvc_hf.generation.request import GenerationRequest
from mvc_hf.inspection.estimate import plan
from mvc_hf.inspection.preview import preview
from mvc_hf.inspection.preview_sheet import draw
from mvc_hf.inspection.replay import replay
from mvc_hf.methods import registry
from mvc_hf.methods.registry import register_method
from mvc_hf.publish.dataset_card import dataset_card
from mvc_hf.storage.manifest import read_manifest

SETTINGS = {"images_per_class": 4, "num_inference_steps": 4, "batch_size": 4, "shard_size": 5}


@pytest.fixture(scope="module", autouse=True)
def registered():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "_METHODS", dict(registry._METHODS))
        names = list(METHOD_NAMES)
        for method in (NextClass, NextClassByBase):
            register_method(method.name, NextClassConfig, method)
        yield
        METHOD_NAMES[:] = names


@pytest.fixture(params=["next-class", "next-class-by-base"])
def settings(request, photos, tiny_base):
    return {"dataset": str(photos), "base": str(tiny_base), "method": request.param, **SETTINGS}


@pytest.fixture(scope="module")
def made(registered, checkpoint, photos, tiny_base, tmp_path_factory):
    """A folder with checkpoint/ and a data set of each of the two methods."""
    out = tmp_path_factory.mktemp("made")
    shutil.copytree(checkpoint, out / "checkpoint")
    recipe = {"dataset": str(photos), "base": str(tiny_base), **SETTINGS}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MVC_HF_CACHE", str(out / "cache"))
        for method in (NextClass, NextClassByBase):
            generate(Recipe(**recipe, method=method.name), out / "checkpoint", out / method.name)
    return out


def rows(folder):
    found = datasets.load_dataset(str(folder), split="train").cast_column("image", datasets.Image(decode=False))
    return [{**row, "image": row["image"]["bytes"]} for row in found]


def test_rows_have_the_label_and_the_columns_that_the_method_gives(made, settings, photos):
    found, labels = rows(made / settings["method"]), open_dataset(str(photos)).labels
    captions = load_captions(made / "checkpoint", ("apple", "pear", "plum"))
    assert [row["index"] for row in found] == [i // 3 for i in range(12)]
    assert [row["label"] for row in found] == [(i % 3 + 1) % 3 for i in range(12)]
    for row in found:
        assert row["method"] == settings["method"] and row["prompt"] == captions.captions[row["mix"]["base"]]
        assert captions.labels[row["mix"]["base"]] == row["label"] == (labels[row["condition"]] + 1) % 3
    assert len({row["image"] for row in found}) == 12


def test_a_killed_run_ends_with_the_same_shards(made, settings, tmp_path, monkeypatch):
    make, calls = Generator.rows, []

    def dies(self, *address):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return make(self, *address)

    recipe = Recipe(**settings)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Generator, "rows", dies)
        generate(recipe, made / "checkpoint", tmp_path / "out")
    generate(recipe, made / "checkpoint", tmp_path / "out")
    assert rows(tmp_path / "out") == rows(made / settings["method"])


@pytest.mark.parametrize("number", [0, 5, 11])
def test_a_row_comes_again(made, settings, photos, tiny_base, number):
    options = {"model": str(made / "checkpoint"), "condition_data": str(photos), "base": str(tiny_base)}
    found = replay(str(made / settings["method"]), number, **options)
    assert found.matches and found.plan == {} and found.largest <= 1, str(found)


def test_the_preview_shows_what_generate_makes(made, settings, photos):
    found = preview(Recipe(**settings), made / "checkpoint", classes=["3"], rows=2)
    by_address = {((row["label"] - 1) % 3, row["index"]): row for row in rows(made / settings["method"])}
    pictures = datasets.load_dataset(str(made / settings["method"]), split="train")["image"]
    order = list(by_address)
    for row in found.rows:
        recorded = by_address[row.label, row.index]
        picture = pictures[order.index((row.label, row.index))]
        (image,) = row.images
        assert np.abs(np.asarray(image, int) - np.asarray(picture, int)).max() <= 1
        assert row.caption == recorded["prompt"] and row.pretrained is not None
        condition = open_dataset(str(photos)).image(recorded["condition"])
        assert (np.asarray(row.condition) == np.asarray(condition)).all()
    assert draw(found).width > 3 * 160 and found.own == 0
    with pytest.raises(RecipeError, match=r"--settings '0,0': the method next-class.* has no P and Q"):
        preview(Recipe(**settings), made / "checkpoint", settings="0,0")


@pytest.mark.parametrize("more", [{"max_train_steps": 2, "train_batch_size": 4}, {"model": "checkpoint"}])
def test_the_plan_measures_it(made, settings, tmp_path, monkeypatch, more):
    monkeypatch.chdir(made)
    found = plan(RunRecipe.from_dict({**settings, "output": str(tmp_path / "out"), **more}))
    assert found.stages[-1].what == f"12 images ({settings['method']})" and found.disk["shards"] > 0


def test_the_plan_counts_the_steps_that_are_left(made, settings, tmp_path, monkeypatch):
    """2 of 4 steps: half the strength."""
    from mvc_hf.inspection import stage_costs

    steps, denoising = [], stage_costs._denoising
    monkeypatch.setattr(stage_costs, "_denoising", lambda *a: steps.append(denoising(*a)) or steps[-1])
    monkeypatch.chdir(made)
    plan(RunRecipe.from_dict({**settings, "output": str(tmp_path / "out"), "model": "checkpoint"}))
    assert [count for _, count, _ in steps] == [2]


def test_the_card_says_what_the_method_says_of_itself(made, settings, monkeypatch):
    card = dataset_card(made / settings["method"])
    assert NextClass.description in card and "The real images that it was trained on have the licence" in card
    monkeypatch.delitem(registry._METHODS, settings["method"])  # as where the plugin is not installed
    assert f"They were made by the method {settings['method']}." in dataset_card(made / settings["method"])


def test_load_dataset_makes_the_same_rows(made, settings, tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump({**settings, "model": str(made / "checkpoint")}))
    request = GenerationRequest.of(str(path), {})
    columns = [{**row, "image": row["image"]["bytes"]} for _, _, row in request.rows()]
    assert columns == rows(made / settings["method"])


def test_its_own_settings_are_part_of_what_a_data_set_is(made, settings, photos, tiny_base, monkeypatch):
    folder, method = made / settings["method"], registry._METHODS[settings["method"]]
    made_from = read_manifest(folder)["made_from"]
    assert made_from["strength"] == 0.5 and made_from["coarse"] == made_from["fine"] == 0
    assert (made_from["base"] is None) == method.cls.needs_checkpoint and made_from["dataset"]
    assert made_from["checkpoint"] == CheckpointMetadata.load(made / "checkpoint").fingerprint

    class Stronger(NextClassConfig):
        def __init__(self, seed, strength=0.75):
            super().__init__(seed, strength)

    monkeypatch.setitem(registry._METHODS, method.name, registry.RegisteredMethod(method.name, Stronger, method.cls))
    with pytest.raises(OutputError, match=r"strength \(0\.5 → 0\.75\)"):
        generate(Recipe(**settings), made / "checkpoint", folder)
    options = {"model": str(made / "checkpoint"), "condition_data": str(photos), "base": str(tiny_base)}
    with pytest.raises(RecipeError, match=r"has strength = 0\.75 here, and the row was made with 0\.5"):
        replay(str(folder), 0, **options)
