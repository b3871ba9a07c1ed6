"""The options of `--executor`, in datatrove's own words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import RecipeError
from ..scaling.executors import EXECUTORS, Execution
from ..utils.text import brief
from .sections import EXECUTOR, SectionedOption

if TYPE_CHECKING:
    from ..artifacts.shards import ShardedDatasetWriter

OPTIONS: list[tuple[str, dict[str, Any]]] = [
    ("--executor", {"type": click.Choice(EXECUTORS), "help": "let datatrove run it, in tasks (extra: scale)"}),
    ("--tasks", {"type": int, "help": "parts that the shards are divided into  [default: 1]"}),
    ("--workers", {"type": int, "help": "tasks at the same time, -1 for all  [default: -1]"}),
    ("--logging-dir", {"type": click.Path(path_type=Path), "help": "of its logs, seen by all machines"}),
    ("--partition", {"help": "of slurm"}),
    ("--time", {"help": "limit of a task, as slurm takes it: 4:00:00"}),
    ("--qos", {"help": "of slurm"}),
    ("--cpus-per-task", {"type": int, "help": "of slurm and ray"}),
    ("--gpus-per-task", {"type": int, "help": "of slurm and ray"}),
    ("--mem-per-cpu-gb", {"type": int, "help": "of slurm and ray"}),
    ("--env-command", {"help": "what a job of slurm runs first  [default: puts this environment on PATH]"}),
    ("--sbatch-args", {"multiple": True, "metavar": "NAME=VALUE", "help": "more for sbatch: account=abc"}),
]


def executor_options(function: Callable) -> Callable:
    for name, settings in reversed(OPTIONS):
        function = click.option(name, cls=SectionedOption, section=EXECUTOR, **settings)(function)
    return function


def taken(settings: dict[str, Any], executor: str | None) -> Execution | None:
    """What is asked of an executor, taken out of the values of all options; None without one."""
    values = {name[2:].replace("-", "_"): settings.pop(name[2:].replace("-", "_")) for name, _ in OPTIONS[1:]}
    given = {name: value for name, value in values.items() if value not in (None, ())}
    if executor is None:
        if given:
            raise click.UsageError(f"--{next(iter(given)).replace('_', '-')} is for --executor: say which one")
        return None
    if "logging_dir" not in given:
        raise click.UsageError("--executor needs --logging-dir: a folder for logs that all machines see")
    pairs = [text.partition("=") for text in given.pop("sbatch_args", ())]
    if wrong := next((name for name, equals, _ in pairs if not (name and equals)), None):
        raise RecipeError(f"--sbatch-args is {brief(wrong)}: give NAME=VALUE, as account=abc")
    own = {name: given.pop(name) for name in ("tasks", "workers", "logging_dir") if name in given}
    return Execution(executor, **own, options={**given, "sbatch_args": {name: value for name, _, value in pairs}})


def part_of(made: ShardedDatasetWriter) -> str:
    """What there is after a part was made, in a line."""
    absent = made.absent()
    return f"{made.count - len(absent)} of {made.count} shards" if absent else str(made)
