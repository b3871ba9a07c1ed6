from __future__ import annotations

import json

import datasets
import pytest
from PIL import Image

from mvc_hf.errors import DataError
from mvc_hf.plugins.classifiers import runs
from mvc_hf.plugins.timm_comparison import ARMS, Trial, demo_trial, table

NAMES = ["dark", "light"]
QUICK = ("--model", "wrn_28_2", "--model-kwargs", '{"depth": 10, "width": 1}', "--num-classes", "2", "--epochs", "3")
QUICK += ("--input-size", "8", "-b", "8", "--warmup-epochs", "1")


def write(path, count, names=NAMES):
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=names)})
    images = [Image.new("L", (8, 8), 150 * (i % 2) + i) for i in range(count)]
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = {"image": images, "label": [i % 2 for i in range(count)]}
    datasets.Dataset.from_dict(rows, features=features).to_parquet(path)
    return path


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    root = tmp_path_factory.mktemp("images")
    write(root / "real" / "train.parquet", 16)
    write(root / "real" / "test.parquet", 10)
    write(root / "synthetic" / "data" / "train-00000-of-00001.parquet", 24)
    return root


def trial(images, **changes):
    settings = {
        "dataset": f"hfds/{images / 'real'}", "synthetic": str(images / "synthetic"), "flags": QUICK, "seeds": (0, 1)
    }  # fmt: skip
    return Trial(**settings | changes)


@pytest.fixture
def here(monkeypatch):
    """Runs in this process: starting others costs seconds."""

    def one_by_one(jobs, devices=None):
        for job in jobs:
            yield runs._train(job)

    monkeypatch.setattr(runs, "side_by_side", one_by_one)


def test_arms_train_alike_and_are_kept(images, tmp_path, here):
    found = trial(images).run(tmp_path)
    assert list(found) == list(ARMS) and all(len(values) == 2 for values in found.values())
    runs = {path.stem: json.loads(path.read_text()) for path in tmp_path.glob("*.json")}
    assert len(runs) == 8 and {run["updates"] for run in runs.values()} == {6}
    assert {run["seed"] for run in runs.values()} == {0, 1}
    assert found["RSP"] == [runs["rsp-0"]["top1"], runs["rsp-1"]["top1"]]

    kept = tmp_path / "combined-1.json"
    kept.write_text(json.dumps({"top1": 12.5, "updates": 6, "seed": 1}))
    (tmp_path / "rsp-0.json").unlink()
    (tmp_path / "two-phase-1.json").write_bytes(b"")
    (tmp_path / "two-phase-0.json").write_bytes(b"[]")
    again = trial(images).run(tmp_path)
    assert again["combined"] == [found["combined"][0], 12.5], "a finished run is not made again"
    assert again["RSP"] == found["RSP"], "a missing one is, with the same result"
    assert again["two-phase"] == found["two-phase"], "and so are damaged ones"


def test_other_settings_are_other_runs(images, tmp_path, here):
    trial(images, seeds=(0,)).run(tmp_path)
    trial(images, seeds=(0,), flags=(*QUICK, "--epochs", "2")).run(tmp_path)
    assert {json.loads(path.read_text())["updates"] for path in tmp_path.glob("*.json")} == {4}


def test_processes_side_by_side_report_our_errors(images, tmp_path):
    write(tmp_path / "others.parquet", 8, ["dark", "grey"])
    with pytest.raises(DataError, match="'grey'"):
        trial(images, synthetic=str(tmp_path / "others.parquet"), seeds=(0,)).run(tmp_path / "out")


def test_the_table():
    shown = table({"real alone": [80.0, 82.0], "combined": [83.0, 85.1], "RSP": [79.55, 80.45]})
    assert shown.splitlines() == [
        "training images        top-1 accuracy, %   paired difference",
        "real alone                    81.0 ± 1.4",
        "+ MVC, combined               84.0 ± 1.5          +3.0 ± 0.6",
        "+ MVC, RSP                    80.0 ± 0.6          -1.0 ± 7.0",
    ]


def test_the_demos_last_stage(images, tmp_path, monkeypatch):
    """Its table lands beside what results.json says already."""
    monkeypatch.setattr(Trial, "run", lambda self, out: {arm: [80.0, 81.0, 82.0] for arm in ARMS})
    (tmp_path / "results.json").write_text(json.dumps({"images": 3000, "seconds_of_this_call": {"finetune": 1.0}}))
    demo_trial(tmp_path, images / "real" / "train.parquet", images / "real" / "test.parquet")
    saved = json.loads((tmp_path / "results.json").read_text())
    assert saved["images"] == 3000 and saved["classifier"]["mean"]["combined"] == 81.0
    assert saved["classifier"]["paired_difference"]["RSP"] == {"mean": 0.0, "interval": [0.0, 0.0]}
    assert set(saved["seconds_of_this_call"]) == {"finetune", "classifier"}
    assert str(tmp_path) not in json.dumps(saved)
    assert {path.name for path in (tmp_path / "real").iterdir()} == {"train.parquet", "test.parquet"}
