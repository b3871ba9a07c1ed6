"""Branches, tags and pull requests: their names, and those that a repository has."""

from __future__ import annotations

import re
from functools import partial
from typing import Any

from ...errors import OutputError
from ...utils.text import brief, one_line
from ..retry import retry

NO_REF = re.compile(r"\.\.|@\{|//|/\.|^[-/.]|[/.]$|\.lock(?:/|$)|[\x00-\x20\x7f~^:?*\[\\]")  # git check-ref-format
PULL_REQUEST = re.compile(r"refs/pr/[1-9][0-9]*")


def branch_of(revision: str | None) -> str | None:
    """The branch that --revision names, or the reference of a pull request ("refs/pr/1").

    Raises:
        OutputError: it is neither; the Hub would answer with a bare 404.
    """
    if revision is None or PULL_REQUEST.fullmatch(revision):
        return revision
    branch = revision.removeprefix("refs/heads/")
    if branch.startswith("refs/"):
        raise OutputError(
            f"--revision {brief(revision)} is neither a branch nor a pull request: name a branch, or refs/pr/N"
        )
    return checked_name("--revision", branch, "a branch")


def checked_name(option: str, name: str, what: str) -> str:
    """The name of a branch or tag. Raises OutputError where git takes none such."""
    odd = not name or name == "@" or len(name) > 200 or one_line(name) != name
    if odd or name.startswith("refs/") or NO_REF.search(name):
        raise OutputError(
            f"{option} {brief(name)} is no name for {what}: use letters, digits, '-', '_', '.' and '/' between them"
        )
    return name


def prepare_refs(api: Any, name: dict[str, str], revision: str | None, tag: str | None) -> None:
    """Make the branch where it is not there; refuse a tag that is another commit's."""
    repo_id = name["repo_id"]
    branches, tags = refs_of(api, name)
    if revision and PULL_REQUEST.fullmatch(revision):
        branches = pull_requests_of(api, name)
        if revision not in branches:
            raise OutputError(f"{repo_id} has no pull request {revision}: open it on the Hub first, or name a branch")
    elif revision and (revision in tags or re.fullmatch("[0-9a-f]{40}", revision)):
        raise OutputError(f"--revision {revision!r} is a {'tag' if revision in tags else 'commit'}; name a branch")
    if tag in tags and tags[tag] != branches.get(revision or "main"):
        raise tag_taken(repo_id, tag)
    if revision and revision not in branches:
        retry(f"creating the branch {revision}", lambda: api.create_branch(**name, branch=revision, exist_ok=True))


def refs_of(api: Any, name: dict[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Branches and tags, with their commits."""
    refs = retry(f"looking at the branches of {name['repo_id']}", lambda: api.list_repo_refs(**name))
    return {ref.name: ref.target_commit for ref in refs.branches}, {ref.name: ref.target_commit for ref in refs.tags}


def pull_requests_of(api: Any, name: dict[str, str]) -> dict[str, str]:
    """The open pull requests by their references, "refs/pr/1", with their commits."""
    ask = partial(api.list_repo_refs, **name, include_pull_requests=True)
    refs = retry(f"looking at the pull requests of {name['repo_id']}", ask)
    return {ref.ref: ref.target_commit for ref in refs.pull_requests}


def tag_taken(repo_id: str, tag: str | None) -> OutputError:
    return OutputError(f"{repo_id} has a tag {tag!r} of another commit: choose another one, or delete that one")
