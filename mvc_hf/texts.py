"""Words for messages: each on one line, and short."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable


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
    """Whether a name of a file can be written as UTF-8."""
    return not any("\ud800" <= c <= "\udfff" for c in name)


def one_line(text: str) -> str:
    """The text with everything escaped that does not print, such as a newline in a file's name."""
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def some(names: Iterable[str], limit: int = 5) -> str:
    """The first few names, quoted, and how many more there are."""
    names = list(names)
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(repr(n) for n in names[:limit]) + more


def reason(error: BaseException) -> str:
    """What an exception of another library says, on one line. `datasets` hides the reason in the cause."""
    while type(error).__name__ == "DatasetGenerationError" and error.__cause__:
        error = error.__cause__
    text = collapsed(str(error)) or type(error).__name__
    return text if len(text) <= 300 else text[:300] + "…"
