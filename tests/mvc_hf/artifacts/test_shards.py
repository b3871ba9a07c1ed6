import errno
import os
import shutil

import datasets
import pyarrow.parquet as pq
import pytest
from shard_rows import NAMES, content, fill, flip, row, split

from mvc_hf.artifacts.schema import ROW_GROUP
from mvc_hf.errors import OutputError
from mvc_hf.storage.layout import RECORDS
from mvc_hf.storage.manifest import read_manifest


def test_rows_come_back_through_plain_datasets(tmp_path):
    made = split(tmp_path / "out")
    fill(made)
    made.finish()
    found = datasets.load_dataset(str(tmp_path / "out"), split="train")
    assert found.features["label"].names == list(NAMES)
    assert [found[i]["prompt"] for i in range(10)] == [f"caption {i}" for i in range(10)]
    assert found[3]["image"].getpixel((0, 0)) == 3
    assert found[3]["mix"] == row(3)["mix"] and found[3]["condition"] is None
    streamed = datasets.load_dataset(str(tmp_path / "out"), split="train", streaming=True)
    assert [r["label"] for r in streamed] == found["label"]


@pytest.mark.parametrize("lost", [0, 1, 100, 10**6])
def test_killed_run_goes_on_and_ends_the_same(tmp_path, lost):
    """Also where the last bytes did not reach the disk."""
    whole, broken = split(tmp_path / "whole"), split(tmp_path / "broken")
    fill(whole)
    fill(broken, only=[1])
    with pytest.raises(KeyboardInterrupt), broken.writer(0) as spool:
        for i in range(3):
            spool.write([row(i)])
        raise KeyboardInterrupt
    os.truncate(spool.path, max(0, spool.path.stat().st_size - lost))
    again = split(tmp_path / "broken")
    assert again.missing() == [0, 2]
    with pytest.raises(KeyboardInterrupt), again.writer(0) as spool:
        assert spool.rows == {0: 3, 1: 2, 100: 2, 10**6: 0}[lost]
        raise KeyboardInterrupt
    fill(again)
    assert content(tmp_path / "whole") == content(tmp_path / "broken")
    assert {p.name for p in (tmp_path / "broken" / "data").iterdir()} == {again.path(i).name for i in range(3)}


def test_spool_of_another_recipe_is_not_taken_for_ours(tmp_path):
    other, made = split(tmp_path / "other", fine=1), split(tmp_path / "out")
    with pytest.raises(KeyboardInterrupt), other.writer(0) as spool:
        spool.write([row(0)])
        raise KeyboardInterrupt
    shutil.copy(spool.path, made.path(0).with_name(spool.path.name))
    with made.writer(0) as spool:
        assert spool.rows == 0
        spool.write([row(i) for i in range(4)])


def test_full_disk_loses_nothing_that_was_finished(tmp_path, monkeypatch):

    made = split(tmp_path / "out")
    fill(made, only=[0])

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(pq.ParquetWriter, "write_table", full)
        with pytest.raises(OSError, match="No space"):
            fill(made)
    again = split(tmp_path / "out")
    assert again.missing() == [1, 2]
    fill(again)
    assert len(content(tmp_path / "out")["label"]) == 10


def test_rows_are_written_group_by_group(tmp_path):

    made = split(tmp_path / "out", rows=2 * ROW_GROUP + 1, shard_size=1000)
    fill(made)
    found = pq.read_metadata(made.path(0))
    assert [found.row_group(i).num_rows for i in range(found.num_row_groups)] == [ROW_GROUP, ROW_GROUP, 1]


def test_folder_of_another_recipe_is_refused_by_field(tmp_path):
    fill(split(tmp_path / "out", fine=8))
    with pytest.raises(OutputError, match=r"these differ: fine \(8 → 9\)"):
        split(tmp_path / "out", fine=9)


