"""Push and pull: what the commands call.

Nothing here sees a token: the Hub's clients find it (`hf auth login`, HF_TOKEN) and send it to the Hub alone.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import OutputError
from .hub_access import (
    PULL_REQUEST,
    branch_of,
    check_push,
    check_visibility,
    checked_name,
    info_of,
    telling,
    word,
)
from .hub_errors import patiently
from .hub_files import DATASET, README, Finished, finished, own_file, pictures
from .hub_pull import Pulled, pull_model
from .hub_upload import File, Published, Upload, pull_requests_of, refs_of, tag_taken
from .progress import say

if TYPE_CHECKING:
    from .shards import Split

__all__ = [
    "Published", "Pulled", "Stream", "Upload", "check_push", "open_upload", "pull_model", "push_folder"
]  # fmt: skip


def push_folder(
    folder: str | Path,
    repo_id: str | None,
    kind: str | None = None,
    *,
    private: bool = False,
    revision: str | None = None,
    tag: str | None = None,
) -> Published:
    """Publish an earlier run: a folder made by `finetune` or by `generate`.

    What is published is the contract of a checkpoint or a data set (see `hub_files`); training state, spools,
    `manifest.json` and whatever else lies in the folder stay where they are.

    Args:
        repo_id: None for the user's name and the folder's.
        kind: where given, the folder must be of it.
        private: for a repository that has to be made; a public one that is there already is refused, not changed.
        revision: a branch, made if it is not there, or "refs/pr/N" for a pull request that is.
        tag: for the commit that holds it all.

    Raises:
        OutputError: the folder is not finished, holds something that is not ours to publish, or the Hub does not take
            it. Nothing has been sent then.
    """
    folder, revision = Path(folder), branch_of(revision)
    if tag is not None:
        checked_name("--tag", tag, "a tag")
    found = finished(folder)
    if kind not in (None, found.kind):
        raise OutputError(f"{folder} is a {word(found.kind)}, not a {word(kind)}")
    keeps = " ".join(["`mvc-hf push", str(folder), *filter(None, [repo_id])]) + "` goes on"
    repo_id = check_push(repo_id, found.kind, folder=folder, private=private, keeps=keeps)
    files = _files(found, repo_id)
    with open_upload(repo_id, found.kind, private=private, revision=revision, tag=tag, folder=folder) as upload:
        return _push(found, files, upload, tag)


class Stream:
    """Publishes a data set while it is made: give `look` to `generate`, and call `finish` at the end.

    A context manager: leaving it ends the sending. What was sent is kept by the Hub, unseen, for the next try.
    """

    def __init__(self, repo_id: str, folder: str | Path, *, private: bool = False):
        self.repo_id, self.folder, self.private = repo_id, Path(folder), private
        self._upload: Upload | None = None

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        if self._upload is not None:
            self._upload.__exit__()

    def look(self, split: Split) -> None:
        """Send the shards that have become whole; whichever process made them."""
        whole = [path for path in map(split.path, range(split.count)) if path.exists()]
        names = [path.relative_to(split.folder).as_posix() for path in whole]
        files = {name: own_file(split.folder, name) for name in names}
        for name, path in files.items():
            self._opened().add(name, path)

    def finish(self) -> Published:
        found = finished(self.folder)
        return _push(found, _files(found, self.repo_id), self._opened(), None)

    def _opened(self) -> Upload:
        if self._upload is None:
            self._upload = open_upload(self.repo_id, DATASET, private=self.private, folder=self.folder)
        return self._upload


def _files(found: Finished, repo_id: str) -> list[File]:
    """Everything that is published, each file as it is on record."""
    files = [File(path, content, found.sha256.get(path)) for path, content in found.files.items()]
    for file in files:
        file.check()  # before a picture is drawn from one of them
    shown = {**pictures(found), README: found.card(repo_id)}
    return files + [File(path, content) for path, content in shown.items()]


def _push(found: Finished, files: list[File], upload: Upload, tag: str | None) -> Published:
    for file in files:
        upload.put(file)
    what = "synthetic data set" if found.kind == DATASET else "fine-tuned checkpoint"
    return upload.commit(f"Upload {what} made by mvc-hf", tag=tag)


def open_upload(
    repo_id: str,
    kind: str,
    *,
    private: bool = False,
    revision: str | None = None,
    tag: str | None = None,
    folder: str | Path = "OUT",
) -> Upload:
    """Make the repository and the branch where they are not there, and look at what they hold.

    Args:
        repo_id: in full, as `check_push` returns it.
        tag: only to find out early that it is taken.
        folder: for messages: what `mvc-hf push` has to be given to go on.

    Raises:
        OutputError: the Hub does not let us, or the repository is public and `private` was asked for.
    """
    from huggingface_hub import HfApi

    api = HfApi()
    name = {"repo_id": repo_id, "repo_type": kind}
    what, keeps = f"cannot push to {repo_id}", f"`mvc-hf push {folder} {repo_id}` goes on"
    with telling(what, keeps):
        info = patiently(f"looking at {repo_id}", lambda: info_of(api, repo_id, kind))
        check_visibility(info, repo_id, kind, private)
        if info is None and revision and PULL_REQUEST.fullmatch(revision):
            raise OutputError(f"there is no {word(kind)} {repo_id}, and so no pull request {revision}: name a branch")
        if info is None:
            create = {**name, "private": private or None, "exist_ok": True}  # None: as the namespace has it by default
            patiently(f"creating {repo_id}", lambda: api.create_repo(**create))
            say(f"{'private ' if private else ''}{word(kind)} repository {repo_id} created")
        if revision or tag:
            _prepare_refs(api, name, revision, tag)
        upload = Upload(api, repo_id, kind, revision or "main", keeps)
        patiently(f"looking at {repo_id}", upload.look)
    return upload


def _prepare_refs(api: Any, name: dict[str, str], revision: str | None, tag: str | None) -> None:
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
        patiently(f"creating the branch {revision}", lambda: api.create_branch(**name, branch=revision, exist_ok=True))
