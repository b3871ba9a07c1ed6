import judged
import numpy as np
import pytest
import torch

from mvc_hf.features.classifier import FEWEST, MOST, Trainer, size_for
from mvc_hf.storage.files import cache_root


@pytest.fixture(scope="module")
def images():
    labels = np.repeat([0, 1, 2], 12)
    return judged.pictures(labels, 1, 32).transpose(0, 3, 1, 2), labels


def trainer(**changes):
    values = {"content": "c", "classes": 3, "size": 32, "steps": 12, "seed": 0, "device": torch.device("cpu")}
    return Trainer(**values | changes)


def test_it_learns_and_is_kept(images, monkeypatch):
    pictures, labels = images
    made = trainer()
    model = made.trained(pictures, labels, np.arange(36), "training")
    logits = made.logits(model, pictures)
    assert np.mean(logits.argmax(1) == labels) > 0.9
    monkeypatch.setattr(Trainer, "_train", lambda *_: pytest.fail("trained again"))
    assert (made.logits(made.trained(pictures, labels, np.arange(36), ""), pictures) == logits).all()


def test_other_rows_seeds_and_steps_are_other_networks(images, monkeypatch):
    trained = []
    monkeypatch.setattr(Trainer, "_train", lambda self, model, *_: trained.append(1))
    pictures, labels = images
    for changes, rows in (({}, 36), ({}, 35), ({"seed": 1}, 36), ({"steps": 13}, 36), ({"content": "d"}, 36)):
        trainer(**changes).trained(pictures, labels, np.arange(rows), "")
    assert len(trained) == 5


def test_equal_runs_give_equal_networks(images):
    import shutil

    pictures, labels = images
    found = []
    for _ in range(2):
        shutil.rmtree(cache_root() / "classifiers", ignore_errors=True)
        made = trainer(steps=3)
        found.append(made.logits(made.trained(pictures, labels, np.arange(36), ""), pictures))
    assert (found[0] == found[1]).all()


def test_a_damaged_one_is_trained_again(images, capsys):
    pictures, labels = images
    made = trainer(steps=2)
    made.trained(pictures, labels, np.arange(36), "")
    (file,) = (cache_root() / "classifiers").glob("*.safetensors")
    file.write_bytes(b"nonsense")
    made.trained(pictures, labels, np.arange(36), "")
    assert "damaged: it is made again" in capsys.readouterr().err and file.stat().st_size > 10_000


def test_as_an_extractor_it_is_named_for_what_it_is(images):
    pictures, labels = images
    made = trainer(steps=2)
    extractor = made.extractor(made.trained(pictures, labels, np.arange(36), ""))
    found = extractor(pictures)
    assert found.shape == (36, 128) and np.isfinite(found).all()
    assert extractor.name == "a small classifier trained on the real images (resnet10t, 32×32)"


def test_the_number_of_steps_follows_that_of_the_images():
    made = trainer(steps=None)
    assert [made._steps(n) for n in (10, 2000, 10**6)] == [FEWEST, 937, MOST]


def test_a_single_image_can_be_trained_on(images):
    """Batch norm cannot take one image alone: it comes twice."""
    pictures, labels = images
    trainer(steps=2).trained(pictures[:1], labels[:1], np.arange(1), "")


def test_sizes():
    assert [size_for(side) for side in (28, 32, 40, 41, 500)] == [32, 32, 32, 64, 64]
