"""An upload: files go up as they are ready, and one commit makes them all visible, or none of them."""

from __future__ import annotations

import contextlib
import queue
import re
import threading
import uuid
import warnings
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ...errors import OutputError
from ...utils.progress import bar, say, without_client_bars
from ..access import check_visibility, info_of, translate_errors
from ..errors import UnexpectedAnswer, is_passing, plain, short, status, understood
from ..ids import DATASET, MODEL, word
from ..retry import Backoff, answered, retry
from .file import File
from .refs import PULL_REQUEST, prepare_refs, refs_of, tag_taken

# What an earlier push may have left that a later one does not have, and that a reader would mix up with it.
REPLACED = {
    MODEL: re.compile(r"(?:unet|vae|text_encoder|tokenizer|scheduler)/[^/]+"),
    DATASET: re.compile(r"data/[^/]+\.parquet"),
}
BATCH = 8  # files that one call sends


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
    with translate_errors(what, keeps):
        info = retry(f"looking at {repo_id}", lambda: info_of(api, repo_id, kind))
        check_visibility(info, repo_id, kind, private)
        if info is None and revision and PULL_REQUEST.fullmatch(revision):
            raise OutputError(f"there is no {word(kind)} {repo_id}, and so no pull request {revision}: name a branch")
        if info is None:
            create = {**name, "private": private or None, "exist_ok": True}  # None: as the namespace has it by default
            retry(f"creating {repo_id}", lambda: api.create_repo(**create))
            say(f"{'private ' if private else ''}{word(kind)} repository {repo_id} created")
        if revision or tag:
            prepare_refs(api, name, revision, tag)
        upload = Upload(api, repo_id, kind, revision or "main", keeps)
        retry(f"looking at {repo_id}", upload.look)
    return upload


@dataclass(frozen=True)
class Published:
    """What a push left on the Hub. `changed` is False where it was all there before."""

    repo_id: str
    url: str
    commit: str
    changed: bool

    def __str__(self) -> str:
        done = "pushed" if self.changed else "nothing to do, it has all of it already:"
        return f"{self.url}: {done} commit {self.commit[:12]}"


