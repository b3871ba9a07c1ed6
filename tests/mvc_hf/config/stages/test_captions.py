"""Where captions come from, and which of it decides what a run is."""

import pytest

from mvc_hf.config.fields import CAPTION, FINETUNE, GENERATE
from mvc_hf.config.recipe import Recipe
from mvc_hf.config.run_recipe import RunRecipe
from mvc_hf.config.stages.captions import CaptionModelSettings, CaptionSettings
from mvc_hf.errors import RecipeError


@pytest.mark.parametrize(
    "more",
    [
        {"caption_model": "org/other"},
        {"captions_per_image": 3},
        {"caption_prompt": "a photo of"},
        {"caption_max_new_tokens": 9},
        {"keep_duplicates": True},
    ],
)
def test_what_the_model_wrote_stands_for_its_settings(more):
    """A caption file and the captioner that made it are the same run."""
    assert Recipe(captions="blip2", **more).identity(FINETUNE) == Recipe(captions="blip2").identity(FINETUNE)


def test_the_source_and_the_limit_are_part_of_what_a_run_is():
    mine = Recipe().identity(FINETUNE)
    assert Recipe(captions="blip2").identity(FINETUNE) != mine != Recipe(max_captions_per_class=1).identity(FINETUNE)


def test_they_have_a_second_name_and_belong_to_the_stages_that_caption():
    assert RunRecipe.from_dict({"captioner": "blip2"}) == RunRecipe.from_dict({"captions": "blip2"})
    names = {*vars(CaptionSettings()), *vars(CaptionModelSettings())}
    assert names <= set(Recipe().to_dict(FINETUNE)) and not names & set(Recipe().to_dict(GENERATE))
    assert names - set(Recipe().to_dict(CAPTION)) == {"max_captions_per_class"}  # a file keeps all of them


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"captions_per_image": 0}, "--captions-per-image is 0; it must be at least 1"),
        ({"captions_per_image": 1001}, "at most 1,000"),
        ({"caption_max_new_tokens": 501}, "--caption-max-new-tokens is 501; it must be at most 500"),
        ({"caption_batch_size": 129}, "--caption-batch-size is 129; it must be at most 128"),
    ],
)
def test_limits_of_the_model(values, says):
    with pytest.raises(RecipeError, match=says):
        CaptionModelSettings(**values)


def test_a_batch_of_captions_fits_into_a_piece_of_the_cache():
    from mvc_hf.captions.cache import PIECE

    assert CaptionModelSettings(caption_batch_size=PIECE).caption_batch_size == PIECE
