"""Data set classes of torchvision, with one of ours in place of a download."""

import os
from concurrent import futures
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock
from sources import picture, refused, values

from mvc_hf.data.loading import open_dataset
from mvc_hf.data.sources.torchvision import torchvision_root


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("MVC_HF_TORCHVISION_ROOT", str(tmp_path / "torchvision"))
    return tmp_path / "torchvision"


@pytest.fixture
def little(monkeypatch):
    """A torchvision data set class of ours, which notes the arguments that it is made with."""
    import torchvision

    class Little:
        asked = None
        classes = ("plane", "two words", ("crane", "hoist"))
        targets = (0, 1, 2, 2)

        def __init__(self, root, train=True, transform=None, download=False):
            Little.asked = {"root": root, "train": train, "download": download}
            self.data = np.arange(4, dtype=np.uint8) + (0 if train else 100)

        def __len__(self):
            return 4

        def __getitem__(self, row):
            return picture(int(self.data[row])), self.targets[row]

    monkeypatch.setattr(torchvision.datasets, "Little", Little, raising=False)
    return Little


def test_torchvision(little, root):
    source = open_dataset("torchvision:Little")
    assert (source.name, source.revision) == ("torchvision:Little", None)
    assert source.class_names == ("plane", "two words", "crane, hoist")
    assert source.labels.tolist() == [0, 1, 2, 2]
    assert values(source) == [0, 1, 2, 3]
    assert little.asked == {"root": str(root), "train": True, "download": True}
    test = open_dataset("torchvision:Little", split="test")
    assert values(test) == [100, 101, 102, 103]
    assert test.fingerprint != source.fingerprint == open_dataset("torchvision:Little").fingerprint
    assert test.describe_row(2) == "row 2 of torchvision:Little (test)"


def test_bad_torchvision(little, monkeypatch):
    refused("torchvision:Littel", "no data set 'Littel': did you mean 'Little'")
    refused("torchvision:Little", "no split 'val': it has train and test", split="val")
    refused("torchvision:Little", "has no columns", image_column="x")
    refused("torchvision:FakeData", "does not say what its classes are called")
    refused("torchvision:ImageFolder", "torchvision:ImageFolder cannot be opened")
    monkeypatch.setattr(little, "targets", (0, 1, 2, 3))
    refused("torchvision:Little", "whole numbers from 0 to 2")
    monkeypatch.setattr(little, "targets", (0, 1, 1, 1))
    monkeypatch.setattr(little, "classes", ("a", "b", "b"))
    refused("torchvision:Little", "several classes named 'b'")


def test_a_name_without_images_stays(little, monkeypatch, capsys):
    """EMNIST has one that it calls N/A, for instance."""
    monkeypatch.setattr(little, "targets", (0, 1, 1, 1))
    assert open_dataset("torchvision:Little").used.tolist() == [True, True, False]
    assert "1 of 3 classes without any image: 'crane, hoist'; they get none" in capsys.readouterr().err


def test_torchvision_without_a_list_of_labels(little, monkeypatch):
    monkeypatch.setattr(little, "targets", (0, 1, 2))
    monkeypatch.setattr(little, "__getitem__", lambda self, row: (picture(row), min(row, 2)))
    assert open_dataset("torchvision:Little").labels.tolist() == [0, 1, 2, 2]


def test_root(root, monkeypatch):
    assert torchvision_root() == root
    monkeypatch.delenv("MVC_HF_TORCHVISION_ROOT")
    monkeypatch.setenv("MVC_HF_CACHE", "/elsewhere")
    assert torchvision_root() == Path("/elsewhere/torchvision")


def test_one_download_at_a_time(little, root):
    root.mkdir()
    with futures.ThreadPoolExecutor(1) as pool:
        with FileLock(root / ".Little.lock"):
            waiting = pool.submit(open_dataset, "torchvision:Little")
            with pytest.raises(futures.TimeoutError):
                waiting.result(timeout=0.5)
            assert little.asked is None
        assert len(waiting.result()) == 4
    assert little.asked


def test_a_folder_that_cannot_be_written_needs_no_lock(little, root, monkeypatch):
    root.mkdir()
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert len(open_dataset("torchvision:Little")) == 4
    assert not list(root.iterdir())