class Upload:
    """Files on their way into one commit. A context manager: leaving it ends the thread that sends them."""

    def __init__(self, api: Any, repo_id: str, kind: str, branch: str, keeps: str):
        self.repo_id, self.kind, self.branch = repo_id, kind, branch
        self._api, self._keeps, self._name = api, keeps, {"repo_id": repo_id, "repo_type": kind}
        self._mark = f"mvc-hf push {uuid.uuid4().hex}"  # by which our commit is known again, if its reply is lost
        self._files: dict[str, File] = {}
        self._queue: queue.SimpleQueue[File | None] = queue.SimpleQueue()  # names only: a GPU never waits for it
        self._thread: threading.Thread | None = None
        self._head = ""
        self._tree: dict[str, Any] = {}

    def __enter__(self) -> Upload:
        return self

    def __exit__(self, *_: object) -> None:
        self._queue.put(None)

    def add(self, path_in_repo: str, content: Path | bytes, *, sha256: str | None = None) -> None:
        """A file that is ready, as `put`."""
        self.put(File(path_in_repo, content, sha256))

    def put(self, file: File) -> None:
        """A file that is ready; it is sent in the background, unless the repository has it already."""
        known = self._files.get(file.path)
        if known is not None and known.content == file.content:
            known.sha256 = known.sha256 or file.sha256
            return
        self._files[file.path] = file
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, daemon=True, name="mvc-hf upload")
            self._thread.start()
        self._queue.put(file)

    def commit(self, message: str, *, tag: str | None = None) -> Published:
        """Make everything visible at once, and take away what a former push had in its place.

        Raises:
            OutputError: the Hub did not take it; nothing is published then.
        """
        with translate_errors(
            f"cannot push to {self.repo_id}", f"nothing is published, what was sent is kept: {self._keeps}"
        ):
            self._wait_until_sent()
            published = self._commit(message, tag)
        if tag:
            with translate_errors(f"{published}, but the tag {tag!r} was not set", self._keeps):
                self._set_tag(tag, published.commit)
        return published

    def look(self) -> None:
        """What the branch holds now."""
        from huggingface_hub.hf_api import RepoFile

        self._head = self._api.repo_info(**self._name, revision=self.branch).sha
        if not isinstance(self._head, str):
            raise TypeError("it names no commit")
        entries = self._api.list_repo_tree(**self._name, revision=self._head, recursive=True)
        self._tree = {entry.path: entry for entry in entries if isinstance(entry, RepoFile)}

    # Sending

    def _work(self) -> None:
        with without_client_bars():
            while batch := self._next_batch():
                try:
                    self._send(batch)
                except Exception as error:  # the commit tries once more, or tells: a GPU at work need not stop for it
                    for file in batch:
                        file.error = error
                    why = short(error) if is_passing(error) else plain(error)
                    say(f"uploading {batch[0].path} to {self.repo_id} has failed for now: {why}")
                finally:
                    for file in batch:
                        file.done.set()

    def _next_batch(self) -> list[File]:
        """What waits, up to a number of files; empty at the end."""
        batch = [self._queue.get()]
        with contextlib.suppress(queue.Empty):
            while batch[-1] is not None and len(batch) < BATCH:
                batch.append(self._queue.get_nowait())
        if batch[-1] is None and len(batch) > 1:
            self._queue.put(None)
        return [file for file in batch if file is not None]

    def _send(self, files: list[File]) -> None:
        new = [file for file in files if not file.is_same_as(self._tree.get(file.path))]
        for file in files:
            file.error = None
        if new:
            additions = [file.operation for file in new]
            options = {**self._name, "revision": self.branch, "free_memory": False}
            what = f"uploading {new[0].path}" + (f" and {len(new) - 1} more" if len(new) > 1 else "")
            retry(what, lambda: self._api.preupload_lfs_files(additions=additions, **options), run=understood)

    def _wait_until_sent(self) -> None:
        files = list(self._files.values())
        with bar(len(files), f"uploading to {self.repo_id}", " files") as shown:
            for file in files:
                file.done.wait()
                shown.update(1)
        left = [file for file in files if file.error is not None]
        for error in [file.error for file in left if file.error is not None]:
            if not is_passing(error):
                raise error
        with without_client_bars():
            for first in range(0, len(left), BATCH):
                self._send(left[first : first + BATCH])

    # The commit

    def _commit(self, message: str, tag: str | None) -> Published:
        backoff, tried, unanswered, misread = Backoff(f"publishing {self.repo_id}"), False, False, False
        while True:
            try:
                before = self._head
                answered(self.look)
                moved = self._head != before
                if tried and moved and (landed := self._landed(before)):
                    return self._published(landed, True)  # it was there: only the reply was lost
                changed = [file for file in self._files.values() if not file.is_same_as(self._tree.get(file.path))]
                ours = REPLACED[self.kind]
                stale = [path for path in self._tree if ours.fullmatch(path) and path not in self._files]
                if not changed and not stale:
                    return self._published(self._head, False)
                self._check_tag(tag)
                if moved or unanswered:
                    for file in changed:
                        file.forget()
                tried = True
                commit = answered(partial(self._send_commit, message, changed, stale))
                self._check_complete(commit)
                if stale:
                    say(f"{len(stale)} files of the former version are gone from it; they stay at {self._head[:12]}")
                return self._published(commit, True)
            except Exception as error:
                unanswered = isinstance(error, TimeoutError)
                if isinstance(error, UnexpectedAnswer) and tried and not misread:
                    misread = True  # the commit may have been made for all that: look once more
                elif not backoff.wait_after(error):
                    raise

    def _send_commit(self, message: str, changed: list[File], stale: list[str]) -> str:
        from huggingface_hub import CommitOperationDelete

        operations = [file.operation for file in changed]
        operations += [CommitOperationDelete(path) for path in stale]
        with warnings.catch_warnings(), without_client_bars():
            warnings.filterwarnings("ignore", "It seems that you are about to commit a data file")  # captions.parquet
            return self._api.create_commit(
                **self._name, operations=operations, commit_message=message, commit_description=self._mark,
                revision=self.branch, parent_commit=self._head,
            ).oid  # fmt: skip

    def _landed(self, before: str) -> str | None:
        """Our own commit among those since `before`; where there is none, say who else has been there."""
        since = []
        for commit in self._api.list_repo_commits(**self._name, revision=self.branch):
            if self._mark in f"{commit.title} {commit.message}":
                return commit.commit_id
            if commit.commit_id == before:
                break
            since.append(commit)
        others = ", ".join(f"{commit.commit_id[:12]} {commit.title!r}" for commit in since[:3])
        say(f"{self.repo_id} was changed in the meantime ({others}); publishing on top of that")
        return None

    def _check_complete(self, commit: str) -> None:
        """A `.gitignore` in the repository makes the client leave files out without a word."""
        paths = retry(
            f"looking at {self.repo_id}",
            lambda: {entry.path for entry in self._api.list_repo_tree(**self._name, revision=commit, recursive=True)},
        )
        missing = [path for path in self._files if path not in paths]
        if missing:
            raise OutputError(
                f"the Hub left {missing[0]} and {len(missing) - 1} more out of commit {commit[:12]} of "
                f"{self.repo_id}: look for a .gitignore in the repository"
            )

    def _published(self, commit: str, changed: bool) -> Published:
        prefix = "" if self.kind == "model" else f"{self.kind}s/"
        return Published(self.repo_id, f"{self._api.endpoint}/{prefix}{self.repo_id}", commit, changed)

    # Tags

    def _check_tag(self, tag: str | None) -> None:
        if tag and tag in refs_of(self._api, self._name)[1]:
            raise tag_taken(self.repo_id, tag)

    def _set_tag(self, tag: str, commit: str) -> None:
        def create() -> None:
            try:
                self._api.create_tag(**self._name, tag=tag, revision=commit)
            except Exception as error:
                if status(error) != 409:
                    raise
                target = refs_of(self._api, self._name)[1].get(tag)
                if target != commit:
                    raise OutputError(f"pushed, but not tagged: {tag_taken(self.repo_id, tag)}") from error

        retry(f"setting the tag {tag}", create)
