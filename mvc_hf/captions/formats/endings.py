"""Which format a captions file has, by the ending of its name."""

from __future__ import annotations

from pathlib import Path

from ...errors import DataError, OutputError

PARQUET, CSV, JSON_LINES = ".parquet", ".csv", ".jsonl"
ENDINGS = (PARQUET, CSV, JSON_LINES)
COLUMNS = ("label", "caption", "row")


def is_captions_file(spec: str) -> bool:
    """Whether the setting `captions` names a file."""
    return spec.lower().endswith(ENDINGS) and spec.partition(":")[0] not in ("template", "column")


def ending_of(path: Path) -> str:
    """Raises OutputError for a name that says no format."""
    ending = path.suffix.lower()
    if ending not in ENDINGS:
        what = f"ends in {ending}" if ending else "has no ending"
        raise OutputError(f"{path} {what}: let the name of a captions file end in {', '.join(ENDINGS)}")
    return ending


def text_of(path: Path) -> str:
    """The text of a file. Raises DataError where it is not there, cannot be read, or is not UTF-8."""
    try:
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError as error:
        raise DataError(f"no such captions file: {str(path)!r}") from error
    except OSError as error:
        raise DataError(f"{path.name} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path.name} is not text in UTF-8: save it anew, spreadsheets as CSV UTF-8") from error
