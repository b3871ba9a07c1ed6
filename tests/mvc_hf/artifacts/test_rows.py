"""Single rows of a synthetic data set, in a folder or on the Hub."""

import pytest
from pushable import SHARDS, data_set

from mvc_hf.artifacts.rows import find_row
from mvc_hf.errors import DataError
from mvc_hf.publish.push import push


def refused(match, *where):
    with pytest.raises(DataError, match=match) as caught:
        find_row(*map(str, where[:1]), where[1])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("number", [0, 4, 8])
def test_a_row_is_found_by_counting(made, number):
    row = find_row(str(made), number)
    assert (row.number, row["prompt"], row["index"]) == (number, f"caption {number}", number // 3)
    assert row.class_name == ("cat", "dog: a 'b'", "🙂")[number % 3] and row.folder == made
    assert row.image().getpixel((0, 0)) == number and row.made_from["seed"] == 0


def test_rows_that_are_not_there_are_refused(made, tmp_path):
    refused("has no row 9: it has 9, counted from 0", made, 9)
    refused("no data set at 'nothing'", "nothing", 0)
    refused("has no data/train-", tmp_path, 0)


def test_a_missing_shard_is_told(tmp_path):
    folder = data_set(tmp_path / "out")
    (folder / SHARDS[1]).unlink()
    refused(r"lacks data/train-00001-of-00003\.parquet", folder, 0)


@pytest.mark.parametrize("call", ["info", "tree", "paths-info", "resolve", "download"])
@pytest.mark.parametrize("kind", [500, 429, "reset"])
def test_every_request_for_a_row_of_the_hub_is_tried_again(remote, made, call, kind):
    push(made, "ann/set", private=True)
    remote.fail(call, kind, times=2)
    row = find_row("ann/set@main", 4)
    assert row["prompt"] == "caption 4" and row.folder is None


def test_a_hub_that_stays_broken_is_given_up_in_one_line(remote, made):
    push(made, "ann/set")
    remote.fail("download", "reset", times=10_000)
    refused("row 0 of ann/set cannot be read", "ann/set", 0)
