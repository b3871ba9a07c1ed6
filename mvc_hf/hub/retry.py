"""Calls of the Hub that are tried again: its clients retry some and not others; here every call is treated alike."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from typing import Any

from ..utils.progress import say
from .environment import endpoint
from .errors import T, asked_to_wait, is_passing, short, understood

Runner = Callable[[Callable[[], T]], T]  # runs a call: `answered`, `understood` or `unchanged`

ANSWER = 300.0  # seconds for an answer; a commit with thousands of files takes the Hub a while
PATIENCE = 600.0  # seconds of waiting, in all, before a call is given up
FIRST_WAIT, LONGEST_WAIT = 1.0, 60.0
sleep = time.sleep  # tests replace it


def retry(
    what: str,
    call: Callable[[], T],
    *,
    patience: float | None = None,
    unless: Callable[[Exception], bool] = lambda error: False,
    run: Runner[T] | None = None,
) -> T:
    """Call until it works, waiting longer each time, and saying so.

    Args:
        what: for the line that says why one waits: "downloading org/name".
        patience: seconds of waiting in all; PATIENCE by default.
        unless: whether there is a way to go on at once after an error.
        run: `answered` by default, for questions; `understood` for what moves files, which may take as long as it
            takes; `unchanged` for calls of other libraries, whose errors need not be about the Hub's answers.

    Raises:
        Exception: the last error, unchanged, once it is no use to wait or `patience` seconds were waited in vain.
        UnexpectedAnswer: the clients, or `call` itself, could not read what came.
        RecipeError: HF_ENDPOINT is no address.
    """
    endpoint()
    run = run or answered
    backoff = Backoff(what, patience)
    while True:
        try:
            return run(call)
        except Exception as error:
            if unless(error) or not backoff.wait_after(error):
                raise


def unchanged(call: Callable[[], T]) -> T:
    """Call, and leave errors as they are."""
    return call()


def answered(call: Callable[[], T]) -> T:
    """Call, and give up on a Hub that took the question and never answers: its clients would wait for ever.

    Raises:
        TimeoutError: no answer came; the call may still take effect.
    """
    outcome: queue.SimpleQueue[tuple[Any, Exception | None]] = queue.SimpleQueue()

    def run() -> None:
        try:
            outcome.put((understood(call), None))
        except Exception as error:
            outcome.put((None, error))

    threading.Thread(target=run, daemon=True, name="mvc-hf call").start()
    try:
        value, error = outcome.get(timeout=ANSWER)
    except queue.Empty:
        raise TimeoutError(f"no answer in {ANSWER:.0f} s") from None
    if error is not None:
        raise error
    return value


class Backoff:
    """The waiting of one call: how long so far, and how long next."""

    def __init__(self, what: str, patience: float | None = None):
        self.what, self.left, self.next = what, PATIENCE if patience is None else patience, FIRST_WAIT
        self._at: float | None = None  # when the last wait was over

    def wait_after(self, error: Exception) -> bool:
        """Wait, or answer False at once where that would not help."""
        if not is_passing(error):
            return False
        if self._at is not None:
            self.left -= time.monotonic() - self._at  # a call that hangs, or that waits by itself, costs as much
        seconds = max(self.next, asked_to_wait(error) or 0)
        if seconds > self.left:
            return False
        say(f"{self.what}: {short(error)}; trying again in {seconds:.0f} s")
        sleep(seconds)
        self.left, self.next, self._at = self.left - seconds, min(2 * self.next, LONGEST_WAIT), time.monotonic()
        return True
