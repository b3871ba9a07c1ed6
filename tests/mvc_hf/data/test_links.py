"""Links within a data set are followed; those that lead out of it where the user owns the choice."""

import pytest
from sources import PETS, folder, parquet, refused, values

from mvc_hf.data.loading import open_dataset


@pytest.fixture
def places(tmp_path):
    """A data set, and what lies elsewhere."""
    elsewhere = folder(tmp_path / "elsewhere", {"birds/1.png": 70, "1.png": 71})
    return folder(tmp_path / "pets", PETS), elsewhere


def linked(kind, root, elsewhere):
    if kind == "picture":
        (root / "cats" / "x.png").symlink_to(elsewhere / "1.png")
    elif kind == "relative":
        (root / "cats" / "x.png").symlink_to(f"../../{elsewhere.name}/1.png")
    elif kind == "chain":
        (root / "cats" / "y").symlink_to(elsewhere / "1.png")
        (root / "cats" / "x.png").symlink_to("y")
    elif kind == "class":
        (root / "birds").symlink_to(elsewhere / "birds")
    elif kind == "split":
        (root / "train").symlink_to(elsewhere)
    elif kind == "parquet":
        parquet(elsewhere / "x.parquet", ["a"])
        (root / "data").mkdir()
        (root / "data" / "train.parquet").symlink_to(elsewhere / "x.parquet")
    elif kind == "data":
        parquet(elsewhere / "data" / "x.parquet", ["a"])
        (root / "data").symlink_to(elsewhere / "data")


KINDS = ("picture", "relative", "chain", "class", "split", "parquet", "data")


@pytest.mark.parametrize("kind", KINDS)
def test_a_link_that_leads_out_needs_the_word_of_the_user(places, kind):
    linked(kind, *places)
    refused(places[0], r"in 'pets' is a link that leads out of it: .*--follow-symlinks")
    source = open_dataset(str(places[0]), follow_symlinks=True)
    assert values(source) and len(source) in (1, 5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("how", ["cache", "local-dir"])
def test_in_what_came_from_the_hub_it_is_never_followed(tmp_path, monkeypatch, kind, how):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    root = tmp_path / "hub" / "datasets--org--pets" if how == "cache" else tmp_path / "pets"
    folder(root, PETS)
    if how == "local-dir":
        (root / ".cache" / "huggingface" / "download").mkdir(parents=True)
    linked(kind, root, folder(root.parent / "elsewhere", {"birds/1.png": 70, "1.png": 71}))
    for follow in (False, True):
        refused(root, "which came from the Hub, is a link that leads out of it", follow_symlinks=follow)


def test_the_blobs_of_a_snapshot_are_its_own(tmp_path, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    repository = tmp_path / "hub" / "datasets--org--pets"
    folder(repository, {"blobs/1.png": 5})
    (repository / "snapshots" / "0" / "cats").mkdir(parents=True)
    (repository / "snapshots" / "0" / "cats" / "1.png").symlink_to("../../../blobs/1.png")
    assert values(open_dataset(str(repository / "snapshots" / "0"))) == [5]
    other = folder(tmp_path / "hub" / "datasets--org--secret", {"blobs/1.png": 6})
    (repository / "snapshots" / "0" / "cats" / "2.png").symlink_to(other / "blobs" / "1.png")
    refused(repository / "snapshots" / "0", "came from the Hub", follow_symlinks=True)


def test_the_folder_itself_may_be_a_link(places, tmp_path):
    (tmp_path / "link").symlink_to(places[0])
    (places[0] / "cats" / "x.png").symlink_to(places[0] / "dogs" / "1.png")
    assert values(open_dataset(str(tmp_path / "link"))) == [10, 20, 25, 30, 30]


def test_links_to_folders_within_classes_are_named_or_followed_once(places, capsys):
    root, elsewhere = places
    (root / "cats" / "own").symlink_to(root / "dogs")
    (root / "cats" / "round").symlink_to(root)
    (root / "cats" / "self").symlink_to(root / "cats")
    assert values(open_dataset(str(root))) == [10, 20, 25, 30]
    said = (
        "left out of pets: links to folders within classes (--follow-symlinks): 'cats/own', 'cats/round', 'cats/self'"
    )
    assert said in capsys.readouterr().err
    (root / "cats" / "birds").symlink_to(elsewhere / "birds")
    found = open_dataset(str(root), follow_symlinks=True)
    names = [found.describe_row(row) for row in range(len(found))]
    assert names == [f"cats/{name}" for name in ("1.png", "2.png", "birds/1.png", "more/deep/3.PNG", "own/1.png")] + [
        "dogs/1.png"
    ]
