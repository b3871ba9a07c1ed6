"""Which images, and how they are seen: taken by every stage that looks at any."""

import pytest

from mvc_hf.config.fields import CAPTION, FINETUNE, GENERATE
from mvc_hf.config.recipe import Recipe
from mvc_hf.config.stages.data import LONGEST_SIDE, DataSettings, ViewSettings
from mvc_hf.errors import RecipeError


def test_every_stage_takes_the_data_set():
    for stage in (CAPTION, FINETUNE, GENERATE):
        assert set(vars(DataSettings())) <= set(Recipe().to_dict(stage))


def test_how_links_are_followed_does_not_change_what_comes_out():
    assert Recipe(follow_symlinks=True).identity() == Recipe().identity()
    assert Recipe(split="test").identity() != Recipe().identity() != Recipe(label_column="y").identity()


def test_generating_sees_the_images_as_the_checkpoint_did():
    """What the checkpoint records of them is no setting of `generate`."""
    assert not {"fit", "window", "max_images_per_class", "resolution"} & set(Recipe().to_dict(GENERATE))


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"fit": "cut"}, "--fit is 'cut'; choose one of crop, pad, stretch"),
        ({"resolution": 7}, "--resolution is 7; it must be at least 8"),
        ({"resolution": LONGEST_SIDE + 1}, "at most 8,192"),
        ({"max_images_per_class": 0}, "--max-images-per-class is 0; it must be at least 1"),
        ({"max_broken": -1}, "--max-broken is -1; it must be at least 0"),
    ],
)
def test_limits_of_a_view(values, says):
    with pytest.raises(RecipeError, match=says):
        ViewSettings(**values)