def test_folder_that_is_not_ours_is_left_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"'notes\.txt' and no manifest\.json"):
        split(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["notes.txt"] and (tmp_path / "notes.txt").read_text() == "mine"


def test_shard_of_another_recipe_is_not_taken_for_ours(tmp_path):
    other, made = split(tmp_path / "other", fine=1), split(tmp_path / "out")
    fill(other)
    shutil.copy(other.path(0), made.path(0))
    with pytest.raises(OutputError, match="was not made by this recipe"):
        made.missing()


def test_spool_that_breaks_off_under_our_hands_never_becomes_a_shard(tmp_path):
    made = split(tmp_path / "out")
    with pytest.raises(OutputError, match="2 of 3 rows"), made.writer(0) as spool:
        spool.write([row(0)])
        spool.write([row(1)])
        spool.rows += 1  # as if a third row had been written and lost
    assert made.missing() == [0, 1, 2]


def finished(folder, **identity):
    made = split(folder, **identity)
    fill(made)
    made.finish()
    return made


@pytest.mark.parametrize("complete", [True, False])
@pytest.mark.parametrize("harm", [flip, lambda p: os.truncate(p, 99), lambda p: p.write_bytes(b""), os.unlink])
def test_damaged_shards_are_made_again_and_never_vouched_for(tmp_path, harm, complete, capsys):
    whole, made = finished(tmp_path / "whole"), split(tmp_path / "out")
    fill(made, only=[0, 1])
    if complete:
        fill(made)
        made.finish()
    harm(made.path(1))
    again = split(tmp_path / "out")
    assert again.missing() == ([1] if complete else [1, 2])
    assert ("train-00001-of-00003.parquet is not as it was made" in capsys.readouterr().err) == (harm != os.unlink)
    again.reopen()
    assert read_manifest(tmp_path / "out")["complete"] is False
    fill(split(tmp_path / "out"))
    again = split(tmp_path / "out")
    again.finish()
    assert read_manifest(tmp_path / "out")["shards"] == read_manifest(tmp_path / "whole")["shards"]
    assert content(tmp_path / "out") == content(whole.folder)
    assert {p.name for p in (tmp_path / "out" / "data").iterdir()} == {again.path(i).name for i in range(3)}


def test_shards_of_a_folder_without_records_go_by_the_manifest(tmp_path):
    made = finished(tmp_path / "out")
    shutil.rmtree(tmp_path / "out" / RECORDS)
    assert split(tmp_path / "out").missing() == []
    flip(made.path(2))
    assert split(tmp_path / "out").missing() == [2]


@pytest.mark.parametrize("damage", [b"", b"\xff\x00", b"[]", b"{}"])
def test_records_that_cannot_be_read(tmp_path, damage):
    made = finished(tmp_path / "out")
    for record in (tmp_path / "out" / RECORDS).iterdir():
        record.write_bytes(damage)
    assert split(tmp_path / "out").missing() == []  # the manifest knows them, too
    (tmp_path / "out" / "manifest.json").unlink()
    assert split(tmp_path / "out").missing() == [0, 1, 2]  # nobody does
    fill(made)
    made.finish()
    assert len(content(tmp_path / "out")["label"]) == 10


@pytest.mark.parametrize("damage", [b"", b"{", b"\xff\x00", b"[]", b'{"format": 1, "made_from": []}', None])
def test_manifest_that_is_damaged_or_gone_is_written_again_where_the_shards_are_ours(tmp_path, damage, capsys):
    made = finished(tmp_path / "out")
    before = read_manifest(tmp_path / "out")
    path = tmp_path / "out" / "manifest.json"
    path.unlink() if damage is None else path.write_bytes(damage)
    made = split(tmp_path / "out")
    assert made.missing() == []
    made.finish()
    assert read_manifest(tmp_path / "out") == before
    assert damage is None or "its shards are of this recipe, and it is written again" in capsys.readouterr().err


def test_damaged_manifest_over_the_shards_of_another_recipe(tmp_path):
    finished(tmp_path / "out", fine=1)
    (tmp_path / "out" / "manifest.json").write_bytes(b"")
    with pytest.raises(OutputError, match=r"manifest\.json is empty: .*choose another folder"):
        split(tmp_path / "out")
    (tmp_path / "out" / "manifest.json").unlink()
    with pytest.raises(OutputError, match=r"holds '.*' and no manifest\.json"):
        split(tmp_path / "out")


@pytest.mark.parametrize("at", range(0, 100, 9))
def test_a_spool_is_believed_up_to_the_first_damaged_byte(tmp_path, at):
    whole, made = finished(tmp_path / "whole"), split(tmp_path / "out")
    with pytest.raises(KeyboardInterrupt), made.writer(0) as spool:
        for i in range(3):
            spool.write([row(i)])
        raise KeyboardInterrupt
    flip(spool.path, spool.path.stat().st_size * at // 100)
    fill(made)
    made.finish()
    assert content(tmp_path / "out") == content(whole.folder)
    assert read_manifest(tmp_path / "out")["shards"] == read_manifest(tmp_path / "whole")["shards"]


def test_killed_between_any_two_changes_of_the_folder(tmp_path, monkeypatch):
    """Every state that the folder passes through is one that the same command goes on from."""
    changes, limit = [], [0]

    def counted(function):
        def change(*arguments, **options):
            changes.append(function)
            if len(changes) > limit[0]:
                raise KeyboardInterrupt
            return function(*arguments, **options)

        return change

    finished(tmp_path / "whole")
    for module, name in ((os, "replace"), (os, "mkdir"), (os, "unlink"), (os, "truncate"), (os, "fsync")):
        monkeypatch.setattr(module, name, counted(getattr(module, name)))
    done, number = False, 0
    while not done:
        out = tmp_path / f"out-{number}"
        changes.clear()
        limit[0] = number
        try:
            finished(out)
            done = True
        except KeyboardInterrupt:
            limit[0] = 10**9
            finished(out)
        assert read_manifest(out)["shards"] == read_manifest(tmp_path / "whole")["shards"]
        assert not list((out / "data").glob(".*"))
        number += 1
    assert number > 15
