import numpy as np
import pytest
import tiny
import torch

from mvc_hf.data.loading import open_dataset
from mvc_hf.data.view import ViewConfig
from mvc_hf.errors import DataError
from mvc_hf.features import extraction
from mvc_hf.features.extraction import features, pixels, squares
from mvc_hf.features.extractor import Extractor
from mvc_hf.storage.files import cache_root


def means(seen):
    """An extractor whose features are the mean of each channel."""

    def model(values):
        seen.append(len(values))
        return values.mean((2, 3))

    return Extractor("means", {"model": "means"}, 8, torch.device("cpu"), model, (0.0,) * 3, (1.0,) * 3)


@pytest.fixture
def source(tmp_path):
    return open_dataset(str(tiny.image_folder(tmp_path / "set", {"apple": 5, "pear": 4})))


def test_features_of_every_image_in_order(source):
    seen = []
    found = features(source, means(seen), 4, "real")
    assert found.dtype == np.float32 and found.shape == (9, 3) and seen == [4, 4, 1]
    expected = [np.asarray(source.image(i).resize((8, 8), 1), float).mean((0, 1)) / 255 for i in range(9)]
    assert found == pytest.approx(np.array(expected), abs=0.01)


def test_they_are_kept_and_made_again_where_they_are_damaged(source, monkeypatch, capsys):
    monkeypatch.setattr(extraction, "PART", 4)
    seen = []
    first = features(source, means(seen), 4, "real")
    seen.clear()
    assert (features(source, means(seen), 2, "real") == first).all() and seen == []
    part = sorted((cache_root() / "features").rglob("*.npy"))[1]
    part.write_bytes(part.read_bytes()[:-3])
    assert (features(source, means(seen), 4, "real") == first).all() and seen == [4]
    assert "damaged: it is made again" in capsys.readouterr().err


def test_what_changes_them_is_no_stale_entry(source, tmp_path):
    seen = []
    features(source, means(seen), 9, "real")
    other = tiny.image_folder(tmp_path / "set2", {"apple": 5, "pear": 4}, seed=1)
    features(open_dataset(str(other)), means(seen), 9, "real")
    features(open_dataset(str(other), view=ViewConfig(fit="pad")), means(seen), 9, "real")
    assert seen == [9, 9, 9]


def test_pixels_are_the_pictures(source):
    found = pixels(source, 16, "real")
    assert found.dtype == np.uint8 and found.shape == (9, 3, 16, 16)
    assert (found[2] == np.asarray(source.image(2)).transpose(2, 0, 1)).all()
    assert (squares(source, np.array([2]), 16)[0] == found[2]).all()


def test_a_broken_picture_is_named(source, tmp_path):
    (tmp_path / "set" / "pear" / "002.png").write_bytes(b"nonsense")
    with pytest.raises(DataError, match=r"pear/002\.png"):
        features(source, means([]), 4, "real")
