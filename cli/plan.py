"""mvc-hf plan"""

from __future__ import annotations

from pathlib import Path

import click

from .options import report, report_json


@click.command("plan")
@click.argument("recipe", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="print it as JSON: seconds and bytes, in place of the table")
def command(recipe: Path, as_json: bool) -> None:
    """Measure a few real batches of every stage of a recipe on this machine, and say what all of them will cost.

    RECIPE is a file as `mvc-hf run` takes it. Its data and models are fetched and read as the run would do it; nothing
    is written to its output folder, and what is measured is thrown away. Times are those of one process from nothing:
    what a former run has left is not taken off.

    \b
    Example:
      mvc-hf plan flowers.yaml
    """
    from ..config.run_recipe import RunRecipe
    from ..inspection.estimate import plan

    found = plan(RunRecipe.load(recipe))
    report_json(found.to_json()) if as_json else report(str(found))
