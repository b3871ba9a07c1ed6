"""Words for messages."""

import unicodedata

import pytest
import yaml

from mvc_hf.errors import DataError
from mvc_hf.utils.text import (  # fmt: skip
    as_bytes,
    brief,
    collapsed,
    counted,
    is_text,
    known_as,
    normal,
    normal_order,
    one_line,
    reason,
    shortened,
    some,
    unreadable,
    visible,
)

HIDDEN = [
    *"\x00\x07\x1b\x7f\x85\xad\u061c\u200b\u200e\u200f\u2028\u202a\u202b\u202c\u202d\u202e\u2060\u2066\u2067\u2068\u2069",
    *"\ufeff\ufff9\u034f\u115f\u3164\uffa0\u2800\ufe00\U000e0001\U000e0041\U000e0100\ud800",
]


def test_what_does_not_print_is_escaped():
    assert one_line("a\nb\x1b[0m") == "a\\nb\\x1b[0m"
    assert one_line("a\nb 🐱\t") == "a\\nb 🐱\\t"
    assert one_line("plain ü 🐱 日本") == "plain ü 🐱 日本"
    assert collapsed(" a\n b\t") == "a b"


@pytest.mark.parametrize("c", HIDDEN, ids=ascii)
def test_nothing_hides(c):
    shown = one_line(f"cat{c}dog")
    assert c not in shown and shown.startswith("cat\\") and shown.endswith("dog")
    assert one_line(shown) == shown
    assert c not in str(DataError(f"cat{c}dog")) and c not in some([f"cat{c}"]) and c not in brief(c)
    if not "\ud800" <= c <= "\udfff":
        assert yaml.safe_load(f'"{shown}"') == f"cat{c}dog"


def test_no_character_of_the_categories_of_control_is_shown():
    every = [chr(i) for i in range(0x110000) if unicodedata.category(chr(i)) in ("Cc", "Cf", "Cs", "Zl", "Zp")]
    assert len(every) > 2000 and not [c for c in every if c in one_line(f"a{c}b")]


@pytest.mark.parametrize(
    "name", ["👩\u200d🔬", "👩🏽\u200d🔬", "🏳️\u200d🌈", "می\u200cخواهم", "ක්\u200dෂ", "র\u200d্য", "नमस्\u200cते"]
)
def test_joiners_stay_where_they_join(name):
    assert one_line(name) == name
    assert "\\u200" in one_line(name.replace("\u200d", "\u200d\u200d").replace("\u200c", "\u200c\u200c"))


@pytest.mark.parametrize("name", ["ca\u200dt", "\u200dcat", "cat\u200d", "a\u200c1", "👩\u200dx", "мо\u200cре"])
def test_joiners_that_join_nothing_are_shown(name):
    assert "\\u200" in one_line(name)


def test_lines_stay_lines_where_they_are_meant():
    assert visible("a\n\u202eb\n") == "a\n\\u202eb\n"


def test_long_values_lose_their_middle():
    assert brief("x" * 1000) == "'" + "x" * 59 + "…" + "x" * 59 + "'"
    assert shortened("abcdef", 4) == "ab…ef"
    assert brief(10**9000) == "a number of about 9,001 digits" and brief(5) == "5"
    assert len(some(["x" * 10_000] * 9)) < 1000


def test_what_can_be_no_name():
    assert unreadable("a\0") and unreadable("a\udcff") and unreadable("ü 🐱") is None


def test_names_are_compared_in_one_form():
    composed = "caf\u00e9"
    apart = unicodedata.normalize("NFD", composed)
    assert composed != apart and normal(composed) == normal(apart)
    assert known_as(apart, ["x", composed]) == composed and known_as(apart, [composed, apart]) == apart
    assert known_as("cafe", [composed, apart]) is None
    for names in (["cafz", composed, "cafa"], ["cafz", apart, "cafa"]):
        assert [normal(n) for n in sorted(names, key=normal_order)] == ["cafa", "cafz", composed]


def test_what_is_no_text():
    assert is_text("caf\u00e9 🐱\n") and not is_text("a\udcff")


def test_some():
    assert some(["a", "b"]) == "'a', 'b'"
    assert some("abcd", 2) == "'a', 'b' and 2 more"


def test_reason():
    assert reason(ValueError("one\n  two")) == "one two"
    assert reason(ValueError()) == "ValueError"
    assert reason(ValueError("\x1b[31m")) == "\\x1b[31m"
    assert reason(ValueError("x" * 301)) == "x" * 300 + "…"


def test_one_is_one():
    assert [counted(n, "image") for n in (0, 1, 2, 1200)] == ["0 images", "1 image", "2 images", "1,200 images"]
    assert [counted(n, "class") for n in (1, 2)] == ["1 class", "2 classes"]


@pytest.mark.parametrize(("size", "text"), [(12, "12 bytes"), (940_000_000, "940 MB"), (12_340_000_000, "12.3 GB")])
def test_sizes_as_a_person_says_them(size, text):
    assert as_bytes(size) == text
