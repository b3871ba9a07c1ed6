"""Words for messages: each on one line, short, and with nothing in it that does not show.

Class names, captions, names of files and data sets come from outside. Whatever shows them to a person (an error, a
line on the terminal, a card) passes them through `one_line` or `visible`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator

LONGEST = 120  # characters of one value in a message
TOKEN = re.compile(r"hf_[A-Za-z0-9]{16,}|(?<=Bearer )[^\s'\"]+")  # as the Hub's clients send them

# What counts as printing for Python, and yet draws nothing: fillers, and selectors of variants, in which a message can
# be hidden. The selector that makes a picture of a sign (U+FE0F) is part of many emoji.
BLANK = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u180f\u2800\u3164\ufe00-\ufe0e\uffa0\U000e0100-\U000e01ef]"
)
JOINERS = "\u200c\u200d"  # print nothing, but hold emoji and the letters of some scripts together


def collapsed(text: str) -> str:
    """The words with single spaces between them."""
    return " ".join(text.split())


def normal(name: str) -> str:
    """The form in which names are compared, NFC: an é is one character, or, as macOS has it, an e and an accent."""
    return unicodedata.normalize("NFC", name)


def normal_order(name: str) -> tuple[str, str]:
    """A key for sorting: names come in one order, whichever way their accents are written."""
    return normal(name), name


def known_as(name: str, names: Iterable[str]) -> str | None:
    """The one of `names` that is the same name, as it is spelt there; None where there is none."""
    names = list(names)
    same = (known for known in names if normal(known) == normal(name))
    return name if name in names else next(same, None)


def is_text(name: str) -> bool:
    """Whether a name can be written as UTF-8. A lone surrogate stands for a byte that is no UTF-8: so Python tells of
    names that are in another encoding.
    """
    return not any("\ud800" <= c <= "\udfff" for c in name)


def one_line(text: str) -> str:
    """The text with everything escaped that does not show: line breaks, codes of terminals, marks that turn the
    direction of reading, zero-width characters. The joiners of emoji and scripts stay where they join something.
    """
    if text.isprintable() and not BLANK.search(text):
        return text
    return "".join(c if _shows(c) or _joins(text, i) else _escaped(c) for i, c in enumerate(text))


def visible(text: str) -> str:
    """`one_line` for each line of a text."""
    return "\n".join(map(one_line, text.split("\n")))


def brief(value: object, longest: int = LONGEST) -> str:
    """A value in a message, as Python writes it; its middle is left out where it is long."""
    if isinstance(value, int) and value.bit_length() > 4 * longest:  # Python refuses to write very long ones
        return f"a number of about {int(value.bit_length() * 0.30103) + 1:,} digits"
    return shortened(one_line(repr(value)), longest)


def shortened(text: str, longest: int = LONGEST) -> str:
    """The text, without its middle where it is long."""
    return text if len(text) <= longest else f"{text[: longest // 2]}…{text[-longest // 2 :]}"


def counted(number: int, what: str) -> str:
    """A number with its word: "1 image", "1,200 images", "2 classes"."""
    plural = what if number == 1 else f"{what}es" if what.endswith("s") else f"{what}s"
    return f"{number:,} {plural}"


def as_bytes(size: int) -> str:
    """A number of bytes as a person says it: "940 MB", "12.3 GB"."""
    for unit, width in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size >= width:
            return f"{size / width:.3g} {unit}"
    return f"{size} bytes"


def some(names: Iterable[str], limit: int = 5) -> str:
    """The first few names, quoted, and how many more there are."""
    names = list(names)
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(brief(n) for n in names[:limit]) + more


def reason(error: BaseException) -> str:
    """What an exception of another library says, on one line. `datasets` hides the reason in the cause."""
    while type(error).__name__ == "DatasetGenerationError" and error.__cause__:
        error = error.__cause__
    text = TOKEN.sub("(a token)", one_line(collapsed(str(error)))) or type(error).__name__
    return text if len(text) <= 300 else text[:300] + "…"


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error and what it came from: libraries wrap what they pass on."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def unreadable(text: str) -> str | None:
    """Why a text can be no name of a file, nor be written to one; None where it can."""
    if "\0" in text:
        return "it holds a null character"
    if not is_text(text):
        return "it is not valid UTF-8"
    return None


def _shows(c: str) -> bool:
    return c.isprintable() and not BLANK.match(c)


def _joins(text: str, i: int) -> bool:
    """Whether a joiner stands where Unicode has a use for it: between emoji, at a virama, within Arabic words."""
    if text[i] not in JOINERS or not 0 < i < len(text) - 1:
        return False
    before, after = text[i - 1], text[i + 1]
    if 9 in (unicodedata.combining(before), unicodedata.combining(after)):
        return True
    if {unicodedata.bidirectional(before), unicodedata.bidirectional(after)} == {"AL"}:
        return True
    return (unicodedata.category(before) in ("So", "Sk") or before == "\ufe0f") and unicodedata.category(after) == "So"


def _escaped(c: str) -> str:
    return c.encode("unicode_escape").decode("ascii")
