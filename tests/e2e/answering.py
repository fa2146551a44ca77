"""Servers in threads, on loopback: what origins, indexes and registries of the tests have in common."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import ClassVar, Self
from urllib.parse import unquote

from attrs import define, field, frozen


@define
class Answering:
    """A server of HTTP for the time of a ``with`` block. Another class says what it answers."""

    address: ClassVar[str] = "127.0.0.1"
    """Where it listens; "" is everywhere on this machine."""
    version: ClassVar[str] = "HTTP/1.0"

    _server: ThreadingHTTPServer = field(init=False)
    _thread: threading.Thread = field(init=False)

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        """Answer one request."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        answering = self

        class Handler(BaseHTTPRequestHandler):
            """Hands requests over."""

            protocol_version = self.version

            def handle_one_request(self) -> None:
                try:
                    super().handle_one_request()
                except ConnectionError:
                    # The client has seen enough.
                    self.close_connection = True

            def do_GET(self) -> None:
                answering.answer(self)

            do_HEAD = do_POST = do_GET  # noqa: N815 - the names that http.server looks for

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing: what was asked is remembered."""

        self._server = ThreadingHTTPServer((self.address, 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), name=type(self).__name__)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def authority(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self._server.server_address[1]}"


@frozen
class Asked:
    """A request for a document or a file, as its server saw it. `headers` have lower-case names."""

    method: str
    path: str
    headers: Mapping[str, str]
    status: int


@define
class Documents(Answering):
    """A server of documents with entity tags, and of files, which are at another address.

    Attributes:
        received: every request, in the order of arrival.
    """

    address: ClassVar[str] = ""
    version: ClassVar[str] = "HTTP/1.1"

    received: list[Asked] = field(factory=list, init=False)

    def find(self, path: str, headers: Mapping[str, str]) -> tuple[int, str, bytes]:
        """Return status, media type and content of what is at a path, percent-decoded."""
        raise NotImplementedError

    @property
    def files_host(self) -> str:
        """Host and port of its files."""
        return f"127.0.0.2:{self._server.server_address[1]}"

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        """Answer with what is there, or 304 where the client has just that."""
        headers = {name.lower(): value for name, value in handler.headers.items()}
        status, media_type, body = self.find(unquote(handler.path.partition("?")[0]), headers)
        tag = f'"{hashlib.sha256(media_type.encode() + body).hexdigest()[:16]}"'
        if status == 200 and headers.get("if-none-match") == tag:
            status, body = 304, b""
        self.received.append(Asked(handler.command, handler.path, headers, status))
        handler.send_response(status)
        if status == 200:
            handler.send_header("Content-Type", media_type)
            handler.send_header("ETag", tag)
        if status != 304:
            handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        if handler.command != "HEAD":
            handler.wfile.write(body)
