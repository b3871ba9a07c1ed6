from __future__ import annotations

import csv
import json

import datasets
import numpy as np
import pytest
from classifier_sets import QUICK, in_this_process, write
from PIL import Image

import mvc_hf.assessment.assess
import mvc_hf.features.classifier
from mvc_hf.config.run_recipe import RunRecipe
from mvc_hf.config.sections import Section
from mvc_hf.config.stages.comparing import SweepSettings
from mvc_hf.errors import DataError, OutputError, RecipeError
from mvc_hf.plugins.classifiers import sweep as module
from mvc_hf.plugins.classifiers.sweep import sweep

FEW = {"coarse": "0,2", "fine": "0", "guidance_scale": "1", "validation_fraction": 0.25, "seeds": 1}


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sets")
    write(folder / "train.parquet", 24, side=16)
    write(folder / "others.parquet", 8, side=16, seed=3)
    return folder


@pytest.fixture
def made(monkeypatch):
    """Trainings as they are made; the networks of the report learn nothing, which is soon done."""
    monkeypatch.setattr(mvc_hf.features.classifier, "FEWEST", 1)
    monkeypatch.setattr(mvc_hf.features.classifier, "MOST", 1)
    return in_this_process(monkeypatch)


def section(real, base, out, *, recipe=None, synthetic=None, **settings):
    run = {"dataset": str(real / "train.parquet"), "base": str(base), "output": str(out), "max_train_steps": 2}
    run |= {"train_batch_size": 4, "images_per_class": 6, "num_inference_steps": 1, "validation_steps": 2}
    return Section(RunRecipe.from_dict(run | (recipe or {})), SweepSettings(**QUICK | FEW | settings), synthetic or {})


