"""Parts of a data set put together."""

import json
import os
import shutil

import pytest
from shard_rows import NAMES, fill, flip, row, split

from mvc_hf.artifacts.shards import ShardedDatasetWriter
from mvc_hf.errors import OutputError
from mvc_hf.generation.generate import complete
from mvc_hf.scaling.join import join
from mvc_hf.storage.manifest import read_manifest


def files(folder):
    """Everything in a folder by name; the card names it, and so is left out."""
    found = {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    return {name: content for name, content in found.items() if name != "README.md"}


@pytest.fixture
def whole(tmp_path):
    made = split(tmp_path / "whole", 10)
    fill(made)
    complete(made)
    return tmp_path / "whole"


def part(folder, *shards, rows=10, **identity):
    fill(split(folder, rows, **identity), only=shards)
    return folder


@pytest.mark.parametrize("shards", [[(0,), (1, 2)], [(2, 1), (0,)], [(1,), (2,), (0,)], [(0, 1), (1, 2)]])
def test_what_is_joined_is_what_one_process_makes(tmp_path, whole, shards):
    parts = [part(tmp_path / f"part-{i}", *of) for i, of in enumerate(shards)]
    before = [files(folder) for folder in parts]
    assert str(join(parts, tmp_path / "joined")) == "10 images of 3 classes in 3 shards"
    assert files(tmp_path / "joined") == files(whole)
    assert [files(folder) for folder in parts] == before  # a shard that is there twice is fine, too


def test_into_one_of_the_parts(tmp_path, whole):
    a, b = part(tmp_path / "a", 0), part(tmp_path / "b", 1, 2)
    join([a, b], a)
    assert files(a) == files(whole)
    join([a, b], a)
    assert files(a) == files(whole)


def test_killed_between_any_two_changes(tmp_path, whole, monkeypatch):
    a, b = part(tmp_path / "a", 1), part(tmp_path / "b", 0, 2)
    replace, left = os.replace, [0]

    def dies(*arguments):
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return replace(*arguments)

    monkeypatch.setattr(os, "replace", dies)
    for number in range(100):
        left[0] = number
        try:
            join([a, b], tmp_path / f"joined-{number}")
            break
        except KeyboardInterrupt:
            left[0] = 10**6
            join([a, b], tmp_path / f"joined-{number}")
        assert files(tmp_path / f"joined-{number}") == files(whole)
    assert 5 < number < 99


def refused(tmp_path, parts, words):
    with pytest.raises(OutputError, match=words):
        join(parts, tmp_path / "joined")
    assert not (tmp_path / "joined").exists()


def test_missing_shards_are_named_as_generate_takes_them(tmp_path):
    refused(tmp_path, [part(tmp_path / "a", 1, rows=30)], "7 of 8 shards are in none .*--shards 0,2:8$")


def test_folders_of_two_recipes(tmp_path):
    parts = [part(tmp_path / "a", 0, 1), part(tmp_path / "b", 2, seed=5)]
    refused(tmp_path, parts, r"no parts of one data set; these differ: seed \(0 → 5\)")
    parts[1] = part(tmp_path / "c", 2, rows=11)
    refused(tmp_path, parts, "these differ: the number of images, how they were extended")


def test_the_same_shard_with_other_bytes(tmp_path):
    a, b, other = part(tmp_path / "a", 0, 1), part(tmp_path / "b", 2), split(tmp_path / "c")
    with other.writer(1) as spool:
        spool.write([row(i + 1) for i in other.rows_of(1)])
    refused(tmp_path, [a, b, other.folder], "train-00001-of-00003.parquet are the same shard with other bytes")


def test_damaged_parts(tmp_path):
    a, b = part(tmp_path / "a", 0, 1), part(tmp_path / "b", 2)
    flip(split(b).path(2))
    with pytest.raises(OutputError, match=r"b/data/train-00002-of-00003\.parquet is not as it was made"):
        join([a, b], tmp_path / "joined")
    assert not read_manifest(tmp_path / "joined")["complete"]
    shutil.rmtree(b)
    join([a, part(b, 2)], tmp_path / "joined")
    assert read_manifest(tmp_path / "joined")["complete"]


@pytest.mark.parametrize("what", ["none", "empty", "file", "foreign"])
def test_what_is_no_part(tmp_path, what):
    place = tmp_path / what
    if what == "file":
        place.write_text("")
    elif what != "none":
        place.mkdir()
    if what == "foreign":
        (place / "manifest.json").write_text(json.dumps({"name": "an app"}))
    refused(tmp_path, [part(tmp_path / "a", 0, 1, 2), place], "no data set|not a manifest|has no")


def test_into_a_folder_of_others(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"thesis\.txt"):
        join([part(tmp_path / "a", 0, 1, 2)], tmp_path / "out")
    assert os.listdir(tmp_path / "out") == ["thesis.txt"]


def test_the_order_of_an_extended_data_set_is_kept(tmp_path):
    """Where classes are of several sizes its rows do not lie as if they had been made at once."""

    def of(folder, counts):
        return ShardedDatasetWriter(folder, {"total": sum(counts)}, sum(counts), 4, NAMES, None, counts)

    for folder in ("a", "b"):
        of(tmp_path / folder, [1, 3, 0])
        of(tmp_path / folder, [4, 4, 0])
    fill(of(tmp_path / "a", [4, 4, 0]), only=[0])
    fill(of(tmp_path / "b", [4, 4, 0]), only=[1])
    assert join([tmp_path / "a", tmp_path / "b"], tmp_path / "joined").parts == [[1, 3, 0], [4, 4, 0]]
    fill(of(tmp_path / "c", [4, 4, 0]), only=[1])
    refused_at = tmp_path / "other"
    with pytest.raises(OutputError, match="how they were extended"):
        join([tmp_path / "a", tmp_path / "c"], refused_at)
