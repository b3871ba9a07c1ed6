"""Which shards one command makes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mvc_hf.errors import RecipeError
from mvc_hf.generation.selection import ShardRange, Share, as_range


@pytest.mark.parametrize(
    ("text", "chosen"),
    [
        ("0:3", [0, 1, 2]), ("3,7", [3, 7]), ("7,3,3", [3, 7]), ("8:", [8, 9]), (":2", [0, 1]), (":", list(range(10))),
        ("0:2, 9", [0, 1, 9]), ("9", [9]),
    ],
)  # fmt: skip
def test_ranges_are_half_open_as_in_python(text, chosen):
    assert ShardRange(text).of(10) == chosen


@pytest.mark.parametrize("text", ["", ",", "a", "3:3", "5:2", "-1", "1:2:3", "1,", "0x1", "1.5", "²", "9" * 30, "1-3"])
def test_other_texts_are_refused_before_anything_is_loaded(text):
    with pytest.raises(RecipeError, match="give ranges as 0:50"):
        ShardRange(text)


@pytest.mark.parametrize("text", ["10", "0:11", "10:", "3,12"])
def test_numbers_outside_of_the_shards_are_refused(text):
    with pytest.raises(RecipeError, match="the data set has 10 shards: 0 to 9"):
        ShardRange(text).of(10)


@given(st.lists(st.integers(0, 200), min_size=1, unique=True))
def test_what_is_said_of_missing_shards_can_be_given_back(shards):
    assert ShardRange(as_range(shards)).of(201) == sorted(shards)


@given(st.integers(0, 300), st.integers(1, 40))
def test_the_shares_of_all_tasks_are_all_shards(count, tasks):
    shares = [Share(rank, tasks).of(count) for rank in range(tasks)]
    assert [shard for share in shares for shard in share] == list(range(count))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
