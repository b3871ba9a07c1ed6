"""mvc-hf generate"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import click

from ..config.fields import GENERATE
from ..config.recipe import Recipe
from ..generation.selection import ShardRange
from ..scaling.executors import check_installed, execute
from .executor_options import executor_options, part_of, taken
from .hub_options import hub_options, push_target
from .options import recipe_options, report
from .sections import SectionedCommand


@click.command("generate", cls=SectionedCommand)
@click.argument("model")
@click.option(
    "-o",
    "--output",
    "--output-dir",
    "output",
    type=click.Path(path_type=Path),
    required=True,
    help="folder of the data set",
)
@click.option("--base", default="", help="the untouched base of --method pretrained (default: the checkpoint's)")
@click.option(
    "--shards", metavar="RANGE", help="make only these: 0:50, 3,7 or 50: (the others elsewhere: mvc-hf join)"
)
@recipe_options(GENERATE)
@executor_options
@hub_options("dataset")
def command(
    model: str, output: Path, shards: str | None, executor: str | None, push_to_hub: bool, hub_id: str | None,
    private: bool, **settings: Any,
) -> None:  # fmt: skip
    """Make a synthetic data set from a fine-tuned checkpoint.

    MODEL is a folder made by `mvc-hf finetune`, one of its checkpoints/step-N, or its Hub id (org/name[@revision]).
    The same command, given again after an interruption or with larger counts, makes what is missing. The result is a
    Parquet data set that `datasets.load_dataset` reads. With --push-to-hub its shards are sent while the next ones are
    made; one commit at the end makes them visible.

    \b
    Example:
      mvc-hf generate checkpoint -o synthetic --dataset photos/ --images-per-class 500
    From the Hub to the Hub:
      mvc-hf generate my-name/flowers-mvc@v1 -o synthetic --dataset photos/ --push-to-hub
    On several GPUs:
      accelerate launch -m mvc_hf.cli generate checkpoint -o synthetic ...
    A part of it on this machine, the rest on another one:
      mvc-hf generate checkpoint -o part-a --shards 0:50 ...
    By Slurm:
      mvc-hf generate checkpoint -o synthetic --executor slurm --tasks 20 --partition gpu --time 4:00:00 \\
        --gpus-per-task 1 --logging-dir logs ...
    """
    how = taken(settings, executor)
    recipe = Recipe(**settings)
    if shards and (executor or push_to_hub):
        raise click.UsageError(
            "--shards makes a part: " + ("--tasks divides the shards" if executor else "join the parts, then push")
        )
    chosen = ShardRange(shards) if shards is not None else None
    if how:
        check_installed(how.executor)

    repository = push_target("dataset", push_to_hub, hub_id, private, output)

    from ..generation.generate import generate
    from ..publish.push import ShardUploader

    with contextlib.ExitStack() as stack:
        uploader = stack.enter_context(ShardUploader(repository, output, private=private)) if repository else None
        if how:
            report(f"{output}: {execute(recipe, model, output, how)}")
        else:
            made = generate(recipe, model, output, watch=uploader.look if uploader else None, shards=chosen)
            report(f"{output}: {part_of(made) if shards else made}")
        if uploader:
            report(str(uploader.finish()))
