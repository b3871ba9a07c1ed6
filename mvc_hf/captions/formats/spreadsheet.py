"""Captions as CSV, for spreadsheets: label, caption, row under a first line with these words."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ...errors import DataError, OutputError
from ...utils.text import brief
from .endings import COLUMNS, JSON_LINES, PARQUET, text_of

FORMULA = ("=", "+", "-", "@", "\t", "\r")  # a spreadsheet would work out what begins so
LARGEST = 1 << 24  # characters of a cell


def written(captions: Iterable[tuple[int, str, int | None]], class_names: Sequence[str]) -> bytes:
    """(label, caption, row) with class names for labels; no row where a caption belongs to a whole class.

    It begins with the mark by which spreadsheets know UTF-8. Where a class name would be a formula to them, labels are
    numbers.

    Raises:
        OutputError: neither names nor numbers can stand for the classes.
    """
    names: Sequence[Any] = class_names
    if any(name.startswith(FORMULA) for name in class_names):
        if any(name.strip().isdecimal() for name in class_names):
            raise OutputError(
                "a class name begins as formulas of spreadsheets do, and another is a number: give a name that ends "
                f"in {PARQUET} or {JSON_LINES}"
            )
        names = range(len(class_names))
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(COLUMNS)
    writer.writerows((names[label], caption, "" if row is None else row) for label, caption, row in captions)
    return out.getvalue().encode("utf-8-sig")


def read(path: Path, class_names: Sequence[str] | None) -> dict[str, list[Any]]:
    """All columns, of equal length. Labels that are no class name, and rows, are numbers where they look like one.

    Between the cells are commas, or what spreadsheets of other countries put there.

    Raises:
        DataError: it is not there, or not of this format; the message names the line.
    """
    text, name = text_of(path), path.name
    head = text.partition("\n")[0]
    mark = max(",;\t", key=head.count)
    before = csv.field_size_limit(LARGEST)
    try:
        first, *rows = [*csv.reader(io.StringIO(text, newline=""), delimiter=mark, strict=True)] or [[]]
    except csv.Error as error:
        raise DataError(f"{name} is not CSV: {error}") from error
    finally:
        csv.field_size_limit(before)
    names = [column.strip() for column in first]
    if len(set(names)) < len(names):
        raise DataError(f"{name} has two columns of one name in its first line: {brief(first)}")
    kept = [(at, row) for at, row in enumerate(rows, 2) if any(cell.strip() for cell in row)]
    for at, row in kept:
        if len(row) != len(names):
            raise DataError(f"line {at} of {name} has {len(row)} cells, the first line {len(names)}: quote commas")
    columns: dict[str, list[Any]] = {column: [row[i] for _, row in kept] for i, column in enumerate(names)}
    known = set(class_names or ())
    if "label" in columns:
        columns["label"] = [cell if cell in known else _whole(cell) for cell in columns["label"]]
    if "row" in columns:
        columns["row"] = [_whole(cell) if cell.strip() else None for cell in columns["row"]]
    return columns


def _whole(cell: str) -> Any:
    """The number that a cell holds, also as spreadsheets write it (12.0); the cell where it holds none."""
    text = cell.strip().removesuffix(".0")
    return int(text) if text.removeprefix("-").isdecimal() and text.isascii() and len(text) < 19 else cell
