"""Words for messages: each on one line, and short."""

from __future__ import annotations

from collections.abc import Iterable, Iterator


def collapsed(text: str) -> str:
    """The words with single spaces between them."""
    return " ".join(text.split())


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


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error and what it came from: libraries wrap what they pass on."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
