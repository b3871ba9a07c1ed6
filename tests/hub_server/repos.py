"""Endpoints of repositories: made, looked at, and what is in them."""

from __future__ import annotations

import json
from urllib.parse import parse_qs, urlencode, urlsplit

from .exchange import Answer
from .rights import Rights


class Repositories(Rights):
    """Endpoints of repositories, but for commits."""

    def create(self) -> None:
        asked, user = json.loads(self.body), self._user()
        if user is None:
            raise Answer(401, {"error": "Invalid username or password."})
        namespace = asked.get("organization") or user.name
        kind, id = asked.get("type", "model") + "s", f"{namespace}/{asked['name']}"
        url = {"url": f"{self.hub.url}/{'' if kind == 'models' else kind + '/'}{id}", "name": id}
        if not user.may_write(namespace):
            raise Answer(
                403, {"error": f"you don't have the rights to create a {asked.get('type')} under {namespace}"}
            )
        if (kind, id) in self.hub.repos:
            raise Answer(409, {"error": "You already created this repo", **url})
        self.hub.repo(id, kind, private=asked.get("visibility") == "private" or bool(asked.get("private")))
        raise Answer(200, url)

    def delete(self) -> None:
        asked = json.loads(self.body)
        key = asked.get("type", "model") + "s", f"{asked['organization']}/{asked['name']}"
        self._writable(*key)
        del self.hub.repos[key]
        raise Answer(200, {})

    def auth_check(self) -> None:
        self._mine() if self.segments[-1] == "write" else self._repo()
        raise Answer(200, {})

    def info(self) -> None:
        repo = self._repo()
        commit = self._commit_of(repo, self.segments[5] if len(self.segments) > 5 else "main")
        files = [{"rfilename": path} for path in commit.tree]
        raise Answer(200, {
            "_id": "0", "id": repo.id, "sha": commit.oid, "private": repo.private, "siblings": files,
            "disabled": False, "gated": "auto" if repo.gated else False, "tags": [], "downloads": 0, "likes": 0,
            "cardData": {}, "lastModified": commit.date, "author": repo.id.split("/")[0],
        })  # fmt: skip

    def tree(self) -> None:
        commit = self._commit_of(self._visible(self.segments[1], "/".join(self.segments[2:4]), True), self.segments[5])
        under = "/".join(self.segments[6:])
        entries, folders = [], set()
        for path, file in commit.tree.items():
            if under and not path.startswith(under + "/"):
                continue
            parts = path.removeprefix(under + "/" if under else "").split("/")
            for depth in range(1, len(parts)):
                folders.add("/".join([*filter(None, [under]), *parts[:depth]]))
            if len(parts) == 1 or self.query.get("recursive") == "true":
                entries.append(file.info(path))
        if under and not entries and not folders:
            raise Answer(404, code="EntryNotFound")
        if self.query.get("recursive") != "true":
            folders = {name for name in folders if name.removeprefix(under).strip("/").count("/") == 0}
        entries += [{"type": "directory", "path": name, "oid": "0" * 40, "size": 0} for name in sorted(folders)]
        first = int(self.query.get("cursor", 0))
        headers = {}
        if len(entries) > first + self.hub.page_size:
            more = urlencode({**self.query, "cursor": first + self.hub.page_size})
            headers["Link"] = f'<{self.hub.url}{urlsplit(self.path).path}?{more}>; rel="next"'
        raise Answer(200, entries[first : first + self.hub.page_size], headers)

    def paths_info(self) -> None:
        commit = self._commit_of(self._repo(), self.segments[5])
        found = []
        for path in parse_qs(self.body.decode()).get("paths", []):
            path = path.strip("/")
            if path in commit.tree:
                found.append(commit.tree[path].info(path))
            elif any(name.startswith(path + "/") for name in commit.tree):
                found.append({"type": "directory", "path": path, "oid": "0" * 40, "size": 0})
        raise Answer(200, found)

    def refs(self) -> None:
        repo = self._repo()
        found = {"branches": ("heads", repo.branches), "tags": ("tags", repo.tags), "converts": ("convert", {})}
        raise Answer(
            200,
            {
                key: [
                    {"name": name, "ref": f"refs/{folder}/{name}", "targetCommit": oid} for name, oid in names.items()
                ]
                for key, (folder, names) in found.items()
            }
            | {"pullRequests": [{"name": ref, "ref": ref, "targetCommit": oid} for ref, oid in repo.pulls.items()]},
        )

    def branch(self) -> None:
        repo, name = self._mine(), self.segments[5]
        if name in repo.branches:
            raise Answer(409, {"error": "Reference already exists"})
        start = json.loads(self.body or b"{}").get("startingPoint", "main")
        repo.branches[name] = self._commit_of(repo, start).oid
        raise Answer(200, {})

    def tag(self) -> None:
        repo, asked = self._mine(), json.loads(self.body)
        if asked["tag"] in repo.tags:
            raise Answer(409, {"error": "Reference already exists"})
        repo.tags[asked["tag"]] = self._commit_of(repo, self.segments[5]).oid
        raise Answer(200, {})

    def commits(self) -> None:
        repo = self._repo()
        raise Answer(200, [
            {"id": c.oid, "title": c.title, "message": c.message, "date": c.date, "authors": [{"user": "somebody"}]}
            for c in repo.history(self._commit_of(repo, self.segments[5]))
        ])  # fmt: skip
