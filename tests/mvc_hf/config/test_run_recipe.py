"""A recipe file of a whole run: its settings by the names of the flags, and whose folder it writes to."""

import json
from pathlib import Path

import pytest

from mvc_hf import cli
from mvc_hf.cli.executor_options import OPTIONS
from mvc_hf.config.run_recipe import RunRecipe
from mvc_hf.errors import OutputError, RecipeError


# The file
@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"guidence-scale": 2}, "unknown setting 'guidence_scale'; did you mean 'guidance_scale'?"),
        ({"ouput": "x"}, "unknown setting 'ouput'; did you mean 'output'?"),
        ({"push-to-hug": True}, "did you mean 'push_to_hub'?"),
        ({"batch-size": 1, "batch_size": 2}, "batch_size is given twice, the second time as 'batch_size'"),
        ({"captions": "template", "captioner": "blip2"}, "captions is given twice"),
        ({"output": 3}, "--output takes a value of type str, not 3"),
        ({"push-to-hub": "yes"}, "--push-to-hub takes a value of type bool, not 'yes'"),
        ({"private": True}, "private goes with push_to_hub"),
        ({"hub-model-id": "a/b"}, "hub_model_id goes with push_to_hub"),
        ({"model": "m", "push-to-hub": True, "hub-model-id": "a/b"}, "model and hub_model_id are at odds"),
        ({"coarse": -1}, "--coarse is -1; it must be at least 0"),
        ({1: 2}, "unknown setting '1'"),
    ],
)
def test_bad_settings(values, says):
    with pytest.raises(RecipeError) as error:
        RunRecipe.from_dict(values)
    assert says in str(error.value)


OF_A_PLACE = {"--shards", *(name for name, _ in OPTIONS)}  # which machine makes what, and how: no part of a data set


def test_every_flag_of_the_commands_is_a_setting():
    import click

    for name in ("caption", "finetune", "generate"):
        for parameter in cli.group.get_command(click.Context(cli.group), name).params:
            for option in parameter.opts if isinstance(parameter, click.Option) else ():
                if option.startswith("--") and option not in OF_A_PLACE:
                    value = {option[2:]: _some_value(option, parameter)}
                    with_others = {"--balance": {"total": 5}, "--lora-keep-adapter": {"lora_rank": 4}}.get(option, {})
                    RunRecipe.from_dict({"push-to-hub": True} | with_others | value)


def _some_value(option, parameter):
    if option in ("--output", "--scheduler"):
        return {"--scheduler": "DDIMScheduler"}.get(option, "x")
    kind = parameter.type.name
    known = {"integer": 8, "float": 0.1, "boolean": True, "choice": getattr(parameter.type, "choices", [""])[0]}
    return known.get(kind, "x")


def test_numbers_as_people_write_them(tmp_path):
    (tmp_path / "r.yaml").write_text("learning-rate: 5e-5\nadam_epsilon: 1E-8\nguidance_scale: 2\ncaptioner: blip2\n")
    recipe = RunRecipe.load(tmp_path / "r.yaml").recipe
    assert (recipe.learning_rate, recipe.adam_epsilon, recipe.guidance_scale) == (5e-5, 1e-8, 2.0)
    assert recipe.captions == "blip2"
    (tmp_path / "r.json").write_text(json.dumps({"learning-rate": 5e-5, "captioner": "blip2"}))
    assert RunRecipe.load(tmp_path / "r.json").recipe.learning_rate == 5e-5


def test_no_code_in_a_file(tmp_path):
    (tmp_path / "r.yaml").write_text("output: !!python/object/apply:os.getcwd []")
    with pytest.raises(RecipeError, match="not valid YAML"):
        RunRecipe.load(tmp_path / "r.yaml")
    (tmp_path / "r.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RecipeError, match="not text in UTF-8"):
        RunRecipe.load(tmp_path / "r.yaml")


def test_the_recipe_of_the_docs(tmp_path):
    text = (Path(__file__).parents[3] / "docs" / "recipes.md").read_text(encoding="utf-8")
    (tmp_path / "r.yaml").write_text(text.partition("```yaml\n")[2].partition("```")[0])
    found = RunRecipe.load(tmp_path / "r.yaml")
    assert found.output == "flowers" and found.recipe.captions == "blip2" and found.recipe.guidance_scale == 2.0


def test_dashes_underscores_and_aliases_are_the_same_setting():
    found = RunRecipe.from_dict({"batch-size": 3, "num_inference_steps": 7, "captioner": "blip2", "output": "x"})
    assert (found.recipe.batch_size, found.recipe.num_inference_steps, found.recipe.captions) == (3, 7, "blip2")
    assert (found.output, found.model, found.push_to_hub) == ("x", "", False)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({}, "no output folder: give it in the recipe"),
        ({"output": "new"}, "no data set"),
        ({"output": "new", "dataset": "photos"}, "no base model"),
    ],
)
def test_what_some_stage_will_need_is_asked_for_first(tmp_path, monkeypatch, values, says):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RecipeError, match=says):
        RunRecipe.from_dict(values).check()


def test_a_finished_model_needs_neither_data_nor_base(tmp_path):
    RunRecipe.from_dict({"output": str(tmp_path / "new"), "model": "org/name"}).check()


@pytest.mark.parametrize("there", [[], ["recipe.yaml", ".hidden"], ["checkpoint", "notes.txt"], ["captions.parquet"]])
def test_a_new_folder_or_one_that_a_run_has_begun_is_taken(tmp_path, there):
    for name in there:
        (tmp_path / name).touch()
    RunRecipe.from_dict({"output": str(tmp_path), "model": "org/name"}).check()


def test_somebody_elses_folder_is_refused(tmp_path):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(OutputError, match=r"holds 'thesis\.tex' and nothing of mvc-hf run"):
        RunRecipe.from_dict({"output": str(tmp_path), "model": "org/name"}).check()
    with pytest.raises(OutputError, match=r"thesis\.tex is a file: choose a folder"):
        RunRecipe.from_dict({"output": str(tmp_path / "thesis.tex"), "model": "org/name"}).check()


def test_the_data_may_lie_beside_what_the_run_makes(tmp_path):
    (tmp_path / "photos").mkdir()
    values = {"output": str(tmp_path), "base": "org/name"}
    RunRecipe.from_dict(values | {"dataset": str(tmp_path / "photos")}).check()
    with pytest.raises(OutputError, match="holds 'photos'"):
        RunRecipe.from_dict(values | {"dataset": "org/photos"}).check()
