"""mvc-hf compare"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..config.stages.comparing import CompareSettings
from .options import given, report, report_json, settings_options


@click.command("compare")
@click.argument("recipe", type=click.Path(path_type=Path))
@click.option("-o", "--output", default=None, help="folder of the run (default: the recipe's output)")
@click.option(
    "--synthetic",
    multiple=True,
    metavar="NAME=DATASET",
    help="synthetic images and their name in the table: folder, Parquet or Hub id (default: the recipe makes them)",
)
@click.option("--budget", is_flag=True, help="train for a few epochs, and say what the whole will cost")
@click.option("--json", "as_json", is_flag=True, help="print what comparison.json holds, in place of the table")
@settings_options(CompareSettings, over_a_file=True)
def command(
    recipe: Path, output: str | None, synthetic: tuple[str, ...], budget: bool, as_json: bool, **settings: Any
) -> None:
    """Train a classifier on real images alone and with synthetic ones, each without and with the usual augmentations.

    RECIPE is a file as `mvc-hf run` takes it, with a section `compare`: settings under the names of these flags. All
    arms train the same model for as many updates from the same seeds; choices are made on a part of the real images,
    and the test images are read once, after the last epoch. The folder gets compare/ with a table, a CSV, a JSON and a
    plot. The same command, given again after an interruption, goes on.

    \b
    Example:
      mvc-hf compare flowers.yaml --synthetic mvc=flowers/synthetic --synthetic other=org/name --seeds 5
    where flowers.yaml says
      dataset: photos/
      output: flowers
      compare:
        classifier: resnet18
        epochs: 200
        augmentations: [none, randaugment]
    What it will cost here:
      mvc-hf compare flowers.yaml --budget
    Through timm's own train.py:
      mvc-hf compare flowers.yaml --script train.py --script-flags "--opt sgd --lr 0.1"
    """
    if budget and as_json:
        raise click.UsageError("--json is for what was compared, and --budget compares nothing: give one of them")
    from ..config.sections import load_section

    section = load_section(
        recipe, "compare", CompareSettings, output=output, given=given(settings), synthetic=synthetic
    )
    from ..plugins.classifiers.compare import compare

    if budget:
        from ..plugins.classifiers.budget import budget_of

        report(budget_of(section))
        return
    found = compare(section)
    report_json(found.to_json()) if as_json else report(str(found))
