"""mvc-hf report, as it is typed."""

import json

import judged
import numpy as np
import pytest

from mvc_hf import cli

LABELS = np.repeat([0, 1, 2], 10)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    place = tmp_path_factory.mktemp("typed")
    judged.split(place / "made", judged.pictures(LABELS, 1), LABELS)
    judged.folder(place / "real", judged.pictures(LABELS, 2), LABELS)
    judged.folder(place / "held", judged.pictures(LABELS, 3), LABELS)
    judged.weights(place / "w.safetensors")
    return place


def typed(place, *more, made="made"):
    return [
        "report", str(place / made), "--real", str(place / "real"), "--features", judged.MODEL,
        "--feature-weights", str(place / "w.safetensors"), "--feature-size", "32", *more,
    ]  # fmt: skip


def test_beside_a_split_of_ours(place, capsys):
    assert cli.run(typed(place, "--holdout", str(place / "held"))) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[-1] == str(place / "made" / "report" / "report.html") and (place / "made" / "report").is_dir()
    assert any("no closer to the training images than held-out images" in line for line in said)


def test_elsewhere_and_as_json(place, tmp_path, capsys):
    assert cli.run(typed(place, "-o", str(tmp_path / "r"), "--json")) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["sets"]["synthetic"]["images"] == 30 and found["overall"]["kernel_distance"]["n"] == 30
    assert sorted(p.name for p in (tmp_path / "r").iterdir()) == [
        "report.html",
        "report.json",
        "scores.parquet",
        "sheet.png",
    ]


def test_of_a_folder_of_others_into_this_one(place, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.run(typed(place, made="held")) == 0
    assert (tmp_path / "report" / "report.html").is_file()
    assert capsys.readouterr().out.splitlines()[-1] == "report/report.html"


@pytest.mark.parametrize("where", ["real/report", "held/report"])
def test_not_into_a_data_set(place, where, capsys):
    assert cli.run(typed(place, "--holdout", str(place / "held"), "-o", str(place / where))) == 1
    assert "lies in the folder of the data set" in capsys.readouterr().err
    assert not (place / where).exists()


def test_its_scores_are_for_training(place, tmp_path, capsys):
    from mvc_hf import mix_datasets

    assert cli.run(typed(place)) == 0
    mixed = mix_datasets(str(place / "real"), str(place / "made"), "synthetic", filter="label_confidence > 0.2")
    assert len(mixed.synthetic) == 30