def test_a_row_and_a_line_of_pictures_for_each_cell(real, tiny_base, tmp_path, made):
    found = sweep(section(real, tiny_base, tmp_path, aug_ratio="0.25,0.5", seeds=2))
    names = [f"P={p} Q=0 w=1 steps=1 ratio={r}" for p in (0, 2) for r in (0.25, 0.5)]
    assert [row.name for row in found.rows] == ["real alone", *names] and len(made) == 10
    folder = tmp_path / "sweep"
    assert sorted(p.name for p in (folder / "cells").iterdir() if p.is_dir()) == [
        "P-0_Q-0_w-1_steps-1", "P-2_Q-0_w-1_steps-1",
    ]  # fmt: skip
    saved = json.loads((folder / "sweep.json").read_text())
    assert saved["trained_on"] == 18 and saved["judged_by"] == 6 and str(tmp_path) not in json.dumps(saved)
    for row in saved["cells"]:
        assert {"kernel distance", "coverage", "spread", "labels", "copies", "top1", "difference"} <= set(row)
    assert saved["cells"][0]["coverage"]["n"] == 6, "of the images that judge, themselves"
    assert saved["cells"][1]["labels"]["n"] == 12
    assert saved["verdict"]["in_words"] == str(found.verdict)
    with (folder / "sweep.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["aug_ratio"] for row in rows] == ["", "0.25", "0.5", "0.25", "0.5"] and rows[1]["labels_low"]
    with Image.open(folder / "sweep.png") as sheet:
        assert sheet.height > 3 * 80 and sheet.width > 2 * 2 * 80
    flags = json.loads((folder / "runs" / "P-0_Q-0_w-1_steps-1_ratio-0.5-1.flags").read_text())["flags"]
    assert flags[flags.index("--aug-ratio") + 1] == "0.5" and flags[flags.index("--val-split") + 1] == "validation"


def test_the_model_has_not_seen_what_judges(real, tiny_base, tmp_path, made):
    """Neither when it was fine-tuned, nor as a condition."""
    sweep(section(real, tiny_base, tmp_path))
    images = tmp_path / "sweep" / "images" / "choice"
    pictures = {
        split: [
            cell["bytes"]
            for cell in datasets.Dataset.from_parquet(str(images / f"{split}.parquet"))
            .cast_column("image", datasets.Image(decode=False))["image"]
        ]
        for split in ("train", "validation")
    }  # fmt: skip
    assert len(pictures["train"]) == 18 and not set(pictures["train"]) & set(pictures["validation"])
    notes = json.loads((tmp_path / "sweep" / "checkpoint" / "mvc.json").read_text())
    assert notes["source"]["name"] == "train.parquet" and notes["training"]["images"] == 18
    cell = tmp_path / "sweep" / "cells" / "P-0_Q-0_w-1_steps-1"
    manifest = json.loads((cell / "manifest.json").read_text())
    assert manifest["made_from"]["dataset"] == notes["source"]["fingerprint"]
    assert max(datasets.load_dataset(str(cell), split="train")["condition"]) < 18


def test_a_killed_sweep_goes_on_cell_by_cell(real, tiny_base, tmp_path, made, monkeypatch):
    original, judged = mvc_hf.assessment.assess.assess, []

    def dies_at_the_second(*args, **kwargs):
        judged.append(args[0])
        if len(judged) == 2:
            raise KeyboardInterrupt
        return original(*args, **kwargs)

    monkeypatch.setattr(mvc_hf.assessment.assess, "assess", dies_at_the_second)
    asked = section(real, tiny_base, tmp_path)
    with pytest.raises(KeyboardInterrupt):
        sweep(asked)
    first = tmp_path / "sweep" / "cells" / "P-0_Q-0_w-1_steps-1" / "data"
    before = {path: path.stat().st_mtime_ns for path in first.iterdir()}
    found = sweep(asked)
    assert before == {path: path.stat().st_mtime_ns for path in first.iterdir()}
    assert [place.rpartition("/")[2][:3] for place in judged] == ["P-0", "P-2", "P-2"] and len(made) == 3
    assert str(sweep(asked)) == str(found) and len(judged) == 3 and len(made) == 3
    more = sweep(section(real, tiny_base, tmp_path, coarse="0,2,5"))
    assert [row.name[:3] for row in more.rows[1:]] == ["P=0", "P=2", "P=5"] and len(made) == 4


def test_others_may_judge(real, tiny_base, tmp_path, made):
    """Then no real image is kept from training."""
    judges = {"validation_dataset": str(real / "others.parquet"), "validation_fraction": 0.0, "coarse": "1"}
    found = sweep(section(real, tiny_base, tmp_path, **judges))
    assert found.facts["trained_on"] == 24 and found.facts["judged_by"] == 8
    assert "8 others that nothing else has seen" in str(found)


def test_a_finished_model_may_have_seen_them(real, tiny_base, tmp_path, made):
    first = sweep(section(real, tiny_base, tmp_path / "a", coarse="1"))
    again = {"model": str(tmp_path / "a" / "sweep" / "checkpoint")}
    second = sweep(section(real, tiny_base, tmp_path / "b", recipe=again, coarse="1"))
    assert "The model is one that was there already" in str(second) and "there already" not in str(first)


def test_what_cannot_be_swept_is_one_line_before_anything_is_spent(real, tiny_base, tmp_path, monkeypatch):
    monkeypatch.setattr(module._Run, "_finetuned", lambda self: pytest.fail("something was trained"))
    write(real / "few.parquet", 3, side=16, seed=6)
    for changes, kind, message in (
        ({"recipe": {"dataset": ""}}, RecipeError, "no data set"),
        ({"recipe": {"base": ""}}, RecipeError, "no base model"),
        ({"recipe": {"dataset": str(real / "few.parquet")}}, DataError, "one image of 'light'"),
        ({"recipe": {"captions": "captions.parquet"}}, RecipeError, "rows of a captions file"),
        ({"recipe": {"captions": "column:none"}}, DataError, "no column 'none'"),
        ({"synthetic": {"x": "y"}}, RecipeError, "makes its synthetic images itself"),
        ({"coarse": "0,2000"}, RecipeError, "--coarse is 2000; it must be at most 1,024"),
        ({"guidance_scale": "-1"}, RecipeError, "--guidance-scale is -1"),
        ({"validation_dataset": str(real / "train.parquet")}, RecipeError, "is the training images|training images"),
        ({"augmentation": "wild"}, RecipeError, "names 'wild'"),
        ({"batch_size": 19}, RecipeError, "there are 18 real images"),
    ):
        with pytest.raises(kind, match=message) as caught:
            sweep(section(real, tiny_base, tmp_path / "out", **changes))
        assert "\n" not in str(caught.value)


def test_another_sweep_is_not_written_over(real, tiny_base, tmp_path, made):
    sweep(section(real, tiny_base, tmp_path, coarse="1"))
    with pytest.raises(OutputError, match="on other images"):
        sweep(section(real, tiny_base, tmp_path, coarse="1", validation_fraction=0.5))


def test_settings_have_their_limits():
    for changes, message in (
        ({"lr": "0.1,0.2"}, "a sweep takes one"),
        ({"validation_fraction": 0.0}, "nothing to judge cells by"),
        ({"coarse": "1.5"}, "whole numbers"),
        ({"coarse": "1,1"}, "twice"),
        ({"coarse": "x"}, "no number"),
        ({"guidance_scale": "nan"}, "not finite"),
        ({"aug_ratio": "0"}, "above 0"),
        ({"schedule": "rare"}, "choose one of"),
        ({"coarse": ",".join(map(str, range(40))), "fine": ",".join(map(str, range(40)))}, "4,800 cells|1,600 cells"),
    ):
        with pytest.raises(RecipeError, match=message):
            SweepSettings(**QUICK | FEW | changes)


def test_figures_of_the_same_images_are_not_taken_again_and_those_of_others_are(
    real, tiny_base, tmp_path, made, monkeypatch
):
    asked = section(real, tiny_base, tmp_path, coarse="1")
    sweep(asked)
    file = tmp_path / "sweep" / "cells" / "P-1_Q-0_w-1_steps-1.json"
    for damage in (b"", b"{}", json.dumps({"key": "other", "figures": {}}).encode()):
        file.write_bytes(damage)
        assert np.isfinite(sweep(asked).rows[1].facts["coverage"]["value"])
