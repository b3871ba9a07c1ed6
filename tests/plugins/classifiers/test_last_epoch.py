"""timm's train.py judged after its last epoch: with a script that has its contract; the real one in test_real_timm."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
from classifier_sets import in_this_process, section, sets

from mvc_hf.errors import HostError
from mvc_hf.plugins.classifiers.compare import compare

HELPERS = Path(__file__).parents[2] / "helpers"
SCRIPT = str(HELPERS / "judged_train.py")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return sets(tmp_path_factory.mktemp("sets"))


@pytest.fixture
def made(monkeypatch):
    return in_this_process(monkeypatch)


def test_the_test_images_are_read_once_and_told_one_by_one(root, tmp_path, made, capsys):
    found = compare(section(root, tmp_path, script=SCRIPT, seeds=1))
    runs = tmp_path / "compare" / "runs"
    outcome = json.loads((runs / "real-alone-0.json").read_text())
    assert len(outcome["right"]) == 10 and outcome["updates"] == 6
    assert outcome["top1"] == pytest.approx(10 * outcome["right"].count("1")) == found.rows[0].top1[0]
    assert outcome["right"].count("1") > 5, "light pictures are light"
    log = (runs / "real-alone-0.log").read_text()
    assert log.count("looking at") == 1 and "it talks" in log
    assert "it talks" not in "".join(capsys.readouterr()) and not list(runs.rglob("*.pth.tar"))
    assert all(getattr(h, "stream", None) is None or not h.stream.closed for h in logging.getLogger().handlers)


def test_its_flags_are_timms_and_the_users_come_last(root, tmp_path, made):
    settings = {"script": SCRIPT, "script_flags": "--opt sgd --lr 0.5", "classifier_kwargs": "depth=10 width=1"}
    compare(section(root, tmp_path, seeds=1, **settings))
    flags = json.loads((tmp_path / "compare" / "runs" / "real-alone-0.flags").read_text())["flags"]
    assert flags[flags.index("--input-size") + 1 :][:3] == ["3", "8", "8"]
    assert flags[flags.index("--model-kwargs") + 1 :][:2] == ["depth=10", "width=1"]
    assert "sgd" in flags[flags.index("adamw") :] and "--seed" in flags


def test_another_script_is_another_training(root, tmp_path, made):
    script = tmp_path / "train.py"
    script.write_text(Path(SCRIPT).read_text())
    asked = section(root, tmp_path / "out", script=str(script), seeds=1)
    compare(asked)
    compare(asked)
    assert len(made) == 2
    script.write_text(script.read_text() + "\n# another one\n")
    compare(asked)
    assert len(made) == 4


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"script": str(HELPERS / "minimal_train.py")},
            "has no --val-interval, and would read the test images in every",
        ),
        ({"script": SCRIPT, "script_flags": "--nonsense"}, "refused its flags .* unrecognized arguments: --nonsense"),
        (
            {"script": SCRIPT, "script_flags": "--fail-in 1"},
            r"ended early: ValueError: it broke in the middle; all .*\.log",
        ),
    ],
)
def test_what_it_says_is_kept_and_why_it_ended_is_one_line(root, tmp_path, made, settings, message):
    with pytest.raises(HostError, match=message) as caught:
        compare(section(root, tmp_path, seeds=1, **settings))
    assert "\n" not in str(caught.value)
    assert (tmp_path / "compare" / "runs" / "real-alone-0.log").exists()
