from __future__ import annotations

import csv
import importlib
import json
import re
import shutil
import tempfile
from pathlib import Path

import datasets
import numpy as np
import pytest
from classifier_sets import QUICK, in_this_process, section, sets, write
from PIL import Image
from tiny import image_folder

from mvc_hf.comparison.arms import all_arms
from mvc_hf.config.sections import load_section
from mvc_hf.config.stages.comparing import CompareSettings, SweepSettings
from mvc_hf.errors import DataError, MvcError, OutputError, RecipeError
from mvc_hf.plugins.classifiers import compare as module
from mvc_hf.plugins.classifiers import runs
from mvc_hf.plugins.classifiers.command_line import Classifier, Images
from mvc_hf.plugins.classifiers.compare import compare
from mvc_hf.plugins.classifiers.runs import Outcome
from mvc_hf.plugins.timm_comparison import ARMS, Trial, demo_trial


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return sets(tmp_path_factory.mktemp("sets"))


@pytest.fixture
def made(monkeypatch):
    return in_this_process(monkeypatch)


def test_its_table_is_the_demos(root, tmp_path, made):
    """The same images, flags and seeds give the same numbers, whichever of the two asks."""
    flags = ("--model", "wrn_28_2", "--model-kwargs", '{"depth": 10, "width": 1}', "--num-classes", "2", "-b", "8")
    flags += ("--epochs", "2", "--input-size", "8", "--warmup-epochs", "1")  # arms still differ
    demo = Trial(f"hfds/{root / 'real'}", str(root / "synthetic"), flags, (0, 1)).run(tmp_path / "demo")
    found = compare(section(root, tmp_path / "out", schedules="combined,two-phase,rsp", epochs=2))
    mine = [list(row.top1) for row in found.rows]
    assert mine == [demo[name] for name in ("real alone", "combined", "two-phase", "RSP")]
    assert len(set(map(tuple, mine))) > 1
    assert len(made) == 16


def test_every_augmentation_without_and_with_synthetic_images(root, tmp_path, made):
    every = {
        "augmentations": "none,randaugment,autoaugment,autoaugment-cifar",
        "schedules": "synthetic,rsp",
        "seeds": 1,
    }
    found = compare(section(root, tmp_path, **every))
    assert [row.name for row in found.rows] == [
        "real alone", "+ mvc, synthetic only", "+ mvc, RSP",
        "RandAugment", "RandAugment + mvc, synthetic only", "RandAugment + mvc, RSP",
        "AutoAugment", "AutoAugment + mvc, synthetic only", "AutoAugment + mvc, RSP",
        "AutoAugment, CIFAR policy", "AutoAugment, CIFAR policy + mvc, synthetic only",
        "AutoAugment, CIFAR policy + mvc, RSP",
    ]  # fmt: skip
    assert [row.against for row in found.rows[:6]] == [
        "",
        "real alone",
        "real alone",
        "real alone",
        *["RandAugment"] * 2,
    ]
    saved = json.loads((tmp_path / "compare" / "comparison.json").read_text())
    assert saved["updates"] == 6 and {job["synthetic"] for job in saved["arms"]} == {None, "mvc"}
    assert str(tmp_path) not in json.dumps(saved) and str(root) not in json.dumps(saved)
    with (tmp_path / "compare" / "comparison.csv").open() as file:
        assert [row["augmentation"] for row in csv.DictReader(file)][::3] == list(
            module.policy_flags.__globals__["POLICY_FLAGS"]
        )
    assert "AutoAugment, CIFAR policy + mvc, RSP" in (tmp_path / "compare" / "comparison.svg").read_text()
    flags = [json.loads(path.read_text())["flags"] for path in (tmp_path / "compare" / "runs").glob("*.flags")]
    assert sum("--aug-policy" in f for f in flags) == 3 and sum("--aa" in f for f in flags) == 6


