from __future__ import annotations

import csv
import io

import numpy as np
import pytest

from mvc_hf.comparison.tables import Row, as_csv, columns, differences, records, table

ROWS = [
    Row("real alone", (80.0, 82.0)),
    Row(
        "+ mvc, combined", (83.0, 85.1), "real alone", facts={"lr": 0.1, "labels": {"value": 0.5, "low": 0.4, "n": 7}}
    ),
    Row("RandAugment", (81.0, 83.0), "real alone"),
    Row("RandAugment + mvc, combined", (81.0, 84.0), "RandAugment"),
]


def test_what_a_row_is_held_against_stands_beside_it_where_it_is_not_always_the_first():
    assert table(ROWS).splitlines() == [
        "training images                 top-1 accuracy, %   paired difference  against",
        "real alone                             81.0 ± 1.4",
        "+ mvc, combined                        84.0 ± 1.5          +3.0 ± 0.6  real alone",
        "RandAugment                            82.0 ± 1.4          +1.0 ± 0.0  real alone",
        "RandAugment + mvc, combined            82.5 ± 2.1          +0.5 ± 6.4  RandAugment",
    ]
    assert "against" not in table(ROWS[:3])


def test_records_have_both_intervals_and_no_infinity():
    found = records(ROWS)
    assert found[0] | {"arm": "", "top1": []} == {
        "arm": "", "top1": [], "mean": 81.0, "standard_deviation": 1.41, "against": None,
        "difference": None, "interval": None, "interval_with_test_images": None,
    }  # fmt: skip
    assert found[1]["interval"] == [2.41, 3.69] and found[1]["lr"] == 0.1
    one = records([Row("a", (50.0,)), Row("b", (60.0,), "a")])
    assert one[1]["difference"] == 10.0 and one[1]["interval"] is None and one[1]["standard_deviation"] is None


def test_marks_of_images_widen_an_interval():
    first, right = np.zeros((2, 50), bool), np.zeros((2, 50), bool)
    right[:, :5] = True
    rows = [Row("a", (0.0, 0.0), right=first), Row("b", (10.0, 10.0), "a", right)]
    found = differences(rows)["b"]
    assert found.half == 0 and found.half_with_images == pytest.approx(8.4, abs=0.1)


def test_a_spreadsheet_gets_columns_and_no_formulas():
    rows = list(csv.DictReader(io.StringIO(as_csv(records([*ROWS, Row("=HYPERLINK(1)", (1.0, 2.0))])))))
    assert rows[1]["arm"] == "'+ mvc, combined" and rows[-1]["arm"] == "'=HYPERLINK(1)"
    assert (rows[1]["top1_seed0"], rows[1]["interval_low"], rows[1]["labels"], rows[1]["labels_low"]) == (
        "83.0", "2.41", "0.5", "0.4",
    )  # fmt: skip
    assert rows[0]["difference"] == "" and rows[3]["difference"] == "0.5"


def test_columns_are_as_wide_as_they_must_be():
    assert columns([["a", "bb"], ["ccc", ""]]) == ["  a  bb", "ccc"]
