from __future__ import annotations

import json

import pytest

from mvc_hf.config.run_recipe import RunRecipe
from mvc_hf.config.sections import load_section
from mvc_hf.config.stages.comparing import CompareSettings, SweepSettings
from mvc_hf.errors import RecipeError

TEXT = """
dataset: photos
base: org/base
output: flowers
coarse: 3
compare:
  model: wrn_28_2
  augmentations: [none, randaugment]
  lr: [1.0e-3, 0.01]
  seeds: 3
  aug-ratio: 2
  synthetic: {mvc: flowers/synthetic, other set: org/name@main}
sweep:
  coarse: [0, 2]
  fine: 8
"""


def write(tmp_path, text, name="r.yaml"):
    (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path / name


def test_a_section_is_read_with_its_lists_and_its_sets(tmp_path):
    found = load_section(write(tmp_path, TEXT), "compare", CompareSettings)
    assert found.run.folder.name == "flowers" and found.run.recipe.coarse == 3
    settings = found.settings
    assert settings.classifier == "wrn_28_2" and settings.list_of("augmentations") == ("none", "randaugment")
    assert settings.rates == (0.001, 0.01) and settings.seeds == 3 and settings.aug_ratio == 2.0
    assert found.synthetic == {"mvc": "flowers/synthetic", "other set": "org/name@main"}
    swept = load_section(tmp_path / "r.yaml", "sweep", SweepSettings).settings
    assert swept.axis("coarse") == (0, 2) and swept.axis("fine") == (8,) and swept.axis("aug_ratio") == ()


def test_the_command_line_goes_over_the_file(tmp_path):
    given = {"seeds": 7, "lr": "0.1"}
    found = load_section(
        write(tmp_path, TEXT), "compare", CompareSettings, output="out", given=given, synthetic=["x=a=b"]
    )
    assert (found.settings.seeds, found.settings.rates, found.run.output) == (7, (0.1,), "out")
    assert found.settings.classifier == "wrn_28_2" and found.synthetic == {"x": "a=b"}


def test_a_recipe_needs_no_section_and_a_run_passes_over_it(tmp_path):
    bare = write(tmp_path, "dataset: photos\n", "bare.yaml")
    assert load_section(bare, "compare", CompareSettings).settings == CompareSettings()
    assert RunRecipe.load(write(tmp_path, TEXT)).recipe.coarse == 3
    text = json.dumps({"dataset": "photos", "compare": {"seeds": 2}})
    assert load_section(write(tmp_path, text, "r.json"), "compare", CompareSettings).settings.seeds == 2


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ("compare: 5", "compare is a section of the recipe, not 5"),
        ("compare: [1]", "compare is a section"),
        ("compar: {seeds: 1}", "unknown setting 'compar'; did you mean 'compare'"),
        ("compare: {sedes: 1}", "unknown setting 'sedes'; did you mean 'seeds'"),
        ("compare: {model: a, classifier: b}", "gives classifier twice"),
        ("compare: {seeds: [1, 2]}", "--seeds takes a value of type int"),
        ("compare: {seeds: many}", "--seeds takes a value of type int"),
        ("compare: {lr: [[1]]}", "give one value, or a list of them"),
        ("compare: {lr: [true]}", "give one value, or a list of them"),
        ("compare: {schedules: []}", "with commas between"),
        ("compare: {synthetic: [a]}", "write a name and a data set for each"),
        ("compare: {synthetic: {'<b>': a}}", "a name in the table has"),
        ("compare: {synthetic: {a: 5}}", "give a folder, Parquet or Hub id"),
        ("compare: {synthetic: {a: ''}}", "give a folder, Parquet or Hub id"),
        ("compare: {seeds: 1, seeds: 2}", "twice"),
        ("compare: {a: {b: {c: {d: {e: {f: {g: {h: {i: 1}}}}}}}}}", "nested too deep|unknown setting"),
    ],
)
def test_what_is_wrong_in_it_is_one_line(tmp_path, section, message):
    with pytest.raises(RecipeError, match=message) as caught:
        load_section(write(tmp_path, f"dataset: x\n{section}\n"), "compare", CompareSettings)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("given", ["mvc", "=x", "mvc=", "a/b=x", "\u202e=x", "x" * 41 + "=y"])
def test_named_sets_have_names(tmp_path, given):
    with pytest.raises(RecipeError):
        load_section(write(tmp_path, TEXT), "compare", CompareSettings, synthetic=[given])
    with pytest.raises(RecipeError, match="twice"):
        load_section(tmp_path / "r.yaml", "compare", CompareSettings, synthetic=["a=x", "a=y"])
