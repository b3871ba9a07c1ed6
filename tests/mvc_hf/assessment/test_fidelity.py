"""Figures against torchmetrics, against formulas, and against what is known of sets that are alike or not."""

import numpy as np
import pytest
import torch

from mvc_hf.assessment import fidelity
from mvc_hf.assessment.fidelity import diversity, frechet_distance, kernel_distance, precision_recall, vendi_score
from mvc_hf.assessment.neighbours import Space

SPACE = Space(64, torch.device("cpu"))


def normal(n, d=6, shift=0.0, scale=1.0, seed=0):
    return (np.random.default_rng(seed).normal(size=(n, d)) * scale + shift).astype(np.float32)


def test_the_kernel_distance_is_that_of_torchmetrics():
    kid = pytest.importorskip("torchmetrics.image.kid", reason="pip install 'mvc_hf[report]'")
    x, y = normal(60), normal(60, shift=0.5, seed=1)
    expected = kid.poly_mmd(torch.from_numpy(x).double(), torch.from_numpy(y).double())
    assert kernel_distance(x, y).value == pytest.approx(float(expected), rel=1e-6)


def test_the_kernel_distance_in_blocks_of_unequal_sets():
    x, y = normal(50), normal(80, shift=0.5, seed=1)
    k = lambda a, b: (a.astype(float) @ b.astype(float).T / 6 + 1) ** 3  # noqa: E731
    among_x, among_y = (k(v, v)[~np.eye(len(v), dtype=bool)].mean() for v in (x, y))
    expected = among_x + among_y - 2 * k(x, y).mean()
    found = [kernel_distance(x, y, block=block) for block in (7, 1000)]
    assert [f.value for f in found] == pytest.approx([expected, expected])
    assert found[0].low == pytest.approx(found[1].low) and found[0].low < found[0].value < found[0].high


def test_the_kernel_distance_is_unbiased_and_its_interval_covers():
    """60 images of each; the truth is taken of 4,000."""
    truth = kernel_distance(normal(4000, seed=99), normal(4000, shift=0.4, seed=98)).value
    found = [kernel_distance(normal(60, seed=i), normal(60, shift=0.4, seed=500 + i)) for i in range(120)]
    assert np.mean([f.value for f in found]) == pytest.approx(truth, rel=0.15)
    assert np.mean([f.low <= truth <= f.high for f in found]) > 0.85
    alike = [kernel_distance(normal(60, seed=i), normal(60, seed=700 + i)).value for i in range(120)]
    assert abs(np.mean(alike)) < 3 * np.std(alike) / np.sqrt(120)


def test_the_frechet_distance_is_that_of_two_normals():
    pytest.importorskip("torchmetrics", reason="pip install 'mvc_hf[report]'")
    x, y = normal(400), normal(300, shift=0.5, scale=1.5, seed=1)
    a, b = np.cov(x, rowvar=False).astype(float), np.cov(y, rowvar=False).astype(float)
    roots = np.sqrt(np.linalg.eigvals(a @ b).real.clip(0)).sum()
    expected = ((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(a) + np.trace(b) - 2 * roots
    assert frechet_distance(x, y).value == pytest.approx(float(expected), rel=1e-3)


def test_no_frechet_distance_of_few_images_or_without_torchmetrics(monkeypatch):
    assert frechet_distance(normal(6), normal(50)) is None
    monkeypatch.setattr(fidelity, "has_torchmetrics", lambda: False)
    assert frechet_distance(normal(50), normal(50)) is None


def test_precision_and_recall_tell_bad_pictures_from_missing_ones():
    real = np.concatenate([normal(150, 2), normal(150, 2, shift=20, seed=1)])
    half = normal(300, 2, seed=2)  # one of two modes
    found = precision_recall(real, half, 5, SPACE)
    assert found["precision"].value > 0.9 and found["recall"].value == pytest.approx(0.5, abs=0.1)
    assert found["coverage"].value < 0.6
    alike = precision_recall(normal(300, 2), normal(300, 2, seed=3), 5, SPACE)
    assert alike["density"].low < 1 < alike["density"].high and alike["coverage"].value > 0.9
    far = precision_recall(normal(50, 2), normal(50, 2, shift=100, seed=3), 5, SPACE)
    assert {name: f.value for name, f in far.items()} == {"precision": 0, "recall": 0, "density": 0, "coverage": 0}
    assert precision_recall(normal(5), normal(50), 5, SPACE) == {}


def test_figures_are_taken_at_equal_numbers():
    assert precision_recall(normal(300), normal(40, seed=1), 5, SPACE)["recall"].n == 40
    assert diversity(normal(300), normal(40, seed=1))["vendi"].n == 40


def test_the_vendi_score_counts():
    assert vendi_score(np.tile([[1.0, 2.0, 3.0]], (9, 1))) == pytest.approx(1)
    assert vendi_score(np.eye(7)) == pytest.approx(7)
    assert vendi_score(np.repeat(np.eye(4), 5, axis=0)) == pytest.approx(4)  # more images than dimensions
    assert vendi_score(np.repeat(np.eye(30)[:3], 2, axis=0)) == pytest.approx(3)


def test_the_spread_of_a_collapsed_set():
    found = diversity(normal(100), normal(100, scale=0.5, seed=1))["spread_ratio"]
    assert found.low < 0.25 < found.high and found.high < 0.5
    same = [diversity(normal(40, seed=i), normal(15, seed=90 + i))["spread_ratio"].value for i in range(60)]
    assert np.mean(same) == pytest.approx(1, abs=0.05)  # small sets seem no less diverse
    assert diversity(np.ones((5, 3)), normal(5, 3)) == {} == diversity(normal(1), normal(5))
