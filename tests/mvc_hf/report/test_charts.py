import re

import numpy as np

from mvc_hf.report.charts import confusion, histogram


def test_a_histogram_draws_shares_of_each_set():
    drawn = str(
        histogram({"a": np.array([0.0, 0.0, 1.0, np.nan]), "b": np.array([2.0])}, "distance", bins=2, mark=1.5)
    )
    assert re.findall(r'<polygon class="(s\d)"', drawn) == ["s0", "s1"]
    assert "a (3)" in drawn and "b (1)" in drawn and 'class="mark"' in drawn and "distance" in drawn
    heights = [float(y) for y in re.search(r'class="s0" points="([^"]*)"', drawn)[1].replace(",", " ").split()[1::2]]
    assert heights[1] > heights[-2] - 200 and min(heights) >= 9  # nothing is above the picture


def test_a_histogram_of_nothing_or_of_one_value():
    assert "Nothing to draw" in histogram({"a": np.array([np.nan])}, "x")
    assert "<polygon" in histogram({"a": np.ones(3)}, "x", mark=9.0)
    assert 'class="mark"' not in histogram({"a": np.ones(3)}, "x", mark=9.0)


def test_confusion_is_shaded_by_the_share_of_its_row():
    drawn = str(confusion([[3, 1], [0, 0]], ["<b>", "dog\u202e"], "label", "read as"))
    assert 'class="right" style="--share:0.750">3<' in drawn and 'class="wrong" style="--share:0.250">1<' in drawn
    assert "&lt;b&gt;" in drawn and "<b>" not in drawn and "\u202e" not in drawn
    assert drawn.count("<td") == 4
