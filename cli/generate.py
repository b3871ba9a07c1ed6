"""mvc-hf generate"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import click

from ..config.fields import GENERATE
from ..config.recipe import Recipe
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
@recipe_options(GENERATE)
@hub_options("dataset")
def command(model: str, output: Path, push_to_hub: bool, hub_id: str | None, private: bool, **settings: Any) -> None:
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
    """
    recipe = Recipe(**settings)

    repository = push_target("dataset", push_to_hub, hub_id, private, output)

    from ..generation.generate import generate
    from ..publish.push import ShardUploader

    with contextlib.ExitStack() as stack:
        uploader = stack.enter_context(ShardUploader(repository, output, private=private)) if repository else None
        made = generate(recipe, model, output, watch=uploader.look if uploader else None)
        report(f"{output}: {made}")
        if uploader:
            report(str(uploader.finish()))
