import numpy as np
import pytest
import torch

from mvc_hf.assessment.neighbours import Space, normalised

CPU = torch.device("cpu")


def exact(a, b):
    return np.sqrt(((a[:, None].astype(np.float64) - b[None]) ** 2).sum(2))


@pytest.mark.parametrize("block", [16, 33, 1000])
@pytest.mark.parametrize("k", [1, 5])
def test_blocks_give_what_all_pairs_give(block, k):
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(70, 9)).astype(np.float32), rng.normal(size=(81, 9)).astype(np.float32)
    distances, rows = Space(block, CPU).nearest(a, b, k)
    whole = exact(a, b)
    assert distances == pytest.approx(np.sort(whole, 1)[:, :k], abs=1e-4)
    assert (rows == np.argsort(whole, 1)[:, :k]).all()


@pytest.mark.parametrize("block", [16, 64])
def test_no_row_is_its_own_neighbour(block):
    rng = np.random.default_rng(1)
    a = rng.normal(size=(40, 4)).astype(np.float32)
    a[11] = a[30]
    distances, rows = Space(block, CPU).nearest(a, a, 3, itself=True)
    assert (rows != np.arange(40)[:, None]).all()
    assert rows[11, 0] == 30 and rows[30, 0] == 11 and distances[11, 0] == 0
    assert Space(block, CPU).nearest(a[:3], a[:3], 9, itself=True)[0].shape == (3, 2)


def test_small_distances_far_from_the_origin_are_exact():
    """Squares of large numbers swallow small differences, were they not taken again."""
    a = np.full((3, 4), 1000, np.float32)
    a[1] += 0.25
    a[2] += 8
    distances, rows = Space(16, CPU).nearest(a[:1], a, 3)
    assert distances[0] == pytest.approx([0, 0.5, 16], abs=1e-3) and rows[0].tolist() == [0, 1, 2]


def test_balls():
    rng = np.random.default_rng(2)
    a, b = rng.normal(size=(50, 3)).astype(np.float32), rng.normal(size=(60, 3)).astype(np.float32)
    radii = rng.uniform(0.5, 1.5, 60)
    assert (Space(16, CPU).balls(a, b, radii) == (exact(a, b) <= radii).sum(1)).all()


def test_normalised():
    found = normalised(np.array([[3.0, 4.0], [0.0, 0.0]], np.float32))
    assert found[0] == pytest.approx([0.6, 0.8]) and found[1].tolist() == [0, 0]
