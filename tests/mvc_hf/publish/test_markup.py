"""Words from outside, as they are written into YAML, Python and Markdown."""

import re

import pytest
import yaml
from cards import (
    class_names,
)
from hypothesis import given
from hypothesis import strategies as st

from mvc_hf.publish.markup import markdown, python_literal, yaml_code, yaml_text


@given(st.dictionaries(st.text(), st.text() | st.none() | st.integers() | st.floats(allow_nan=False) | class_names))
def test_yaml_comes_back_verbatim(values):
    assert yaml.safe_load(yaml_text(values)) == values
    code = yaml_code(values)
    assert yaml.safe_load(code) == values and "<" not in code
    assert not re.search(r"^ {0,3}(```|~~~)", code, re.MULTILINE)


@given(st.text())
def test_python_literals_evaluate_to_the_text(text):
    literal = python_literal(text)
    assert eval(literal) == text and "<" not in literal and literal.isascii() and len(literal.splitlines()) == 1


@pytest.mark.parametrize("name", ["1e3", "0o17", "no", "1.0", "0x1F", "2024-01-01", ".inf", "True", "~"])
def test_names_that_a_parser_takes_for_a_number_are_quoted(name):
    """Quoted, so that YAML 1.1 and 1.2 agree."""
    assert re.fullmatch(r"""x: (["']).*\1\n""", yaml_text({"x": name}))


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("T-shirt/top 1.0", "T-shirt/top 1.0"),
        ("a|b", "a&#124;b"),
        ("two\nlines", "two&#92;nlines"),
        (" a ", "␣a␣"),
        ("", "(empty)"),
        ("👩‍👩‍👧", "👩‍👩‍👧"),
        ("\u0085", "&#92;x85"),
        ("www.x.com", "ww&#119;.x.com"),
        ("x" * 81, "x" * 79 + "…"),
    ],
)
def test_markdown_escapes_what_would_mean_something(name, shown):
    assert markdown(name) == shown
