"""Models of other people: whatever loading or asking one of them raises becomes one line, here and only here.

A cut file, a nonsense configuration, another model's weights: what the libraries make of those is an open set of
exceptions, and changes with their versions. So nothing is told apart that the user would mend in the same way.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

from ..errors import ModelError, MvcError, NotEnoughMemory
from .disk import is_disk_full
from .memory import is_memory_error
from .text import reason


@contextlib.contextmanager
def foreign(what: str, hint: str = "") -> Iterator[None]:
    """Errors of another library inside become a ModelError that begins with `what` and ends with `hint`.

    What is no fault of the model is passed on: errors of ours, a full disk, Ctrl-C.

    Raises:
        NotEnoughMemory: the model is larger than the memory, or says so.
        ModelError: anything else that went wrong.
    """
    end = f"; {hint}" if hint else ""
    try:
        with quiet():
            yield
    except MvcError:
        raise
    except BaseException as error:
        # What panics in a library written in Rust (tokenizers) is no Exception in Python.
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        if is_disk_full(error):
            raise
        if is_memory_error(error):
            raise NotEnoughMemory(f"{what}: the memory does not suffice for it ({reason(error)})") from error
        raise ModelError(f"{what}: {_said(error)}{end}") from error


def _said(error: BaseException) -> str:
    """What an error says; with its kind where the words alone are none (KeyError: 'layers')."""
    words = reason(error)
    plain = isinstance(error, OSError | ValueError | RuntimeError) and len(words.split()) > 2
    return words if plain or words == type(error).__name__ else f"{type(error).__name__}: {words}"


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without the libraries' own progress bars and notices: ours say what is going on."""
    libraries = [library for library in ("transformers", "diffusers") if library in sys.modules]
    logs = [__import__(f"{library}.utils.logging", fromlist=["logging"]) for library in libraries]
    before = [(log, log.get_verbosity(), _shows_bars(log)) for log in logs]
    for log in logs:
        log.set_verbosity_error()
        log.disable_progress_bar()
    try:
        yield
    finally:
        for log, level, bars in before:
            log.set_verbosity(level)
            if bars:
                log.enable_progress_bar()


def _shows_bars(log: object) -> bool:
    asked = getattr(log, "is_progress_bar_enabled", None)  # diffusers has no such call: its bars are as transformers'
    if asked is None:
        return bool(getattr(log, "_tqdm_active", True))
    return asked()
