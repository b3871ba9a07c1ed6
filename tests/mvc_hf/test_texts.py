"""Words for messages."""

import unicodedata

from mvc_hf.texts import collapsed, is_text, known_as, normal, normal_order, one_line, reason, some


def test_one_line():
    assert one_line("a\nb 🐱\t") == "a\\nb 🐱\\t"
    assert collapsed(" a\n b\t") == "a b"


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
    assert reason(ValueError("x" * 301)) == "x" * 300 + "…"
