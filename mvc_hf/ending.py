"""How a process ends where something went wrong: one line on standard error, and exit code 1, or a signal's.

Errors arrive from workers of loaders, from pools of processes and from libraries that wrap them; here, and here only,
they are unwrapped. Every entry point ends here: the command line, and modules that a launcher starts.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor

from .errors import MvcError, Stopped, last_error
from .utils.disk import is_disk_full
from .utils.memory import LESS, is_memory_error
from .utils.text import collapsed, one_line, reason, shortened

STOPPED = "stopped; the same command goes on where it was"
GOES_ON = ("caption", "finetune", "generate", "run")  # what several processes share, and the same command goes on with
LONGEST = 1500  # characters of a line: names that somebody made as long as he could need not fill the screen
PATIENCE = 5.0  # seconds that a launcher has to end the others of a process that has failed
_WORKER_LOST = re.compile(r"DataLoader worker \(pid.*\) (exited unexpectedly|is killed by signal: (?P<signal>[\w ]+))")
_SHARED_MEMORY = re.compile(r"(?:file|object|open shared memory).* </?torch_|torch_shm_manager|shm_open")
_PEER_LOST = re.compile(r"gloo/|NCCL|ProcessGroup")


def exit_code(run: Callable[[], object], stage: str | None = None) -> int:
    """Run, and tell whatever a person can mend in one line; what is not of that kind is raised on, with its traceback.

    Args:
        stage: what runs, as far as there is advice for it where the memory does not suffice (see `memory.LESS`).

    Returns:
        0, or 1 for an error; 130 or 143 where SIGINT or SIGTERM ended it.
    """
    sigterm, follows, code = _Sigterm(), False, 0
    try:
        with sigterm:
            run()
    except (Exception, KeyboardInterrupt) as error:
        line = line_of(error, stage)
        if line is None:
            raise
        follows = _lost_peer(error) is not None
        code = failed(line, follows=follows, code=code_of(error))
    finally:
        sigterm.let_go()
    if follows and not sigterm.waits:
        time.sleep(PATIENCE)  # a launcher takes the first process that ends by itself for the cause
    return code


class Terminated(KeyboardInterrupt):
    """SIGTERM, as an error like that of Ctrl-C: what was begun is tidied up, and processes of ours end, too."""


class _Sigterm:
    """Within it SIGTERM raises `Terminated`, where nobody else listens to it and Python allows it.

    After an error SIGTERM waits until `let_go`: a launcher that ends the others of a process that has failed comes
    just when they are about to tell what they have heard of it, and would have them end without a word.

    Attributes:
        waits: one has come in that time.
    """

    def __init__(self) -> None:
        alone = threading.current_thread() is threading.main_thread()
        self.ours = alone and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
        self.waits = False

    def __enter__(self) -> None:
        if self.ours:
            signal.signal(signal.SIGTERM, self._terminate)

    def __exit__(self, kind: object, *_: object) -> None:
        if self.ours:
            signal.signal(signal.SIGTERM, self._wait if kind else signal.SIG_DFL)

    def let_go(self) -> None:
        if self.ours:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def _terminate(self, *_: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # a second one ends at once
        raise Terminated

    def _wait(self, *_: object) -> None:
        self.waits = True


def code_of(error: BaseException | None) -> int:
    """The exit code for an error: of shells 128 and the signal's number where one ended it, else 1."""
    for cause in _wrapped(error):
        if isinstance(cause, Terminated):
            return 128 + signal.SIGTERM
        if isinstance(cause, (KeyboardInterrupt, Stopped)):
            return 128 + (getattr(cause, "signal", None) or signal.SIGINT)
    return 1


def failed(line: str, *, follows: bool = False, code: int = 1) -> int:
    """Print the line of an error and return the exit code.

    Args:
        follows: the error came of another process's, which tells a launcher the cause, if any does.
    """
    rank = os.environ.get("RANK", "")  # any of several may be the first to fail, and a launcher then ends the others
    line = shortened(one_line(collapsed(line)), LONGEST)
    print(f"Error{f' (rank {rank})' if rank.isdecimal() else ''}: {line}", file=sys.stderr, flush=True)
    if not follows:
        _tell_launcher(line)
    return code


