"""What all sources have in common, and which one an address means."""

import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from sources import PETS, folder, parquet, refused, values

from mvc_hf.data.loading import open_dataset


def test_name_never_holds_a_path(tmp_path, monkeypatch):
    root = folder(tmp_path / "pets", PETS)
    monkeypatch.chdir(root)
    for dataset in (".", f"{root}/", str(root / "cats" / ".."), "../pets"):
        assert open_dataset(dataset).name == "pets"


@pytest.mark.parametrize("kind", ["folder", "parquet"])
def test_images_from_many_threads(tmp_path, kind):
    if kind == "folder":
        dataset = folder(tmp_path / "x", {f"c/{i:03}.png": i for i in range(200)})
    else:
        dataset = parquet(tmp_path / "x.parquet", [0] * 200)
    source = open_dataset(str(dataset))
    rows = np.random.default_rng(0).integers(0, 200, 2000).tolist()
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda row: source.image(row).getpixel((0, 0)), rows))
    assert found == rows


def test_a_source_travels_to_another_process(tmp_path):
    for dataset in (folder(tmp_path / "x", PETS), parquet(tmp_path / "x.parquet", ["a", "b"])):
        source = open_dataset(str(dataset))
        again = pickle.loads(pickle.dumps(source))  # noqa: S301
        assert values(again) == values(source)
        assert again.fingerprint == source.fingerprint


def test_import_stays_light():
    names = ("loading", "sources.folder", "sources.tabular", "sources.hub", "sources.torchvision")
    modules = ", ".join(f"mvc_hf.data.{name}" for name in names)
    code = f"import {modules}, sys; print({{'torch', 'datasets', 'pyarrow', 'torchvision'}} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"


@pytest.fixture
def no_hub(monkeypatch):
    """A Hub that must not be asked."""

    def dataset_info(*args, **options):
        raise AssertionError("the Hub was asked")

    monkeypatch.setattr("huggingface_hub.HfApi.dataset_info", dataset_info)


@pytest.mark.parametrize("dataset", ["./no", "/no/such", "~/no-such-folder", "a/b/c", "data/x.parquet", "../x"])
def test_no_such_folder(no_hub, dataset, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")  # beside which nothing is called x
    refused(dataset, "no such folder or file")


@pytest.mark.parametrize(
    "dataset", ["", "cats", "org/", "org/set:", "org/set@", "org/set:a:b", "org/set@a@b", "a b/c"]
)
def test_not_an_id(no_hub, dataset):
    refused(dataset, "no folder or file here, nor a Hub id")
