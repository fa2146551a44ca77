"""A receiver of webhooks on loopback, as its author would write it: it checks signatures, and keeps each event once by its id."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

from attrs import frozen

from gatewaycore.sinks.webhook import verify

SECRET = "of both"


@frozen
class Delivery:
    """A request as it came, with lower-case names of headers, and its lines."""

    headers: Mapping[str, str]
    body: bytes
    lines: list[bytes]

    @property
    def key(self) -> str:
        """What the gateway calls the batch."""
        return self.headers["idempotency-key"]


Answer = Callable[[Delivery], tuple[int, Mapping[str, str]] | None]


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of clients that have gone away; anything else fails the test by what is missing."""


class Receiver:
    """Takes events, unless told otherwise.

    Args:
        answer: says the status and headers of an answer, and None where the events are taken; status 0 answers nothing at all.

    Attributes:
        seen: all requests, in their order.
        events: what was taken, by id.
    """

    def __init__(self, answer: Answer = lambda delivery: None) -> None:
        self.answer = answer
        self.seen: list[Delivery] = []
        self.events: dict[str, bytes] = {}
        self.said = b""
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                headers = {name.lower(): value for name, value in self.headers.items()}
                body = self.rfile.read(int(headers["content-length"]))
                status, more = receiver.take(headers, body)
                if status:
                    self.send_response(status)
                    for name, value in {"content-length": str(len(receiver.said)), **more}.items():
                        self.send_header(name, value)
                    self.end_headers()
                    self.wfile.write(receiver.said)
                else:
                    self.close_connection = True

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        self._server = _Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self.url = f"http://127.0.0.1:{self._server.server_port}/events?token=hunter2"

    def take(self, headers: Mapping[str, str], body: bytes) -> tuple[int, Mapping[str, str]]:
        """Return what to answer a request."""
        plain = gzip.decompress(body) if headers.get("content-encoding") == "gzip" else body
        delivery = Delivery(headers, body, plain.splitlines(keepends=True))
        self.seen.append(delivery)
        if "gateway-signature" in headers and not verify(SECRET, headers, body):
            return 401, {}
        told = self.answer(delivery)
        if told is None or told[0] == 0:
            # Answered or not, they are there: an answer that is lost on the way is what comes again.
            self.events.update({json.loads(line)["id"]: line for line in delivery.lines})
        return told or (204, {})

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
