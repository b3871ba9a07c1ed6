"""Trainings of classifiers as jobs: kept when finished, as many side by side as there are cores or GPUs.

A job is a command line of a training script, run through the hook of `timm_train` as `mvc-hf train` does, and a file
for what came out. The same job is not done again.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import active_children, get_context, parent_process
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import HostError, MvcError
from ...storage.notes import atomic_write, read_json
from ...utils.progress import bar, be_silent
from ...utils.text import reason

AGAIN = "give the same command again"


@dataclass(frozen=True)
class Job:
    """One training.

    Attributes:
        result: JSON file of what comes out: top1 (%), updates, right.
        flags: of the script.
        script: timm's train.py; "" for `timm_small_train`.
        inputs: digest of what stands behind names in the flags; other inputs, another job.
    """

    result: Path
    flags: tuple[str, ...]
    script: str = ""
    inputs: str = ""

    @property
    def identity(self) -> dict[str, Any]:
        return {"flags": list(self.flags), "script": self.script, "inputs": self.inputs}

    @property
    def finished(self) -> bool:
        """Whether this very training has been made."""
        try:
            known = self._noted()
            return {name: known.get(name) for name in self.identity} == self.identity and bool(self.outcome())
        except (OSError, ValueError, AttributeError, MvcError):
            return False

    def seconds(self) -> float:
        """That it took."""
        return float(self._noted()["seconds"])

    def _noted(self) -> dict[str, Any]:
        return json.loads(self.result.with_suffix(".flags").read_text(encoding="utf-8"))

    def outcome(self) -> Outcome:
        """What came out. Raises OutputError where that cannot be read."""
        values = read_json(self.result, AGAIN, {"top1": (int, float), "updates": int})
        right = values.get("right")
        known = np.array([mark == "1" for mark in right]) if isinstance(right, str) and right else None
        return Outcome(float(values["top1"]), values["updates"], known)


@dataclass(frozen=True)
class Outcome:
    """What a training came to.

    Attributes:
        top1: accuracy after the last epoch, %.
        updates: of the optimizer.
        right: bool (images,), whether each image was read right, where that is known.
    """

    top1: float
    updates: int
    right: np.ndarray | None


def outcomes(jobs: Sequence[Job], *, devices: Sequence[str] | None = None, what: str = "training classifiers") -> list:
    """The outcomes of all jobs, in their order; those that are there are not trained again.

    Args:
        devices: see `side_by_side`.

    Raises:
        MvcError: as `timm_train.train`; the first error ends the others, and what was finished is kept.
    """
    missing = [job for job in jobs if not job.finished]
    with bar(len(jobs), what, " runs", done=len(jobs) - len(missing)) as progress:
        for _ in side_by_side(missing, devices):
            progress.update()
    return [job.outcome() for job in jobs]


def places(workers: int | None = None) -> list[str]:
    """Where trainings can go on side by side: one on each GPU ("cuda:0"), else one on each core ("cpu").

    Args:
        workers: another number of them; they share the GPUs in turn.
    """
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    found = [f"cuda:{number}" for number in range(count)] or ["cpu"] * cores()
    return list(itertools.islice(itertools.cycle(found), workers)) if workers else found


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def side_by_side(jobs: Sequence[Job], devices: Sequence[str] | None = None) -> Iterator[float]:
    """Train; yields the seconds of each as it ends.

    Args:
        devices: one process for each of them, with one thread and, where it is "cuda:N", that GPU alone; by default
            one on each core: small models gain nothing from more.
    """
    if not jobs:
        return
    devices = ["cpu"] * cores() if devices is None else devices
    workers = min(len(jobs), len(devices))
    others = set(active_children())
    context = get_context("spawn")
    free = context.SimpleQueue()
    for device in devices[:workers]:
        free.put(device)
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_prepare, initargs=(free,))
    try:
        running: list[Future[float]] = [pool.submit(_train, job) for job in jobs]
        for done in as_completed(running):
            yield done.result()
    except BaseException:  # of one run, or a signal: the other runs would go on for minutes before anybody heard of it
        for process in set(active_children()) - others:
            process.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _prepare(free: Any) -> None:
    """In a new process: a device of its own, one thread, and silence: one bar tells of all the runs. The process that
    waits for them hears of Ctrl-C, which reaches all; where it is gone, this one ends, too."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    device = free.get()
    if device.startswith("cuda"):  # before CUDA begins: the others' GPUs are none of its business
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
        number = int(device.partition(":")[2])
        os.environ["CUDA_VISIBLE_DEVICES"] = visible[number] if number < len(visible) and visible[0] else str(number)
    import datasets
    import torch

    torch.set_num_threads(1)
    be_silent()
    datasets.disable_progress_bars()


def _end_with_parent() -> None:
    """A parent that was killed tells nobody, and nobody waits for what its processes make."""
    if parent := parent_process():
        parent.join()
        os._exit(1)


def _train(job: Job) -> float:
    """One training; returns its seconds."""
    started = time.monotonic()
    job.result.parent.mkdir(parents=True, exist_ok=True)
    if job.script:
        _train_with_script(job)
    else:
        from .. import timm_small_train
        from ..timm_train import train

        train(timm_small_train.__file__, job.flags)
    seconds = time.monotonic() - started
    with atomic_write(job.result.with_suffix(".flags")) as temporary:
        temporary.write_text(json.dumps(job.identity | {"seconds": round(seconds, 3)}) + "\n", encoding="utf-8")
    return seconds


def _train_with_script(job: Job) -> None:
    """timm's train.py talks much: it is written beside the result."""
    from ...ending import line_of
    from .last_epoch import train_and_judge

    log = job.result.with_suffix(".log")
    with log.open("w", encoding="utf-8") as file, _talking_to(file):
        try:
            train_and_judge(job.script, job.flags, job.result)
            _remove_weights(job.result.with_suffix(""))
            return
        except SystemExit as stop:  # of its parser, which has said why
            why = f"it refused its flags (exit code {stop.code})"
        except Exception as error:
            if line_of(error) is not None:
                raise
            import traceback

            traceback.print_exc(file=file)
            why = f"{type(error).__name__}: {reason(error)}"
    last = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    said = f"; it said last: {last[-1]}" if last and "exit code" in why else ""
    raise HostError(f"{Path(job.script).name} ended early: {why}{said}; all that it said is in {log}")


def _remove_weights(folder: Path) -> None:
    """train.py saves the classifier several times over, and nobody asks for it again."""
    for file in folder.glob("*.pth.tar"):
        file.unlink(missing_ok=True)


@contextlib.contextmanager
def _talking_to(file: Any) -> Iterator[None]:
    """Standard output, standard error and logging into a file."""
    import logging

    handlers = logging.getLogger().handlers[:]
    with contextlib.redirect_stdout(file), contextlib.redirect_stderr(file):
        try:
            yield
        finally:
            logging.getLogger().handlers[:] = handlers  # timm adds one each time, to what is closed after this
