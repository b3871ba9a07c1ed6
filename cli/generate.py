"""mvc-hf generate"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..recipe import GENERATE, Recipe
from .options import recipe_options, report


@click.command("generate", short_help="Make a synthetic data set from a checkpoint.")
@click.argument("model", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="folder of the data set")
@click.option("--base", default="", help="the untouched base of --method pretrained (default: the checkpoint's)")
@recipe_options(GENERATE)
def command(model: Path, output: Path, **settings: Any) -> None:
    """Make a synthetic data set from a fine-tuned checkpoint.

    MODEL is a folder made by `mvc-hf finetune`. The same command, given again after an interruption, makes what is
    missing. The result is a Parquet data set that `datasets.load_dataset` reads.

    \b
    Example:
      mvc-hf generate checkpoint -o synthetic --dataset photos/ --images-per-class 500
    On several GPUs:
      accelerate launch -m mvc_hf.cli generate checkpoint -o synthetic ...
    """
    recipe = Recipe(**settings)

    from ..generate import generate

    split = generate(recipe, model, output)
    report(f"{output}: {split.rows} images of {len(split.class_names)} classes in {split.count} shards")
