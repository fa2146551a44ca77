"""Worlds: one request, asked of the core, of the ASGI app and of the WSGI app, with what was answered and what the journal then holds.

The drivers stand where a server would, so that a request arrives as it was written: raw paths, odd hosts, repeated lines.
"""

from __future__ import annotations

import asyncio
import io
import json
import socket
import socketserver
import struct
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self, TypeAlias
from unittest import mock
from urllib.parse import unquote, unquote_to_bytes
from wsgiref import validate

import httpx
import msgspec
from attrs import define, field, fields, frozen

from gatewaycore.config import read_config
from gatewaycore.decision import Upstream as Step
from gatewaycore.errors import RequestError
from gatewaycore.event import Event
from gatewaycore.headers import Headers
from gatewaycore.service import Service
from gatewaycore.testing import simulate
from gatewaycore_asgi import GatewayApp as AsgiApp
from gatewaycore_asgi.types import Message, Scope
from gatewaycore_wsgi import GatewayApp as WsgiApp

CLIENT_IP = "203.0.113.7"
VOLATILE = frozenset({"id", "time", "origin_id", "endpoint_id"})
JsonEvent: TypeAlias = dict[str, Any]
_LEFT_OUT: JsonEvent = {**dict.fromkeys(column.name for column in fields(Event)), "variables": {}}


@frozen
class Asked:
    """A request as the client writes it. `url` is taken apart as it stands; lines of `headers` may repeat."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""

    @property
    def scheme(self) -> str:
        return self.url.partition("://")[0]

    @property
    def host(self) -> str:
        return self.url.partition("://")[2].partition("/")[0].partition("?")[0]

    @property
    def path(self) -> str:
        return "/" + self.url.partition("://")[2].partition("?")[0].partition("/")[2]

    @property
    def query(self) -> str:
        return self.url.partition("?")[2]


@define
class Answered:
    """What came back. `body` is None in a world that does not see it."""

    status: int
    headers: Headers
    body: bytes | None
    events: list[JsonEvent]
    decision: str | None = None

    @property
    def location(self) -> str | None:
        return self.headers.get("location")


class World(Protocol):
    """A place where a gateway can be asked."""

    def ask(self, service: Service, asked: Asked) -> Answered: ...


def packages(backend: str = "127.0.0.1:1") -> dict[str, Any]:
    """Return a small configuration: files, telemetry, a catch-all, and an image that is proxied from `backend`."""
    return {
        "packages": [
            {
                "name": "cli",
                "type": "file",
                "domain": "get.acme.example",
                "incoming-path": "/{platform}/{version}",
                "outgoing-url": "https://cdn.acme.example/{version}/{platform}",
            },
            {"name": "usage", "type": "event", "domain": "in.acme.example", "incoming-path": "/v1", "limits": {"body-bytes": 100}},
            {"name": "old", "type": "catch-all", "domain": "old.acme.example", "redirect-target-domain": "acme.example"},
            {
                "name": "acme/tool",
                "type": "container",
                "domain": "docker.acme.example",
                "backend": f"{backend}/acme/tool",
                "backend-scheme": "http",
                "allow-private-backends": True,
            },
        ]
    }


MANIFEST = "https://docker.acme.example/v2/acme/tool/manifests/1.0"


def open_service(config: Mapping[str, Any], data: Path) -> Service:
    """Open a service that keeps everything under `data`."""
    return Service.open(read_config({"sinks": [], **config}), data)


def journal(service: Service) -> list[JsonEvent]:
    """Return every event in the journal of `service`, in order, with the columns that a line leaves out."""
    lines = [line for path in sorted(service.journal.directory.glob("*.jsonl")) for line in path.read_bytes().splitlines()]
    return [{**_LEFT_OUT, **json.loads(line)} for line in lines]


class Core:
    """No server at all: `simulate`, with the upstreams asked for real."""

    def ask(self, service: Service, asked: Asked) -> Answered:
        try:
            seen = simulate(
                service.gateway,
                asked.method,
                asked.url,
                headers=asked.headers,
                body=asked.body,
                client_ip=CLIENT_IP,
                upstream=_fetch,
                own=service.own_traffic.compile(),
            )
        except RequestError as error:
            return Answered(error.status, Headers(), None, [])
        body = None if seen.decision == "proxy" else seen.body
        events = [json.loads(msgspec.json.encode(event)) for event in seen.events]
        return Answered(seen.status, seen.headers, body, events, seen.decision)


def _fetch(step: Step) -> tuple[int, Mapping[str, str], bytes]:
    with httpx.Client(trust_env=False) as client:
        answer = client.send(httpx.Request(step.method, step.url, headers=step.headers.raw, content=step.body or None))
    return answer.status_code, dict(answer.headers), answer.content


class Asgi:
    """The ASGI app, driven in process."""

    def ask(self, service: Service, asked: Asked) -> Answered:
        async def run() -> list[Message]:
            app = AsgiApp(service)
            try:
                return await drive(app, scope_of(asked), asked.body)
            finally:
                await app.aclose()

        messages = asyncio.run(run())
        return answered(messages, journal(service))


def scope_of(asked: Asked, **changed: Any) -> Scope:
    """Return the scope that a server makes of a request (ASGI 3 §"HTTP Connection Scope")."""
    lines = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in asked.headers]
    if asked.body and "content-length" not in {name.lower() for name, _ in asked.headers}:
        lines.append((b"content-length", str(len(asked.body)).encode()))
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": asked.method,
        "scheme": asked.scheme,
        "path": unquote(asked.path),
        "raw_path": asked.path.encode("latin-1"),
        "query_string": asked.query.encode("latin-1"),
        "root_path": "",
        "headers": [(b"host", asked.host.encode("latin-1")), *lines],
        "client": (CLIENT_IP, 50_000),
        "server": ("127.0.0.1", 8080),
        **changed,
    }


async def drive(app: Any, scope: Scope, body: bytes = b"", on_send: Callable[[Message], object] | None = None) -> list[Message]:
    """Return what `app` sends for one request. The client stays to the end.

    Args:
        app: an ASGI app.
        scope: of the request.
        body: arrives in two pieces.
        on_send: sees each message at the moment it is sent.
    """
    half = len(body) // 2
    incoming: list[Message] = [
        {"type": "http.request", "body": body[:half], "more_body": True},
        {"type": "http.request", "body": body[half:], "more_body": False},
    ]
    sent: list[Message] = []
    never = asyncio.Event()

    async def receive() -> Message:
        if not incoming:
            await never.wait()
        return incoming.pop(0)

    async def send(message: Message) -> None:
        if on_send is not None:
            on_send(message)
        sent.append(message)

    await app(scope, receive, send)
    return sent


def answered(messages: Sequence[Message], events: list[JsonEvent]) -> Answered:
    """Put an answer's messages together, and check the order that ASGI 3 demands."""
    start, *rest = messages
    assert start["type"] == "http.response.start"
    assert [message["type"] for message in rest] == ["http.response.body"] * len(rest)
    assert [message.get("more_body", False) for message in rest] == [True] * (len(rest) - 1) + [False]
    assert all(name == name.lower() for name, _ in start["headers"])
    body = b"".join(message.get("body", b"") for message in rest)
    return Answered(start["status"], Headers.from_raw(list(start["headers"])), body, events)


