"""Data sets on the Hub, with a Hub of ours that has one."""

from types import SimpleNamespace

import pytest
from huggingface_hub.errors import OfflineModeIsEnabled
from sources import PETS, folder, hub_parquet, parquet, picture, png, refused, values

from mvc_hf.data.loading import open_dataset

SHA = "a" * 40


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A Hub that answers every id with the same data; `calls` has what it was asked."""
    import datasets
    import huggingface_hub

    real = datasets.load_dataset
    path = hub_parquet(tmp_path / "remote.parquet", [0, 1], ["a", "b"])
    calls = []

    def load_dataset(path_or_id, *args, **options):
        if path_or_id == "parquet":
            return real(path_or_id, *args, **options)
        calls.append((path_or_id, *args, options["split"], options["revision"]))
        return real("parquet", data_files={"train": str(path)}, split=options["split"])

    def dataset_info(self, repo_id, *, revision=None, timeout=None, **options):
        return huggingface_hub.hf_api.DatasetInfo(id=repo_id, sha=SHA, siblings=[], tags=[], downloads=0, likes=0)

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", dataset_info)
    return calls


@pytest.mark.parametrize(
    "dataset, config, name",
    [
        ("org/set", None, "org/set"),
        ("org/set:plain", "plain", "org/set:plain"),
        ("org/set@v1.0", None, "org/set"),
        ("org/set@refs/pr/1", None, "org/set"),
        ("org/set:plain@v1", "plain", "org/set:plain"),
        ("org/set@v1:plain", "plain", "org/set:plain"),
    ],
)
def test_hub_ids(hub, dataset, config, name):
    source = open_dataset(dataset)
    assert hub == [("org/set", config, "train", SHA)]
    assert (source.name, source.revision) == (name, SHA)
    assert source.class_names == ("a", "b")
    assert values(source) == [0, 1]
    assert source.describe_row(1) == f"row 1 of {name} (train)"


def test_a_slice_without_rows_of_the_hub(hub, monkeypatch):
    """`datasets` takes [2:1] for all rows from the second on."""
    for part in ("[1:0]", "[1:1]"):
        refused("org/set", "takes none of them|no data", split=f"train{part}")
    assert values(open_dataset("org/set", split="train[1:]")) == [1]


def test_fingerprint_of_the_hub_follows_the_commit(hub):
    first = open_dataset("org/set").fingerprint
    assert open_dataset("org/set@v1").fingerprint == first  # the same commit
    assert open_dataset("org/set:plain").fingerprint != first
    assert open_dataset("org/other").fingerprint != first


def test_a_local_folder_goes_before_the_hub(tmp_path, monkeypatch, hub):
    folder(tmp_path / "org" / "set", PETS)
    monkeypatch.chdir(tmp_path)
    assert open_dataset("org/set").class_names == ("cats", "dogs")
    assert hub == []


def hub_error(name):
    from huggingface_hub import errors

    response = SimpleNamespace(headers={}, request=None)
    return getattr(errors, name)("line one\nline two", response=response)


@pytest.mark.parametrize(
    "error, match",
    [
        ("RepositoryNotFoundError", "no data set on the Hub is called 'org/set'.*hf auth login"),
        ("GatedRepoError", "org/set is gated: ask for access"),
        ("RevisionNotFoundError", "org/set has no revision 'v9'"),
    ],
)
def test_what_the_hub_refuses(hub, monkeypatch, error, match):
    def dataset_info(*args, **options):
        raise hub_error(error)

    monkeypatch.setattr("huggingface_hub.HfApi.dataset_info", dataset_info)
    refused("org/set@v9", match)
    assert hub == []


def offline(monkeypatch):
    def dataset_info(*args, **options):
        raise OfflineModeIsEnabled("offline mode is enabled")

    monkeypatch.setattr("huggingface_hub.HfApi.dataset_info", dataset_info)


def test_offline_the_cache_is_used(hub, monkeypatch, capsys):
    offline(monkeypatch)
    source = open_dataset("org/set@v1")
    assert hub == [("org/set", None, "train", "v1")]
    assert source.revision is None
    assert "using the local cache" in capsys.readouterr().err


def test_offline_the_commit_is_read_off_the_cache(hub, monkeypatch):
    import datasets

    offline(monkeypatch)
    files = [{"filename": f"/cache/org___set/default/0.0.0/{SHA}/set-train.arrow"}]
    monkeypatch.setattr(datasets.Dataset, "cache_files", files)
    assert open_dataset("org/set").revision == SHA
    assert open_dataset(f"org/set@{SHA}").revision == SHA
    refused(f"org/set@{'b' * 40}", f"the local cache has org/set at {SHA}, not bbb")


@pytest.mark.parametrize(
    "error, match",
    [
        (
            ValueError('Unknown split "x". Should be\none of ["train"].'),
            r'org/set cannot be loaded .*Unknown split "x"',
        ),
        (FileNotFoundError("'org/set' is a gated dataset on the Hub."), "org/set is gated"),
    ],
)
def test_what_datasets_refuses(hub, monkeypatch, error, match):
    def load_dataset(*args, **options):
        raise error

    monkeypatch.setattr("datasets.load_dataset", load_dataset)
    refused("org/set", match)


def test_offline_without_a_cache(hub, monkeypatch):
    def load_dataset(*args, **options):
        raise ConnectionError("Couldn't reach 'org/set' on the Hub")

    offline(monkeypatch)
    monkeypatch.setattr("datasets.load_dataset", load_dataset)
    refused("org/set", "not in the local cache, and the Hub cannot be reached: offline mode is enabled")


@pytest.mark.parametrize(
    "path", ["{}/9.png", "9.png", "{}/cache/datasets--org--secret/blobs/9.png", "https://x.org/9.png"]
)
def test_no_path_is_followed(tmp_path, monkeypatch, hub, path):
    """Whoever made the data set must not choose what is read from this machine, other repositories included."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    for place in (tmp_path, tmp_path / "cache" / "datasets--org--secret" / "blobs"):
        place.mkdir(parents=True, exist_ok=True)
        picture(9).save(place / "9.png")
    images = [{"bytes": png(1), "path": "1.png"}, {"bytes": None, "path": path.format(tmp_path)}]
    parquet(tmp_path / "remote.parquet", [0, 0], images)
    monkeypatch.chdir(tmp_path)
    refused(
        "org/set",
        r"^row 1 of org/set \(train\) holds a path instead of the picture .*store the bytes: `ds\.with_format",
    )


def test_loose_pictures_of_the_repository_are_its_own(tmp_path, monkeypatch, hub):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    own = tmp_path / "cache" / "datasets--org--set"
    (own / "snapshots" / SHA).mkdir(parents=True)
    (own / "blobs").mkdir()
    picture(9).save(own / "blobs" / "9.png")
    (own / "snapshots" / SHA / "9.png").symlink_to("../../blobs/9.png")
    parquet(tmp_path / "remote.parquet", [0], [{"bytes": None, "path": str(own / "snapshots" / SHA / "9.png")}])
    assert values(open_dataset("org/set:plain")) == [9]
