"""Repositories as the Hub keeps them: contents by their hash, trees, commits, branches, tags."""

from __future__ import annotations

import hashlib
import itertools
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize {}\n"
_ticks = itertools.count()


def git_hash(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


@dataclass(frozen=True)
class File:
    """A file of a tree. `lfs` is the SHA-256 of its content where it is kept outside of git."""

    data: bytes
    oid: str
    lfs: str | None = None

    @classmethod
    def of(cls, data: bytes, lfs: bool = False) -> File:
        sha = hashlib.sha256(data).hexdigest()
        return cls(data, git_hash(POINTER.format(sha, len(data)).encode()), sha) if lfs else cls(data, git_hash(data))

    def info(self, path: str) -> dict[str, Any]:
        info: dict[str, Any] = {"type": "file", "path": path, "oid": self.oid, "size": len(self.data)}
        if self.lfs:
            pointer = len(POINTER.format(self.lfs, len(self.data)))
            info["lfs"] = {"oid": self.lfs, "size": len(self.data), "pointerSize": pointer}
        return info


@dataclass(frozen=True)
class Commit:
    oid: str
    parent: str | None
    title: str
    message: str
    tree: dict[str, File]
    date: str


@dataclass
class Repo:
    """One repository. Old commits stay reachable, as they do on the Hub."""

    id: str
    kind: str  # "models" or "datasets"
    private: bool = False
    gated: bool = False
    commits: dict[str, Commit] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    pulls: dict[str, str] = field(default_factory=dict)  # by reference: "refs/pr/1"
    stored: dict[str, bytes] = field(default_factory=dict)  # large files by SHA-256, committed or not
    lock: Any = field(default_factory=threading.RLock)

    def __post_init__(self) -> None:
        attributes = File.of(b"*.parquet filter=lfs diff=lfs merge=lfs -text\n")
        self.branches["main"] = self._add_commit(None, "initial commit", "", {".gitattributes": attributes}).oid

    def resolve(self, revision: str) -> Commit | None:
        name = revision.removeprefix("refs/heads/").removeprefix("refs/tags/")
        oid = self.branches.get(name) or self.tags.get(name) or self.pulls.get(revision) or revision
        return self.commits.get(oid)

    def head(self, branch: str = "main") -> Commit:
        return self.commits[(self.branches | self.pulls)[branch]]

    def history(self, commit: Commit) -> Iterable[Commit]:
        """From the newest on."""
        while commit:
            yield commit
            commit = self.commits.get(commit.parent or "")

    def commit(self, branch: str, title: str, changes: dict[str, File | None], message: str = "") -> Commit:
        """A new commit on a branch; None takes a file away."""
        with self.lock:
            parent = self.head(branch)
            tree = {**parent.tree, **changes}
            tree = {path: file for path, file in sorted(tree.items()) if file is not None}
            made = self._add_commit(parent.oid, title, message, tree)
            (self.pulls if branch in self.pulls else self.branches)[branch] = made.oid
            return made

    def _add_commit(self, parent: str | None, title: str, message: str, tree: dict[str, File]) -> Commit:
        at = next(_ticks)
        made = Commit("", parent, title, message, tree, f"2026-01-01T00:{at // 60 % 60:02d}:{at % 60:02d}.000Z")
        text = repr((self.id, parent, title, message, made.date, [(p, f.oid) for p, f in tree.items()]))
        made = replace(made, oid=hashlib.sha1(text.encode()).hexdigest())
        self.commits[made.oid] = made
        return made
