"""mvc-hf caption"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..config.fields import CAPTION
from ..config.recipe import Recipe
from .options import recipe_options, refuse_output, report
from .sections import SectionedCommand


@click.command("caption", cls=SectionedCommand)
@click.argument("dataset")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), required=True, help="the file: .parquet, .csv or .jsonl"
)
@recipe_options(CAPTION, without=("dataset",))
def command(dataset: str, output: Path, **settings: Any) -> None:
    """Write the captions of a data set to a file of (label, caption, row), to look at and to edit: Parquet, CSV for
    spreadsheets, or JSON Lines, by its ending.

    The captions of BLIP-2 (or another model of transformers) are kept in the cache as they are made: the same command,
    given again after an interruption, goes on with the other images. A file that is there is never written over.

    \b
    Example:
      mvc-hf caption photos/ -o captions.parquet --captioner blip2
      mvc-hf finetune photos/ -o checkpoint --captions captions.parquet --base ...
    In a spreadsheet, and with better words for the classes:
      mvc-hf caption photos/ -o captions.csv --class-names words.yaml
    On several GPUs:
      accelerate launch -m mvc_hf.cli caption photos/ -o captions.parquet --captioner blip2
    """
    recipe = Recipe(dataset=dataset, **settings)

    from ..captions.caption import caption

    refuse_output(output, "a file, such as captions.csv")
    report(caption(recipe, output))
