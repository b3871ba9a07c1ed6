"""Data sets of the Hub, loaded by `datasets` at one commit: asked for and fetched as everything else is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UnexpectedAnswer, is_passing, is_unreachable
from ..ids import DATASET
from ..retry import retry, unchanged
from .models import COMMIT, ask
from .refusals import refusal, words

if TYPE_CHECKING:
    import datasets


def resolve(hub_id: str, revision: str | None) -> tuple[str | None, str]:
    """The commit of a revision; or None, and why the Hub could not say: the cache may have it.

    Raises:
        DataError: there is no such data set or revision, or it is not for us.
    """
    try:
        return ask(hub_id, DATASET, revision, lambda: _is_cached(hub_id)).sha, ""
    except Exception as error:
        if is_unreachable(error) or is_passing(error) or isinstance(error, UnexpectedAnswer):
            return None, words(error)
        raise refusal(error, hub_id, DATASET, revision) from error


def load(hub_id: str, config: str | None, split: str, revision: str | None, commit: str | None) -> datasets.Dataset:
    """A split of a data set, all of it. Files that are fetched already are kept. Raises what `datasets` raises.

    Args:
        commit: the revision, resolved; None where the Hub cannot be asked, so that what the cache has is all there is.
    """
    import datasets

    def fetched() -> datasets.Dataset:
        table = datasets.load_dataset(hub_id, config, split=split, revision=commit or revision)
        _check_commit(hub_id, commit, cached_commit(table))
        return table

    return retry(f"fetching {hub_id}", fetched, patience=None if commit else 0, run=unchanged)


def load_builder(hub_id: str, config: str | None, commit: str) -> datasets.DatasetBuilder:
    """What the Hub's files say of a data set, without its rows. Raises what `datasets` raises."""
    import datasets

    def fetched() -> datasets.DatasetBuilder:
        builder = datasets.load_dataset_builder(hub_id, config, revision=commit)
        _check_commit(hub_id, commit, builder.hash)  # by the commit, as the folders of the cache
        return builder

    return retry(f"looking at {hub_id}", fetched, run=unchanged)


def cached_commit(table: datasets.Dataset) -> str | None:
    """`datasets` keeps what came from the Hub in a folder named for the commit."""
    for file in table.cache_files:
        for part in reversed(Path(file["filename"]).parts):
            if COMMIT.fullmatch(part):
                return part
    return None


def _check_commit(hub_id: str, asked: str | None, got: str | None) -> None:
    """Where the Hub fails it, `datasets` takes whatever version its cache has, with no more than a warning."""
    if asked and got and COMMIT.fullmatch(got) and got != asked:
        raise ConnectionError(f"the Hub did not give {hub_id} at {asked[:12]}, and the cache has it at {got[:12]}")


def _is_cached(hub_id: str) -> bool:
    """Whether `datasets` has any version of a data set."""
    import datasets
    from datasets.naming import camelcase_to_snakecase

    owner, _, name = hub_id.rpartition("/")
    return any(Path(datasets.config.HF_DATASETS_CACHE).glob(f"{owner}___{camelcase_to_snakecase(name)}/*/*/*/"))
