"""What is said to the person who waits: progress bars and single lines, on standard error, from the main process."""

from __future__ import annotations

import contextlib
import math
import os
import sys
import time
from collections.abc import Iterator
from typing import Any

from tqdm import tqdm

from .text import one_line

QUIET = "MVC_HF_QUIET"  # in the environment, so that the processes that we start are quiet, too
CLIENTS = ("HF_HUB_DISABLE_PROGRESS_BARS", "HF_DATASETS_DISABLE_PROGRESS_BARS")  # read when they are imported
FIRST, MOST = 10.0, 600.0  # seconds between two lines of a bar in a log file: at the start, and at most
DELAY = 2.0  # seconds that a stage must take to be told of in a log file
SHARE = 0.05  # of the time that a bar has run: the more there is of it, the less often it is told of

_silent = False
_said: set[str] = set()


def be_silent() -> None:
    """Say nothing in this process any more: it is one of many that do a part of what somebody waits for."""
    global _silent
    _silent = True


def is_main_process() -> bool:
    """Whether this process is the one that speaks (torchrun and `accelerate launch` set RANK)."""
    return os.environ.get("RANK", "0") == "0" and not _silent


def be_quiet() -> None:
    """No bars and no notes any more, in this process and in those that it starts; warnings and errors are said."""
    for name in (QUIET, *CLIENTS):
        os.environ[name] = "1"


def is_quiet() -> bool:
    """Whether `be_quiet` was called, or the environment says so."""
    return os.environ.get(QUIET, "") not in ("", "0")


class _Lines:
    """Standard error where it is no terminal: what a bar draws over itself becomes a line now and then.

    A run of an hour has a line every three minutes, one of a day every ten. The end is always told of.
    """

    def __init__(self) -> None:
        self._start = time.monotonic()
        self._last = -math.inf

    def write(self, text: str) -> None:
        line, now = text.strip(), time.monotonic()
        gap = min(MOST, max(FIRST, SHARE * (now - self._start)))
        if line and ("100%" in line or now - self._last >= gap):
            self._last = now
            sys.stderr.write(f"{line}\n")

    def flush(self) -> None:
        sys.stderr.flush()


def bar(total: int, what: str, unit: str = "", *, done: int = 0, shared: bool = False) -> tqdm:
    """A progress bar; in a log file a line now and then, and none of what took no time.

    Args:
        done: of the total, before now: the rate and the time that is left do not count it.
        shared: the total is the share of one of several processes; the bar says so.
    """
    terminal = sys.stderr.isatty()
    shows = is_main_process() and not is_quiet()
    how: dict[str, Any] = {} if shows else {"disable": True}  # otherwise TQDM_DISABLE decides
    if not terminal:
        how |= {"file": _Lines(), "delay": DELAY}
    elif not _has_a_size():
        how |= {"ncols": 80, "nrows": 24}
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    share = f", share of 1 of {processes} processes" if shared and processes > 1 else ""
    return tqdm(
        total=total, initial=done, desc=one_line(what) + share, unit=unit, mininterval=0.1 if terminal else FIRST,
        dynamic_ncols=terminal and "ncols" not in how, **how,
    )  # fmt: skip


def _has_a_size() -> bool:
    """Whether the terminal says how large it is. Those of containers may not, and tqdm would draw nothing there."""
    try:
        return all(os.get_terminal_size(sys.stderr.fileno()))
    except OSError:
        return False


def done_before(shown: tqdm, count: int) -> None:
    """Count what a bar finds done on its way: it is no part of the rate."""
    if not shown.disable:  # else it has no place for it
        shown.initial += count
        shown.update(count)


def say(line: str) -> None:
    """One line that does not tear a progress bar apart."""
    if is_main_process() and (line.startswith("warning") or not is_quiet()):
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
