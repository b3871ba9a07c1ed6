import numpy as np
import pytest

from mvc_hf.utils.intervals import Figure, ends, mean, resampled, share


def test_wilsons_interval():
    """Values of Brown, Cai and DasGupta's formula, and ends that stay within 0 and 1."""
    found = share(np.arange(10) < 8)
    assert (found.value, found.n) == (0.8, 10)
    assert (found.low, found.high) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    none, all_ = share(np.zeros(20, bool)), share(np.ones(20, bool))
    assert none.low == 0 and none.high == pytest.approx(0.1611, abs=1e-4)
    assert all_.high == 1 and all_.low == pytest.approx(0.8389, abs=1e-4)


def test_intervals_cover_as_often_as_they_say():
    rng = np.random.default_rng(0)
    shares = [share(rng.random(40) < 0.3) for _ in range(500)]
    means = [mean(rng.normal(2, 1, 60), seed) for seed in range(200)]
    assert np.mean([f.low <= 0.3 <= f.high for f in shares]) == pytest.approx(0.95, abs=0.03)
    assert np.mean([f.low <= 2 <= f.high for f in means]) == pytest.approx(0.94, abs=0.05)


def test_resamples_hold_as_many_and_depend_on_the_seed():
    found = resampled(9, 1, 50)
    assert found.shape == (50, 9) and (found.sum(1) == 9).all()
    assert (found == resampled(9, 1, 50)).all() and (found != resampled(9, 2, 50)).any()


def test_ends_leave_out_what_is_no_number():
    assert ends(np.array([1.0, np.nan, 3.0])) == pytest.approx((1.05, 2.95))


def test_json_has_no_infinities():
    assert Figure(float("inf"), None, float("nan"), 3).to_json() == {"value": None, "low": None, "high": None, "n": 3}
