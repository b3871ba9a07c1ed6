"""Fetch: from the Hub at one commit, or from the cache where the Hub cannot be asked.

One way for all that is fetched. Who fetches says which files are wanted and what of them the cache has; to ask, to
wait, to fall back on the cache and to say what went wrong is the same for models, captioning models and data sets.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import ModelError
from ...utils.progress import is_main_process, say, without_client_bars
from ..environment import endpoint
from ..errors import is_passing, is_unreachable, understood
from ..ids import MODEL, is_hub_id
from ..retry import retry
from .refusals import refusal, words
from .weights import STEMS, listing, patterns, variants_of

COMMIT = re.compile("[0-9a-f]{40}")
ASK_PATIENCE = 60.0  # seconds in which the Hub may come back before the cache is used
# Beside the weights, which come as safetensors in one variant. No pickle and no code of a repository is ever fetched.
SMALL = [
    *("model_index.json", "mvc.json", "captions.parquet", "README.md"),  # the last for its licence
    *(f"{part}/*.{kind}" for part in ("tokenizer", "scheduler", *STEMS) for kind in ("json", "txt")),
]


@dataclass(frozen=True)
class Pulled:
    """A model on this machine.

    Attributes:
        folder: in the cache of the Hub's client; not to be written to.
        name: the Hub id, without the revision.
        commit: the revision, resolved.
    """

    folder: Path
    name: str
    commit: str


def ask(name: str, kind: str, revision: str | None, is_cached: Callable[[], bool]) -> Any:
    """What the Hub says of a repository, with the commit of a revision as `sha`.

    A Hub that has a bad minute is asked again for ASK_PATIENCE seconds. One that cannot be reached at all is not,
    where the cache has what is wanted: there is nothing to wait for.

    Raises:
        Exception: as the client has it.
        UnexpectedAnswer: the answer names no commit, or cannot be read.
    """
    from huggingface_hub import HfApi

    endpoint()

    def info() -> Any:
        found = HfApi().repo_info(name, repo_type=kind, revision=revision, timeout=30)
        if not COMMIT.fullmatch(found.sha):  # the name of a folder of the cache
            raise TypeError(f"{found.sha!r} is no commit")
        return found

    def otherwise(error: Exception) -> bool:
        return is_unreachable(error) and is_cached()

    return retry(f"asking the Hub for {name}", info, patience=ASK_PATIENCE, unless=otherwise)


def pull(
    model: str,
    files: Callable[[Any], list[str]],
    cached: Callable[[str, str | None], Path | None],
    *,
    ignore: str | None = None,
    called: str = "",
) -> Pulled:
    """Fetch files of a model, or find it in the cache.

    Args:
        model: "org/name", or "org/name@revision" with a branch, tag or commit.
        files: patterns of what is wanted, from what the Hub says of the model; it may refuse a model (ModelError).
        cached: the folder of a revision, by name and revision, where the cache holds it whole.
        ignore: a pattern of what is not fetched, though `files` match it.
        called: for messages: the model in other words.

    Raises:
        ModelError: it is not there, not for us, of no use, or can neither be fetched nor found in the cache.
    """
    name, _, asked = model.partition("@")
    revision = asked or None
    try:
        info = ask(name, MODEL, revision, lambda: cached(name, revision) is not None)
    except Exception as error:
        folder = cached(name, revision)
        if folder is None or not (is_unreachable(error) or is_passing(error)):
            raise refusal(error, name, MODEL, revision, called) from error
        say(f"the Hub cannot be asked for {model} ({words(error)}): using the local cache, commit {folder.name}")
        return Pulled(folder, name, folder.name)
    wanted = files(info)

    def fetch() -> Path:
        """By its name, so that the cache knows the name when there is no network; where that has moved on meanwhile,
        or the client quietly took what it had, by the commit. Files that are there are kept: a download that breaks
        off costs the file it broke off in.
        """
        folder = snapshot(name, revision, wanted, ignore)
        return folder if folder.name == info.sha else snapshot(name, info.sha, wanted, ignore)

    try:
        with contextlib.nullcontext() if is_main_process() else without_client_bars():
            return Pulled(retry(f"downloading {name}", fetch, run=understood), name, info.sha)
    except Exception as error:
        raise refusal(error, name, MODEL, revision, called) from error


def snapshot(
    name: str, revision: str | None, wanted: list[str], ignore: str | None = None, *, local: bool = False
) -> Path:
    """The folder of a revision of a model with the files wanted; `local`: from the cache alone. Not retried."""
    from huggingface_hub import snapshot_download

    return Path(
        snapshot_download(
            name, revision=revision, allow_patterns=wanted, ignore_patterns=ignore, local_files_only=local
        )
    )


def from_cache(
    name: str, revision: str | None, wanted: list[str], needs: str, ignore: str | None = None
) -> Path | None:
    """The folder of a revision of which the cache holds all files wanted, `needs` among them; None without."""
    from huggingface_hub.errors import HFValidationError

    try:
        folder = snapshot(name, revision, wanted, ignore, local=True)  # it knows what is missing
    except (OSError, HFValidationError):  # LocalEntryNotFoundError is a FileNotFoundError
        return None
    whole = (folder / needs).exists()  # where the cache has no list of files, what a broken-off download left
    return folder if COMMIT.fullmatch(folder.name) and whole else None


# Models of Stable Diffusion, in diffusers' layout


def locate(
    model: str | Path, needs: str | None = None, variant: str | None = None
) -> tuple[Path, str, str | None] | None:
    """Folder, recordable name and commit of a model here or on the Hub; None where the name can be neither.

    Raises what `pull_model` raises.
    """
    path = Path(model).expanduser()
    if path.is_dir():
        return path, path.resolve().name, None
    if not is_hub_id(str(model)):
        return None
    found = pull_model(str(model), needs, variant)
    return found.folder, found.name, found.commit


def pull_model(model: str, needs: str | None = None, variant: str | None = None) -> Pulled:
    """Fetch a checkpoint or a base, or find it in the cache.

    Args:
        model: "org/name", or "org/name@revision" with a branch, tag or commit.
        needs: a file without which it is of no use.
        variant: of the weights (default: those that have none, else the only one).

    Raises:
        ModelError: as `pull`.
    """

    def files(info: Any) -> list[str]:
        """Refuses what could not be used, before gigabytes of it are fetched."""
        names = {file.rfilename for file in info.siblings or ()}
        if not names:  # nothing is said of them: take them as they are called where there are no variants
            return _wanted(dict.fromkeys(STEMS, variant))
        for name in filter(None, ("model_index.json", needs)):
            if name not in names:
                what = "checkpoint of mvc-hf finetune" if name == needs else "model in diffusers' layout"
                raise ModelError(f"{model} has no {name}: it is not a {what}")
        return _wanted(variants_of(names, model, variant))

    def cached(name: str, revision: str | None) -> Path | None:
        small = from_cache(name, revision, SMALL, "model_index.json")
        try:
            variants = variants_of(listing(small), name, variant) if small else None
        except ModelError:
            variants = None
        return from_cache(name, revision, _wanted(variants), "model_index.json") if variants else None

    return pull(model, files, cached)


def _wanted(variants: dict[str, str | None]) -> list[str]:
    weights = [f"{part}/{name}" for part, chosen in variants.items() for name in patterns(STEMS[part], chosen)]
    return [*SMALL, *weights]
