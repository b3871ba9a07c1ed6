"""Endpoints of commits."""

from __future__ import annotations

import base64
import json
from typing import Any

from .exchange import Answer
from .rights import Rights
from .store import Commit, File, Repo

LARGE = (".parquet", ".safetensors", ".png")


class Commits(Rights):
    """What goes into a commit, and the commit."""

    def preupload(self) -> None:
        tree = self._commit_of(self._mine(), self.segments[5]).tree
        files = []
        for file in json.loads(self.body)["files"]:
            known = tree.get(file["path"])
            large = file["path"].endswith(LARGE) or file["size"] > 5_000_000
            files.append({"path": file["path"], "uploadMode": "lfs" if large else "regular", "shouldIgnore": False,
                          "oid": (known.lfs or known.oid) if known else None})  # fmt: skip
        raise Answer(200, {"files": files})

    def commit(self) -> None:
        repo, branch = self._mine(), self.segments[5]
        lines = [json.loads(line) for line in self.body.splitlines()]
        with repo.lock:
            if branch not in repo.branches | repo.pulls:
                raise Answer(404, code="RevisionNotFound")
            head, header = repo.head(branch), lines[0]["value"]
            if header.get("parentCommit") not in (None, head.oid):
                raise Answer(412, {"error": "A commit has happened since. Please refresh and try again."})
            changes: dict[str, File | None] = {}
            for line in lines[1:]:
                changes |= self._change(repo, head, line["key"], line["value"])
            made = repo.commit(branch, header["summary"], changes, header.get("description", ""))
        raise Answer(200, {"commitOid": made.oid, "commitUrl": f"{self.hub.url}/{repo.id}/commit/{made.oid}"})

    @staticmethod
    def _change(repo: Repo, head: Commit, key: str, value: dict[str, Any]) -> dict[str, File | None]:
        path = value["path"]
        if key == "file":
            return {path: File.of(base64.b64decode(value["content"]))}
        if key == "lfsFile":
            if value["oid"] not in repo.stored:
                raise Answer(400, {"error": f"LFS object {value['oid']} was never uploaded"})
            return {path: File.of(repo.stored[value["oid"]], lfs=True)}
        gone = [p for p in head.tree if p == path or (key == "deletedFolder" and p.startswith(path.rstrip("/") + "/"))]
        if not gone:
            raise Answer(404, {"error": "A file with this name doesn't exist"}, code="EntryNotFound")
        return dict.fromkeys(gone)

    def commit_first(self) -> None:
        self._repo().commit(self.segments[5], "somebody else", {"NOTES.md": File.of(b"somebody else was here\n")})
