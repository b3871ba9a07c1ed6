"""A small Hub on 127.0.0.1 that the real clients talk to over HTTP, with faults that can be switched on.

Large files are served from another origin (`localhost`), as the Hub does it; everything that was asked is recorded.
Xet is not served: clients need HF_HUB_DISABLE_XET=1.
"""

from __future__ import annotations

import base64
import contextlib
import json
import re
import socket
import struct
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, parse_qsl, quote, unquote, urlencode, urlsplit

from hub_store import Commit, File, Repo

ANN, BOB, READER, EVE = "hf_annswritetoken", "hf_bobswritetoken", "hf_annsreadtoken", "hf_evestoken"
LARGE = (".parquet", ".safetensors", ".png")


@dataclass(frozen=True)
class User:
    name: str
    orgs: tuple[str, ...] = ()
    role: str = "write"

    def may_write(self, namespace: str) -> bool:
        return self.role == "write" and namespace in (self.name, *self.orgs)

    def may_read(self, namespace: str) -> bool:
        return namespace in (self.name, *self.orgs)

    def whoami(self) -> dict[str, Any]:
        orgs = [{"type": "org", "name": name, "roleInOrg": "admin"} for name in self.orgs]
        token = {"displayName": "a token", "role": self.role}
        return {
            "type": "user",
            "name": self.name,
            "orgs": orgs,
            "auth": {"type": "access_token", "accessToken": token},
        }


@dataclass(frozen=True)
class Request:
    """What was asked. `call` is the name of the endpoint, `host` the origin that the client meant."""

    call: str
    method: str
    path: str
    host: str
    headers: dict[str, str]
    size: int

    @property
    def token(self) -> str | None:
        return self.headers.get("authorization", "").removeprefix("Bearer ") or None


@dataclass
class Fault:
    """What goes wrong at an endpoint: a status, another body, or "reset", "cut", "lost", "slow", "race"."""

    kind: int | str | bytes
    times: int
    headers: dict[str, str]
    after: int
    seconds: float


class Answer(Exception):
    """A response, raised from wherever it is known."""

    def __init__(self, status: int, body: Any = None, headers: dict[str, str] | None = None, code: str = ""):
        self.status, self.headers = status, dict(headers or {})
        if code:
            self.headers["X-Error-Code"] = code
            body = body or {"error": code}
        is_bytes = isinstance(body, bytes)
        self.body = body if is_bytes else b"" if body is None else json.dumps(body).encode()
        self.headers.setdefault("Content-Type", "application/octet-stream" if is_bytes else "application/json")


class LocalHub:
    """Use as a context manager; `url` is the endpoint.

    Attributes:
        repos: by ("models" or "datasets", "org/name").
        requests: all of them, in order.
        page_size: entries of a page of a tree.
        chunk_size: where set, large files are uploaded in parts of this size.
    """

    def __init__(self) -> None:
        self.users = {
            ANN: User("ann", ("lab",)), BOB: User("bob"), READER: User("ann", ("lab",), "read"), EVE: User("eve")
        }  # fmt: skip
        self.repos: dict[tuple[str, str], Repo] = {}
        self.requests: list[Request] = []
        self.page_size, self.chunk_size = 1000, 0
        self._faults: dict[str, list[Fault]] = {}
        self._parts: dict[str, dict[int, bytes]] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> LocalHub:
        handler = type("Handler", (_Handler,), {"hub": self})
        self._server = _Server(("127.0.0.1", 0), handler)
        self.port = self._server.server_address[1]
        self.url, self.other = f"http://127.0.0.1:{self.port}", f"http://localhost:{self.port}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def fail(
        self, call: str, kind: int | str | bytes, times: int = 1, *, after: int = 0, seconds: float = 0, **headers: str
    ):
        """Let an endpoint go wrong, `times` times, after having answered `after` times.

        A number is a status; bytes are the body of the answer, though what is asked is done; "reset" breaks the
        connection in mid-body; "cut" ends a download early but in good order; "lost" does what is asked and breaks the
        connection instead of answering; "slow" waits; "race" (commit) lets somebody else commit first.
        """
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self._faults.setdefault(call, []).append(Fault(kind, times, named, after, seconds))

    def fault(self, call: str) -> Fault | None:
        with self._lock:
            for fault in self._faults.get(call, []):
                if fault.after > 0:
                    fault.after -= 1
                    return None
                if fault.times > 0:
                    fault.times -= 1
                    return fault
        return None

    def repo(self, id: str, kind: str = "datasets", **options: Any) -> Repo:
        """A repository, made if it is not there."""
        return self.repos.setdefault((kind, id), Repo(id, kind, **options))

    def calls(self, call: str) -> list[Request]:
        return [request for request in self.requests if request.call == call]

    def environment(self, home: Any, token: str | None = ANN) -> dict[str, str]:
        """What a client in another process needs, with a home of its own."""
        found = {
            "HF_ENDPOINT": self.url, "HF_HOME": str(home), "HOME": str(home), "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_TELEMETRY": "1", "MVC_HF_CACHE": f"{home}/mvc_hf",
            "HF_DATASETS_CACHE": f"{home}/datasets", "NO_PROXY": "127.0.0.1,localhost",
        }  # fmt: skip
        return found | ({"HF_TOKEN": token} if token else {})


