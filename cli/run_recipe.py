"""mvc-hf run"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from .options import report


@click.command("run")
@click.argument("recipe", type=click.Path(path_type=Path))
@click.option("-o", "--output", default=None, help="folder of the run (default: the recipe's output)")
def command(recipe: Path, output: str | None) -> None:
    """Caption, fine-tune, generate and push, as a file says.

    RECIPE is YAML or JSON with the settings of these commands under the names of their flags, and output, model,
    push-to-hub, hub-model-id, hub-dataset-id and private. The folder gets captions.parquet, checkpoint/ and
    synthetic/. The same command, given again after an interruption, goes on; what is finished is not done again.

    \b
    Example:
      mvc-hf run flowers.yaml
    where flowers.yaml says
      dataset: photos/
      base: stable-diffusion-v1-5/stable-diffusion-v1-5
      output: flowers
      images-per-class: 500
    On several GPUs:
      accelerate launch -m mvc_hf.cli run flowers.yaml
    """
    from ..config.run_recipe import RunRecipe
    from ..workflows.pipeline import run

    settings = RunRecipe.load(recipe)
    for line in run(settings if output is None else replace(settings, output=output)):
        report(line)
