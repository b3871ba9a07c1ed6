import numpy as np
import pytest

from mvc_hf.assessment.labels import by_features, calibrated, confusion, folds_of, softmax


def test_folds_share_out_each_class_and_depend_on_the_seed():
    labels = np.repeat([0, 1, 2], [10, 11, 1])
    folds = folds_of(labels, 5, 0)
    assert [np.bincount(folds[labels == y], minlength=5).max() for y in range(3)] == [2, 3, 1]
    assert (np.bincount(folds_of(np.arange(10), 5, 0)) == 2).all()  # single images do not all fall into one
    assert (folds == folds_of(labels, 5, 0)).all() and (folds != folds_of(labels, 5, 1)).any()


def test_the_judge_has_not_seen_what_it_is_tried_on():
    """Labels by chance: who has seen them agrees with them, who has not cannot."""
    rng = np.random.default_rng(0)
    x, labels = rng.normal(size=(120, 200)).astype(np.float32), rng.integers(0, 2, 120)
    found = by_features(x, labels, [x], 2, folds_of(labels, 5, 0), "noise")
    assert np.mean(found.real.argmax(1) == labels) < 0.65
    assert np.mean(found.others[0].argmax(1) == labels) > 0.9


def test_the_judge_knows_classes_that_features_tell_apart():
    rng = np.random.default_rng(1)
    labels = np.repeat([0, 1, 2], 40)
    x = (rng.normal(size=(120, 8)) + 3 * np.eye(8)[labels]).astype(np.float32)
    other = (rng.normal(size=(120, 8)) + 3 * np.eye(8)[labels]).astype(np.float32)
    found = by_features(x, labels, [other, other[:3]], 3, folds_of(labels, 5, 0), "features")
    assert np.mean(found.real.argmax(1) == labels) > 0.85 and np.mean(found.others[0].argmax(1) == labels) > 0.85
    assert found.others[1].shape == (3, 3) and found.real.sum(1) == pytest.approx(np.ones(120))
    assert "features" in found.judge


def test_confidence_is_calibrated():
    """Logits ten times too large: after it, of those believed with 70 to 90 %, about 80 % are right."""
    rng = np.random.default_rng(2)
    true = rng.normal(size=(4000, 3)) * 1.5
    probabilities = softmax(true)
    labels = np.array([rng.choice(3, p=p) for p in probabilities])
    temperature, loss = calibrated(true * 5, labels)
    assert temperature == pytest.approx(5, rel=0.15)
    assert loss == pytest.approx(-np.log(probabilities[np.arange(4000), labels]).mean(), abs=0.02)
    found = softmax(true * 5 / temperature).max(1)
    sure = (found > 0.7) & (found < 0.9)
    assert np.mean(true.argmax(1)[sure] == labels[sure]) == pytest.approx(0.8, abs=0.05)


def test_confusion():
    assert confusion(np.array([0, 0, 1]), np.array([0, 1, 1]), 3).tolist() == [[1, 1, 0], [0, 1, 0], [0, 0, 0]]