def line_of(error: BaseException, stage: str | None = None) -> str | None:
    """What to tell of an error; None where only a traceback will do: a fault of ours, or of the host's."""
    peer = _lost_peer(error)
    if peer is not None:
        why = re.sub(r"^\[\S+\] ", "", reason(peer)).partition(". ")[0]
        goes_on = "; the same command goes on from what is saved" if stage in GOES_ON else ""
        return (
            f"lost the connection to another process of this run ({why}): it has ended, and says why itself where it "
            f"was not killed{goes_on}"
        )
    ours = next((e for e in _wrapped(error) if isinstance(e, MvcError)), None)
    if ours is not None:
        return collapsed(str(ours))
    if any(isinstance(cause, KeyboardInterrupt) for cause in _wrapped(error)):
        return STOPPED
    text = str(error)
    name, message = last_error(text) or ("", "")
    if name in _names(MvcError):  # of processes that hand on nothing but a text
        return collapsed(message)
    lost = _WORKER_LOST.search(text)
    if _SHARED_MEMORY.search(text) or (lost and lost["signal"] == "Bus error"):
        return (
            "the shared memory (/dev/shm) through which workers hand on their batches is full: take fewer workers or "
            "smaller batches, or give it more room (docker run --shm-size)"
        )
    if is_disk_full(error):
        file = getattr(error, "filename", None)
        where = f" ({file})" if file else ""
        return f"the disk is full{where}: make room and give the same command again; what is finished is kept"
    if is_memory_error(error):
        less = LESS.get(stage or "", "smaller numbers for batches, sizes and images")
        return f"the memory does not suffice for these settings; what helps: {less}"
    if lost or isinstance(error, BrokenExecutor):
        return (
            "a worker process was ended from outside, as systems do that run out of memory: take fewer workers or "
            "smaller batches, and give the same command again"
        )
    if isinstance(error, OSError):
        where = f" ({error.filename})" if error.filename else ""
        return collapsed(message or f"{error.strerror or error}{where}")
    return None


def _wrapped(error: BaseException | None) -> Iterator[BaseException]:
    """An error and those that it was expressly raised from, each once: errors can be raised from each other.

    What else was under way is no cause of it.
    """
    seen: list[BaseException] = []
    while error is not None and not any(error is other for other in seen):
        yield error
        seen.append(error)
        error = error.__cause__


def _names(kind: type) -> set[str]:
    """Full names of an error class and of all its kinds."""
    return {f"{kind.__module__}.{kind.__qualname__}"}.union(*map(_names, kind.__subclasses__()))


def _lost_peer(error: BaseException) -> BaseException | None:
    """The error by which a process of several hears that another one has ended.

    A launcher may end it in the midst of tidying up after that.
    """
    if os.environ.get("WORLD_SIZE", "1") == "1":
        return None
    under_way = [e.__context__ for e in _wrapped(error) if isinstance(e, Terminated)]
    for cause in (found for e in (error, *under_way) for found in _wrapped(e)):
        if isinstance(cause, RuntimeError):
            kinds = {kind.__name__ for kind in type(cause).__mro__}
            if "DistError" in kinds or _PEER_LOST.search(str(cause)):
                return cause
    return None


def _tell_launcher(line: str) -> None:
    """torchrun and `accelerate launch` report the cause of a failure from a file, where a process has written one."""
    file = os.environ.get("TORCHELASTIC_ERROR_FILE")
    if file:
        told = {"message": line, "extraInfo": {"py_callstack": line, "timestamp": str(int(time.time()))}}
        with contextlib.suppress(OSError), open(file, "w", encoding="utf-8") as stream:
            json.dump({"message": told}, stream)
