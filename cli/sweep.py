"""mvc-hf sweep"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..config.stages.comparing import SweepSettings
from .options import given, report, settings_options


@click.command("sweep")
@click.argument("recipe", type=click.Path(path_type=Path))
@click.option("-o", "--output", default=None, help="folder of the run (default: the recipe's output)")
@click.option("--budget", is_flag=True, help="measure a little of everything, and say what the whole will cost")
@settings_options(SweepSettings, over_a_file=True)
def command(recipe: Path, output: str | None, budget: bool, **settings: Any) -> None:
    """Make images with every combination of some settings, and see which are worth most.

    RECIPE is a file as `mvc-hf run` takes it, with a section `sweep`: settings under the names of these flags. A part
    of the real images is kept from fine-tuning and generating, and judges: each cell has its kernel distance and
    coverage, spread, label agreement and copies, and what a classifier gains by it. The folder gets sweep/ with the
    images of every cell, a sheet, a table, a CSV, a JSON and a plot. The last lines name the setting to take, and how
    sure that is. The same command, given again after an interruption, goes on.

    \b
    Example:
      mvc-hf sweep flowers.yaml --coarse 0,2,4 --fine 0,8 --guidance-scale 1,2
    where flowers.yaml says
      dataset: photos/
      base: stable-diffusion-v1-5/stable-diffusion-v1-5
      output: flowers
      images-per-class: 100
      sweep:
        classifier: resnet18
        epochs: 100
        seeds: 3
    What it will cost here:
      mvc-hf sweep flowers.yaml --budget
    """
    from ..config.sections import load_section

    section = load_section(recipe, "sweep", SweepSettings, output=output, given=given(settings))
    if budget:
        from ..plugins.classifiers.budget import budget_of_sweep

        report(budget_of_sweep(section))
        return
    from ..plugins.classifiers.sweep import sweep

    report(str(sweep(section)))
