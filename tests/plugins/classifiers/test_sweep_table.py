from __future__ import annotations

from mvc_hf.comparison.tables import Row
from mvc_hf.plugins.classifiers.sweep_table import table


def figure(value, low=None, high=None):
    return {"value": value, "low": low, "high": high, "n": 10}


def cell(name, coarse, *top1, **figures):
    facts = {"coarse": coarse, "fine": 8, "guidance_scale": 1.0, "num_inference_steps": 25, "aug_ratio": None}
    return Row(name, top1, "real alone", facts=facts | figures)


def test_what_varies_has_a_column_and_every_figure_its_unit():
    shares = {"coverage": figure(0.5, 0.4, 0.6), "labels": figure(0.25), "copies": figure(0.0, 0.0, 0.01)}
    first = Row("real alone", (80.0, 82.0), facts={"coverage": figure(1.0), "kernel distance": figure(-0.001)})
    rows = [
        first,
        cell("a", 0, 83.0, 85.1, **shares | {"kernel distance": figure(0.0123, 0.01, 0.015), "spread": figure(0.75)}),
        cell("b", 2, 83.0, 85.1, **shares | {"kernel distance": None, "spread": figure(0.754, 0.7, 0.8)}),
    ]
    lines = [line.split("  ") for line in table(rows).splitlines()]
    cells = [[part.strip() for part in line if part.strip()] for line in lines]
    assert cells == [
        ["P", "kernel distance", "coverage", "spread", "labels", "copies", "top-1, %", "gain"],
        ["real alone", "−1.00", "100", "81.0 ± 1.4"],
        ["0", "12.3 (10.0 to 15.0)", "50 (40 to 60)", "0.75", "25", "0 (0 to 1)", "84.0 ± 1.5", "+3.0 ± 0.6"],
        ["2", "50 (40 to 60)", "0.75 (0.70 to 0.80)", "25", "0 (0 to 1)", "84.0 ± 1.5", "+3.0 ± 0.6"],
    ]


def test_one_cell_needs_no_column_of_its_own():
    lines = table([Row("real alone", (80.0,), facts={}), cell("a", 0, 81.0)]).splitlines()
    assert lines[0].split()[0] == "kernel" and lines[2].split() == ["81.0", "±", "0.0", "+1.0"]
