from __future__ import annotations

import dataclasses

import pytest

from mvc_hf.augment.schedules import SCHEDULES
from mvc_hf.comparison.arms import AUGMENTATION_NAMES, SCHEDULE_NAMES
from mvc_hf.config.stages import comparing
from mvc_hf.config.stages.comparing import CompareSettings, SweepSettings, entries, numbers
from mvc_hf.errors import RecipeError


def test_names_are_the_same_everywhere():
    assert set(comparing.SCHEDULES) == set(SCHEDULES) == set(SCHEDULE_NAMES)
    assert tuple(AUGMENTATION_NAMES) == comparing.AUGMENTATIONS


@pytest.mark.parametrize("kind", [CompareSettings, SweepSettings])
def test_every_setting_says_what_it_is_and_has_a_limit_where_it_is_a_number(kind):
    for field in dataclasses.fields(kind):
        about = field.metadata
        assert about["help"] and set(about["on"]) <= {"compare", "sweep"}
        if field.type.split(" ")[0] in ("int", "float"):
            assert about["minimum"] is not None or about["above"] is not None, field.name


def test_lists():
    assert entries("methods", " a , b") == ("a", "b")
    assert numbers("lr", "1e-3,2") == (0.001, 2.0)
    for text, message in (
        ("", "with commas"),
        ("a,,b", "with commas"),
        ("a,a", "'a' twice"),
        (",".join("x" * 1001), "at most"),
    ):
        with pytest.raises(RecipeError, match=message):
            entries("methods", text)
    for text, message in (
        ("a", "no number"),
        ("inf", "not finite"),
        ("nan", "not finite"),
        ("1,1.0", "a number twice"),
    ):
        with pytest.raises(RecipeError, match=message):
            numbers("lr", text)
