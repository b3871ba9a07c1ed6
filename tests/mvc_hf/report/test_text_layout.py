import pytest

from mvc_hf.report import text_layout
from mvc_hf.report.text_layout import font, set_in, wrapped

TEXTS = ["a short one", "word " * 40, "x" * 300, "猫" * 90, "one " + "y" * 90 + " three", "Кошка " * 20]


@pytest.fixture
def alone(monkeypatch):
    """A machine without any font."""
    monkeypatch.setattr(text_layout, "OTHERS", ())


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
@pytest.mark.parametrize("lines", [1, 3, 100])
def test_no_line_is_too_wide_and_none_too_many(text, lines):
    found = wrapped(text, 14, 150, lines)
    assert 1 <= len(found) <= lines
    for line in found:
        shown, used = set_in(line, 14)
        assert used.getlength(shown) <= 150
    whole = wrapped(text, 14, 150, 1000)
    if len(whole) <= lines:
        assert found == whole and "".join("".join(found).split()) == "".join(set_in(text, 14)[0].split())
    else:
        assert found[-1].endswith("…") and found[:-1] == whole[: lines - 1]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain (text), 100 %", "plain (text), 100 %"),
        ("café Łódź Straße", "cafe Lodz Strasse"),
        ("“it’s” — 3 × 4", "“it’s” - 3 x 4"),
        ("猫 cat", "\\u732b cat"),
        ("two\nlines\tand\x00 more", "two lines and more"),
    ],
)
def test_letters_that_no_font_has(alone, text, shown):
    assert set_in(text, 14) == (shown, font(14, None))


def test_a_font_of_the_machine_is_used_where_it_has_all_letters(monkeypatch):
    monkeypatch.setattr(text_layout, "OTHERS", ("none.ttf", "other.ttf"))
    monkeypatch.setattr(text_layout, "_is_here", lambda name: name == "other.ttf")
    monkeypatch.setattr(text_layout, "_has", lambda name, letter: letter.isascii() or (name and letter == "ж"))
    monkeypatch.setattr(text_layout, "font", lambda size, name=None: (size, name))
    assert set_in("ж", 14) == ("ж", (14, "other.ttf"))
    assert set_in("plain", 14) == ("plain", (14, None))
    assert set_in("ж猫", 14) == ("\\u0436\\u732b", (14, None))
