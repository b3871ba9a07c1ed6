"""Names, settings and classes of methods."""

import subprocess
import sys
from dataclasses import dataclass

import click
import pytest
from dummy_method import NextClass, NextClassConfig

from mvc_hf.config.fields import GENERATE
from mvc_hf.config.recipe import Recipe
from mvc_hf.config.stages.generating import BUILT_IN, METHOD_NAMES
from mvc_hf.errors import RecipeError
from mvc_hf.methods import registry
from mvc_hf.methods.mvc import Mvc, MvcConfig
from mvc_hf.methods.pretrained import Pretrained, PretrainedConfig
from mvc_hf.methods.registry import get_method, register_method


@pytest.fixture(autouse=True)
def own_table(monkeypatch):
    monkeypatch.setattr(registry, "_METHODS", dict(registry._METHODS))
    names = list(METHOD_NAMES)
    yield
    METHOD_NAMES[:] = names


def test_the_built_in_methods():
    mvc, pretrained = get_method("mvc"), get_method("pretrained")
    assert (mvc.cls, mvc.config, mvc.mixes) == (Mvc, MvcConfig, True)
    assert (pretrained.cls, pretrained.config, pretrained.mixes) == (Pretrained, PretrainedConfig, False)
    assert (Mvc.needs_images, Mvc.needs_checkpoint) == (True, True)
    assert (Pretrained.needs_images, Pretrained.needs_checkpoint) == (False, False)


def test_settings_come_from_the_recipe_by_name():
    recipe = Recipe(coarse=3, fine=5, seed=7)
    assert get_method("mvc").config_of(recipe) == MvcConfig(coarse=3, fine=5)
    assert get_method("mvc").own_settings(recipe) == {} == get_method("pretrained").own_settings(recipe)
    assert get_method("pretrained").config_of(recipe) == PretrainedConfig()
    register_method("next-class", NextClassConfig, NextClass)
    assert get_method("next-class").config_of(recipe) == NextClassConfig(seed=7, strength=0.5)
    assert get_method("next-class").own_settings(recipe) == {"strength": 0.5}


def test_a_registered_name_is_one_that_recipes_take():
    with pytest.raises(RecipeError, match="--method is 'next-class'; choose one of mvc, pretrained"):
        Recipe(method="next-class")
    with pytest.raises(RecipeError, match="no method 'next-class'; known are mvc, pretrained"):
        get_method("next-class")
    register_method("next-class", NextClassConfig, NextClass)
    register_method("next-class", NextClassConfig, NextClass)  # a module that is imported again
    assert Recipe(method="next-class").to_dict(GENERATE)["method"] == "next-class"
    with pytest.raises(RecipeError, match="choose one of mvc, pretrained, next-class"):
        Recipe(method="another")


def test_the_command_line_lists_the_built_in_ones():
    from mvc_hf.cli.generate import command

    (option,) = (p for p in command.params if p.name == "method")
    assert isinstance(option.type, click.Choice) and tuple(option.type.choices) == BUILT_IN


class Lacking:
    name, description, needs_images = "lacking", "", False


class Twin(NextClass):
    name = "mvc"


@dataclass
class Empty:
    pass


@pytest.mark.parametrize(
    ("name", "config", "cls", "says"),
    [
        ("mvc", Empty, Twin, "the method 'mvc' is registered already, as Mvc"),
        ("lacking", Empty, Lacking, "the method 'lacking' lacks 'needs_checkpoint'"),
        ("other", Empty, NextClass, "the method 'other' calls itself 'next-class'"),
        ("next-class", dict, NextClass, "settings of the method 'next-class' must be a dataclass"),
    ],
)
def test_what_is_no_method_is_refused_when_it_is_registered(name, config, cls, says):
    with pytest.raises(RecipeError, match=says):
        register_method(name, config, cls)
    assert name not in METHOD_NAMES or name in BUILT_IN


def test_nothing_heavy_is_imported_for_a_name():
    """A card is written without torch."""
    code = """import sys
from mvc_hf.methods.registry import get_method
assert [get_method(n).name for n in ("mvc", "pretrained")] == ["mvc", "pretrained"]
assert not {"torch", "diffusers", "datasets"} & set(sys.modules)"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