def connect(hub: LocalHub, home: Any, monkeypatch: Any, token: str | None = ANN) -> list[float]:
    """Let the clients of this process talk to the hub, and wait for nothing.

    They read their environment when they are imported, which is long past: what they made of it is replaced here.

    Returns:
        The seconds that would have been waited, ours and the client's.
    """
    import huggingface_hub.file_download
    import huggingface_hub.utils._http
    from huggingface_hub import constants

    import mvc_hf.hub.errors

    values = {
        "ENDPOINT": hub.url, "HF_HUB_OFFLINE": False, "HF_HUB_DISABLE_XET": True, "HF_HUB_CACHE": f"{home}/hub",
        "HF_TOKEN_PATH": f"{home}/token", "HF_HUB_DISABLE_PROGRESS_BARS": True,
        "HUGGINGFACE_CO_URL_TEMPLATE": hub.url + "/{repo_id}/resolve/{revision}/{filename}",
    }  # fmt: skip
    for name, value in values.items():
        monkeypatch.setattr(constants, name, value)
    if token:
        monkeypatch.setenv("HF_TOKEN", token)
    else:
        monkeypatch.delenv("HF_TOKEN", raising=False)
    waited: list[float] = []
    quick = SimpleNamespace(**{**vars(time), "sleep": waited.append})
    monkeypatch.setattr(huggingface_hub.utils._http, "time", quick)
    monkeypatch.setattr(huggingface_hub.file_download, "time", quick)
    monkeypatch.setattr(mvc_hf.hub.retry, "sleep", waited.append)
    return waited


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news."""


class _Handler(BaseHTTPRequestHandler):
    hub: LocalHub
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # answers are small: every one would wait 40 ms

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        self.segments = [unquote(part) for part in url.path.strip("/").split("/")]
        self.query = dict(parse_qsl(url.query))
        call, action = self._route()
        fault = self.hub.fault(call)
        length = int(self.headers.get("Content-Length") or 0)
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(call, self.command, self.path, self.headers.get("Host", ""), headers, length)
        self.hub.requests.append(request)
        if fault and fault.kind == "reset" and self.command not in ("GET", "HEAD"):
            self.rfile.read(length // 2)
            return self._reset()
        self.body = self.rfile.read(length) if length else self._chunks()
        try:
            if fault and isinstance(fault.kind, int):
                raise Answer(fault.kind, {"error": "so it goes"}, fault.headers)
            if fault and fault.kind == "slow":
                time.sleep(fault.seconds)
            if fault and fault.kind == "race":
                repo, revision = self._repo(), self.segments[5]
                repo.commit(revision, "somebody else", {"NOTES.md": File.of(b"somebody else was here\n")})
            action()
        except Answer as answer:
            if fault and fault.kind in ("lost", "reset", "cut"):
                return self._break(answer, fault)
            if fault and isinstance(fault.kind, bytes):
                answer = Answer(200, fault.kind, {"Content-Type": "application/json"})
            self._send(answer)

    do_HEAD = do_POST = do_PUT = do_DELETE = do_GET

    def _send(self, answer: Answer) -> None:
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if "Content-Length" not in answer.headers:
            self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    def _break(self, answer: Answer, fault: Fault) -> None:
        """Half of the body and a reset, or an end in good order; nothing at all where the reply is lost."""
        if fault.kind != "lost":
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body[: len(answer.body) // 2])
            self.wfile.flush()
            if fault.kind == "cut":
                self.close_connection = True
                return
            time.sleep(0.05)  # what was sent arrives, then the reset
        self._reset()

    def _reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.close()

    def _chunks(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return b""
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    # Which endpoint it is

    def _route(self) -> tuple[str, Any]:
        s = self.segments
        if s[0] == "api":
            named = {"whoami-v2": self.whoami, "validate-yaml": self.validate_yaml}
            if s[1] in named:
                return s[1].removesuffix("-v2"), named[s[1]]
            if s[1] == "repos" and s[2] in ("create", "delete"):
                return s[2], self.create if s[2] == "create" else self.delete
            if s[1] in ("models", "datasets") and len(s) >= 4:
                call = s[4] if len(s) > 4 and s[4] != "revision" else "info"
                action = getattr(self, call.replace("-", "_"), None)
                return (call, action) if action else (call, self.unknown)
        if s[0] == "cdn":
            return "download", self.cdn
        if s[0] in ("lfs", "lfs-part", "lfs-whole"):
            return "upload", {"lfs": self.upload, "lfs-part": self.upload_part, "lfs-whole": self.upload_whole}[s[0]]
        if s[-4:] == ["info", "lfs", "objects", "batch"]:
            return "batch", self.batch
        if "resolve" in s:
            return "resolve", self.resolve
        return "unknown", self.unknown

    def unknown(self) -> None:
        raise Answer(404, {"error": "no such endpoint"})

    # Who asks, and for what

    def _user(self) -> User | None:
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if token and token not in self.hub.users:
            raise Answer(401, {"error": "Invalid credentials in Authorization header"},
                         {"X-Error-Message": "Invalid credentials in Authorization header"})  # fmt: skip
        return self.hub.users.get(token)

    def _repo(self) -> Repo:
        """The repository of an API call; others' private ones do not exist."""
        return self._visible(self.segments[1], "/".join(self.segments[2:4]))

    def _visible(self, kind: str, id: str, content: bool = False) -> Repo:
        user, repo = self._user(), self.hub.repos.get((kind, id))
        mine = user is not None and user.may_read(id.split("/")[0])
        if repo is None or (repo.private and not mine):
            raise Answer(404 if user else 401, code="RepoNotFound")
        if repo.gated and content and not mine:
            raise Answer(403 if user else 401, code="GatedRepo")
        return repo

    def _writable(self, kind: str, id: str) -> Repo:
        repo, user = self._visible(kind, id), self._user()
        if user is None or not user.may_write(id.split("/")[0]):
            raise Answer(403, {"error": "you are not allowed to write here"})
        return repo

    def _mine(self) -> Repo:
        return self._writable(self.segments[1], "/".join(self.segments[2:4]))

    @staticmethod
    def _commit_of(repo: Repo, revision: str) -> Commit:
        if commit := repo.resolve(revision):
            return commit
        raise Answer(404, code="RevisionNotFound")

    # The endpoints

    def whoami(self) -> None:
        user = self._user()
        raise Answer(200, user.whoami()) if user else Answer(401, {"error": "Invalid username or password."})

    def validate_yaml(self) -> None:
        import yaml

        content = json.loads(self.body)["content"]
        head = re.match(r"---\n(.*?)\n---", content, re.DOTALL)
        try:
            yaml.safe_load(head[1] if head else "")
        except yaml.YAMLError as error:
            raise Answer(400, {"errors": [{"message": str(error)}], "warnings": []}) from error
        raise Answer(200, {"errors": [], "warnings": []})

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

    def preupload(self) -> None:
        tree = self._commit_of(self._mine(), self.segments[5]).tree
        files = []
        for file in json.loads(self.body)["files"]:
            known = tree.get(file["path"])
            large = file["path"].endswith(LARGE) or file["size"] > 5_000_000
            files.append({"path": file["path"], "uploadMode": "lfs" if large else "regular", "shouldIgnore": False,
                          "oid": (known.lfs or known.oid) if known else None})  # fmt: skip
        raise Answer(200, {"files": files})

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
        self.hub._parts.setdefault(self.segments[4], {})[int(self.segments[5])] = self.body
        raise Answer(200, None, {"ETag": f'"part-{self.segments[5]}"'})

    def upload_whole(self) -> None:
        parts = self.hub._parts.pop(self.segments[4])
        self._store(b"".join(parts[part["partNumber"]] for part in json.loads(self.body)["parts"]))

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

    def commits(self) -> None:
        repo = self._repo()
        raise Answer(200, [
            {"id": c.oid, "title": c.title, "message": c.message, "date": c.date, "authors": [{"user": "somebody"}]}
            for c in repo.history(self._commit_of(repo, self.segments[5]))
        ])  # fmt: skip

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
