"""Generating: addresses → inputs → images → shards."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..artifacts.sameness import refuse_others
from ..artifacts.shards import ShardedDatasetWriter
from ..config.recipe import Recipe
from ..data.apart import keep_apart
from ..publish.dataset_card import write_dataset_card
from ..storage.locks import locked_folder, locked_part, turn_in_folder
from ..utils.distributed import gathered, process_state
from ..utils.memory import enough_memory
from ..utils.progress import bar, done_before, is_main_process, say
from ..utils.text import some
from .counts import addresses_of
from .finishing import finished_rows
from .generator import Generator
from .opening import open_generator
from .selection import ShardRange, Share, as_range

if TYPE_CHECKING:
    from ..hub.upload.uploader import Published


def generate(
    recipe: Recipe,
    model: str | Path,
    out: str | Path,
    *,
    watch: Callable[[ShardedDatasetWriter], None] | None = None,
    published: Published | None = None,
    shards: ShardRange | Share | None = None,
) -> ShardedDatasetWriter:
    """Make a synthetic data set from a fine-tuned checkpoint; goes on with what a killed call left.

    Where the folder holds fewer images of the same recipe, the others are added; what is there keeps its bytes.

    Args:
        recipe: the settings of generating; `dataset` gives the condition images. The rest of a run's settings
            (resolution, captions) come with the checkpoint.
        model: a folder made by `finetune`, or a Hub id with an optional `@revision`.
        out: gets `data/train-*.parquet`, `manifest.json` and a `README.md` that `load_dataset` understands.
        watch: called in the main process before the first shard, and whenever it has finished one of its own: the
            shards that are there then are whole.
        published: where a local checkpoint is on the Hub, for the record.
        shards: those that this call makes, where others make the others: in folders of their own (`join` puts them
            together), or in the same one at the same time. The last of these completes it.

    Raises:
        MvcError: for anything that the user can mend; whole shards are never lost.
    """
    keep_apart(recipe.dataset, out)
    with contextlib.nullcontext() if shards else locked_folder(Path(out)):
        return _generated(recipe, model, Path(out), watch, published, shards)


def _generated(
    recipe: Recipe,
    model: str | Path,
    out: Path,
    watch: Callable[[ShardedDatasetWriter], None] | None,
    published: Published | None,
    shards: ShardRange | Share | None,
) -> ShardedDatasetWriter:
    state = process_state()
    watch = watch if watch and is_main_process() else _nobody
    with enough_memory("generate", state.device), contextlib.ExitStack() as kept:
        return _generate(recipe, model, Path(out), state, watch, published, shards, kept)


def _generate(
    recipe: Recipe, model: str | Path, out: Path, state: Any, watch: Callable[[ShardedDatasetWriter], None],
    published: Published | None, shards: ShardRange | Share | None, kept: contextlib.ExitStack,
) -> ShardedDatasetWriter:  # fmt: skip
    generator = open_generator(recipe, model, state, lambda known, of: refuse_others(out, known, of))
    if published:
        generator.provenance["checkpoint"] |= {"name": published.repo_id, "revision": published.commit}
    _say_what_is_missing(generator)
    images = int(generator.counts.sum())
    count = -(-images // recipe.shard_size)
    chosen = shards.of(count) if shards else list(range(count))
    turn = turn_in_folder if shards else contextlib.nullcontext
    with turn(out):
        with state.main_process_first():  # the first process makes the folder ours, the others find it so
            split = ShardedDatasetWriter(
                out,
                generator.made_from,
                images,
                recipe.shard_size,
                generator.metadata.class_names,
                generator.provenance,
                generator.counts.tolist(),
            )
            if shards and chosen:
                kept.enter_context(locked_part(out, chosen))
        missing = gathered(split.missing(chosen[state.process_index :: state.num_processes]))
        if missing and is_main_process():
            split.reopen()
        state.wait_for_everyone()
    labels, index = addresses_of(split.parts)
    mine = missing[state.process_index :: state.num_processes]
    if not missing:
        say(f"{split.folder if not shards else 'this part of ' + str(out)} is finished already; nothing to do")
    elif len(missing) < len(chosen):
        say(f"{len(chosen) - len(missing)} of {len(chosen)} shards are there; going on with the others")
    watch(split)
    if mine:
        total = sum(len(split.rows_of(shard)) for shard in mine)
        with bar(total, f"generating ({generator.method.name})", " images", shared=True) as shown:
            for shard in mine:
                with split.writer(shard) as spool:
                    done_before(shown, spool.rows)
                    todo = batches(split.rows_of(shard), recipe.batch_size, spool.rows)
                    for rows in finished_rows(generator, ((labels[batch], index[batch]) for batch in todo)):
                        spool.write(rows)
                        shown.update(len(rows))
                watch(split)
    state.wait_for_everyone()
    if is_main_process():
        with turn(out):
            if not shards:
                complete(split)
            elif absent := split.absent():
                split.reopen()  # with what is on record by now
                say(f"{split.count - len(absent)} of {split.count} shards are in {out}; not there: {as_range(absent)}")
            else:
                complete(split)
    return split


def complete(split: ShardedDatasetWriter) -> None:
    """Manifest and card of a data set that has all its shards."""
    split.finish()
    write_dataset_card(split.folder)


def _nobody(split: ShardedDatasetWriter) -> None:
    """Watches."""


def _say_what_is_missing(generator: Generator) -> None:
    names = [generator.metadata.class_names[label] for label in np.flatnonzero(generator.counts == 0)]
    if names:
        say(f"{len(names)} of {len(generator.counts)} classes get no synthetic image: {some(names, 3)}")


def batches(shard: range, size: int, done: int = 0) -> Iterator[np.ndarray]:
    """The rows of a shard, batch by batch, after those that are done. No batch reaches over two shards."""
    for first in range(done, len(shard), size):
        yield np.array(shard[first : first + size])
