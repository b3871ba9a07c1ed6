"""One request over HTTP, its answer, and the ways in which it breaks."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

from .faults import Fault

if TYPE_CHECKING:
    from .server import LocalHub


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


class Exchange(BaseHTTPRequestHandler):
    """A request and its answer, or what goes wrong in its place. Which endpoint it is, `route` knows."""

    hub: LocalHub
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # answers are small: every one would wait 40 ms

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        self.segments = [unquote(part) for part in url.path.strip("/").split("/")]
        self.query = dict(parse_qsl(url.query))
        call, action = self.route()
        fault = self.hub.faults.next(call)
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
                self.commit_first()
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

    def route(self) -> tuple[str, Any]:
        """Name of the endpoint, and what answers for it."""
        raise NotImplementedError

    def commit_first(self) -> None:
        """Somebody else commits to the repository that this request is about."""
        raise NotImplementedError
