"""The server: which endpoint it is, and what the tests see of it."""

from __future__ import annotations

import json
import re
import sys
import threading
from http.server import ThreadingHTTPServer
from typing import Any

from .commits import Commits
from .exchange import Answer, Request
from .faults import Fault, Faults
from .lfs import LargeFiles
from .repos import Repositories
from .store import Repo
from .users import ANN, users


class Handler(Repositories, Commits, LargeFiles):
    """All endpoints."""

    def route(self) -> tuple[str, Any]:
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


class LocalHub:
    """Use as a context manager; `url` is the endpoint.

    Attributes:
        repos: by ("models" or "datasets", "org/name").
        requests: all of them, in order.
        faults: what goes wrong.
        page_size: entries of a page of a tree.
        chunk_size: where set, large files are uploaded in parts of this size.
    """

    def __init__(self) -> None:
        self.users = users()
        self.repos: dict[tuple[str, str], Repo] = {}
        self.requests: list[Request] = []
        self.page_size, self.chunk_size = 1000, 0
        self.faults = Faults()
        self.parts: dict[str, dict[int, bytes]] = {}

    def __enter__(self) -> LocalHub:
        handler = type("Handler", (Handler,), {"hub": self})
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
        self.faults.add(call, Fault(kind, times, named, after, seconds))

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


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news; anything else is a mistake of the server's."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)