class Wsgi:
    """The WSGI app behind the standard library's validator."""

    def ask(self, service: Service, asked: Asked) -> Answered:
        app = WsgiApp(service)
        try:
            return call(app, environ_of(asked), lambda: journal(service))
        finally:
            app.close()


def environ_of(asked: Asked, **changed: Any) -> dict[str, Any]:
    """Return the environ that a server makes of a request (PEP 3333 §"environ Variables")."""
    fields: dict[str, str] = {}
    for name, value in (("Host", asked.host), *asked.headers):
        key = "HTTP_" + name.upper().replace("-", "_")
        fields[key] = f"{fields[key]},{value}" if key in fields else value
    content_type, length = fields.pop("HTTP_CONTENT_TYPE", None), fields.pop("HTTP_CONTENT_LENGTH", None)
    environ = {
        "REQUEST_METHOD": asked.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(asked.path).decode("latin-1"),
        "REQUEST_URI": asked.path + (f"?{asked.query}" if asked.query else ""),
        "QUERY_STRING": asked.query,
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "8080",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": CLIENT_IP,
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": asked.scheme,
        "wsgi.input": io.BytesIO(asked.body),
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        **fields,
    }
    if content_type is not None:
        environ["CONTENT_TYPE"] = content_type
    if asked.body or length is not None:
        environ["CONTENT_LENGTH"] = length or str(len(asked.body))
    return {key: value for key, value in {**environ, **changed}.items() if value is not None}


