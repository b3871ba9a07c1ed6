"""Large files: sent and fetched outside of git, from another origin."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import quote

from .exchange import Answer
from .rights import Rights
from .store import File


class LargeFiles(Rights):
    """Endpoints of uploads and downloads."""

    def _lfs_repo(self) -> tuple[str, str]:
        parts = self.segments[: self.segments.index("info")]
        return ("datasets" if parts[0] == "datasets" else "models"), "/".join(parts[-2:]).removesuffix(".git")

    def batch(self) -> None:
        kind, id = self._lfs_repo()
        repo, objects = self._writable(kind, id), []
        for wanted in json.loads(self.body)["objects"]:
            answer = dict(wanted)
            if wanted["oid"] not in repo.stored:
                place = f"{kind}/{id}/{wanted['oid']}"
                answer["actions"] = {"upload": self._upload_action(place, wanted["size"])}
            objects.append(answer)
        raise Answer(200, {"transfer": "basic", "objects": objects})

    def _upload_action(self, place: str, size: int) -> dict[str, Any]:
        step = self.hub.chunk_size
        if not step or size <= step:
            return {"href": f"{self.hub.other}/lfs/{place}?X-Amz-Signature=secret"}
        count = -(-size // step)
        parts = {f"{i:05d}": f"{self.hub.other}/lfs-part/{place}/{i}" for i in range(1, count + 1)}
        return {"href": f"{self.hub.url}/lfs-whole/{place}", "header": {"chunk_size": str(step), **parts}}

    def _store(self, data: bytes) -> None:
        kind, *id, oid = self.segments[1:5]
        if File.of(data, lfs=True).lfs != oid:
            raise Answer(400, {"error": "the content is not what was announced"})
        self.hub.repos[kind, "/".join(id)].stored[oid] = data
        raise Answer(200)

    def upload(self) -> None:
        self._store(self.body)

    def upload_part(self) -> None:
        self.hub.parts.setdefault(self.segments[4], {})[int(self.segments[5])] = self.body
        raise Answer(200, None, {"ETag": f'"part-{self.segments[5]}"'})

    def upload_whole(self) -> None:
        parts = self.hub.parts.pop(self.segments[4])
        self._store(b"".join(parts[part["partNumber"]] for part in json.loads(self.body)["parts"]))

    def resolve(self) -> None:
        at = self.segments.index("resolve")
        kind = "datasets" if self.segments[0] == "datasets" else "models"
        repo = self._visible(kind, "/".join(self.segments[at - 2 : at]), True)
        commit = self._commit_of(repo, self.segments[at + 1])
        known = {"X-Repo-Commit": commit.oid, "Accept-Ranges": "bytes"}
        file = commit.tree.get("/".join(self.segments[at + 2 :]))
        if file is None:
            raise Answer(404, None, known, "EntryNotFound")
        if not file.lfs:
            self._content(file.data, {**known, "ETag": f'"{file.oid}"'})
        linked = {"X-Linked-Size": str(len(file.data)), "X-Linked-Etag": f'"{file.lfs}"'}
        place = f"{self.hub.other}/cdn/{kind}/{repo.id}/{file.lfs}?name={quote(self.segments[-1])}&signature=secret"
        raise Answer(302, None, {**known, **linked, "Location": place})

    def cdn(self) -> None:
        kind, *id, oid = self.segments[1:5]
        repo = self.hub.repos[kind, "/".join(id)]
        everything = {f.lfs: f.data for c in repo.commits.values() for f in c.tree.values() if f.lfs}
        self._content({**everything, **repo.stored}[oid], {"ETag": f'"{oid}"', "Accept-Ranges": "bytes"})

    def _content(self, data: bytes, headers: dict[str, str]) -> None:
        asked = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range") or "")
        first, last = 0, len(data) - 1
        if asked and (asked[1] or asked[2]):
            first = int(asked[1]) if asked[1] else max(0, len(data) - int(asked[2]))
            last = min(last, int(asked[2])) if asked[1] and asked[2] else last
            if first >= len(data):
                raise Answer(416, b"", {"Content-Range": f"bytes */{len(data)}"})
            headers["Content-Range"] = f"bytes {first}-{last}/{len(data)}"
        part = data[first : last + 1]
        if self.command == "HEAD":
            headers["Content-Length"] = str(len(part))
        raise Answer(206 if asked else 200, part, headers)