def test_a_killed_comparison_goes_on(root, tmp_path, made, monkeypatch):
    original, trained = runs._train, []

    def dies_at_the_third(job):
        if len(trained) == 2:
            raise KeyboardInterrupt
        trained.append(job)
        return original(job)

    asked = section(root, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(runs, "_train", dies_at_the_third)
        with pytest.raises(KeyboardInterrupt):
            compare(asked)
    first = list(made)
    found = compare(asked)
    assert made[len(first) :] == ["runs/mvc-combined-61f8792a-0", "runs/mvc-combined-61f8792a-1"]
    assert str(compare(asked)) == str(found) and len(made) == 4
    more = compare(section(root, tmp_path, seeds=3))
    assert len(made) == 6 and more.rows[0].top1[:2] == found.rows[0].top1


def test_other_synthetic_images_at_the_same_place_are_other_arms(root, tmp_path, made):
    place = tmp_path / "synthetic"
    shutil.copytree(root / "synthetic", place)
    asked = section(root, tmp_path / "out", synthetic={"mvc": str(place)}, seeds=1)
    compare(asked)
    write(place / "data" / "train-00000-of-00001.parquet", 24, seed=9)
    compare(asked)
    assert [name.split("/")[1][:8] for name in made] == ["real-alo", "mvc-comb", "mvc-comb"]


def test_choices_are_made_on_real_images_that_nothing_trains_on(root, tmp_path, monkeypatch):
    """Of two rates each arm takes the one that is better on its validation split, whatever the test says."""
    asked_for = []

    def outcomes(jobs, *, devices=None, what=""):
        asked_for.extend(jobs)
        good = {"real-alone": "0.01", "mvc-combined-61f8792a": "0.001"}
        found = []
        for job in jobs:
            rate, split = (job.flags[job.flags.index(f) + 1] for f in ("--lr", "--val-split"))
            better = rate == good[job.result.stem.rpartition("-")[0]]
            found.append(Outcome(90.0 if better == (split == "validation") else 10.0, 6, None))
        return found

    monkeypatch.setattr(module, "outcomes", outcomes)
    found = compare(section(root, tmp_path, lr="0.001,0.01", validation_fraction=0.25))
    assert [(row.facts["lr"], row.mean) for row in found.rows] == [(0.01, 10.0), (0.001, 10.0)]
    splits = [job.flags[job.flags.index("--val-split") + 1] for job in asked_for]
    assert splits == ["validation"] * 8 + ["test"] * 4, (
        "the test images are read by what is chosen, and by nothing else"
    )
    images = tmp_path / "compare" / "images"
    rows = {name: pictures(images / f"{name}.parquet") for name in ("all/train", "choice/train", "choice/validation")}
    assert len(rows["choice/validation"]) == 4 and not set(rows["choice/validation"]) & set(rows["choice/train"])
    assert sorted(rows["choice/validation"] + rows["choice/train"]) == sorted(rows["all/train"])
    assert "Best on the 4 validation images" in str(found)


def pictures(file):
    table = datasets.Dataset.from_parquet(str(file)).cast_column("image", datasets.Image(decode=False))
    return [cell["bytes"] for cell in table["image"]]


def test_unequal_updates_are_no_comparison(root, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "outcomes", lambda jobs, **_: [Outcome(50.0, i, None) for i, _ in enumerate(jobs)])
    with pytest.raises(MvcError, match="different numbers of updates"):
        compare(section(root, tmp_path))


def test_the_recipe_makes_what_is_compared(root, tmp_path, made, tiny_base):
    """One run, and another set for each method beyond the first; nothing is pushed, which would fail here."""
    recipe = {
        "base": str(tiny_base), "max_train_steps": 2, "train_batch_size": 4, "images_per_class": 4,
        "num_inference_steps": 1, "validation_steps": 2, "push_to_hub": True, "hub_model_id": "ann/x",
    }  # fmt: skip
    asked = section(root, tmp_path, recipe=recipe, synthetic={}, methods="mvc,pretrained", seeds=1)
    found = compare(asked)
    assert [row.name for row in found.rows] == ["real alone", "+ mvc, combined", "+ pretrained, combined"]
    assert {path.name for path in tmp_path.iterdir()} == {
        "captions.parquet", "checkpoint", "synthetic", "synthetic-pretrained", "compare",
    }  # fmt: skip
    assert len(made) == 3 and compare(asked) and len(made) == 3


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "I;16"])
def test_any_mode_and_any_size(root, tmp_path, made, mode):
    """Folders of pictures of several sizes: the classifier's own is asked for, or given."""
    rng = np.random.default_rng(0)
    for i, name in enumerate([*["train/dark", "train/light"] * 8, *["test/dark", "test/light"] * 3]):
        place = tmp_path / "photos" / name / f"{i}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        grey = rng.integers(0, 256, (10 + i % 3, 12), np.uint16 if mode == "I;16" else np.uint8)
        picture = Image.fromarray(grey)
        (picture if mode == "I;16" else picture.convert(mode)).save(place)
    asked = {"recipe": {"dataset": str(tmp_path / "photos")}, "seeds": 1, "batch_size": 4}
    with pytest.raises(RecipeError, match=r"not squares of one size.*--input-size 224"):
        compare(section(root, tmp_path / "out", **asked))
    assert len(compare(section(root, tmp_path / "out", input_size=8, **asked)).rows) == 2


