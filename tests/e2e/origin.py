"""Origin: where files really are. It answers what it was given, and remembers what it was asked."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self
from urllib.parse import unquote

from attrs import define, field, frozen


@frozen
class Received:
    """A request as the origin saw it. `headers` have lower-case names."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@define
class Origin:
    """A file server in a thread, on loopback.

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
    _server: ThreadingHTTPServer = field(init=False)
    _thread: threading.Thread = field(init=False)

    def __enter__(self) -> Self:
        origin = self

        class Handler(BaseHTTPRequestHandler):
            """Serves `files`."""

            def handle_one_request(self) -> None:
                try:
                    super().handle_one_request()
                except ConnectionError:
                    # The client has seen enough.
                    self.close_connection = True

            def do_GET(self) -> None:
                _answer(origin, self)

            do_HEAD = do_POST = do_GET  # noqa: N815 - the names that http.server looks for

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing: `received` has it."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), name="origin")
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

    @property
    def url(self) -> str:
        """Scheme, host and port."""
        return f"http://{self.authority}"


def _answer(origin: Origin, handler: BaseHTTPRequestHandler) -> None:
    sent = handler.rfile.read(int(handler.headers.get("content-length") or 0))
    headers = {name.lower(): value for name, value in handler.headers.items()}
    origin.received.append(Received(handler.command, handler.path, headers, sent))
    path = unquote(handler.path.partition("?")[0])
    body = origin.files.get(path)
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
    if path in origin.types:
        handler.send_header("Content-Type", origin.types[path])
    handler.send_header("Accept-Ranges", "bytes")
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    if path in origin.cut:
        body = body[: len(body) // 2]
        handler.close_connection = True
    if handler.command != "HEAD":
        handler.wfile.write(body)
