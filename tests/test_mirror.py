"""Tests mirror the sources: those of a module lie in test_ and its name, at the same place below tests/mvc_hf."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[1]
DATA = {"storage/layout.py"}  # names alone: there is nothing to test


def sources() -> set[str]:
    paths = (path.relative_to(ROOT / "mvc_hf") for path in (ROOT / "mvc_hf").rglob("*.py"))
    return {path.as_posix() for path in paths if path.name != "__init__.py"} - DATA


def mirrored() -> set[str]:
    paths = (path.relative_to(ROOT / "tests" / "mvc_hf") for path in (ROOT / "tests" / "mvc_hf").rglob("test_*.py"))
    return {path.with_name(path.name.removeprefix("test_")).as_posix() for path in paths}


def test_every_module_has_a_test_file_at_the_mirrored_place():
    assert sources() - mirrored() == set()
