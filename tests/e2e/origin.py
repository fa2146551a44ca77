"""Origin: where files really are. It answers what it was given, and remembers what it was asked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler
from urllib.parse import unquote

from attrs import define, field, frozen

from tests.e2e.answering import Answering


@frozen
class Received:
    """A request as the origin saw it. `headers` have lower-case names."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@define
class Origin(Answering):
    """A file server.

    Attributes:
        files: path, percent-decoded -> bytes.
        types: path -> Content-Type, where there is one.
        cut: paths whose answers end in the middle.
        received: every request, in the order of arrival.
    """

    files: dict[str, bytes] = field(factory=dict)
    types: dict[str, str] = field(factory=dict)
    cut: set[str] = field(factory=set)
    received: list[Received] = field(factory=list)

    @property
    def url(self) -> str:
        """Scheme, host and port."""
        return f"http://{self.authority}"

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        """Answer with a file, or a part of one."""
        sent = handler.rfile.read(int(handler.headers.get("content-length") or 0))
        headers = {name.lower(): value for name, value in handler.headers.items()}
        self.received.append(Received(handler.command, handler.path, headers, sent))
        path = unquote(handler.path.partition("?")[0])
        body = self.files.get(path)
        if body is None:
            handler.send_error(404)
            return
        part = re.fullmatch(r"bytes=(\d+)-(\d+)", headers.get("range", ""))
        whole = len(body)
        if part:
            first, last = int(part[1]), min(int(part[2]), whole - 1)
            body = body[first : last + 1]
            handler.send_response(206)
            handler.send_header("Content-Range", f"bytes {first}-{last}/{whole}")
        else:
            handler.send_response(200)
        if path in self.types:
            handler.send_header("Content-Type", self.types[path])
        handler.send_header("Accept-Ranges", "bytes")
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        if path in self.cut:
            body = body[: len(body) // 2]
            handler.close_connection = True
        if handler.command != "HEAD":
            handler.wfile.write(body)
