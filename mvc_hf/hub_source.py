"""A data set on the Hub as a labelled image set, at one commit."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from .environment import endpoint
from .errors import DataError
from .hub_errors import understood
from .named_pictures import CURE, FROM_HUB, file_of_hub, path_instead
from .progress import say
from .some_rows import SomeRows
from .tables import TableSource, refuse_empty_slice, rows_of_slice, unreadable
from .texts import brief, reason

if TYPE_CHECKING:
    import datasets

    from .views import Look

COMMIT = re.compile("[0-9a-f]{40}")


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
    look: Look | None = None,
) -> HubSource:
    import datasets

    name = f"{hub_id}:{config}" if config else hub_id
    commit, unreachable = resolve(hub_id, revision)
    some_rows = None
    try:
        if look and look.max_images_per_class and commit:
            some_rows = _parquet(hub_id, config, commit, split)
        if some_rows:
            table = some_rows.columns()
            rows = rows_of_slice("".join(split.partition("[")[1:]), len(table))
            refuse_empty_slice(name, split, rows, len(table))
            table = table.select(rows)
        else:
            table = datasets.load_dataset(hub_id, config, split=split, revision=commit or revision)
            _check_slice(table, name, split)
    except DataError:
        raise
    except Exception as error:
        why = reason(error)
        if "gated" in why:
            raise DataError(_gated(hub_id)) from error
        if unreachable:
            raise DataError(
                f"{name} is no folder here, not in the local cache, and the Hub cannot be reached: {unreachable}"
            ) from error
        raise unreadable(f"{name} cannot be loaded from the Hub", error) from error
    if commit is None:
        commit = _cached_commit(table)
        if commit and COMMIT.fullmatch(revision or "") and commit != revision:
            raise DataError(f"the local cache has {name} at {commit}, not {revision}; the Hub says: {unreachable}")
        known = commit or "commit unknown"
        say(f"the Hub cannot be asked for the commit of {name}: using the local cache, {known} ({unreachable})")
    source = HubSource(table, name, commit, split, image_column, label_column)
    if some_rows:
        source._take(look, some_rows, rows)
    return source


def _check_slice(table: datasets.Dataset, name: str, split: str) -> None:
    plain, _, part = split.partition("[")
    whole = (table.info.splits or {}).get(plain)
    if part and whole is not None:
        refuse_empty_slice(name, split, rows_of_slice(f"[{part}", whole.num_examples), whole.num_examples)


def _parquet(hub_id: str, config: str | None, commit: str, split: str) -> SomeRows | None:
    """The Parquet files of a split, to be read in part; None, and a word on it, where it has others."""
    import datasets

    builder = datasets.load_dataset_builder(hub_id, config, revision=commit)
    files = (builder.config.data_files or {}).get(split.partition("[")[0])
    if files and all(str(file).endswith(".parquet") for file in files):
        return SomeRows(tuple(map(str, files)), builder.info.features)
    say(f"{hub_id} is not in Parquet: all of it is fetched, whatever --max-images-per-class takes")
    return None


def resolve(hub_id: str, revision: str | None) -> tuple[str | None, str]:
    """The commit of a revision, or None and why the Hub could not say."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import (
        GatedRepoError,
        HFValidationError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    endpoint()
    try:
        found = understood(lambda: HfApi().dataset_info(hub_id, revision=revision, timeout=30).sha)
        return (found, "") if COMMIT.fullmatch(str(found)) else (None, f"its answer names no commit: {brief(found)}")
    except GatedRepoError as error:
        raise DataError(_gated(hub_id)) from error
    except RepositoryNotFoundError as error:
        raise DataError(
            f"no folder here and no data set on the Hub is called {hub_id!r}: check the spelling; if it is private, "
            "run `hf auth login`"
        ) from error
    except RevisionNotFoundError as error:
        raise DataError(
            f"the Hub data set {hub_id} has no revision {revision!r}: name a branch, tag or commit"
        ) from error
    except HFValidationError as error:
        raise DataError(f"{hub_id!r} is not a valid Hub id: {reason(error)}") from error
    except Exception as error:  # offline, or a server's bad minute: the cache may have it
        return None, reason(error)


def _gated(hub_id: str) -> str:
    page = f"https://huggingface.co/datasets/{hub_id}"
    return f"the Hub data set {hub_id} is gated: ask for access at {page}, then run `hf auth login`"


def _cached_commit(table: datasets.Dataset) -> str | None:
    """`datasets` keeps what came from the Hub in a folder named for the commit."""
    for file in table.cache_files:
        for part in Path(file["filename"]).parts:
            if COMMIT.fullmatch(part):
                return part
    return None
