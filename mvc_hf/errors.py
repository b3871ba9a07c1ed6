"""What a user can get wrong, as exceptions.

Every message names the value, the limit and the next step; the command line prints it as one line and exits with 1.

They cross from one process to another as what they are, whatever their constructors take: `pickle` (pools of
processes) rebuilds them from their state, and torch's loaders, which raise the class anew with a whole traceback for a
message, get the message that stands at its end.
"""

from __future__ import annotations

from typing import Any, cast

from .utils.text import collapsed, one_line

TRACEBACK = "Traceback (most recent call last):\n"


class _Crossing(type):
    """Makes an error from the text by which torch hands on what was raised in a worker."""

    def __call__(cls, *args: Any, **settings: Any) -> Any:
        text = args[0] if len(args) == 1 and not settings else None
        if isinstance(text, str) and text.startswith("Caught "):
            name, message = last_error(text) or ("", "")
            if name.rpartition(".")[2] == cls.__name__:
                kind = cast("type[MvcError]", cls)
                return kind.__new__(kind, message)  # not __init__, which may take anything
        return super().__call__(*args, **settings)


class MvcError(Exception, metaclass=_Crossing):
    """Base of everything that a user can get wrong. A traceback of any other kind is a bug of ours."""

    def __reduce__(self) -> tuple:
        return _rebuilt, (type(self), self.args), self.__dict__

    def __str__(self) -> str:
        """One line, in which names from outside can hide nothing."""
        return one_line(collapsed(super().__str__()))


class RecipeError(MvcError):
    """A setting that is out of range, unknown, or at odds with another one."""


class DataError(MvcError):
    """A data set, an image or a caption that cannot be used."""


class ModelError(MvcError):
    """A base model or checkpoint that cannot be used."""


class NotEnoughMemory(ModelError, MemoryError):
    """Memory, of the machine or of its GPU, that does not suffice by these settings."""


class DivergedError(ModelError):
    """Numbers that are not finite any more: weights, a loss, latents or pixels."""


class OutputError(MvcError):
    """A folder that cannot be written: made by another recipe, full, or not ours."""


class HostError(MvcError):
    """A program that we plug into is not as we know it: another script, another version."""


class Stopped(MvcError):
    """The user stopped a run at a safe point; the same command goes on from there.

    Attributes:
        signal: number of the signal that asked for it; None where another process heard it.
    """

    def __init__(self, *args: Any, signal: int | None = None):
        super().__init__(*args)
        self.signal = signal


def last_error(text: str) -> tuple[str, str] | None:
    """Full name of the class, and message, of the error whose printed traceback a text ends with; None without one."""
    _, printed, rest = text.rpartition(TRACEBACK)
    if not printed:
        return None
    lines = rest.splitlines()
    at = next((i for i, line in enumerate(lines) if line and not line.startswith(" ")), None)
    if at is None:
        return None
    name, _, message = "\n".join(lines[at:]).partition(":")
    return name.strip(), message.strip()


def _rebuilt(kind: type[MvcError], args: tuple) -> MvcError:
    return kind.__new__(kind, *args)
