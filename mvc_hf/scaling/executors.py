"""Generating by the executors of datatrove: on this machine, by Slurm, by Ray.

They start tasks and keep logs; what is done is what is on the disk. Their writers and their notes of what is completed
are not used.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..artifacts.growing import path_of
from ..artifacts.sameness import refuse_others
from ..config.recipe import Recipe
from ..data.apart import keep_apart
from ..errors import HostError, MvcError, OutputError, RecipeError
from ..generation.selection import as_range
from ..storage.manifest import read_manifest
from ..storage.notes import read_json, write_json
from ..utils.progress import bar, say
from ..utils.text import reason, shortened

EXECUTORS = ("local", "slurm", "ray")
LOOK = 2.0  # seconds between two looks at the shards
ASK = 5.0  # seconds between two questions to Slurm
TASK, JOB = "task.json", "job.json"  # in the folder of the logs


@dataclass(frozen=True)
class Execution:
    """How an executor runs the tasks, in datatrove's own words.

    Attributes:
        tasks: parts that the shards are divided into.
        workers: tasks at the same time; -1 for all.
        logging_dir: for its logs, and for the file that tells the tasks what to do: where all machines see it.
        options: of the executor: time, partition, qos, cpus_per_task, gpus_per_task, mem_per_cpu_gb, env_command,
            sbatch_args; what is None or empty is not handed on.
    """

    executor: str
    tasks: int = 1
    workers: int = -1
    logging_dir: Path = Path("logs")
    options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.tasks < 1:
            raise RecipeError(f"--tasks is {self.tasks}; it must be at least 1")
        if self.workers != -1 and self.workers < 1:
            raise RecipeError(f"--workers is {self.workers}; it must be at least 1, or -1 for all tasks at once")
        if self.executor == "slurm":
            lacking = [f"--{name}" for name in ("partition", "time") if not self.options.get(name)]
            if lacking:
                raise RecipeError(f"--executor slurm needs {' and '.join(lacking)}: ask `sinfo` what there is")


def check_installed(executor: str) -> None:
    """Raises HostError: what the executor stands on is not there."""
    if importlib.util.find_spec("datatrove") is None:
        raise HostError(f'--executor {executor} needs datatrove: pip install "mvc_hf[scale]"')
    if executor == "ray" and importlib.util.find_spec("ray") is None:
        raise HostError('--executor ray needs Ray: pip install "mvc_hf[ray]"')
    if executor == "slurm":
        for program in ("sbatch", "squeue"):
            if not shutil.which(program):
                raise HostError(
                    f"--executor slurm needs Slurm, and there is no {program} here: run it on a login node"
                )
        if "SLURM_ARRAY_TASK_ID" in os.environ:
            raise HostError("--executor slurm is within a Slurm array already: use --shards there, or a login node")


def execute(recipe: Recipe, model: str | Path, out: str | Path, how: Execution) -> str:
    """Make a synthetic data set by tasks of an executor, and wait for them. Returns what there is, in a line.

    Raises:
        HostError: the executor is not installed, or fails as a whole.
        OutputError: shards are missing at the end; they are named. What was made is kept, and the same call goes on.
    """
    from ..generation.opening import check_early

    check_installed(how.executor)
    keep_apart(recipe.dataset, out)
    out = Path(out)
    check_early(recipe, model, lambda known, of: refuse_others(out, known, of))
    logs = Path(how.logging_dir).absolute()
    logs.mkdir(parents=True, exist_ok=True)
    file = write_task(logs, recipe, model, out)
    began = time.time()
    with _watched(out):
        try:
            {"local": _local, "slurm": _slurm, "ray": _ray}[how.executor](file, logs, how)
        except MvcError:
            raise
        except Exception as error:  # whatever executors raise
            raise HostError(f"datatrove's {how.executor} executor failed: {reason(error)}; logs: {logs}") from error
    return _checked(out, logs, began)


def write_task(logs: Path, recipe: Recipe, model: str | Path, out: Path) -> Path:
    """Tell the tasks what to do, with paths that hold wherever they run."""
    settings = recipe.to_dict()
    for name in ("dataset", "base"):
        settings[name] = _whole(settings[name])
    write_json(logs / TASK, {"recipe": settings, "model": _whole(str(model)), "out": str(out.absolute())})
    return logs / TASK


def _whole(place: str) -> str:
    """A path from the root, where there is something of that name here."""
    path = Path(place).expanduser() if place else None
    return str(path.absolute()) if path and path.exists() else place


def _local(file: Path, logs: Path, how: Execution) -> None:
    from datatrove.executor import LocalPipelineExecutor

    from .step import GenerateShards

    step = GenerateShards(str(file), strict=False, coordinator=os.getpid())
    LocalPipelineExecutor(
        [step], tasks=how.tasks, workers=min(how.workers, how.tasks), logging_dir=str(logs), skip_completed=False
    ).run()


def _ray(file: Path, logs: Path, how: Execution) -> None:
    import ray
    from datatrove.executor import RayPipelineExecutor

    from .step import GenerateShards

    started = not ray.is_initialized()
    if started:
        ray.init(log_to_driver=False)  # RAY_ADDRESS names a cluster; without one, this machine
    options = {name: value for name, value in how.options.items() if value and name in RAY_TAKES}
    step = GenerateShards(str(file), strict=False)
    try:
        RayPipelineExecutor(
            [step], tasks=how.tasks, workers=how.workers, logging_dir=str(logs), skip_completed=False, **options
        ).run()
    finally:
        if started:
            ray.shutdown()


RAY_TAKES = ("cpus_per_task", "gpus_per_task", "mem_per_cpu_gb")


def _slurm(file: Path, logs: Path, how: Execution) -> None:
    """Hand the tasks to Slurm and wait; a job of an earlier call that is still there is waited for instead."""
    from datatrove.executor import SlurmPipelineExecutor

    from .step import GenerateShards

    job = _job_of(logs)
    if job and _in_queue(job):
        say(f"Slurm's job {job} of an earlier call is still there: waiting for it")
    else:
        given = {name: value for name, value in how.options.items() if value}
        given.setdefault("env_command", f"export PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH")
        executor = SlurmPipelineExecutor(
            [GenerateShards(str(file), strict=True)], tasks=how.tasks, workers=how.workers, logging_dir=str(logs),
            skip_completed=False, job_name="mvc-hf", **{"qos": None, **given},
        )  # fmt: skip
        try:
            executor.run()
        except subprocess.CalledProcessError as error:
            raise HostError(f"sbatch refused the job (exit code {error.returncode}): its own line says why") from error
        job = str(executor.job_id)
        write_json(logs / JOB, {"job": job})
        say(f"Slurm's job {job} has {how.tasks} tasks; logs: {logs / 'slurm_logs'}")
    while _in_queue(job):
        time.sleep(ASK)


def _job_of(logs: Path) -> str | None:
    try:
        return read_json(logs / JOB, "", {"job": str})["job"]
    except (FileNotFoundError, OutputError):
        return None


def _in_queue(job: str) -> bool:
    """Whether Slurm still has a job. A controller that does not answer says nothing: it is asked again."""
    found = subprocess.run(["squeue", "-h", "-j", job], capture_output=True, text=True)
    if found.returncode:
        return "Invalid job id" not in found.stderr
    return bool(found.stdout.strip())


@contextlib.contextmanager
def _watched(out: Path) -> Iterator[None]:
    """A bar of the shards that are there, whoever makes them."""
    over = threading.Event()

    def look() -> None:
        shown, before = None, 0
        while not over.wait(LOOK):
            with contextlib.suppress(MvcError, OSError):
                count = _count(out)
                now = sum(path_of(out, i, count).exists() for i in range(count))
                if count and shown is None:
                    shown, before = bar(count, "generating", " shards", done=now), now
                if shown is not None and now > before:
                    shown.update(now - before)
                    before = now
        if shown is not None:
            shown.close()

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _count(out: Path) -> int:
    manifest = read_manifest(out)
    return -(-manifest["rows"] // max(manifest["shard_size"], 1)) if manifest else 0


def _checked(out: Path, logs: Path, began: float) -> str:
    """What there is. Raises OutputError where shards are missing."""
    manifest, count = read_manifest(out), _count(out)
    where = f"their logs: {shortened(str(logs), 200)}; the same command goes on"
    if manifest is None:
        raise OutputError(f"no task began to write {out}; {where}")
    missing = [i for i in range(count) if not path_of(out, i, count).exists()]
    if missing:
        raise OutputError(f"{len(missing)} of {count} shards are missing in {out}: {as_range(missing)}; {where}")
    if not manifest["complete"]:
        raise OutputError(f"all {count} shards are in {out}, and not its manifest: a task was ended late; {where}")
    return f"{manifest['rows']:,} images in {count} shards"
