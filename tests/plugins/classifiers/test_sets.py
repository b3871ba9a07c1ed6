from __future__ import annotations

import numpy as np
import pytest
from classifier_sets import in_this_process, write
from tiny import image_folder

from mvc_hf.comparison.splits import open_real
from mvc_hf.config.recipe import Recipe
from mvc_hf.config.run_recipe import RunRecipe
from mvc_hf.config.sections import Section
from mvc_hf.config.stages.comparing import CompareSettings
from mvc_hf.errors import DataError
from mvc_hf.generation.generate import generate
from mvc_hf.plugins.classifiers import sets
from mvc_hf.plugins.classifiers.compare import compare
from mvc_hf.training.finetune import finetune


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    root = tmp_path_factory.mktemp("photos")
    for seed, split in enumerate(("train", "test", "others")):
        image_folder(root / split, {"apple": 6, "pear": 6}, seed=seed)
    return root


@pytest.fixture(scope="module")
def made(photos, tiny_base, tmp_path_factory):
    """Synthetic images of each of the three splits, by one checkpoint each."""
    root = tmp_path_factory.mktemp("made")
    for split in ("train", "test", "others"):
        few = {"train_batch_size": 2, "max_train_steps": 1, "holdout_fraction": 0.0}
        finetune(Recipe(dataset=str(photos / split), base=str(tiny_base), **few), root / f"{split}-checkpoint")
        recipe = Recipe(dataset=str(photos / split), images_per_class=3, num_inference_steps=1)
        generate(recipe, root / f"{split}-checkpoint", root / split)
    return root


@pytest.fixture
def real(photos):
    return open_real(Recipe(dataset=str(photos)), fraction=0.0)


def test_what_they_were_made_from_is_on_record(real, made, tmp_path):
    assert sets.opened(str(made / "train"), real).made_of_these is True
    assert sets.opened(str(made / "others"), real).made_of_these is False
    write(tmp_path / "bare.parquet", 6, ["apple", "pear"])
    assert sets.opened(str(tmp_path / "bare.parquet"), real).made_of_these is None


def test_images_that_were_made_from_the_test_images_are_refused(real, made):
    with pytest.raises(DataError, match="test was made from the test images"):
        sets.opened(str(made / "test"), real)


def test_the_table_says_where_others_may_be_why(photos, made, tmp_path, monkeypatch):
    in_this_process(monkeypatch)
    few = {"classifier": "wrn_28_2", "classifier_kwargs": "depth=10 width=1", "epochs": 2, "batch_size": 4, "seeds": 1}
    few |= {"augmentations": "none", "schedules": "combined", "validation_fraction": 0.0, "warmup_epochs": 1}
    run = RunRecipe.from_dict({"dataset": str(photos), "output": str(tmp_path)})
    places = {"ours": str(made / "train"), "theirs": str(made / "others")}
    said = str(compare(Section(run, CompareSettings(**few), places)))
    assert "theirs was made from other real images than these" in said and "ours was made" not in said


def test_sets_of_the_hub_are_pinned_to_their_commit(real, monkeypatch):
    class OfTheHub:
        name, revision, fingerprint = "ann/set", "0" * 40, "f"
        class_names, labels, used = ("apple", "pear"), np.array([0, 1]), np.array([True, True])

        def __len__(self):
            return 2

    monkeypatch.setattr(sets, "open_dataset", lambda place, **_: OfTheHub())
    assert sets.opened("ann/set", real).place == "ann/set@" + "0" * 40
    assert sets.opened("ann/set@main", real).place == "ann/set@main"
