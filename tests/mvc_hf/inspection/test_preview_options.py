"""What a preview shows: classes by number or name, and pairs of P and Q."""

import numpy as np
import pytest

from mvc_hf.config.recipe import Recipe
from mvc_hf.errors import RecipeError
from mvc_hf.inspection.preview_options import choose_classes, choose_settings


def test_classes_are_found_by_either_spelling_and_need_images():
    names, used = ["caf\u00e9", "cafe\u0301 noir", "tea", "milk"], np.array([True, True, False, True])
    assert choose_classes(["cafe\u0301", "caf\u00e9 noir"], names, used).tolist() == [0, 1]
    assert choose_classes(["10"], names, used).tolist() == [0, 1, 3]
    assert choose_classes(["2"], names, used).tolist() == [0, 3]
    with pytest.raises(RecipeError, match="class 'tea' has no images"):
        choose_classes(["tea"], names, used)
    with pytest.raises(RecipeError, match="no class 'cafe\u00e9'; did you mean"):
        choose_classes(["cafee\u0301"], names, used)


@pytest.mark.parametrize(
    ("wanted", "labels"),
    [
        (["2"], [0, 5]),
        (["3"], [0, 2, 5]),
        (["1"], [0]),
        (["100"], [0, 1, 2, 3, 4, 5]),
        (["cat"], [0]),
        (["dog,cat", "dog"], [1, 0]),
        (["a, b"], [2]),
        ([" dog , a, b"], None),
        (["7,"], [3]),
        (["7", "cat"], [3, 0]),
    ],
)
def test_classes_by_number_and_name(wanted, labels):
    names = ("cat", "dog", "a, b", "7", "café", "x")
    if labels is None:
        with pytest.raises(RecipeError, match="no class 'a'"):
            choose_classes(wanted, names)
    else:
        assert choose_classes(wanted, names).tolist() == labels


def test_settings_of_a_text():
    own = Recipe(coarse=4, fine=1)
    assert choose_settings(own, None) == ((0, 0), (4, 1), (8, 8), (2, 32))
    assert choose_settings(Recipe(coarse=0, fine=0), None) == ((0, 0), (8, 8), (2, 32))
    assert choose_settings(own, " 1,2;3 , 4 1,2 ") == ((1, 2), (3, 4))
