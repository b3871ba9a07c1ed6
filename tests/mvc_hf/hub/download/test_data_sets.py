"""Data sets of the Hub: asked for, fetched whole or in part, and read at one commit, whatever goes wrong."""

import datasets
import pytest
from hub_server import File
from sources import hub_parquet, values

from mvc_hf.data.loading import open_dataset
from mvc_hf.data.view import ViewConfig
from mvc_hf.errors import DataError
from mvc_hf.hub.download.data_sets import cached_commit, load, load_builder, resolve

ONE = ViewConfig(max_images_per_class=1)


def commit(repo, folder, labels):
    """Shards of two rows, all of them new; row i holds a picture of value i of its shard."""
    changes = {path: None for path in repo.head().tree if path.endswith(".parquet")}
    for at in range(0, len(labels), 2):
        path = hub_parquet(folder / f"{at}.parquet", labels[at : at + 2], ["cat", "dog"])
        changes[f"data/train-{at // 2:05d}.parquet"] = File.of(path.read_bytes(), lfs=True)
    return repo.commit("main", "data", changes).oid


@pytest.fixture
def pets(remote, tmp_path):
    """ann/pets on the Hub: four rows in two files."""
    repo = remote.repo("ann/pets")
    commit(repo, tmp_path, [0, 1, 1, 0])
    return repo


def refused(match, **options):
    with pytest.raises(DataError, match=match) as caught:
        open_dataset("ann/pets", **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


CALLS = ["info", "tree", "resolve", "download"]
KINDS = [500, 503, 429, "reset", "cut"]


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_request_for_a_whole_data_set_is_tried_again(remote, pets, call, kind):
    remote.fail(call, kind, times=2)
    source = open_dataset("ann/pets")
    assert (values(source), source.revision) == ([0, 1, 0, 1], pets.head().oid)
    assert len(remote.calls(call)) >= 3


@pytest.mark.parametrize("call", [*CALLS, "paths-info"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_request_for_a_part_of_a_data_set_is_tried_again(remote, pets, call, kind):
    remote.fail(call, kind, times=2)
    source = open_dataset("ann/pets", view=ONE)
    assert len(source.rows) == 2 and source.revision == pets.head().oid
    assert [source.image(row).getpixel((0, 0)) for row in source.rows] == [row % 2 for row in source.rows]


@pytest.mark.parametrize("call", ["info", "resolve", "download"])
@pytest.mark.parametrize("look", [None, ONE], ids=["whole", "part"])
def test_retry_after_of_429_is_waited_for(remote, pets, call, look):
    remote.fail(call, 429, times=2, Retry_After="7")  # the client itself asks once more at once for some files
    open_dataset("ann/pets", view=look)
    assert sum(remote.waited) >= 7


def test_waiting_is_said(remote, pets, capsys):
    remote.fail("info", 503)
    open_dataset("ann/pets")
    assert "asking the Hub for ann/pets: the Hub answers 503 (an error of its own); trying again in 1 s" in (
        capsys.readouterr().err
    )


def test_files_that_are_fetched_are_kept_when_another_breaks_off(remote, pets):
    remote.fail("download", "reset", times=2, after=1)
    assert values(open_dataset("ann/pets")) == [0, 1, 0, 1]
    paths = [request.path for request in remote.calls("download")]
    assert sorted(paths.count(path) for path in set(paths)) == [1, 3]


def test_a_hub_that_stays_broken_is_given_up_in_one_line(remote, pets):
    remote.fail("download", "reset", times=10_000)
    refused("ann/pets cannot be loaded from the Hub")
    assert sum(remote.waited) > 60


def test_what_waiting_does_not_mend_is_not_tried_again(remote, pets):
    refused("Unknown split", split="test")
    with pytest.raises(DataError):
        open_dataset("ann/pets:nothing")
    assert not remote.waited


def test_another_version_in_the_cache_is_not_taken_for_the_one_asked_for(remote, pets, tmp_path):
    """`datasets` takes it, with a warning; rows of one commit would go by the name of another."""
    open_dataset("ann/pets")
    newer = commit(pets, tmp_path, [1, 0])
    remote.fail("resolve", 500, times=10_000)
    for look in (None, ONE):
        assert f"the Hub did not give ann/pets at {newer[:12]}" in refused("cannot be loaded from the Hub", view=look)


def test_the_same_version_in_the_cache_is_taken_at_once(remote, pets):
    open_dataset("ann/pets")
    remote.fail("resolve", 500, times=10_000)
    source = open_dataset("ann/pets")
    assert (values(source), source.revision) == ([0, 1, 0, 1], pets.head().oid)
    assert max(remote.waited, default=0) <= 8  # the client's own


def without_network(monkeypatch):
    for place in ("huggingface_hub.constants.ENDPOINT", "datasets.config.HF_ENDPOINT"):
        monkeypatch.setattr(place, "http://127.0.0.1:9")


def test_without_a_network_the_cache_is_used_at_once(remote, pets, monkeypatch, capsys):
    open_dataset("ann/pets")
    without_network(monkeypatch)
    source = open_dataset("ann/pets")
    assert (values(source), source.revision) == ([0, 1, 0, 1], pets.head().oid)
    assert "the Hub cannot be asked for the commit of ann/pets: using the local cache" in capsys.readouterr().err
    assert not [seconds for seconds in remote.waited if seconds > 8]


def test_without_a_network_and_a_cache_one_line_says_so(remote, monkeypatch):
    without_network(monkeypatch)
    refused("ann/pets is no folder here, not in the local cache, and the Hub cannot be reached: the connection broke")
    assert sum(remote.waited) < 120


def test_while_offline_nothing_is_waited_for(remote, pets, monkeypatch):
    open_dataset("ann/pets")
    for place in ("huggingface_hub.constants.HF_HUB_OFFLINE", "datasets.config.HF_HUB_OFFLINE"):
        monkeypatch.setattr(place, True)
    assert open_dataset("ann/pets").revision == pets.head().oid
    with pytest.raises(DataError, match="not in the local cache, and the Hub cannot be reached"):
        open_dataset("ann/others")
    assert not remote.waited


def test_a_model_is_told_from_a_data_set(remote):
    remote.repo("ann/pets", "models")
    refused("ann/pets is a model on the Hub, not a data set: give a labelled image set")


def test_a_revision_is_resolved_to_its_commit(remote, pets):
    first = pets.head().oid
    pets.tags["v1"] = first
    pets.commit("main", "newer", {"NOTES.md": File.of(b"x")})
    assert resolve("ann/pets", "v1") == (first, "")
    assert resolve("ann/pets", None) == (pets.head().oid, "")
    with pytest.raises(DataError, match="the data set ann/pets has no revision 'v2': name a branch, tag or commit"):
        resolve("ann/pets", "v2")


def test_what_is_loaded_knows_its_commit(remote, pets):
    oid = pets.head().oid
    assert cached_commit(load("ann/pets", None, "train", None, oid)) == oid
    assert load_builder("ann/pets", None, oid).hash == oid
    assert cached_commit(datasets.Dataset.from_dict({"x": [1]})) is None
