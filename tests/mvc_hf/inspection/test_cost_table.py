"""What a plan says: estimates, sizes, and the table of them."""

import pytest

from mvc_hf.inspection.cost_table import Estimate, Plan, Stage, duration, size


def test_words():
    assert [duration(s) for s in (0.2, 7, 95, 600, 5000, 7200, 50000, 900000)] == [
        "< 1 s", "7 s", "95 s", "10 min", "83 min", "2.0 h", "14 h", "10.4 days"
    ]  # fmt: skip
    assert [size(n) for n in (5, 1500, 25_000_000, 4.2e9, 3e12)] == ["5 B", "1.5 kB", "25 MB", "4.2 GB", "3.0 TB"]
    assert str(Estimate(60, 61)) == "60 s – 61 s" and str(Estimate(300, 310)) == "5 min"
    stages = (Stage("a", "x", Estimate(1, 2), 10), Stage("b", "y", Estimate(3, 5), 7))
    found = Plan(stages, {"disk": 1}, 0, "cpu", 1.0)
    assert (found.time, found.memory) == (Estimate(4, 7), 10) and "nothing (no push-to-hub)" in str(found)


def test_an_estimate_goes_from_the_fastest_to_the_slowest_batch_with_a_margin():
    found = Estimate.of([2.0, 3.0, 2.5])
    assert (found.low, found.high) == pytest.approx((2.0 * 0.9, 3.0 * 1.1))
    assert found.times(10) == Estimate(found.low * 10, found.high * 10)
    assert found + Estimate(1, 1) == Estimate(found.low + 1, found.high + 1)


def test_the_table_lines_up_and_names_what_is_left_behind():
    stages = (Stage("encode", "24 captions", Estimate(60, 120), 5 * 10**8), Stage("b", "x", Estimate(1, 2), 10**9))
    table = str(Plan(stages, {"caches": 10**6, "shards": 2 * 10**6}, 3 * 10**6, "cuda", 7.0)).splitlines()
    assert table[0].split() == ["stage", "time", "GPU", "memory", "what"]
    at = table[0].index("what")
    assert table[1][at:] == "24 captions" and table[2][at:] == "x"
    assert table[3].startswith("in all") and "1.0 GB" in table[3]
    assert "disk" in table[5] and table[5].endswith("about 3.0 MB: caches 1.0 MB, shards 2.0 MB")
    assert table[6].split(None, 1) == ["upload", "about 3.0 MB"]
    assert "Measured on cuda in 7 s" in table[8] and max(map(len, table)) <= 100
