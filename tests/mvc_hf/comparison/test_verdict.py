from __future__ import annotations

import numpy as np

from mvc_hf.comparison.tables import Row
from mvc_hf.comparison.verdict import verdict

REAL = Row("real alone", (70.0, 71.0, 72.0, 71.0, 70.0))


def row(name, *top1, right=None):
    return Row(name, top1, "real alone", right)


def test_a_clear_winner():
    found = verdict([REAL, row("a", 75.0, 76.1, 77.0, 76.0, 75.1), row("b", 80.0, 81.1, 82.0, 81.0, 80.1)])
    assert found.best == "b" and found.beaten == ("a",) and not found.open
    assert str(found) == (
        "Take b: +10.0 ± 0.1 points over real images alone (the best of 2, which flatters it).\n"
        "It is better than each of the other 1 with certainty (95 % for all together)."
    )


def test_no_cell_is_better_than_another_with_certainty():
    found = verdict([REAL, row("a", 75.0, 79.0, 74.0, 78.0, 76.0), row("b", 78.0, 74.0, 77.0, 79.0, 75.0)])
    assert found.best == "b" and found.open == ("a",)
    assert "No cell is better than another with certainty" in str(found)


def test_some_are_beaten_and_some_are_not():
    near, far = row("near", 80.1, 80.9, 82.2, 80.8, 80.2), row("far", 75.0, 76.1, 77.0, 76.0, 75.1)
    found = verdict([REAL, near, far, row("best", 80.0, 81.1, 82.0, 81.0, 80.2)])
    assert (found.best, found.beaten, found.open) == ("best", ("far",), ("near",))
    assert "better than 1 of the other 2 with certainty" in str(found) and "cannot be told from near" in str(found)


def test_a_gain_that_is_none():
    assert str(verdict([REAL, row("a", 70.0, 71.0, 72.0, 71.0, 70.0)])).startswith("Take none of them")
    found = verdict([REAL, row("a", 75.0, 65.0, 78.0, 68.0, 70.0)])
    assert found.best == "a" and "Whether it gains anything is not certain" in str(found)


def test_the_more_cells_the_less_is_certain():
    """Of many cells one is ahead by chance: each statement has to be surer."""
    best = row("best", 71.2, 72.6, 73.4, 71.6, 71.2)
    alone = verdict([REAL, best])
    among = verdict([REAL, best, *(row(f"c{i}", *REAL.top1) for i in range(40))])
    assert among.gain.mean == alone.gain.mean and among.gain.half > 1.5 * alone.gain.half


def test_few_images_to_judge_by_make_it_unsure():
    """Seeds that agree to the last image do not know which images there could have been."""
    base, better = np.zeros((5, 20), bool), np.zeros((5, 20), bool)
    base[:, :10], better[:, :11] = True, True
    found = verdict([Row("real alone", (50.0,) * 5, "", base), row("a", *[55.0] * 5, right=better)])
    assert found.best == "a" and not found.gain.certain and found.gain.half == 0


def test_one_seed_says_nothing_of_certainty():
    found = verdict([Row("real alone", (50.0,)), row("a", 55.0), row("b", 60.0)])
    assert found.best == "b" and not found.beaten and "+10.0 points" in str(found)