BAD = [
    ({"recipe": {"dataset": ""}}, RecipeError, "no data set"),
    ({"recipe": {"dataset": "{root}/real/train.parquet"}}, RecipeError, "no test set: .* is one file"),
    ({"test_split": "train"}, RecipeError, "no test set: .* is the training split"),
    ({"test_split": "none"}, DataError, "none"),
    ({"recipe": {"dataset": "{root}/plain"}}, DataError, "plain has no split 'test'"),
    ({"test_dataset": "{root}/real/train.parquet"}, DataError, "16 of the 16 test images .* are training images"),
    ({"test_dataset": "{root}/other.parquet"}, DataError, "the test set, .* has 1 classes .* lack: 'grey'"),
    ({"synthetic": {"x": "{root}/other.parquet"}}, DataError, "1 classes of other.parquet are not among the real"),
    ({"synthetic": {"x": "{root}/none"}}, DataError, "no such folder"),
    ({"synthetic": {"x": "{root}/empty.parquet"}}, DataError, "holds no rows"),
    ({"test_dataset": "{root}/empty.parquet"}, DataError, "holds no rows"),
    ({"recipe": {"dataset": "{root}/few"}, "validation_fraction": 0.2}, DataError, "one image of 'light'.*fraction 0"),
    ({"recipe": {"dataset": "{root}/single"}}, DataError, "images of 1 class"),
    ({"batch_size": 17}, RecipeError, "--batch-size is 17, and there are 16 real images"),
    ({"classifier": "resnet81"}, MvcError, "timm has no model 'resnet81'"),
    ({"classifier": "vit_tiny_patch16_224", "classifier_kwargs": ""}, MvcError, "not take images of 8×8 .*img_size=8"),
    ({"classifier_kwargs": "depth=11"}, MvcError, "timm cannot make the model 'wrn_28_2': ValueError: depth must be"),
    ({"classifier_kwargs": "depth"}, RecipeError, "give NAME=VALUE"),
    ({"augmentations": "none,randomaugment"}, RecipeError, "names 'randomaugment'; choose among"),
    ({"script": "{root}/none.py"}, MvcError, "none.py"),
    ({"synthetic": {}}, RecipeError, "no base model"),
    ({"synthetic": {}, "methods": "mvc,none", "recipe": {"base": "x"}}, MvcError, "none"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "kind", "message"), BAD, ids=[message for _, _, message in BAD])
def test_what_cannot_be_compared_is_one_line_before_anything_is_spent(
    root, tmp_path, changes, kind, message, monkeypatch
):
    if not (root / "other.parquet").exists():
        write(root / "other.parquet", 8, ["dark", "grey"], seed=5)
        image_folder(root / "plain", {"dark": 6, "light": 6}, size=8)
        write(root / "few" / "train.parquet", 3, seed=6)
        write(root / "few" / "test.parquet", 4, seed=7)
        write(root / "single" / "train.parquet", 8, ["dark"], seed=6)
        write(root / "single" / "test.parquet", 4, ["dark"], seed=7)
        datasets.Dataset.from_parquet(str(root / "other.parquet")).select([]).to_parquet(root / "empty.parquet")
    monkeypatch.setattr(module, "outcomes", lambda *_, **__: pytest.fail("something was trained"))
    filled = json.loads(json.dumps(changes).replace("{root}", str(root)))
    with pytest.raises(kind, match=message) as caught:
        compare(section(root, tmp_path / "out", **filled))
    assert "\n" not in str(caught.value)
    assert not list((tmp_path / "out").rglob("*.parquet"))


