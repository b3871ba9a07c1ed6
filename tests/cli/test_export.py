"""mvc-hf export, as it is typed; and what is said quietly, or as JSON."""

import json

import judged
import numpy as np
import pytest

from mvc_hf import cli
from mvc_hf.utils import progress

LABELS = np.repeat([0, 1, 2], 4)


@pytest.fixture
def made(tmp_path):
    return str(judged.split(tmp_path / "made", judged.pictures(LABELS, 1), LABELS))


def test_typed(made, tmp_path, capsys):
    arguments = ["export", made, "-o", str(tmp_path / "out"), "--where", "label == 1", "--max-per-class", "2"]
    assert cli.run(arguments) == 0 == cli.run(arguments)
    out, err = capsys.readouterr()
    assert out.splitlines()[0].endswith("out: 2 images of 1 class (2 synthetic)")
    assert "--where leaves 4 of 12 images" in err


def test_quiet(made, tmp_path, capsys, monkeypatch):
    for name in (progress.QUIET, *progress.CLIENTS):
        monkeypatch.setenv(name, "0")
    assert cli.run(["--quiet", "export", made, "-o", str(tmp_path / "out"), "--where", "label == 1"]) == 0
    out, err = capsys.readouterr()
    assert "4 images" in out and err == ""


def test_a_plan_as_json(tmp_path, photos, tiny_base, capsys):
    recipe = tmp_path / "recipe.json"
    settings = {"dataset": str(photos), "base": str(tiny_base), "captioner": "template", "images_per_class": 2}
    settings |= {
        "max_train_steps": 2,
        "train_batch_size": 2,
        "num_inference_steps": 2,
        "output": str(tmp_path / "out"),
    }
    recipe.write_text(json.dumps(settings))
    assert cli.run(["plan", str(recipe), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [stage["name"] for stage in found["stages"]] == ["caption", "encode", "finetune", "generate"]
    assert found["seconds"][0] <= found["seconds"][1] and found["memory"] > 0 and found["disk"]


def test_json_of_a_budget_is_refused(capsys):
    assert cli.run(["compare", "recipe.yaml", "--budget", "--json"]) == 2
    assert "--budget compares nothing" in capsys.readouterr().err
