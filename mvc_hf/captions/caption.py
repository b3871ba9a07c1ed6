"""The captions of a data set as a file, written once: what `mvc-hf caption` and the first stage of a run do."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..config.recipe import Recipe
from ..data.apart import keep_apart
from ..data.base import Source
from ..data.loading import open_for
from ..storage.locks import locked_file
from ..utils.progress import is_main_process
from .formats.endings import ending_of
from .loading import caption_source
from .sources import origin
from .table import already_written
from .token_lengths import say_cuts


def caption(recipe: Recipe, path: str | Path, source: Source | None = None) -> str:
    """Caption, unless it is done: a person may have edited the file. On several processes all of them call it.

    Args:
        path: of a file that ends in .parquet, .csv or .jsonl, in a folder that is there.
        source: the images of the recipe, where they are open already.

    Returns:
        A line on what was made.

    Raises:
        MvcError: the data or the captioner cannot be used, something else is at `path`, or another command writes it.
    """
    path = Path(path)
    ending_of(path)
    keep_apart(recipe.dataset, path)
    with locked_file(path):
        return _written(recipe, path, source)


def _written(recipe: Recipe, path: Path, source: Source | None) -> str:
    keep = recipe.keep_duplicates is not False  # in the file; fine-tuning leaves out what it does not want
    captioner = caption_source(recipe.captions, keep_duplicates=keep, recipe=recipe)
    source = open_for(recipe) if source is None else source
    made_from = origin(captioner, source)
    written = already_written(path, made_from)
    _wait()  # all look before the first one writes
    if written:
        return f"{path} is there already, made by these settings; nothing to do"
    table = replace(captioner.table(source), origin=made_from)
    say_cuts(table, source.class_words)
    if is_main_process():
        table.save(path, source.class_names)
    _wait()
    return f"{path}: {len(table)} captions of {np.count_nonzero(table.pool_size)} classes"


def _wait() -> None:
    """For the other processes, where there are some: most captioners need no torch, which takes seconds to import."""
    if os.environ.get("WORLD_SIZE", "1") != "1":
        from ..utils.distributed import process_state

        process_state().wait_for_everyone()
