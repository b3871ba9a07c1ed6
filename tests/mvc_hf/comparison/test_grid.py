from __future__ import annotations

import pytest

from mvc_hf.comparison.grid import Cell, cells_of
from mvc_hf.config.recipe import Recipe
from mvc_hf.config.stages.comparing import SweepSettings
from mvc_hf.errors import RecipeError


def test_every_combination_once_and_the_recipes_value_where_there_is_no_list():
    settings = SweepSettings(coarse="0,3", fine="", guidance_scale="1,2.5", aug_ratio="1,4")
    cells = cells_of(settings, Recipe(fine=5, num_inference_steps=11))
    assert len(cells) == len(set(cells)) == 8
    assert cells[0] == Cell(0, 5, 1.0, 11, 1.0) and cells[-1] == Cell(3, 5, 2.5, 11, 4.0)
    assert len({cell.images for cell in cells}) == 4, "ratios share their images"
    assert cells[-1].name == "P=3 Q=5 w=2.5 steps=11 ratio=4" and cells[-1].file == "P-3_Q-5_w-2.5_steps-11_ratio-4"
    assert cells[-1].images.name == "P=3 Q=5 w=2.5 steps=11"
    made = cells[-1].recipe(Recipe(dataset="x"))
    assert (made.coarse, made.fine, made.guidance_scale, made.num_inference_steps, made.dataset) == (
        3,
        5,
        2.5,
        11,
        "x",
    )


def test_limits_are_those_of_the_settings_themselves():
    with pytest.raises(RecipeError, match="--num-inference-steps is 0; it must be at least 1"):
        cells_of(SweepSettings(num_inference_steps="0"), Recipe())
