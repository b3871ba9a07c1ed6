import copy

import pytest

from mvc_hf.assessment.findings import findings, is_collapsed, is_misread, number


def texts(figures, level):
    return [f["text"] for f in findings(figures) if f["level"] == level]


def test_grave_ones_come_first(found):
    levels = [f["level"] for f in found.figures["findings"]]
    assert levels == sorted(levels, key=("warning", "good", "note").index) and set(levels) <= {
        "warning",
        "good",
        "note",
    }


def test_a_shift_and_its_power_are_told(found):
    figures = copy.deepcopy(found.figures)
    figures["copies"]["suspects"], figures["overall"]["copies"]["value"] = [], 0.0
    test = figures["copies"]["test"]
    test.update(closer=0.5, p=0.4, p_standing_out=0.4, detectable=0.61)
    (line,) = [t for t in texts(figures, "good") if "no closer" in t]
    assert "50 of 100" in line and "61 of 100 would be noticed" in line
    test.update(closer=0.7, p=1e-9)
    (line,) = [t for t in texts(figures, "warning") if "lie closer" in t]
    assert "70 of 100" in line and "p < 0.0001" in line and "near-duplicates make that look surer" in line
    test.update(p=0.4, p_standing_out=1e-3)
    assert any("learned by heart" in t for t in texts(figures, "warning"))
    test.update(p=None, below=0)
    assert not any("closer" in f["text"] for f in findings(figures))


def test_few_images_are_no_finding():
    collapsed = {"synthetic": 30, "real": 30, "spread_ratio": {"high": 0.4}}
    assert is_collapsed(collapsed) and not is_collapsed(collapsed | {"real": 5})
    assert not is_collapsed(collapsed | {"spread_ratio": {"high": 0.6}}) and not is_collapsed(
        {"synthetic": 3, "real": 1}
    )
    misread = {"synthetic": 30, "label_agreement": {"high": 0.4}, "real_agreement": {"low": 0.6}}
    assert is_misread(misread) and not is_misread(misread | {"synthetic": 3})
    assert not is_misread({"synthetic": 30, "label_agreement": {"high": 0.4}})


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (1234.6, "1,235"),
        (-0.01234, "−0.012"),
        (5.678, "5.68"),
        (99.96, "100.0"),
        (100.0, "100"),
        (0.5, "0.500"),
    ],
)
def test_numbers_as_people_read_them(value, text):
    assert number(value) == text
