from __future__ import annotations

import pytest
from classifier_sets import QUICK, in_this_process, section, sets, write

from mvc_hf.config.run_recipe import RunRecipe
from mvc_hf.config.sections import Section
from mvc_hf.config.stages.comparing import SweepSettings
from mvc_hf.plugins.classifiers import budget
from mvc_hf.plugins.classifiers.budget import Pace, budget_of, budget_of_sweep
from mvc_hf.plugins.classifiers.compare import compare


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return sets(tmp_path_factory.mktemp("sets"))


@pytest.fixture
def made(monkeypatch):
    return in_this_process(monkeypatch)


def test_a_pace_is_what_epochs_add():
    pace = Pace.of(short=7.0, long=15.0)
    assert (pace.start, pace.epoch) == (3.0, 2.0)
    assert pace.training(100) == 203.0 and pace.training(100, 0.5) == 103.0
    assert Pace.of(short=5.0, long=4.0) == Pace(5.0, 0.0), "a busy machine may measure anything"


def test_it_multiplies_out_and_leaves_nothing(root, tmp_path, made, monkeypatch):
    paces = {"none": Pace(1.0, 2.0), "randaugment": Pace(1.0, 4.0), "synthetic": Pace(1.0, 3.0)}
    monkeypatch.setattr(budget, "measure", lambda classifier, jobs, folder: {name: paces[name] for name in jobs})
    asked = section(root, tmp_path, augmentations="none,randaugment", epochs=10, workers=2)
    text = budget_of(asked)
    seconds = 2 * (1 + 20) + 2 * (1 + 30) + 2 * (1 + 40) + 2 * (1 + 60)
    low, high = (part * seconds / 2 for part in (0.8, 1.3))
    assert seconds == 308 and (low, high) == pytest.approx((123.2, 200.2))
    assert [line.split()[:3] for line in text.splitlines()[1:3]] == [["test", "8", "0"], ["in", "all", "2"]]
    assert "17 s – 79 s" in text and "2 min – 3 min" in text and "4 arms, 2 seeds, 10 epochs of 16 images" in text
    assert not list(tmp_path.iterdir()) and not made


def test_what_is_there_is_taken_off_and_epochs_are_measured(root, tmp_path, made):
    asked = section(root, tmp_path, seeds=1, workers=1, validation_fraction=0.25)
    compare(asked)
    before = sorted(tmp_path.rglob("*"))
    lines = budget_of(asked).splitlines()
    assert lines[1].split()[:4] == ["choose", "by", "2", "2"] and lines[2].split()[:3] == ["test", "2", "2"]
    assert lines[3].split() == ["in", "all", "-"] and sorted(tmp_path.rglob("*")) == before
    assert sum("warm" in name for name in made) == 1 and len(made) == 4 + 1 + 2 * 2


def test_images_that_are_to_be_made_are_planned_for(root, tmp_path, made, tiny_base):
    recipe = {"base": str(tiny_base), "max_train_steps": 2, "train_batch_size": 4, "images_per_class": 4}
    asked = section(root, tmp_path, recipe=recipe, synthetic={}, methods="mvc,pretrained", seeds=1, workers=1)
    text = budget_of(asked)
    assert "Before that, the synthetic images are made:" in text and "finetune" in text
    assert "as much generating again for pretrained" in text and not list(tmp_path.iterdir())


def test_a_sweep_counts_cells_by_their_steps_and_passes(tmp_path, made, tiny_base):
    write(tmp_path / "sets" / "train.parquet", 24, side=16)
    run = {"dataset": str(tmp_path / "sets" / "train.parquet"), "base": str(tiny_base), "images_per_class": 4}
    run |= {"max_train_steps": 2, "train_batch_size": 4, "num_inference_steps": 2, "output": str(tmp_path / "out")}
    run |= {"push_to_hub": True, "hub_dataset_id": "ann/x"}
    lists = {"coarse": "0,2", "fine": "0", "guidance_scale": "1,2", "aug_ratio": "1,2", "validation_fraction": 0.25}
    asked = Section(RunRecipe.from_dict(run), SweepSettings(**QUICK | lists | {"seeds": 1, "workers": 1}), {})
    text = budget_of_sweep(asked)
    assert "8 cells of 4 synthetic sets" in text and not (tmp_path / "out").exists()
    rows = {line.split("  ")[0]: line.split() for line in text.splitlines()}
    assert rows["images of a cell"][4] == "4" and rows["trainings"][1] == "9"
    assert [budget._passes(w) for w in (1.0, 1.5, 0.0)] == [1, 2, 2]
