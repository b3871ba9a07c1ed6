"""Why something cannot be fetched, in one line that says what it is and what to do."""

from __future__ import annotations

from ...errors import DataError, ModelError, MvcError
from ...utils.disk import is_disk_full
from ..environment import endpoint
from ..errors import is_passing, is_unreachable, plain, short, statuses
from ..ids import DATASET, MODEL, word


def refusal(error: Exception, name: str, kind: str, revision: str | None = None, called: str = "") -> MvcError:
    """The clients' errors as one of ours; errors of ours as they are.

    Args:
        name: "org/name", asked for as a `kind` of repository.
        called: the same in the words of the caller, as "the captioning model org/name@v1".

    Raises:
        OSError: the disk is full, which is nothing that the Hub has said.
    """
    if isinstance(error, MvcError):
        return error
    if is_disk_full(error):
        raise error
    return _kind_of_error(kind)(_why(error, name, kind, revision, called or name))


def _why(error: Exception, name: str, kind: str, revision: str | None, called: str) -> str:
    from huggingface_hub.errors import (
        GatedRepoError,
        HFValidationError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    if isinstance(error, GatedRepoError):
        return gated(name, kind)
    if isinstance(error, RevisionNotFoundError):
        return f"the {word(kind)} {name} has no revision {revision!r}: name a branch, tag or commit"
    if isinstance(error, HFValidationError):
        return f"{name!r} is not a valid Hub id: {plain(error)}"
    if isinstance(error, RepositoryNotFoundError) or statuses(error) in (401, 403):
        return _unknown(name, kind)
    if is_unreachable(error):
        why = f"cannot get {called} from the Hub, which cannot be reached ({words(error)})"
        return f"{why}; nor is it a folder here or in the cache"
    if is_passing(error):
        return f"cannot get {called} from the Hub: {short(error)}; the same command goes on later"
    return f"cannot get {called} from the Hub: {plain(error)}"


def gated(name: str, kind: str) -> str:
    page = f"{endpoint()}/{'datasets/' if kind == DATASET else ''}{name}"
    return f"the {word(kind)} {name} is gated: ask for access at {page}, then run `hf auth login`"


def words(error: Exception) -> str:
    """What an error says, in few words where it passes by itself."""
    return short(error) if is_passing(error) else plain(error)


def _unknown(name: str, kind: str) -> str:
    other = MODEL if kind == DATASET else DATASET
    if _exists(name, other):
        wants = "give a checkpoint or a base" if kind == MODEL else "give a labelled image set"
        return f"{name} is a {word(other)} on the Hub, not a {word(kind)}: {wants}"
    return (
        f"no folder here and no {word(kind)} on the Hub is called {name!r}: check the spelling; if it is private, run "
        "`hf auth login` or set HF_TOKEN"
    )


def _exists(name: str, kind: str) -> bool:
    from huggingface_hub import HfApi

    try:
        HfApi().repo_info(name, repo_type=kind, timeout=10)
    except Exception:  # whatever it is: only a hint hangs on it
        return False
    return True


def _kind_of_error(kind: str) -> type[MvcError]:
    return DataError if kind == DATASET else ModelError
