"""What is said to the person who waits: progress bars and single lines, on standard error, from the main process."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any

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


class _Lines:
    """Standard error where it is no terminal: what a bar draws over itself becomes a line each time."""

    def write(self, text: str) -> None:
        if line := text.strip():
            sys.stderr.write(f"{line}\n")

    def flush(self) -> None:
        sys.stderr.flush()


def bar(total: int, what: str, unit: str = "", *, done: int = 0, shared: bool = False) -> tqdm:
    """A progress bar; in a log file, a line every ten seconds instead of ten a second.

    Args:
        done: of the total, before now: the rate and the time that is left do not count it.
        shared: the total is the share of one of several processes; the bar says so.
    """
    terminal = sys.stderr.isatty()
    how: dict[str, Any] = {} if is_main_process() else {"disable": True}  # otherwise TQDM_DISABLE decides
    if not terminal:
        how["file"] = _Lines()
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    share = f", share of 1 of {processes} processes" if shared and processes > 1 else ""
    return tqdm(
        total=total, initial=done, desc=one_line(what) + share, unit=unit, mininterval=0.1 if terminal else 10.0,
        dynamic_ncols=terminal, **how,
    )  # fmt: skip


def done_before(shown: tqdm, count: int) -> None:
    """Count what a bar finds done on its way: it is no part of the rate."""
    if not shown.disable:  # else it has no place for it
        shown.initial += count
        shown.update(count)


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