def test_another_comparison_is_not_written_over(root, tmp_path, made):
    compare(section(root, tmp_path, seeds=1))
    with pytest.raises(OutputError, match="holds a comparison on other images"):
        compare(section(root, tmp_path, seeds=1, validation_fraction=0.5))


def test_settings_have_their_limits():
    assert QUICK["epochs"] == 3
    for changes, message in (
        ({"lr": "fast"}, "'fast' is no number"),
        ({"lr": "0"}, "greater than 0"),
        ({"lr": "0.1,0.2", "validation_fraction": 0.0}, "nothing to choose one on"),
        ({"schedules": "combined,combined"}, "twice"),
        ({"schedules": "none"}, "choose among combined"),
        ({"augmentations": ","}, "with commas between"),
        ({"phase2_epochs": 3}, "less than --epochs 3"),
        ({"script_flags": "--opt sgd"}, "goes with --script"),
        ({"seeds": 0}, "at least 1"),
    ):
        with pytest.raises(RecipeError, match=message):
            module.CompareSettings(**QUICK | changes)


DOCS = Path(__file__).parents[3] / "docs" / "compare.md"


def recipes():
    return re.findall(r"```yaml\n(?:# (\S+)\n)?(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)


def test_the_recipe_in_the_docs_is_the_demos_trial(root, tmp_path, monkeypatch):
    """Flag by flag: so its table is that of the demo."""
    (text,) = (text for name, text in recipes() if name == "demo-compare.yaml")
    (tmp_path / "demo-compare.yaml").write_text(text)
    shown = load_section(tmp_path / "demo-compare.yaml", "compare", CompareSettings)
    trials = []
    monkeypatch.setattr(Trial, "run", lambda self, out: trials.append(self) or {arm: [1.0, 2.0] for arm in ARMS})
    (tmp_path / "results.json").write_text(json.dumps({"seconds_of_this_call": {}}))
    demo_trial(tmp_path, root / "real" / "train.parquet", root / "real" / "test.parquet")
    parser = importlib.import_module("mvc_hf.plugins.timm_small_train").parser
    place = ["cache", "--dataset", "x", "--output", "y"]
    demo = parser.parse_args([*place, *trials[0].flags])
    images = Images(tmp_path, "train", "test", "")
    job = Classifier(shown.settings, 10, 28, ("cpu",)).job("arm", images, [], 0, tmp_path, shown.settings.rates[0])
    mine = parser.parse_args(list(job.flags))
    placed = ("data_dir", "dataset", "output", "seed")
    assert {k: v for k, v in vars(mine).items() if k not in placed} == {
        k: v for k, v in vars(demo).items() if k not in placed
    }
    assert shown.settings.seeds == len(trials[0].seeds) and trials[0].seeds == tuple(range(shown.settings.seeds))
    arms = all_arms(
        shown.settings.list_of("augmentations"), list(shown.synthetic), shown.settings.list_of("schedules")
    )
    assert [arm.name for arm in arms] == ["real alone", *(f"+ MVC, {name}" for name in list(ARMS)[1:])]


def test_what_the_docs_show_is_read():
    for name, text in recipes():
        for section_name, kind in (("compare", CompareSettings), ("sweep", SweepSettings)):
            if f"{section_name}:" in text:
                with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
                    file.write(text)
                    file.flush()
                    assert load_section(file.name, section_name, kind).settings != kind(), name
    (snippet,) = re.findall(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    exec("\n".join(line for line in snippet.splitlines() if line.startswith("from")), {})
