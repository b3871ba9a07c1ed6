"""What is said to the person who waits: progress bars and single lines, on standard error, from the main process."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator

from tqdm import tqdm

from .text import one_line

_silent = False
_said: set[str] = set()


def be_silent() -> None:
    """Say nothing in this process any more: it is one of many that do a part of what somebody waits for."""
    global _silent
    _silent = True


def is_main_process() -> bool:
    """Whether this process is the one that speaks (torchrun and `accelerate launch` set RANK)."""
    return os.environ.get("RANK", "0") == "0" and not _silent


def bar(total: int, what: str, unit: str = "") -> tqdm:
    """A progress bar; in a log file, a line every ten seconds instead of ten a second."""
    interval = 0.1 if sys.stderr.isatty() else 10.0
    silent = {} if is_main_process() else {"disable": True}  # otherwise TQDM_DISABLE decides
    return tqdm(total=total, desc=one_line(what), unit=unit, mininterval=interval, dynamic_ncols=True, **silent)


def say(line: str) -> None:
    """One line that does not tear a progress bar apart."""
    if is_main_process():
        tqdm.write(one_line(line), file=sys.stderr)


def say_once(line: str) -> None:
    """The same, once in the life of this process, however many stages of a run come by it."""
    if line not in _said:
        _said.add(line)
        say(line)


@contextlib.contextmanager
def without_client_bars() -> Iterator[None]:
    """Without the bars of the Hub's client, which would tear ours apart, or be drawn by every process."""
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    if are_progress_bars_disabled():
        yield
        return
    disable_progress_bars()
    try:
        yield
    finally:
        enable_progress_bars()
