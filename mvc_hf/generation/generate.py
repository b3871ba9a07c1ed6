"""Generating: addresses → inputs → images → shards."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..artifacts.sameness import refuse_others
from ..artifacts.shards import ShardedDatasetWriter
from ..config.recipe import Recipe
from ..data.apart import keep_apart
from ..publish.dataset_card import write_dataset_card
from ..storage.locks import locked_folder
from ..utils.distributed import gathered, process_state
from ..utils.memory import enough_memory
from ..utils.progress import bar, done_before, is_main_process, say
from ..utils.text import some
from .counts import addresses_of
from .finishing import finished_rows
from .generator import Generator
from .opening import open_generator

if TYPE_CHECKING:
    from ..hub.upload.uploader import Published


def generate(
    recipe: Recipe,
    model: str | Path,
    out: str | Path,
    *,
    watch: Callable[[ShardedDatasetWriter], None] | None = None,
    published: Published | None = None,
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

    Raises:
        MvcError: for anything that the user can mend; whole shards are never lost.
    """
    keep_apart(recipe.dataset, out)
    with locked_folder(Path(out)):
        return _generated(recipe, model, Path(out), watch, published)


def _generated(
    recipe: Recipe,
    model: str | Path,
    out: Path,
    watch: Callable[[ShardedDatasetWriter], None] | None,
    published: Published | None,
) -> ShardedDatasetWriter:
    state = process_state()
    watch = watch if watch and is_main_process() else _nobody
    with enough_memory("generate", state.device):
        return _generate(recipe, model, Path(out), state, watch, published)


def _generate(
    recipe: Recipe, model: str | Path, out: Path, state: Any, watch: Callable[[ShardedDatasetWriter], None],
    published: Published | None,
) -> ShardedDatasetWriter:  # fmt: skip
    generator = open_generator(recipe, model, state, lambda known, of: refuse_others(out, known, of))
    if published:
        generator.provenance["checkpoint"] |= {"name": published.repo_id, "revision": published.commit}
    _say_what_is_missing(generator)
    with state.main_process_first():  # the first process makes the folder ours, the others find it so
        split = ShardedDatasetWriter(
            out,
            generator.made_from,
            int(generator.counts.sum()),
            recipe.shard_size,
            generator.metadata.class_names,
            generator.provenance,
            generator.counts.tolist(),
        )
    labels, index = addresses_of(split.parts)
    missing = gathered(split.missing(state.process_index, state.num_processes))
    if missing and is_main_process():
        split.reopen()
    state.wait_for_everyone()
    mine = missing[state.process_index :: state.num_processes]
    if not missing:
        say(f"{split.folder} is finished already; nothing to do")
    elif len(missing) < split.count:
        say(f"{split.count - len(missing)} of {split.count} shards are there; going on with the others")
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
        split.finish()
        write_dataset_card(split.folder)
    return split


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
