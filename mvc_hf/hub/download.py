"""Pull: a model from the Hub at one commit, or from the cache where the Hub cannot be asked."""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import DataError, ModelError, MvcError
from ..utils.disk import is_disk_full
from ..utils.progress import is_main_process, say, without_client_bars
from ..utils.text import brief, reason
from .environment import endpoint
from .errors import is_passing, is_unreachable, plain, short, statuses, understood
from .ids import is_hub_id
from .retry import retry
from .weights import STEMS, listing, patterns, variants_of

if TYPE_CHECKING:
    import datasets

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
        ModelError: it is not there, not for us, or can neither be fetched nor found in the cache.
    """
    name, _, revision = model.partition("@")
    try:
        info = _info_of(name, revision or None, variant)
    except Exception as error:
        folder = _cached(name, revision or None, variant)
        if folder is None or not (is_unreachable(error) or is_passing(error)):
            raise _told(error, name, revision) from error
        why = short(error) if is_passing(error) else plain(error)
        say(f"the Hub cannot be asked for {model} ({why}): using the local cache, commit {folder.name}")
        return Pulled(folder, name, folder.name)
    wanted = _contents(info, model, needs, variant)
    try:
        folder = retry(f"downloading {name}", lambda: _fetch(name, revision or None, info.sha, wanted), transfer=True)
    except Exception as error:
        raise _told(error, name, revision) from error
    return Pulled(folder, name, info.sha)


def _contents(info: Any, model: str, needs: str | None, variant: str | None) -> list[str]:
    """Patterns of the files to fetch. Refuses what could not be used, before gigabytes of it are fetched."""
    names = {file.rfilename for file in info.siblings or ()}
    if not names:  # nothing is said of them: take them as they are called where there are no variants
        return _wanted(dict.fromkeys(STEMS, variant))
    for name in filter(None, ("model_index.json", needs)):
        if name not in names:
            what = "checkpoint of mvc-hf finetune" if name == needs else "model in diffusers' layout"
            raise ModelError(f"{model} has no {name}: it is not a {what}")
    return _wanted(variants_of(names, model, variant))


def _wanted(variants: dict[str, str | None]) -> list[str]:
    weights = [f"{part}/{name}" for part, chosen in variants.items() for name in patterns(STEMS[part], chosen)]
    return [*SMALL, *weights]


def _info_of(name: str, revision: str | None, variant: str | None) -> Any:
    from huggingface_hub import HfApi

    endpoint()

    def ask() -> Any:
        info = HfApi().model_info(name, revision=revision, timeout=30)
        if not COMMIT.fullmatch(info.sha):  # the name of a folder of the cache
            raise TypeError(f"{info.sha!r} is no commit")
        return info

    try:
        return understood(ask)
    except Exception as error:
        if not is_passing(error) or (is_unreachable(error) and _cached(name, revision, variant)):
            raise  # no network, and the cache has it: there is nothing to wait for
    return retry(f"asking the Hub for {name}", ask, patience=ASK_PATIENCE)


def _cached(name: str, revision: str | None, variant: str | None) -> Path | None:
    """The folder of a revision that the cache holds whole, with weights that can be used."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError

    def known(wanted: list[str]) -> Path:
        return Path(snapshot_download(name, revision=revision, allow_patterns=wanted, local_files_only=True))

    try:
        variants = variants_of(listing(known(SMALL)), name, variant)
        folder = known(_wanted(variants))  # the client of today knows whether a file of these is still missing
    except (OSError, HFValidationError, ModelError):  # LocalEntryNotFoundError is a FileNotFoundError
        return None
    whole = (folder / "model_index.json").exists()  # older clients return what a download that broke off has left
    return folder if COMMIT.fullmatch(folder.name) and whole else None


def _fetch(name: str, revision: str | None, commit: str, wanted: list[str]) -> Path:
    """Files that are there are kept: a download that breaks off costs the file it broke off in.

    It is asked for by its name, so that the cache knows the name when there is no network; where that has moved on
    meanwhile, or the client quietly took what it had, by the commit.
    """
    from huggingface_hub import snapshot_download

    with contextlib.nullcontext() if is_main_process() else without_client_bars():
        folder = Path(snapshot_download(name, revision=revision, allow_patterns=wanted))
        if folder.name != commit:
            folder = Path(snapshot_download(name, revision=commit, allow_patterns=wanted))
    return folder


def _told(error: Exception, name: str, revision: str) -> MvcError:
    """The clients' errors in one line that says which model and what to do."""
    from huggingface_hub.errors import (
        GatedRepoError,
        HFValidationError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    if isinstance(error, MvcError):
        return error
    if is_disk_full(error):
        raise error
    if isinstance(error, GatedRepoError):
        page = f"{endpoint()}/{name}"
        return ModelError(f"the model {name} is gated: ask for access at {page}, then run `hf auth login`")
    if isinstance(error, RevisionNotFoundError):
        return ModelError(f"the model {name} has no revision {revision!r}: name a branch, tag or commit")
    if isinstance(error, HFValidationError):
        return ModelError(f"{name!r} is not a valid Hub id: {plain(error)}")
    if isinstance(error, RepositoryNotFoundError) or statuses(error) in (401, 403):
        if _is_dataset(name):
            return ModelError(f"{name} is a data set on the Hub, not a model: give a checkpoint or a base")
        return ModelError(
            f"no folder here and no model on the Hub is called {name!r}: check the spelling; if it is private, run "
            "`hf auth login` or set HF_TOKEN"
        )
    if is_unreachable(error):
        why = plain(error) if not is_passing(error) else short(error)
        return ModelError(
            f"cannot get {name} from the Hub, which cannot be reached ({why}); nor is it a folder here or in the cache"
        )
    if is_passing(error):
        return ModelError(f"cannot get {name} from the Hub: {short(error)}; the same command goes on later")
    return ModelError(f"cannot get {name} from the Hub: {plain(error)}")


def _is_dataset(name: str) -> bool:
    from huggingface_hub import HfApi

    try:
        HfApi().dataset_info(name, timeout=10)
    except Exception:  # whatever it is: only a hint hangs on it
        return False
    return True


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
        raise DataError(gated(hub_id)) from error
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


def gated(hub_id: str) -> str:
    page = f"https://huggingface.co/datasets/{hub_id}"
    return f"the Hub data set {hub_id} is gated: ask for access at {page}, then run `hf auth login`"


def cached_commit(table: datasets.Dataset) -> str | None:
    """`datasets` keeps what came from the Hub in a folder named for the commit."""
    for file in table.cache_files:
        for part in Path(file["filename"]).parts:
            if COMMIT.fullmatch(part):
                return part
    return None
