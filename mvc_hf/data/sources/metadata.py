"""What a folder tells of its pictures: metadata.csv or metadata.jsonl, as the Hub has it, and a .txt beside each.

`file_name` is a path below the folder of the file; the other columns belong to that picture.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from ...errors import DataError
from ...storage.files import read_file
from ...utils.text import brief, normal, one_line, some
from ..links import Links

NAMES = ("metadata.csv", "metadata.jsonl")
FILE_NAME = "file_name"
LABELS = ("label", "labels", "class", "class_name", "category", "target")
LARGEST = 1 << 24  # characters of a cell
LONGEST_TEXT = 1 << 16  # bytes of a caption beside a picture


@dataclass(frozen=True)
class Metadata:
    """A metadata file: a row for each picture that it names.

    Attributes:
        file: its name.
        content: of it, for fingerprints.
        paths: of the pictures, below the folder.
        columns: the others, each as long as `paths`; None where a line lacks one.
    """

    file: str
    content: bytes
    paths: list[str]
    columns: dict[str, list[Any]]

    @classmethod
    def of(cls, folder: Path, links: Links) -> Metadata | None:
        """That of a folder; None where it has none.

        Raises:
            DataError: it has two, or one that is not of its format, names no pictures, or names some outside.
        """
        found = [folder / name for name in NAMES if (folder / name).is_file()]
        if len(found) > 1:
            raise DataError(f"{one_line(folder.name)} has {' and '.join(NAMES)}: keep one of them")
        if not found:
            return None
        links.check(found[0])
        content = read_file(found[0], found[0].name)
        rows = _rows(content, found[0].name)
        if not rows or not any(FILE_NAME in row for _, row in rows):
            raise DataError(
                f"{found[0].name} has no column {FILE_NAME}, which names the picture that a line belongs to"
            )
        paths = [_path(row.get(FILE_NAME), at, found[0].name) for at, row in rows]
        names = dict.fromkeys(name for _, row in rows for name in row if name != FILE_NAME)
        columns = {name: [row.get(name) for _, row in rows] for name in names}
        return cls(found[0].name, content, paths, columns)

    def label_column(self, asked: str | None) -> str | None:
        """The column of the labels; None where nothing is asked for and none is called so."""
        if asked is not None and asked not in self.columns:
            raise DataError(
                f"{self.file} has no column {brief(asked)}: it has {some(self.columns, 20)} (--label-column)"
            )
        return asked or next((name for name in LABELS if name in self.columns), None)

    def aligned(self, files: Sequence[str]) -> dict[str, list[Any]]:
        """The columns in the order of these pictures; None for those that it does not name."""
        at = {normal(path): i for i, path in enumerate(self.paths)}
        rows = [at.get(normal(file)) for file in files]
        return {name: [None if i is None else values[i] for i in rows] for name, values in self.columns.items()}


def text_beside(path: Path, shown: str, links: Links) -> str:
    """The text of a file beside a picture. Raises DataError where it is no short text in UTF-8."""
    links.check(path)
    data = read_file(path, shown)
    if len(data) > LONGEST_TEXT:
        raise DataError(f"{shown} has {len(data):,} bytes, too many for a caption: {LONGEST_TEXT:,} are the limit")
    try:
        return data.decode("utf-8-sig").strip()
    except UnicodeDecodeError as error:
        raise DataError(f"{shown} is not text in UTF-8") from error


def _rows(content: bytes, name: str) -> list[tuple[int, dict[str, Any]]]:
    """Lines with their numbers, for messages."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{name} is not text in UTF-8") from error
    if name.endswith(".csv"):
        before = csv.field_size_limit(LARGEST)
        try:
            found = [*csv.DictReader(io.StringIO(text, newline=""), strict=True)]
        except csv.Error as error:
            raise DataError(f"{name} is not CSV: {error}") from error
        finally:
            csv.field_size_limit(before)
        if any(None in row for row in found):
            raise DataError(f"{name} has lines with more cells than the first one: quote commas")
        return [(at, {key: value or None for key, value in row.items()}) for at, row in enumerate(found, 2)]
    rows = []
    for at, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(f"line {at} of {name} is not JSON: write one object a line") from error
        if not isinstance(row, dict):
            raise DataError(f"line {at} of {name} is no object")
        rows.append((at, row))
    return rows


def _path(value: Any, at: int, name: str) -> str:
    """Raises DataError where it leads out of the folder, or is none."""
    path = PurePosixPath(value.replace("\\", "/")) if isinstance(value, str) and value else None
    if path is None or "\0" in str(path) or path.is_absolute() or ".." in path.parts or ":" in path.parts[0]:
        raise DataError(f"line {at} of {name}: {FILE_NAME} is {brief(value)}; it must be a path below the folder")
    return path.as_posix()
