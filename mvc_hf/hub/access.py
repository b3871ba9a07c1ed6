"""Whether a push will be taken: token, repository id, permission. Asked before GPU time is spent."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import OutputError
from ..utils.progress import say
from .errors import statuses, translate_error
from .ids import word
from .retry import answered, retry

CHECK_PATIENCE = 300.0  # seconds: who has no network should not have to wait long to hear it
BUGS = (TypeError, AttributeError, LookupError, AssertionError)  # ours: a traceback says more than a line


def check_push(
    repo_id: str | None,
    kind: str,
    *,
    folder: str | Path = "",
    private: bool = False,
    keeps: str = "",
) -> str:
    """Whether there is a token that may write a repository. Changes nothing on the Hub.

    Args:
        repo_id: "org/name" or "name"; None for the user's name and the folder's, as Hugging Face's trainers do.
        kind: "model" or "dataset".
        private: whether it has to be; one that is there already and public is refused, for it would show everything.
        keeps: for messages: how to go on later, where something is at stake.

    Returns:
        The id in full.

    Raises:
        OutputError: no token, one that may not write there, an id that the Hub does not take, or no Hub.
    """
    from huggingface_hub import HfApi, get_token, is_offline_mode
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    if repo_id is not None:
        try:
            validate_repo_id(repo_id)
        except HFValidationError as error:
            text = " ".join(str(error).split()).rstrip(".")
            raise OutputError(f"{repo_id!r} is no id for a repository on the Hub: {text}; give org/name") from error
    if is_offline_mode():
        raise OutputError("HF_HUB_OFFLINE is set: pushing needs the Hub; unset it, or push later with mvc-hf push")
    token = get_token()
    if token is None:
        raise OutputError("no token for the Hub: run `hf auth login`, or set HF_TOKEN to one with write permission")
    if not re.fullmatch("[!-~]+", token):
        raise OutputError(
            "the token for the Hub holds characters that no token has: run `hf auth login`, or set HF_TOKEN anew"
        )
    api = HfApi()
    name = repo_id or _name_of(folder)

    def ask() -> tuple[str, str]:
        """The id in full, and why it is refused: whatever reads the answer is part of asking."""
        user = api.whoami()
        found = name if "/" in name else f"{user['name']}/{name}"
        return found, _refusal(user, found)

    with translate_errors(f"cannot push to {repo_id or 'the Hub'}", keeps):
        found, refused = retry("asking the Hub who we are", ask, patience=CHECK_PATIENCE)
    if refused and not _may_write(api, found, kind):
        raise OutputError(f"cannot push to {found}: {refused}")
    if private:
        with translate_errors(f"cannot push to {found}", keeps):
            check_visibility(retry(f"looking at {found}", lambda: info_of(api, found, kind)), found, kind, True)
    return found


def info_of(api: Any, repo_id: str, kind: str) -> Any | None:
    """What the Hub says of a repository; None where there is none."""
    from huggingface_hub.errors import RepositoryNotFoundError

    try:
        return api.repo_info(repo_id=repo_id, repo_type=kind)
    except RepositoryNotFoundError:
        return None


def check_visibility(info: Any | None, repo_id: str, kind: str, private: bool) -> None:
    """A repository that is there stays as it is; a public one does not get what is to be private."""
    if info is None:
        return
    if private and not info.private:
        raise OutputError(
            f"cannot push to {repo_id}: the {word(kind)} repository is there already and public, and --private was "
            "asked for; make it private in its settings, choose another name, or leave --private out"
        )
    if info.private and not private:
        say(f"{repo_id} is private, and stays so")


def _refusal(user: dict[str, Any], repo_id: str) -> str:
    """Why a token cannot write to a namespace, as far as it says itself; empty where nothing speaks against it."""
    token = user.get("auth", {}).get("accessToken", {})
    namespace, mine = repo_id.split("/")[0], [user["name"], *(org["name"] for org in user.get("orgs", []))]
    if token.get("role") == "read":
        return "the token may only read; make one with write permission and set HF_TOKEN, or run `hf auth login`"
    if namespace.lower() not in [name.lower() for name in mine]:
        return f"the token of {user['name']} cannot write to {namespace!r}; it can to {', '.join(mine)}"
    scoped = token.get("fineGrained", {}).get("scoped")
    if token.get("role") == "fineGrained" and isinstance(scoped, list):
        permissions = [p for scope in scoped for p in scope.get("permissions", [])]
        if not any("write" in str(p) for p in permissions):
            return "the fine-grained token has no write permission; add it to the token's settings"
    return ""


def _may_write(api: Any, repo_id: str, kind: str) -> bool:
    """The Hub's own word on a repository that is there."""
    try:
        answered(lambda: api.auth_check(repo_id, repo_type=kind, write=True))
    except Exception as error:
        if statuses(error):
            return False
        raise translate_error(error, f"cannot push to {repo_id}") from error
    return True


def _name_of(folder: str | Path) -> str:
    """A folder's name as the Hub takes it."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", Path(folder).resolve().name)
    name = re.sub(r"-{2,}", "-", re.sub(r"\.{2,}", ".", name)).strip("-.").removesuffix(".git")
    if not name:
        raise OutputError(f"{str(folder)!r} gives no name for a repository: give org/name")
    return name[:90].rstrip("-.")


@contextlib.contextmanager
def translate_errors(what: str, keeps: str = "") -> Iterator[None]:
    """Whatever the clients raise becomes one line."""
    try:
        yield
    except BUGS:
        raise
    except Exception as error:
        raise translate_error(error, what, keeps) from error
