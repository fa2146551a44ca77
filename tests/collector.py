"""A collector of traces on loopback: it takes what exporters send over HTTP, and decodes it with the protocol's own messages."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

from attrs import frozen
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@frozen
class Taken:
    """A span as it came."""

    name: str
    kind: int
    trace: str
    id: str
    parent: str
    began_ns: int
    ended_ns: int
    failed: bool
    said: Mapping[str, str | int]
    resource: Mapping[str, str | int]


class Collector:
    """Takes spans.

    Attributes:
        spans: in the order in which they came.
        raw: all bodies, unpacked.
        headers: of each request, lower-case.
    """

    def __init__(self) -> None:
        self.spans: list[Taken] = []
        self.raw: list[bytes] = []
        self.headers: list[dict[str, str]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                outer.take(gzip.decompress(body) if self.headers.get("content-encoding") == "gzip" else body)
                outer.headers.append({name.lower(): value for name, value in self.headers.items()})
                self.send_response(200)
                self.send_header("Content-Type", "application/x-protobuf")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1/traces"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    def take(self, body: bytes) -> None:
        self.raw.append(body)
        message = ExportTraceServiceRequest.FromString(body)
        for sent in message.resource_spans:
            resource = {one.key: one.value.string_value or one.value.int_value for one in sent.resource.attributes}
            for scope in sent.scope_spans:
                for span in scope.spans:
                    said = {one.key: one.value.string_value or one.value.int_value for one in span.attributes}
                    ids = span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex()
                    times = span.start_time_unix_nano, span.end_time_unix_nano
                    self.spans.append(Taken(span.name, span.kind, *ids, *times, span.status.code == 2, said, resource))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
