"""P, Q and the pairs of fine-tuning."""

import numpy as np
import pytest

from mvc_hf import mixing
from mvc_hf.config.fields import FINETUNE, GENERATE
from mvc_hf.config.recipe import Recipe
from mvc_hf.config.stages.mixing import MixingSettings
from mvc_hf.errors import RecipeError


def test_both_stages_mix_and_only_training_pairs():
    assert {"coarse", "fine", "pairing"} <= set(Recipe().to_dict(FINETUNE))
    assert "pairing" not in Recipe().to_dict(GENERATE) and {"coarse", "fine"} <= set(Recipe().to_dict(GENERATE))


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"coarse": -1}, "--coarse is -1; it must be at least 0"),
        ({"coarse": 1025}, "--coarse is 1025; it must be at most 1,024"),
        ({"fine": 4097}, "--fine is 4097; it must be at most 4,096"),
        ({"pairing": "any"}, "--pairing is 'any'; choose one of same-class, self"),
    ],
)
def test_limits(values, says):
    with pytest.raises(RecipeError, match=says):
        MixingSettings(**values)


def test_the_largest_mix_can_be_planned():
    most = MixingSettings(coarse=1024, fine=4096)
    plans = mixing.plan(
        0, 0, np.arange(1), pool_start=0, pool_size=9, tokens=77, width=768, coarse=most.coarse, fine=most.fine
    )
    assert plans.coarse.shape == (1, 1024, 3) and plans.fine.shape == (1, 4096, 4)
