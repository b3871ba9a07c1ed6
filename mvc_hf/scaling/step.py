"""The step of datatrove's pipelines: a task makes its share of the shards, in a process of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import multiprocess
from datatrove.pipeline.base import PipelineStep
from datatrove.utils.logging import logger

from ..errors import OutputError


class GenerateShards(PipelineStep):
    """What crosses to other machines is this: the path of a file, and no code.

    Args:
        task: file of `write_task`.
        strict: a task that fails raises, so that its job is marked as failed; otherwise it says so, and the executor,
            which would end the others with it, goes on. The command looks at the shards in any case.
        coordinator: process on this machine without which nobody waits for the task; 0 for none.
    """

    name, type = "mvc_hf", "generate"

    def __init__(self, task: str, strict: bool, coordinator: int = 0):
        super().__init__()
        self.task, self.strict, self.coordinator = task, strict, coordinator

    def run(self, data: Any = None, rank: int = 0, world_size: int = 1) -> Any:
        line = [sys.executable, "-m", "mvc_hf.scaling.task", self.task, str(rank), str(world_size)]
        process = subprocess.Popen(line, stdin=subprocess.DEVNULL, env=environment())
        try:
            with _terminable(process):
                while process.poll() is None:
                    if self.coordinator and not _runs(self.coordinator):
                        process.terminate()
                    time.sleep(0.2)
        finally:
            process.terminate()
        if process.returncode:
            how = f"signal {-process.returncode}" if process.returncode < 0 else f"exit code {process.returncode}"
            if self.strict:
                raise OutputError(f"task {rank} ended with {how}")
            logger.error(f"task {rank} ended with {how}")
        return data


@contextlib.contextmanager
def _terminable(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Within it SIGTERM ends the task and this process: the end of a pool is that of its tasks.

    With one worker there is no pool, and this process is the command: it has a handler of its own, which raises.
    """
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        yield
        return

    def end(*_: object) -> None:
        process.terminate()
        os._exit(128 + signal.SIGTERM)

    signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def environment() -> dict[str, str]:
    """Of a task: on a machine with several GPUs the n-th worker has the n-th of those that are visible."""

    found = {name: value for name, value in os.environ.items() if name not in ("RANK", "WORLD_SIZE", "LOCAL_RANK")}
    worker = multiprocess.current_process()._identity
    gpus = _gpus()
    if worker and len(gpus) > 1:
        found["CUDA_VISIBLE_DEVICES"] = gpus[(worker[-1] - 1) % len(gpus)]
    return found


def _gpus() -> list[str]:
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [name for name in visible.split(",") if name]
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.SubprocessError):
        return []
    return [str(i) for i, line in enumerate(listed.stdout.splitlines()) if line.startswith("GPU ")]


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
