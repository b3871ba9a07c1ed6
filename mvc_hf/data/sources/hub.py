"""A data set on the Hub as a labelled image set, at one commit."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import DataError
from ...hub.download.data_sets import cached_commit, load, load_builder, resolve
from ...hub.download.models import COMMIT
from ...hub.download.refusals import gated
from ...hub.ids import DATASET
from ...utils.progress import say
from ...utils.text import reason
from ..named_pictures import CURE, FROM_HUB, file_of_hub, path_instead
from .partial_parquet import PartialParquet
from .tabular import TableSource, refuse_empty_slice, rows_of_slice, unreadable

if TYPE_CHECKING:
    import datasets

    from ..view import ViewConfig


class HubSource(TableSource):
    """A split of a data set on the Hub, at one commit."""

    def __init__(
        self,
        table: datasets.Dataset,
        name: str,
        revision: str | None,
        split: str,
        image_column: str | None,
        label_column: str | None,
    ) -> None:
        self.name, self.revision, self._split = name, revision, split
        super().__init__(table, image_column, label_column)

    def describe_row(self, row: int) -> str:
        return f"row {row} of {self.name} ({self._split})"

    def _content(self) -> Iterator[str]:
        yield from ("hub", self.name, self._split, self.revision or "", self._image_column)

    def _picture_file(self, row: int, path: str) -> Path:
        file = file_of_hub(self.name.partition(":")[0], path)
        if file is not None:
            return file
        where = self.describe_row(row)
        if "://" in path or os.path.isabs(path):
            raise path_instead(where, path, FROM_HUB)
        raise path_instead(where, path, f"fetch the data set with `hf download` and give its folder, or {CURE}")


def open_hub(
    hub_id: str,
    config: str | None,
    revision: str | None,
    split: str,
    image_column: str | None,
    label_column: str | None,
    view: ViewConfig | None = None,
) -> HubSource:
    name = f"{hub_id}:{config}" if config else hub_id
    commit, unreachable = resolve(hub_id, revision)
    partial = None
    try:
        if view and view.max_images_per_class and commit:
            partial = _parquet(hub_id, config, commit, split)
        if partial:
            table = partial.columns()
            rows = rows_of_slice("".join(split.partition("[")[1:]), len(table))
            refuse_empty_slice(name, split, rows, len(table))
            table = table.select(rows)
        else:
            table = load(hub_id, config, split, revision, commit)
            _check_slice(table, name, split)
    except DataError:
        raise
    except Exception as error:
        if "gated" in reason(error):
            raise DataError(gated(hub_id, DATASET)) from error
        if unreachable:
            raise DataError(
                f"{name} is no folder here, not in the local cache, and the Hub cannot be reached: {unreachable}"
            ) from error
        raise unreadable(f"{name} cannot be loaded from the Hub", error) from error
    if commit is None:
        commit = cached_commit(table)
        if commit and COMMIT.fullmatch(revision or "") and commit != revision:
            raise DataError(f"the local cache has {name} at {commit}, not {revision}; the Hub says: {unreachable}")
        known = commit or "commit unknown"
        say(f"the Hub cannot be asked for the commit of {name}: using the local cache, {known} ({unreachable})")
    source = HubSource(table, name, commit, split, image_column, label_column)
    if partial and view:
        source._take(view, partial, rows)
    return source


def _check_slice(table: datasets.Dataset, name: str, split: str) -> None:
    plain, _, part = split.partition("[")
    whole = (table.info.splits or {}).get(plain)
    if part and whole is not None:
        refuse_empty_slice(name, split, rows_of_slice(f"[{part}", whole.num_examples), whole.num_examples)


def _parquet(hub_id: str, config: str | None, commit: str, split: str) -> PartialParquet | None:
    """The Parquet files of a split, to be read in part; None, and a word on it, where it has others."""
    builder = load_builder(hub_id, config, commit)
    files = (builder.config.data_files or {}).get(split.partition("[")[0])
    if files and all(str(file).endswith(".parquet") for file in files):
        return PartialParquet(tuple(map(str, files)), builder.info.features)
    say(f"{hub_id} is not in Parquet: all of it is fetched, whatever --max-images-per-class takes")
    return None
