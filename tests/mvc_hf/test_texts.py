"""Words for messages."""

from mvc_hf.texts import collapsed, one_line, reason, some


def test_one_line():
    assert one_line("a\nb 🐱\t") == "a\\nb 🐱\\t"
    assert collapsed(" a\n b\t") == "a b"


def test_some():
    assert some(["a", "b"]) == "'a', 'b'"
    assert some("abcd", 2) == "'a', 'b' and 2 more"


def test_reason():
    assert reason(ValueError("one\n  two")) == "one two"
    assert reason(ValueError()) == "ValueError"
    assert reason(ValueError("x" * 301)) == "x" * 300 + "…"
