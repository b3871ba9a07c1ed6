from __future__ import annotations

import re
from xml.etree import ElementTree

from mvc_hf.comparison.plot import svg
from mvc_hf.comparison.tables import Row


def test_it_is_svg_with_a_mark_for_each_seed_and_nothing_from_outside():
    rows = [Row("real alone", (70.0, 72.0)), Row('<script>"&\x1b' + "x" * 90, (75.0, 78.0), "real alone")]
    text = svg(rows, "a <b>")
    tree = ElementTree.fromstring(text)
    marks = [e for e in tree.iter() if e.tag.endswith("circle")]
    assert len(marks) == 4 + 2 + 2, "seeds, means, and a difference with two bars"
    assert not any(e.tag.endswith("script") for e in tree.iter())
    assert "http" not in text.replace('xmlns="http://www.w3.org/2000/svg"', "")
    words = [e.text for e in tree.iter() if e.tag.endswith("text")]
    assert "a <b>" in words and any(w.startswith('<script>"&\\x1b') and "…" in w for w in words)


def test_values_lie_on_the_axis():
    text = svg([Row("a", (70.0, 90.0)), Row("b", (10.0, 20.0), "a")], "t")
    at = [float(x) for x in re.findall(r'circle class="s" cx="([\d.]+)"', text)]
    width = float(re.search(r'width="(\d+)"', text)[1])
    assert sorted(at) == [at[2], at[3], at[0], at[1]] and 0 < min(at) < max(at) < width
    (left, right), gaps = (at[2], at[1]), (at[1] - at[0], at[3] - at[2])
    assert gaps[0] / gaps[1] == round(gaps[0] / gaps[1], 1) == 2.0 and left < right


def test_one_value_and_one_seed_are_drawn_too():
    for rows in ([Row("a", (50.0,))], [Row("a", (50.0,)), Row("b", (50.0,), "a")]):
        assert "nan" not in svg(rows, "t") and "inf" not in svg(rows, "t")
