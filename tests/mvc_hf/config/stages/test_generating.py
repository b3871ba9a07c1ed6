"""What is generated: one word on how many, and a scheduler and a method that there are."""

import pytest

from mvc_hf.config.fields import FINETUNE, GENERATE
from mvc_hf.config.recipe import Recipe
from mvc_hf.config.stages.generating import BUILT_IN, METHOD_NAMES, MOST_IMAGES, GenerateSettings
from mvc_hf.errors import RecipeError


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"total": 9, "per_image": 2}, "--total and --per-image each say how many images to make: give one of them"),
        ({"images_per_class": 9, "total": 9}, "--images-per-class and --total each say"),
        ({"balance": True}, "--balance goes with --total"),
        ({"balance": True, "per_image": 2}, "--balance goes with --total"),
        ({"per_image": 0}, "--per-image is 0; it must be at least 1"),
        ({"total": MOST_IMAGES + 1}, "--total is 100000001; it must be at most 100,000,000"),
        ({"guidance_scale": -0.5}, "--guidance-scale is -0.5; it must be at least 0"),
        ({"num_inference_steps": 1001}, "--num-inference-steps is 1001; it must be at most 1,000"),
        ({"scheduler": "Sampler9000"}, "--scheduler 'Sampler9000'"),
        ({"scheduler": "DDIMSchedular"}, "did you mean DDIMScheduler"),
        ({"method": "mixup"}, "--method is 'mixup'; choose one of mvc, pretrained"),
    ],
)
def test_what_is_refused(values, says):
    with pytest.raises(RecipeError, match=says):
        GenerateSettings(**values)


@pytest.mark.parametrize("values", [{}, {"total": 7, "balance": True}, {"per_image": 1}, {"images_per_class": 1}])
def test_each_way_to_say_how_many(values):
    assert {name: getattr(GenerateSettings(**values), name) for name in values} == values


def test_how_many_at_a_time_changes_no_row_and_belongs_to_no_training():
    assert Recipe(batch_size=1).identity(GENERATE) == Recipe().identity(GENERATE)
    assert Recipe(shard_size=5).identity(GENERATE) != Recipe().identity(GENERATE)  # of which files it consists
    assert not set(vars(GenerateSettings())) & set(Recipe().to_dict(FINETUNE))


def test_the_built_in_methods_are_known():
    assert set(BUILT_IN) <= set(METHOD_NAMES) and GenerateSettings().method == BUILT_IN[0]
