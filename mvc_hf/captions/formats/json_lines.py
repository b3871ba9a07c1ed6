"""Captions as JSON Lines: an object of label, caption and row a line."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ...errors import DataError
from .endings import COLUMNS, text_of


def written(captions: Iterable[tuple[int, str, int | None]], class_names: Sequence[str]) -> bytes:
    """(label, caption, row) with class names for labels; the row is null where a caption belongs to a whole class."""
    rows = ((class_names[label], caption, row) for label, caption, row in captions)
    return "".join(json.dumps(dict(zip(COLUMNS, row)), ensure_ascii=False) + "\n" for row in rows).encode()


def read(path: Path) -> dict[str, list[Any]]:
    """The columns that some line has, of equal length.

    Raises:
        DataError: it is not there, or not of this format; the message names the line.
    """
    columns: dict[str, list[Any]] = {}
    lines = [(at, line) for at, line in enumerate(text_of(path).split("\n"), 1) if line.strip()]
    for number, (at, line) in enumerate(lines):
        try:
            values = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(f"line {at} of {path.name} is not JSON: write one object a line") from error
        if not isinstance(values, dict):
            raise DataError(f'line {at} of {path.name} is no object: write {{"label": "cat", "caption": "a cat"}}')
        for column in COLUMNS:
            if column in values or column in columns:
                columns.setdefault(column, [None] * number).append(values.get(column))
    return columns
