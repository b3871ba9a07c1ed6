"""docs/method.md: every sentence of the method names a function that is there."""

import importlib
import re
from pathlib import Path

import pytest

TEXT = (Path(__file__).parents[1] / "docs" / "method.md").read_text(encoding="utf-8")
TABLE = TEXT.partition("## Sentence by sentence")[2].partition("\n## ")[0]
ROWS = [(sentence, names) for sentence, names in re.findall(r"^\| (.+?) \| (.*?) ?\|$", TABLE, re.MULTILINE)]
NAMES = sorted(set(re.findall(r"`([\w.]+)`", " ".join(names for _, names in ROWS))))


def resolved(name: str) -> object:
    """The module, class or function of a dotted name below mvc_hf."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        module = ".".join(("mvc_hf", *parts[:length]))
        try:
            found = importlib.import_module(module)
        except ModuleNotFoundError as error:
            if not module.startswith(str(error.name)):
                raise
            continue
        for part in parts[length:]:
            found = getattr(found, part)
        return found
    raise AssertionError(f"there is no mvc_hf.{name}")


@pytest.mark.parametrize("name", NAMES)
def test_every_name_is_there_and_says_what_it_does(name):
    assert resolved(name).__doc__


def test_a_name_that_is_not_there_would_be_found():
    with pytest.raises(AttributeError):
        resolved("training.objective.no_such_function")
    with pytest.raises(AssertionError):
        resolved("no_such_package.function")


def test_every_sentence_has_one_function():
    sentences = [(sentence, names) for sentence, names in ROWS[1:] if not sentence.startswith(("**", "-"))]
    assert len(sentences) > 30
    for sentence, names in sentences:
        assert re.fullmatch(r"`[\w.]+`", names), sentence


@pytest.mark.parametrize(
    "what", ["Algorithm 1", "Eq. 1:", "Eq. 4:", "Eq. 5:", "Eq. 6:", "Two-phase", "RSP(p)", "Combined"]
)
def test_the_whole_method_is_in_the_table(what):
    assert what in TABLE
