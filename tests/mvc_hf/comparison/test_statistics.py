from __future__ import annotations

import math
import statistics

import numpy as np
import pytest

from mvc_hf.comparison.statistics import difference, paired_difference, t_quantile


def test_the_interval_is_that_of_the_differences_seed_by_seed():
    """Seeds that are good for one arm are good for the other: what they share does not widen the interval."""
    mean, half = paired_difference([81.0, 85.0, 90.0], [80.0, 84.0, 89.5])
    assert mean == pytest.approx(5 / 6)
    assert half == pytest.approx(4.302653 * statistics.stdev([1.0, 1.0, 0.5]) / 3**0.5)
    assert paired_difference([81.0], [80.0]) == (1.0, math.inf)
    assert paired_difference([1.0, 2.0] * 50, [0.0] * 100)[1] == pytest.approx(1.984 * 0.50252 / 10, rel=1e-3)


def test_students_t():
    """Against the printed tables."""
    known = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 9: 2.262, 10: 2.228, 29: 2.045, 30: 2.042, 120: 1.980}
    assert {f: round(t_quantile(f), 3) for f in known} == known
    assert round(t_quantile(4, 0.99), 3) == 4.604 and round(t_quantile(1, 0.99), 2) == 63.66


def test_few_test_images_widen_the_interval():
    """Three seeds that agree say nothing of which images the test happens to have."""
    right, first = np.zeros((3, 40), bool), np.zeros((3, 40), bool)
    right[:, :4] = True
    accuracies = [10.0] * 3, [0.0] * 3
    found = difference(*accuracies, right, first)
    assert (found.mean, found.half) == (10.0, 0.0)
    assert found.half_with_images == pytest.approx(1.959964 * 100 * (0.1 * 0.9 / 39) ** 0.5) and found.certain
    rare = difference([2.5] * 3, [0.0] * 3, np.arange(40)[None].repeat(3, 0) == 0, first)
    assert not rare.certain and rare.half == 0
    assert difference(*accuracies).widest == 0.0
    assert difference(*accuracies, right, np.zeros((3, 30), bool)).half_with_images is None
