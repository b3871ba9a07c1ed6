"""More rows into a data set that is there."""

import itertools
import os

import pytest
from shard_rows import content, fill, flip, row, split

from mvc_hf.artifacts import growing
from mvc_hf.artifacts.shards import ShardedDatasetWriter
from mvc_hf.errors import OutputError
from mvc_hf.storage.layout import RECORDS
from mvc_hf.storage.manifest import read_manifest

SIZES = (3, 4, 5, 8, 10, 11, 12, 13)


def finished(folder, rows):
    made = split(folder, rows)
    fill(made)
    made.finish()
    return made


@pytest.mark.parametrize(("before", "after"), list(itertools.combinations(SIZES, 2)))
def test_whole_shards_keep_their_bytes_and_the_others_their_rows(tmp_path, before, after):
    made = finished(tmp_path / "out", before)
    old = [made.path(i).read_bytes() for i in range(before // 4)]
    again = split(tmp_path / "out", after)
    assert again.missing() == list(range(before // 4, -(-after // 4)))
    assert not read_manifest(tmp_path / "out")["complete"]
    for shard in again.missing():
        with again.writer(shard) as spool:
            start, done = 4 * shard, before - before % 4
            assert spool.rows == (before % 4 if start == done else 0)  # nothing is made twice
            spool.write([row(i) for i in again.rows_of(shard)[spool.rows :]])
    again.finish()
    assert [again.path(i).read_bytes() for i in range(before // 4)] == old
    assert content(tmp_path / "out") == content(finished(tmp_path / "whole", after).folder)
    assert sorted(p.name for p in (tmp_path / "out" / "data").iterdir()) == [
        again.path(i).name for i in range(-(-after // 4))
    ]
    assert len(list((tmp_path / "out" / RECORDS).iterdir())) == -(-after // 4) + 1
    assert split(tmp_path / "out", after).missing() == []


def test_killed_between_any_two_changes_of_the_folder(tmp_path, monkeypatch):
    """From 6 rows to 11, and then to 14: every state between is one that the last command goes on from."""
    changes, limit = [], [0]

    def counted(function):
        def change(*arguments, **options):
            changes.append(function)
            if len(changes) > limit[0]:
                raise KeyboardInterrupt
            return function(*arguments, **options)

        return change

    whole = content(finished(tmp_path / "whole", 14).folder)
    for module, name in ((os, "replace"), (os, "mkdir"), (os, "unlink"), (os, "truncate"), (os, "fsync")):
        monkeypatch.setattr(module, name, counted(getattr(module, name)))
    done, number = False, 0
    while not done:
        out = tmp_path / f"out-{number}"
        limit[0] = 10**9
        finished(out, 6)
        changes.clear()
        limit[0] = number
        try:
            finished(out, 11)
            done = True
        except KeyboardInterrupt:
            limit[0] = 10**9
            if number % 2:
                finished(out, 11)
        limit[0] = 10**9
        finished(out, 14)
        assert content(out) == whole
        assert read_manifest(out)["complete"] and not list((out / "data").glob(".*"))
        number += 1
    assert number > 10


def test_a_beginning_that_is_damaged_is_made_again(tmp_path, capsys):
    finished(tmp_path / "out", 6)
    again = split(tmp_path / "out", 11)
    assert again.missing() == [1, 2]
    flip(growing.beside(again.path(1), growing.BEGUN))
    with again.writer(1) as spool:
        assert spool.rows == 0
        spool.write([row(i) for i in again.rows_of(1)])
    assert "its rows are made again" in capsys.readouterr().err


def test_unfinished_runs_grow_too(tmp_path):
    made = split(tmp_path / "out", 10)
    fill(made, only=[0, 2])
    with pytest.raises(KeyboardInterrupt), made.writer(1) as spool:
        spool.write([row(4), row(5)])
        raise KeyboardInterrupt
    again = split(tmp_path / "out", 20)
    assert again.missing() == [1, 2, 3, 4]
    with pytest.raises(KeyboardInterrupt), again.writer(1) as spool:
        assert spool.rows == 2
        raise KeyboardInterrupt
    fill(again)
    again.finish()
    assert content(tmp_path / "out") == content(finished(tmp_path / "whole", 20).folder)


@pytest.mark.parametrize("lost", ["manifest.json", f"{RECORDS}/{growing.LAYOUT}", "both"])
def test_the_order_of_the_rows_is_known_as_long_as_one_note_of_it_is_left(tmp_path, lost):
    finished(tmp_path / "out", 6)
    finished(tmp_path / "out", 10)
    for name in ("manifest.json", f"{RECORDS}/{growing.LAYOUT}") if lost == "both" else (lost,):
        (tmp_path / "out" / name).write_bytes(b"{")
    again = split(tmp_path / "out", 10)
    assert again.missing() == ([0, 1, 2] if lost == "both" else [])
    assert again.parts == ([[10]] if lost == "both" else [[6], [10]])


def test_fewer_rows_are_refused_and_nothing_is_changed(tmp_path):
    made = finished(tmp_path / "out", 10)
    with pytest.raises(OutputError, match="of 10 images, and this asks for 9: what is there is never taken away"):
        split(tmp_path / "out", 9)
    assert read_manifest(made.folder)["complete"] and made.missing() == []


def test_every_class_counts_for_itself(tmp_path):
    def of(counts):
        return ShardedDatasetWriter(tmp_path / "out", {"total": sum(counts)}, sum(counts), 4, "ab", None, counts)

    of([1, 3])
    with pytest.raises(OutputError, match="3 images of 'b', and this asks for 2"):
        of([4, 2])
    assert of([4, 3]).parts == [[1, 3], [4, 3]]
    assert of([4, 3]).parts == [[1, 3], [4, 3]]