def call(app: Any, environ: dict[str, Any], events: Callable[[], list[JsonEvent]] = list) -> Answered:
    """Return what `app` answers, checked by `wsgiref.validate` on the way."""
    heads: list[tuple[str, list[tuple[str, str]]]] = []

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None, /) -> Callable[[bytes], object]:
        heads.append((status, headers))
        return lambda _: None

    with lenient_validator():
        body = validate.validator(app)(environ, start_response)
        try:
            chunks = list(body)
        finally:
            body.close()  # type: ignore[attr-defined]
    ((status, headers),) = heads
    return Answered(int(status[:3]), Headers(headers), b"".join(chunks), events())


@contextmanager
def lenient_validator() -> Iterator[None]:
    """Let an answer without a body have no Content-Type: RFC 9110 §8.3 asks for one only where there is content, PEP 3333 nowhere."""
    with mock.patch.object(validate, "check_content_type"):
        yield


WORLDS: Mapping[str, World] = {"core": Core(), "asgi": Asgi(), "wsgi": Wsgi()}


@frozen
class Received:
    """What reached an upstream."""

    method: str
    target: str
    headers: Headers
    body: bytes = b""


class Write(Protocol):
    """Sends bytes to the client at once."""

    def __call__(self, data: bytes, /) -> object: ...


Script: TypeAlias = Callable[[Received, Write], object]


def plain(status: int, headers: Iterable[tuple[str, str]], body: bytes) -> Script:
    """Return a script that answers with this, its length included, and no body to HEAD."""

    def answer(received: Received, write: Write) -> None:
        lines = [*headers, ("content-length", str(len(body))), ("connection", "close")]
        head = "".join(f"{name}: {value}\r\n" for name, value in lines)
        write(f"HTTP/1.1 {status} Said\r\n{head}\r\n".encode("latin-1"))
        if received.method != "HEAD":
            write(body)

    return answer


@define
class HangingUp(AbstractContextManager["HangingUp"]):
    """A server on loopback that keeps each connection after its first answer, and closes it when the next request is there.

    Args:
        rudely: with a reset.
    """

    rudely: bool = False
    heads: list[list[bytes]] = field(factory=list)
    """What was asked, by connection."""
    _server: Any = None
    _thread: Any = None

    @property
    def authority(self) -> str:
        host, port = self._server.server_address
        return f"{host}:{port}"

    def __enter__(self) -> Self:
        outer = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                heads: list[bytes] = []
                outer.heads.append(heads)
                for number in range(2):
                    lines = list(iter(self.rfile.readline, b"\r\n")) if self.rfile.peek(1) else []  # type: ignore[attr-defined]
                    if not lines:
                        return
                    heads.append(lines[0])
                    if number == 0:
                        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n" + (b"" if lines[0].startswith(b"HEAD") else b"ok"))
                if outer.rudely:
                    self.request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    self.request.close()

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = False

            def shutdown_request(self, request: Any) -> None:
                # Not shut down before: that would be an orderly end.
                self.close_request(request)

        self._server = Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@define
class Upstream(AbstractContextManager["Upstream"]):
    """A server on loopback that does with each connection what `script` says, well-behaved or not, and keeps what it received."""

    script: Script
    received: list[Received] = field(factory=list)
    left: threading.Event = field(factory=threading.Event)
    """Set when a client was gone before the script had written everything."""
    _server: Any = None
    _thread: Any = None

    @property
    def authority(self) -> str:
        host, port = self._server.server_address
        return f"{host}:{port}"

    def __enter__(self) -> Self:
        outer = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                outer._serve(self.rfile, self.wfile)

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = False

            def handle_error(self, *_: Any) -> None:
                outer.left.set()

        self._server = Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        return self

    def _serve(self, rfile: io.BufferedIOBase, wfile: io.BufferedIOBase) -> None:
        line = rfile.readline().decode("latin-1").split()
        if not line:
            return
        lines = []
        while (text := rfile.readline().decode("latin-1").strip()) != "":
            name, _, value = text.partition(":")
            lines.append((name, value))
        headers = Headers(lines)
        received = Received(line[0], line[1], headers, rfile.read(int(headers.get("content-length") or 0)))
        self.received.append(received)
        try:
            self.script(received, wfile.write)
        except OSError:
            self.left.set()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
