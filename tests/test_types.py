"""Types: of the whole package as it is installed, and of a script that uses it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("mypy")

ROOT = Path(__file__).parents[1]

RIGHT = """\
import numpy as np
import mvc_hf
recipe = mvc_hf.Recipe(dataset="photos", base="org/base", coarse=2, guidance_scale=2.0, total=None)
made = mvc_hf.finetune(recipe, "checkpoint")
print(made.class_names[0].upper(), made.resolution + 1)
print(mvc_hf.generate(recipe, "checkpoint", "synthetic").rows + 1)
assert mvc_hf.replay("synthetic", 3, condition_data="photos").matches
found = mvc_hf.assess("synthetic", "photos", settings=mvc_hf.AssessSettings(folds=3))
print(found.figures["overall"], found.save("report").name.upper())
mixed = mvc_hf.mix_datasets("photos", ["synthetic"], schedule="rsp", prob=0.5, filter="copy_ratio > 0.5")
mixed.set_epoch(int(mixed.samples()[0]))
plans = mvc_hf.mixing.plan(0, 1, np.arange(3), pool_start=0, pool_size=9, tokens=77, width=768, coarse=2, fine=8)
"""

# One mistake a line, and the words of the type checker that name it.
WRONG = {
    "import mvc_hf": "",
    "recipe = mvc_hf.Recipe(coarse='two')": 'Argument "coarse" to "Recipe"',
    "mvc_hf.Recipe(learning_rte=0.1)": 'Unexpected keyword argument "learning_rte"',
    "mvc_hf.finetune('photos', 'out')": 'Argument 1 to "finetune"',
    "mvc_hf.generate(recipe, 'checkpoint', 5)": 'Argument 3 to "generate"',
    "mvc_hf.mix_datasets('photos', 'made', prob='half')": 'Argument "prob" to "mix_datasets"',
    "mvc_hf.assess('made', ['photos'])": 'Argument 2 to "assess"',
    "mvc_hf.AssessSettings(fold=3)": 'Unexpected keyword argument "fold"',
    "mvc_hf.replay('made', [3])": 'Argument 2 to "replay"',
    "mvc_hf.open_dataset('photos').labels.upper()": 'has no attribute "upper"',
    "mvc_hf.mixing.plan(0, 1, 'a', pool_start=0, pool_size=9, tokens=1, width=1, coarse=2, fine=8)": 'to "plan"',
    "mvc_hf.Recipes": 'has no attribute "Recipes"',
}


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    """What mypy says, a line each, of the package as an installation lays it out, and of two scripts beside it."""
    place = tmp_path_factory.mktemp("types")
    package = place / "mvc_hf"
    package.mkdir()
    for path in [*(ROOT / "mvc_hf").iterdir(), ROOT / "cli", ROOT / "plugins"]:
        (package / path.name).symlink_to(path)
    (place / "right.py").write_text(RIGHT, encoding="utf-8")
    (place / "wrong.py").write_text("\n".join(WRONG) + "\n", encoding="utf-8")
    options = ["--config-file", ROOT / "setup.cfg", "--cache-dir", place / "cache", "--no-error-summary"]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *options, "mvc_hf", "right.py", "wrong.py"],
        cwd=place, capture_output=True, text=True,
    )  # fmt: skip
    assert not done.stderr and done.returncode == 1, done.stderr or done.stdout
    return done.stdout.splitlines()


def test_the_package_passes(said):
    assert [line for line in said if not re.match(r"(right|wrong)\.py:", line)] == []


def test_a_script_with_right_types_passes(said):
    assert [line for line in said if line.startswith("right.py:")] == []


@pytest.mark.parametrize(("number", "line"), enumerate(WRONG, 1), ids=lambda value: str(value))
def test_a_wrong_type_is_reported_where_it_is(said, number, line):
    found = [message for message in said if message.startswith(f"wrong.py:{number}:")]
    assert any(WRONG[line] in message for message in found) if WRONG[line] else not found, found
