"""An object store that fails now and then: moto's S3 behind a relay. ``python -m tests.e2e.flaky_store`` says where it listens.

A process of its own: what waits for it may hold the interpreter's lock.
"""

from __future__ import annotations

import http.client
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from moto.server import ThreadedMotoServer

BUCKET = "events"
_HOP = frozenset({"connection", "transfer-encoding", "content-length", "server", "date", "keep-alive"})


class Flaky(ThreadingHTTPServer):
    """In front of another server: one of `every` requests is answered 500, half of those after it has been done; none while that is 0."""

    daemon_threads = True
    every = 0

    def __init__(self, host: str, port: int) -> None:
        super().__init__(("127.0.0.1", 0), _Relay)
        self.upstream = (host, port)
        self.asked = self.refused = 0
        self.lock = threading.Lock()

    def fails(self) -> int:
        """Return 0, or how often a request has failed by now."""
        with self.lock:
            self.asked += 1
            if not self.every or self.asked % self.every:
                return 0
            self.refused += 1
            return self.refused


class _Relay(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def relay(self) -> None:
        server: Any = self.server
        if self.path.startswith("/-/every/"):
            server.every = int(self.path.rpartition("/")[2])
            self.answer(200, {}, str(server.refused).encode())
            return
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        failing = server.fails()
        if failing % 2:
            self.answer(500, {}, b"")
            return
        upstream = http.client.HTTPConnection(server.upstream[0], server.upstream[1], timeout=60)
        try:
            upstream.request(self.command, self.path, body, dict(self.headers.items()))
            response = upstream.getresponse()
            content = response.read()
        finally:
            upstream.close()
        if failing:
            self.answer(500, {}, b"")
        else:
            length = response.getheader("Content-Length") if self.command == "HEAD" else None
            self.answer(response.status, {key: value for key, value in response.getheaders() if key.lower() not in _HOP}, content, length)

    def answer(self, status: int, headers: Mapping[str, str], content: bytes, length: str | None = None) -> None:
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", length or str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = relay  # noqa: N815 - names of http.server

    def log_message(self, format: str, *args: object) -> None:
        """Nobody reads it."""


def main() -> None:
    """Serve until ended."""
    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    host, port = moto.get_host_and_port()
    bucket = http.client.HTTPConnection(host, port, timeout=60)
    bucket.request("PUT", f"/{BUCKET}")
    bucket.getresponse().read()
    bucket.close()
    flaky = Flaky(host, port)
    print(f"http://127.0.0.1:{flaky.server_address[1]}", flush=True)  # noqa: T201
    flaky.serve_forever()


if __name__ == "__main__":
    main()
