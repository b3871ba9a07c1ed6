"""Which launches a training goes with."""

import pytest

from mvc_hf.config.recipe import Recipe
from mvc_hf.errors import RecipeError
from mvc_hf.training.setup.accelerator import ENGINES, accelerator_of


@pytest.mark.parametrize("name", ENGINES)
def test_engines_that_take_the_model_apart_are_refused_in_one_line(monkeypatch, name):
    monkeypatch.setenv(name, "true")
    with pytest.raises(RecipeError, match=r"does not run under .*launch without it.*--lora-rank") as caught:
        accelerator_of(Recipe())
    assert "\n" not in str(caught.value)
    monkeypatch.setenv(name, "false")
    accelerator_of(Recipe())


def test_the_recipe_decides_whatever_the_launcher_has_been_configured_to(monkeypatch):
    """`accelerate config` asks for precision, accumulation and a compiler, and `accelerate launch` hands them on."""
    monkeypatch.setenv("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "7")
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    monkeypatch.setenv("ACCELERATE_DYNAMO_BACKEND", "INDUCTOR")
    accelerator = accelerator_of(Recipe(gradient_accumulation_steps=2))
    assert accelerator.gradient_accumulation_steps == 2 and accelerator.mixed_precision == "no"
    assert accelerator.state.dynamo_plugin.backend == "NO"
