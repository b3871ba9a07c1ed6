"""mvc-hf caption"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from ..recipe import CAPTION, Recipe
from .options import recipe_options, report


@click.command("caption", short_help="Write the captions of a data set to a Parquet file.")
@click.argument("dataset")
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="the Parquet file")
@recipe_options(CAPTION, without=("dataset",))
def command(dataset: str, output: Path, **settings: Any) -> None:
    """Write the captions of a data set to a Parquet file of (label, caption, row), to look at and to edit.

    The captions of BLIP-2 (or another model of transformers) are kept in the cache as they are made: the same command,
    given again after an interruption, goes on with the other images. A file that is there is never written over.

    \b
    Example:
      mvc-hf caption photos/ -o captions.parquet --captioner blip2
      mvc-hf finetune photos/ -o checkpoint --captions captions.parquet --base ...
    On several GPUs:
      accelerate launch -m mvc_hf.cli caption photos/ -o captions.parquet --captioner blip2
    """
    recipe = Recipe(dataset=dataset, **settings)

    from ..caption_lengths import say_cuts
    from ..caption_table import already_written
    from ..captions import caption_source, origin
    from ..errors import OutputError
    from ..progress import is_main_process
    from ..source import open_source

    if output.is_dir() or not output.absolute().parent.is_dir():
        what = "is a folder" if output.is_dir() else "lies in no folder that is there"
        raise OutputError(f"{output} {what}: give the name of a Parquet file")
    keep = recipe.keep_duplicates is not False
    captioner = caption_source(recipe.captions, keep_duplicates=keep, recipe=recipe)
    columns = {"image_column": recipe.image_column, "label_column": recipe.label_column}
    source = open_source(recipe.dataset, split=recipe.split, **columns)
    made_from = origin(captioner, source)
    written = already_written(output, made_from)
    _wait()  # all look before the first one writes
    if written:
        report(f"{output} is there already, made by these settings; nothing to do")
        return
    table = replace(captioner.table(source), origin=made_from)
    say_cuts(table, source.class_names)
    if is_main_process():
        table.save(output)
    _wait()
    report(f"{output}: {len(table)} captions of {len(source.class_names)} classes")


def _wait() -> None:
    """For the other processes, where there are some: most captioners need no torch, which takes seconds to import."""
    if os.environ.get("WORLD_SIZE", "1") != "1":
        from ..processes import process_state

        process_state().wait_for_everyone()
