import dataclasses

import pytest

from mvc_hf.config.assessing import AssessSettings
from mvc_hf.errors import RecipeError


def test_defaults_are_within_their_limits():
    settings = AssessSettings()
    assert settings.folds == 5 and settings.neighbours == 5 and settings.features is None


@pytest.mark.parametrize(
    ("name", "value", "limit"),
    [("folds", 1, "at least 2"), ("neighbours", 1, "at least 2"), ("batch_size", 0, "at least 1"),
     ("fit", "cut", "crop"),
     ("block_size", 1 << 20, "at most 65,536"), ("feature_size", 4, "at least 8"), ("seed", -1, "at least 0"),
     ("classifier_steps", 0, "at least 1"), ("features", 5, "type str")],
)  # fmt: skip
def test_what_is_out_of_range_names_flag_and_limit(name, value, limit):
    with pytest.raises(RecipeError, match=f"--{name.replace('_', '-')}.*{limit}"):
        dataclasses.replace(AssessSettings(), **{name: value})
