"""The WSGI adapter: what only an adapter can get wrong."""

from __future__ import annotations

import io
import socket
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, TypeAlias, cast
from wsgiref.simple_server import WSGIRequestHandler, make_server

import httpx
import pytest
import werkzeug.serving
from flask import Flask
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from gatewaycore.clientip import TrustedProxies
from gatewaycore.decision import MOST_TURNS, Failure, Proxy, Relay, Respond
from gatewaycore.decision import Upstream as Step
from gatewaycore.enrich import Caller, Column
from gatewaycore.gateway import Gateway, Outcome
from gatewaycore.headers import Headers
from gatewaycore.recorder import Recorder
from gatewaycore.request import Request
from gatewaycore.salts import Salts
from gatewaycore.service import Service
from gatewaycore.upstreams import Deadline, UpstreamBrokenError
from gatewaycore_wsgi import GatewayApp
from gatewaycore_wsgi import proxying as room
from gatewaycore_wsgi.reading import read_request
from tests.worlds import (
    CLIENT_IP,
    MANIFEST,
    Answered,
    Asked,
    HangingUp,
    Received,
    Upstream,
    Write,
    call,
    environ_of,
    journal,
    open_service,
    packages,
    plain,
)

REDIRECTED = Asked("GET", "https://get.acme.example/linux/1.2")
NOTHING: Mapping[str, Any] = {}
REPORTED = Asked("POST", "https://in.acme.example/v1", body=b'{"n": 1}')


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with open_service(packages(), tmp_path) as service:
        yield service


def proxying(upstream: Upstream, data: Path) -> Service:
    return open_service(packages(upstream.authority), data)


Wrap: TypeAlias = Callable[[GatewayApp], Any]


def ask(service: Service, asked: Asked, changed: Mapping[str, Any] = NOTHING, wrap: Wrap = lambda app: app) -> Answered:
    app = GatewayApp(service)
    try:
        return call(wrap(app), environ_of(asked, **changed), lambda: journal(service))
    finally:
        app.close()


@contextmanager
def begun(service: Service, asked: Asked | dict[str, Any]) -> Iterator[tuple[Any, list[tuple[str, list[tuple[str, str]]]]]]:
    """Call the app as a server does, and leave the body's iteration to the test."""
    app = GatewayApp(service)
    heads: list[tuple[str, list[tuple[str, str]]]] = []

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None, /) -> Callable[[bytes], object]:
        heads.append((status, headers))
        return lambda _: None

    try:
        yield app(environ_of(asked) if isinstance(asked, Asked) else asked, start_response), heads
    finally:
        app.close()


def test_many_threads_start_it_once(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    monkeypatch.setattr(service, "start", lambda: calls.append("start"))
    app = GatewayApp(service)
    together = threading.Barrier(8)
    seen: list[int] = []

    def work() -> None:
        together.wait(10)
        body = app(environ_of(REDIRECTED), lambda status, headers, exc_info=None, /: lambda _: None)
        seen.append(len(list(body)))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert seen == [1] * 8
    assert calls == ["start"]
    assert len(journal(service)) == 8


def test_from_file(tmp_path: Path) -> None:
    package = "{name: x, type: event, domain: in.acme.example, incoming-path: /x}"
    (tmp_path / "gateway.yaml").write_text(f"gateway: {{data-dir: {tmp_path}/data}}\npackages: [{package}]\n")
    app = GatewayApp.from_file(tmp_path / "gateway.yaml")
    assert call(app, environ_of(Asked("GET", "https://in.acme.example/x"))).status == 200
    app.close()


@pytest.mark.parametrize(
    ("path", "changed", "location"),
    [
        ("/a%2Fb", {}, "/a%2Fb"),
        ("/a%20b", {}, "/a%20b"),
        ("/%C3%A9", {}, "/%C3%A9"),
        ("/%ff", {}, "/%ff"),
        ("/a%2", {}, "/a%252"),
        ("/", {"REQUEST_URI": "/\xe9", "PATH_INFO": "/\xe9"}, "/%E9"),
        ("", {"PATH_INFO": ""}, "/"),
        ("/a", {"QUERY_STRING": "x=\xc3\xa9"}, "/a?x=%C3%A9"),
        # One of the two names suffices.
        ("/a%2Fb", {"REQUEST_URI": None, "RAW_URI": "/a%2Fb?x"}, "/a%2Fb"),
        # Without either, what an escape stood for is lost.
        ("/a%2Fb%20c%C3%A9", {"REQUEST_URI": None}, "/a/b%20c%C3%A9"),
        ("/%25ff", {"REQUEST_URI": None}, "/%25ff"),
        ("/%ff", {"REQUEST_URI": None}, "/%FF"),
        # A middleware rewrote the path, and left the raw one as it was; one did so in text that is no latin-1.
        ("/a%2Fb", {"PATH_INFO": "/c d"}, "/c%20d"),
        ("/a", {"PATH_INFO": "/€"}, "/%E2%82%AC"),
        ("/a", {"REQUEST_URI": "/€", "PATH_INFO": "/a"}, "/a"),
        # Mounts, with the prefix spelled by the client in its own way.
        ("/dl/a%2Fb", {"SCRIPT_NAME": "/dl", "PATH_INFO": "/a/b"}, "/a%2Fb"),
        ("/%64l/a%2Fb", {"SCRIPT_NAME": "/dl", "PATH_INFO": "/a/b"}, "/a%2Fb"),
        ("/d%20l/%C3%A9/x", {"SCRIPT_NAME": "/d l/\xc3\xa9", "PATH_INFO": "/x"}, "/x"),
        ("/dl", {"SCRIPT_NAME": "/dl", "PATH_INFO": ""}, "/"),
        ("/dl/dl", {"SCRIPT_NAME": "/dl", "PATH_INFO": "/dl"}, "/dl"),
        ("/dl/a%2Fb", {"SCRIPT_NAME": "/dl", "PATH_INFO": "/a/b", "REQUEST_URI": None}, "/a/b"),
        ("/dl/x", {"SCRIPT_NAME": "/elsewhere", "PATH_INFO": "/y"}, "/y"),
        # Absolute form (RFC 9112 §3.2.2): its authority overrides the Host field.
        ("/", {"REQUEST_URI": "http://OLD.acme.example:80/a%20b?c", "PATH_INFO": "/a b", "HTTP_HOST": "x.example"}, "/a%20b"),
        ("/", {"REQUEST_URI": "https://old.acme.example", "PATH_INFO": "/", "HTTP_HOST": "x.example"}, "/"),
        ("/", {"REQUEST_URI": None, "PATH_INFO": "/http://x.example/y"}, "/http://x.example/y"),
        ("/", {"REQUEST_URI": "*", "PATH_INFO": "/*"}, "/*"),
    ],
)
def test_path(service: Service, path: str, changed: dict[str, Any], location: str) -> None:
    seen = ask(service, Asked("GET", f"https://old.acme.example{path}"), changed)
    assert seen.location == f"https://acme.example{location}"


def test_absolute_form_with_user_information(service: Service) -> None:
    assert ask(service, REDIRECTED, {"REQUEST_URI": "http://get.acme.example@evil.example/linux/1.2"}).status == 400


def test_a_server_that_takes_no_absolute_form_apart(service: Service) -> None:
    # wsgiref's own server; its validator would refuse such a PATH_INFO.
    environ = environ_of(REDIRECTED, REQUEST_URI=None, PATH_INFO="http://old.acme.example/a", HTTP_HOST="x.example")
    with begun(service, environ) as (_, heads):
        ((status, headers),) = heads
    assert (status, dict(headers)["location"]) == ("302 Found", "https://acme.example/a")


def test_no_host_field(service: Service) -> None:
    """HTTP/1.0 has none: then it is the server's own name, which no rule here serves."""
    assert ask(service, REDIRECTED, {"HTTP_HOST": None}).status == 404
    assert ask(service, REDIRECTED, {"HTTP_HOST": None, "SERVER_NAME": "get.acme.example"}).status == 302
    assert ask(service, REDIRECTED, {"REMOTE_ADDR": None}).status == 302


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_bad_host(service: Service, method: str) -> None:
    seen = ask(service, Asked(method, "https://a b/"))
    assert (seen.status, seen.body) == (400, b"" if method == "HEAD" else b"the Host field names no host\n")


@pytest.mark.parametrize("path", ["/a%2Fb/c%20d", "/x/%C3%A9", "/dl/dl", "/x", "/"])
def test_mounted_below_a_path(service: Service, path: str) -> None:
    flask = Flask(__name__)
    asked = Asked("GET", f"https://old.acme.example/dl{path}?q=1")
    seen = ask(service, asked, wrap=lambda app: DispatcherMiddleware(flask.wsgi_app, {"/dl": app}))
    assert seen.location == f"https://acme.example{path}?q=1"
    asked = Asked("GET", f"https://old.acme.example/outer/dl{path}")
    inner = {"/outer": lambda app: DispatcherMiddleware(flask.wsgi_app, {"/dl": app})}
    seen = ask(service, asked, wrap=lambda app: DispatcherMiddleware(flask.wsgi_app, {"/outer": inner["/outer"](app)}))
    assert seen.location == f"https://acme.example{path}"


@pytest.mark.parametrize(
    ("name", "mount"), [("", ""), ("/", ""), ("/dl", "/dl"), ("/dl/", "/dl"), ('/a"\\b/\xc3\xa9', "/a%22%5Cb/%C3%A9"), (None, "")]
)
def test_what_links_begin_with_below_a_path(name: str | None, mount: str) -> None:
    request = read_request(environ_of(Asked("GET", "https://www.acme.example:8443/x"), SCRIPT_NAME=name), TrustedProxies())
    assert (request.mount, request.base) == (mount, f"https://www.acme.example:8443{mount}")


def test_trusted_proxies(tmp_path: Path) -> None:
    asked = Asked("GET", "https://inner.example/linux/1", (("X-Forwarded-For", "198.51.100.9"), ("X-Forwarded-Host", "get.acme.example")))
    for trusted, status in (("10.0.0.0/8", 404), (f"{CLIENT_IP}/32", 302)):
        service = open_service({**packages(), "gateway": {"trusted-proxies": [trusted]}}, tmp_path / str(status))
        assert ask(service, asked).status == status


def test_fields(tmp_path: Path) -> None:
    """What stands where in an environ, and what of it is a field."""
    with Upstream(plain(200, [], b"")) as upstream:
        changed = {"CONTENT_TYPE": "", "CONTENT_LENGTH": "", "HTTP_CONTENT_LENGTH": "7", "HTTP_X_UP": "\xe9", "HTTPS": "on"}
        changed["HTTP_ACCEPT"] = "a/b,c/d"
        # Not through the validator: CONTENT_LENGTH both ways is what some servers do, and it forbids the second.
        app = GatewayApp(proxying(upstream, tmp_path))
        list(app(environ_of(Asked("GET", MANIFEST), **changed), lambda status, headers, exc_info=None, /: lambda _: None))
        app.close()
    (received,) = upstream.received
    assert received.headers["x-up"] == "\xe9"
    assert received.headers["accept"] == "a/b,c/d"
    assert {"content-length", "content-type", "https", "s"}.isdisjoint(received.headers)


class Input(io.BytesIO):
    """What a server hands over: counts what is asked of it."""

    asked = 0

    def read(self, size: int | None = -1, /) -> bytes:
        assert size is not None
        assert size >= 0, "PEP 3333: a read without a size may wait for ever"
        self.asked += size
        return super().read(size)


class TestBody:
    def test_not_a_byte_more_than_announced(self, service: Service) -> None:
        """A server need not say where the body ends: what follows may be the next request."""
        stream = Input(b"{}GET /next HTTP/1.1")
        assert ask(service, REPORTED, {"wsgi.input": stream, "CONTENT_LENGTH": "2"}).status == 200
        assert stream.asked == 2

    def test_in_small_pieces(self, service: Service) -> None:
        class Trickle(Input):
            def read(self, size: int | None = -1, /) -> bytes:
                return super().read(1) if size else b""

        body = b'{"n": 1}'
        seen = ask(service, REPORTED, {"wsgi.input": Trickle(body), "CONTENT_LENGTH": str(len(body))})
        assert seen.events[0]["variables"] == {"n": "1"}

    def test_announced_too_large_is_not_read(self, service: Service) -> None:
        stream = Input(b"{}".ljust(101))
        assert ask(service, REPORTED, {"wsgi.input": stream, "CONTENT_LENGTH": "101"}).status == 413
        assert stream.asked == 0

    def test_client_gone_in_the_middle(self, service: Service) -> None:
        """Nothing is recorded."""
        seen = ask(service, REPORTED, {"wsgi.input": Input(b'{"n"'), "CONTENT_LENGTH": "8"})
        assert (seen.status, seen.events) == (400, [])

    @pytest.mark.parametrize("size", [2, 100, 101])
    def test_chunked(self, service: Service, size: int) -> None:
        changed = {"wsgi.input": Input(b"{}".ljust(size)), "CONTENT_LENGTH": None, "HTTP_TRANSFER_ENCODING": "chunked"}
        assert ask(service, REPORTED, {**changed, "wsgi.input_terminated": True}).status == (413 if size > 100 else 200)

    def test_chunked_at_a_server_that_knows_no_end(self, service: Service) -> None:
        stream = Input(b"{}")
        seen = ask(service, REPORTED, {"wsgi.input": stream, "CONTENT_LENGTH": None, "HTTP_TRANSFER_ENCODING": "chunked"})
        assert (seen.status, seen.events) == (411, [])
        assert stream.asked == 0

    @pytest.mark.parametrize("length", ["0" * 21 + "60000000", "0" * 21 + "101"])
    def test_leading_zeros_do_not_hide_a_length(self, service: Service, length: str) -> None:
        stream = Input(b"{}".ljust(101))
        assert ask(service, REPORTED, {"wsgi.input": stream, "CONTENT_LENGTH": length}).status == 413
        assert stream.asked == 0

    def test_leading_zeros_are_no_length(self, service: Service) -> None:
        stream = Input(b"{}GET /next HTTP/1.1")
        with begun(service, environ_of(REPORTED, **{"wsgi.input": stream, "CONTENT_LENGTH": "0" * 5000 + "2"})) as (_, heads):
            assert heads[0][0] == "200 OK"
        assert stream.asked == 2

    @pytest.mark.parametrize("length", ["", "-1", "many", "²", "9" * 5000])
    def test_lengths_that_are_none(self, service: Service, length: str) -> None:
        stream = Input(b"{}")
        with begun(service, environ_of(REPORTED, **{"wsgi.input": stream, "CONTENT_LENGTH": length})) as (_, heads):
            assert heads[0][0][:3] == ("413" if length.startswith("9") else "200")
        assert stream.asked == 0


@pytest.mark.parametrize(
    "asked",
    [REDIRECTED, REPORTED, Asked("GET", "https://in.acme.example/v1"), Asked("HEAD", REDIRECTED.url)],
    ids=["redirect", "collect", "respond", "head"],
)
def test_event_before_the_last_chunk(service: Service, asked: Asked) -> None:
    with begun(service, asked) as (body, heads):
        assert len(heads) == 1
        next(iter(body))
        assert len(journal(service)) == 1


@pytest.mark.parametrize("asked", [REDIRECTED, REPORTED], ids=["redirect", "collect"])
def test_recording_never_costs_an_answer(service: Service, asked: Asked) -> None:
    class Exploding:
        def columns(self, caller: Caller) -> Mapping[str, Column]:
            raise RuntimeError

    def full(line: bytes) -> bool:
        raise OSError

    for recorder in (Recorder(service.journal.append, [Exploding()], Salts(None)), Recorder(full, [], Salts(None))):
        service.recorder = recorder
        assert ask(service, asked).status in (200, 302)
        assert recorder.failed == 1


class TestProxy:
    def test_fields_of_a_connection_end_with_it(self, tmp_path: Path) -> None:
        """RFC 9110 §7.6.1, both ways; the validator and every server refuse an app that sends one (PEP 3333 §"Other HTTP Features")."""
        lines = [("Connection", "x-named"), ("X-Named", "1"), ("Keep-Alive", "timeout=5"), ("Trailer", "x"), ("Upgrade", "h2c")]
        lines += [("Proxy-Foo", "1"), ("HTTP2-Settings", "x"), ("X-Kept", "1")]
        with Upstream(plain(200, [*lines, ("X_Real_IP", "x"), ("Status", "200 OK"), ("Trailers", "x")], b"{}")) as upstream:
            asked = Asked("GET", MANIFEST, (*lines, ("Accept", "a/b"), ("Accept", "c/d"), ("Proxy-Authorization", "Basic eA==")))
            seen = ask(proxying(upstream, tmp_path), asked)
        (received,) = upstream.received
        gone = {"x-named", "keep-alive", "trailer", "upgrade", "proxy-foo", "http2-settings", "x_real_ip"}
        assert (gone | {"proxy-authorization"}).isdisjoint(received.headers)
        assert received.headers["accept"] == "a/b,c/d"
        assert received.headers.get_all("host") == [upstream.authority]
        assert received.headers["x-kept"] == "1"
        assert (gone | {"trailers", "status", "connection"}).isdisjoint(seen.headers)
        assert seen.headers["x-kept"] == "1"

    def test_repeated_lines_survive(self, tmp_path: Path) -> None:
        with Upstream(plain(200, [("Link", "<a>"), ("X", "1"), ("Link", "<b>")], b"{}")) as upstream:
            assert ask(proxying(upstream, tmp_path), Asked("GET", MANIFEST)).headers.get_all("link") == ["<a>", "<b>"]

    def test_values_that_pep_3333_forbids(self, tmp_path: Path) -> None:
        with Upstream(plain(200, [("X-Tab", "a\tb"), ("X-Control", "a\x01b")], b"{}")) as upstream:
            seen = ask(proxying(upstream, tmp_path), Asked("GET", MANIFEST))
        assert seen.headers.get("x-tab") == "a b"
        assert "x-control" not in seen.headers

    @pytest.mark.parametrize(("status", "line"), [(404, "404 Not Found"), (299, "299 Unknown"), (451, "451 Unavailable For Legal Reasons")])
    def test_reason_phrase(self, tmp_path: Path, status: int, line: str) -> None:
        with Upstream(plain(status, [], b"{}")) as upstream, begun(proxying(upstream, tmp_path), Asked("GET", MANIFEST)) as (body, heads):
            body.close()
        assert heads[0][0] == line

    def test_head(self, tmp_path: Path) -> None:
        with Upstream(plain(200, [], b"12345")) as upstream:
            seen = ask(proxying(upstream, tmp_path), Asked("HEAD", MANIFEST))
        assert (seen.body, seen.headers["content-length"]) == (b"", "5")
        assert upstream.received[0].method == "HEAD"

    def test_encoded_answers_pass_as_they_are(self, tmp_path: Path) -> None:
        with Upstream(plain(200, [("Content-Encoding", "gzip")], b"not gzip at all")) as upstream:
            seen = ask(proxying(upstream, tmp_path), Asked("GET", MANIFEST))
        assert (seen.body, seen.headers["content-encoding"]) == (b"not gzip at all", "gzip")
        assert "accept-encoding" not in upstream.received[0].headers

    def test_chunked(self, tmp_path: Path) -> None:
        def script(_: Received, write: Write) -> None:
            write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n")

        with Upstream(script) as upstream:
            seen = ask(proxying(upstream, tmp_path), Asked("GET", MANIFEST))
        assert seen.body == b"abcdefg"
        assert "transfer-encoding" not in seen.headers
        assert seen.events[0]["bytes"] == 7

    @pytest.mark.parametrize("announced", [2, 50])
    def test_a_length_beside_chunks_does_not_count(self, tmp_path: Path, announced: int) -> None:
        """RFC 9112 §6.3: passed on, it would let the client read the next answer as this one's body."""

        def script(_: Received, write: Write) -> None:
            write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n" % announced)

        with Upstream(script) as upstream:
            seen = ask(proxying(upstream, tmp_path), Asked("GET", MANIFEST))
        assert (seen.status, seen.body) == (200, b"hello")
        assert {"content-length", "transfer-encoding"}.isdisjoint(seen.headers)

    @pytest.mark.parametrize("lengths", [b"5\r\nContent-Length: 6", b"5, 6", b"-5", b"five", b"5 5"])
    def test_lengths_that_are_none(self, tmp_path: Path, lengths: bytes) -> None:
        with Upstream(lambda _, write: write(b"HTTP/1.1 200 OK\r\nContent-Length: " + lengths + b"\r\n\r\nhello!")) as upstream:
            seen = ask(proxying(upstream, tmp_path), Asked("GET", MANIFEST))
        assert seen.status == 502
        assert [event["status"] for event in seen.events] == [502]

    @pytest.mark.parametrize("status", [101, 600, 999])
    def test_what_is_no_status(self, tmp_path: Path, status: int) -> None:
        with Upstream(plain(status, [], b"hello")) as upstream:
            seen = ask(proxying(upstream, tmp_path), Asked("GET", MANIFEST))
        assert seen.status == 502
        assert [event["status"] for event in seen.events] == [502]

    def test_no_content(self, tmp_path: Path) -> None:
        with Upstream(plain(204, [("Date", "Sun, 22 Nov 2026 08:32:56 GMT")], b"hello")) as upstream:
            seen = ask(proxying(upstream, tmp_path), Asked("GET", MANIFEST))
        assert (seen.status, seen.body) == (204, b"")
        # The server behind this app says when it answers.
        assert {"content-length", "date"}.isdisjoint(seen.headers)

    def test_a_redirect_to_nowhere(self, tmp_path: Path) -> None:
        with Upstream(plain(302, [("Location", "http:///foo")], b"")) as upstream:
            assert ask(proxying(upstream, tmp_path), Asked("GET", MANIFEST)).status == 502
        with Upstream(plain(302, [("Location", "http://cdn.example/\xe9")], b"")) as upstream:
            assert ask(proxying(upstream, tmp_path), Asked("GET", MANIFEST)).location == "http://cdn.example/%E9"

    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    @pytest.mark.parametrize("rudely", [False, True])
    def test_a_kept_connection_that_is_just_being_closed(self, tmp_path: Path, method: str, rudely: bool) -> None:
        """It is no failure of the upstream's: the request is sent once more, on another connection."""
        with HangingUp(rudely) as upstream:
            service = open_service(packages(upstream.authority), tmp_path)
            app = GatewayApp(service)
            assert [call(app, environ_of(Asked(each, MANIFEST))).status for each in ("GET", method)] == [200, 200]
            app.close()
        # The second was left without an answer, and came again.
        assert [len(heads) for heads in upstream.heads] == [2, 1]
        assert [event["status"] for event in journal(service)] == [200, 200]

    def test_a_new_connection_that_is_closed_without_an_answer(self, tmp_path: Path) -> None:
        with Upstream(lambda _, write: None) as upstream:
            assert ask(proxying(upstream, tmp_path), Asked("GET", MANIFEST)).status == 502
        assert len(upstream.received) == 1

    @pytest.mark.parametrize(
        ("chunks", "status"), [([], 502), ([b"1"], 502), ([b"1", b"2"], 200), ([b"123", b"456"], 502), ([b"123", b"45", b"6"], 200)]
    )
    def test_a_body_of_another_length(self, tmp_path: Path, chunks: list[bytes], status: int) -> None:
        """Whatever is wrong on the way here: not a byte more than announced is sent, and no good end after fewer."""

        class Stream(httpx.SyncByteStream):
            def __iter__(self) -> Iterator[bytes]:
                yield from chunks

        service = open_service(packages(), tmp_path)
        app = GatewayApp(service)
        answer = httpx.MockTransport(lambda _: httpx.Response(200, headers={"content-length": "5"}, stream=Stream()))
        app._proxy._clients[True] = httpx.Client(transport=answer)
        heads: list[str] = []
        sent: list[bytes] = []

        def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None, /) -> Callable[[bytes], object]:
            heads.append(status)
            return sent.append

        with nullcontext() if status == 502 else pytest.raises(UpstreamBrokenError):
            sent.extend(app(environ_of(Asked("GET", MANIFEST)), start_response))
        app.close()
        assert heads == [{200: "200 OK", 502: "502 Bad Gateway"}[status]]
        assert status == 502 or len(b"".join(sent)) <= 5
        assert [event["status"] for event in journal(service)] == [status]

    def test_event_before_the_last_chunk(self, tmp_path: Path) -> None:
        with Upstream(plain(200, [], b"x" * 300_000)) as upstream:
            service = proxying(upstream, tmp_path)
            with begun(service, Asked("GET", MANIFEST)) as (body, _):
                sizes, counts = zip(*((len(chunk), len(journal(service))) for chunk in body), strict=True)
                body.close()
        assert sum(sizes) == 300_000
        assert list(counts) == [0] * (len(counts) - 1) + [1]
        assert [event["bytes"] for event in journal(service)] == [300_000]

    def test_no_faster_than_the_client(self, tmp_path: Path) -> None:
        """Not more than the chunk being sent and the one behind it are ever held."""
        read = 0

        class Stream(httpx.SyncByteStream):
            def __iter__(self) -> Iterator[bytes]:
                nonlocal read
                for _ in range(50):
                    read += 1
                    yield b"x" * 1000

        app = GatewayApp(open_service(packages(), tmp_path))
        app._proxy._clients[True] = httpx.Client(transport=httpx.MockTransport(lambda _: httpx.Response(200, stream=Stream())))
        body = app(environ_of(Asked("GET", MANIFEST)), lambda status, headers, exc_info=None, /: lambda _: None)
        # As many as it takes to know that the first is not the last.
        assert read == 2
        counts = [read for _ in body]
        app.close()
        assert len(counts) == 50
        assert all(ahead <= number + 2 for number, ahead in enumerate(counts))

    @pytest.mark.parametrize("chunks", [0, 1])
    def test_client_gone(self, tmp_path: Path, chunks: int) -> None:
        """The server calls close(), perhaps before it has asked for a chunk: the upstream is left, and the event recorded."""

        def script(_: Received, write: Write) -> None:
            write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
            while True:
                write(b"x" * 65_536)

        with Upstream(script) as upstream:
            service = proxying(upstream, tmp_path)
            with begun(service, Asked("GET", MANIFEST)) as (body, _):
                for _ in range(chunks):
                    assert next(body)
                body.close()
                assert upstream.left.wait(10)
                assert len(journal(service)) == 1
                body.close()
        (event,) = journal(service)
        assert event["status"] == 200
        assert event["bytes"] < 1_000_000_000

    def test_a_server_that_refuses_the_head(self, tmp_path: Path) -> None:
        def refuse(status: str, headers: list[tuple[str, str]], exc_info: Any = None, /) -> Callable[[bytes], object]:
            raise ValueError

        def script(_: Received, write: Write) -> None:
            write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
            while True:
                write(b"x" * 65_536)

        with Upstream(script) as upstream:
            app = GatewayApp(proxying(upstream, tmp_path))
            with pytest.raises(ValueError):
                app(environ_of(Asked("GET", MANIFEST)), refuse)
            assert upstream.left.wait(10)
            app.close()

    def test_upstream_dies_at_the_beginning(self, tmp_path: Path) -> None:
        """No server has sent anything before the first chunk, so that client and event can still be told the same."""

        def script(_: Received, write: Write) -> None:
            write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\nConnection: close\r\n\r\n0123456789")

        with Upstream(script) as upstream:
            seen = ask(proxying(upstream, tmp_path), Asked("GET", MANIFEST))
        assert seen.status == 502
        assert b"cannot be passed on" in (seen.body or b"")
        assert [event["status"] for event in seen.events] == [502]

    def test_upstream_dies_in_the_middle(self, tmp_path: Path) -> None:
        def script(_: Received, write: Write) -> None:
            write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\nConnection: close\r\n\r\n" + b"x" * 300_000)

        with Upstream(script) as upstream:
            service = proxying(upstream, tmp_path)
            with begun(service, Asked("GET", MANIFEST)) as (body, _), pytest.raises(UpstreamBrokenError):
                list(body)
        assert [event["status"] for event in journal(service)] == [200]

    def test_upstream_stalls_in_the_middle(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("gatewaycore.connecting.TIMEOUT", httpx.Timeout(0.2))
        done = threading.Event()

        def script(received: Received, write: Write) -> None:
            write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + b"x" * (10 if "early" in received.target else 300_000))
            done.wait(10)

        with Upstream(script) as upstream:
            service = proxying(upstream, tmp_path)
            with begun(service, Asked("GET", MANIFEST)) as (body, _), pytest.raises(UpstreamBrokenError):
                list(body)
            assert ask(service, Asked("GET", f"{MANIFEST}?early")).status == 504
            done.set()
        assert [event["status"] for event in journal(service)] == [200, 504]

    def test_upstream_says_nothing(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("gatewaycore.connecting.TIMEOUT", httpx.Timeout(0.2))
        done = threading.Event()
        with Upstream(lambda _, write: done.wait(10)) as upstream:
            seen = ask(proxying(upstream, tmp_path), Asked("GET", MANIFEST))
            done.set()
        assert seen.status == 504
        assert [event["status"] for event in seen.events] == [504]

    def test_upstream_is_not_there(self, tmp_path: Path) -> None:
        with socket.socket() as closed:
            # Bound and not listening: nobody else can be there either.
            closed.bind(("127.0.0.1", 0))
            service = open_service(packages(f"127.0.0.1:{closed.getsockname()[1]}"), tmp_path)
            seen = ask(service, Asked("GET", MANIFEST))
        assert seen.status == 502
        assert b"could not be reached" in (seen.body or b"")
        assert [event["status"] for event in seen.events] == [502]

    def test_upstream_speaks_something_else(self, tmp_path: Path) -> None:
        with Upstream(lambda _, write: write(b"220 mail.example ESMTP\r\n")) as upstream:
            assert ask(proxying(upstream, tmp_path), Asked("GET", MANIFEST)).status == 502

    def test_a_url_longer_than_httpx_takes(self, tmp_path: Path) -> None:
        assert ask(open_service(packages(), tmp_path), Asked("GET", f"{MANIFEST}?q={'x' * 70_000}")).status == 502

    def test_whoever_asks_for_all_is_interrupted(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """As a server does that stops a thread: those who wait ask for themselves."""
        waiting = threading.Semaphore(0)

        class Interrupted(BaseException):
            """What a server stops a thread with."""

        class Failing:
            """A conversation that says why it got no answer."""

            def start(self) -> Step:
                return step

            def receive(self, status: int, headers: Headers) -> Respond:
                raise AssertionError

            def fail(self, reason: Failure) -> Respond:
                return Respond(502, body=reason.encode())

        class Noticed(threading.Event):
            def wait(self, timeout: float | None = None) -> bool:
                waiting.release()
                return super().wait(timeout)

        class Flight(room._Flight):
            def __init__(self) -> None:
                super().__init__()
                self.done = Noticed()

        def ask(outcome: object, upstream: Step, deadline: object) -> Failure:
            if threading.current_thread() is leader:
                for _ in range(3):
                    assert waiting.acquire(timeout=10)
                raise Interrupted
            return "timeout"

        def lead() -> None:
            under_way.set()
            with pytest.raises(Interrupted):
                client._look_up(outcome, step, Failing(), Deadline(Proxy(Failing)))

        client, step = room.ProxyClient(), Step("GET", "http://127.0.0.1:1/", Headers(), shared=True)
        # Nobody here looks at it.
        outcome: Any = None
        monkeypatch.setattr(room, "_Flight", Flight)
        monkeypatch.setattr(client, "_ask", ask)
        seen: list[Any] = []
        under_way = threading.Event()
        leader = threading.Thread(target=lead)
        leader.start()
        assert under_way.wait(10)
        while not client._flights:
            threading.Event().wait(0.001)
        threads = [
            threading.Thread(target=lambda: seen.append(client._look_up(outcome, step, Failing(), Deadline(Proxy(Failing)))))
            for _ in range(3)
        ]
        for thread in threads:
            thread.start()
        for thread in (leader, *threads):
            thread.join(10)
        assert seen == [Respond(502, body=b"timeout")] * 3
        assert client._flights == {}

    def test_a_forked_child_connects_for_itself(self, tmp_path: Path) -> None:
        """Two processes on one connection would read each other's answers; and no thread of the parent's ends what the child waits for."""
        with Upstream(plain(200, [], b"ok")) as upstream:
            code = f"""
import os
from gatewaycore.decision import Proxy, Respond, Upstream
from gatewaycore.headers import Headers
from gatewaycore.upstreams import Deadline, likeness
from gatewaycore_wsgi.proxying import ProxyClient, _Flight
gone = ProxyClient()
del gone
client = ProxyClient()
step = Upstream("GET", "http://{upstream.authority}/", Headers(), private=True, shared=True)
class Talk:
    def receive(self, status, headers):
        return Respond(status)
def ask():
    return client._look_up(None, step, Talk(), Deadline(Proxy(Talk)))
ask()
ours = client._clients[True]
client._flights[likeness(step)] = _Flight()
with client._lock:
    child = os.fork()
    if not child:
        status = ask().status
        os._exit(0 if status == 200 and client._clients[True] is not ours else 1)
_, status = os.waitpid(child, 0)
client.close()
print(os.waitstatus_to_exitcode(status))
"""
            told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
        assert told.stdout == "0\n"
        assert len(upstream.received) == 2

    def test_what_a_forked_child_forgets(self) -> None:
        client = room.ProxyClient()
        client._client(False)
        room._begin_anew(weakref.ref(client))
        assert client._clients == {}
        gone = weakref.ref(room.ProxyClient())
        room._begin_anew(gone)
        assert gone() is None

    def test_circles_end(self, service: Service) -> None:
        with Upstream(plain(302, [("Location", "/")], b"")) as upstream:

            class Circling:
                def start(self) -> Step:
                    return Step("GET", f"http://{upstream.authority}/", Headers(), private=True)

                def receive(self, status: int, headers: Headers) -> Step | Relay | Respond:
                    return self.start()

                def fail(self, reason: str) -> Respond:
                    return Respond(500)

            class Deciding:
                def decide(self, request: Request) -> Outcome:
                    return Outcome(request, Proxy(Circling), None)

            service.gateway = cast(Gateway, Deciding())
            assert ask(service, Asked("GET", MANIFEST)).status == 502
        assert len(upstream.received) == MOST_TURNS


class Quiet(WSGIRequestHandler):
    def log_message(self, *_: Any) -> None: ...


@contextmanager
def wsgiref_server(app: GatewayApp) -> Iterator[Any]:
    with make_server("127.0.0.1", 0, app, handler_class=Quiet) as server:
        yield server


@contextmanager
def werkzeug_server(app: GatewayApp) -> Iterator[Any]:
    class Silent(werkzeug.serving.WSGIRequestHandler):
        def log(self, *_: Any) -> None: ...

    server = werkzeug.serving.make_server("127.0.0.1", 0, app, threaded=True, request_handler=Silent)
    try:
        yield server
    finally:
        server.server_close()


@pytest.mark.parametrize("serve", [wsgiref_server, werkzeug_server])
def test_behind_a_real_server(tmp_path: Path, serve: Callable[[GatewayApp], Any]) -> None:
    """One that gives no raw path, and one that does: what raw bytes become on their way here."""
    with Upstream(plain(200, [("Link", "<a>"), ("Link", "<b>")], b"12345")) as upstream:
        service = proxying(upstream, tmp_path)
        app = GatewayApp(service)
        with serve(app) as server:
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
            thread.start()
            try:
                redirected, head, manifest, posted, absolute = [
                    talk(server.server_address, request)
                    for request in (
                        b"GET /a%2Fb%20c?x=%2F HTTP/1.1\r\nHost: old.acme.example:1",
                        b"HEAD /v2/acme/tool/manifests/1.0 HTTP/1.1\r\nHost: docker.acme.example",
                        b"GET /v2/acme/tool/manifests/1.0 HTTP/1.1\r\nHost: docker.acme.example",
                        b"POST /v1 HTTP/1.1\r\nHost: in.acme.example\r\nContent-Length: 2\r\n\r\n{}",
                        b"GET http://old.acme.example/x HTTP/1.1\r\nHost: old.acme.example",
                    )
                ]
            finally:
                server.shutdown()
                thread.join(10)
        app.close()
    raw = serve is werkzeug_server
    assert b"\r\nlocation: https://acme.example/a%s?x=%%2F\r\n" % (b"%2Fb%20c" if raw else b"/b%20c") in redirected
    assert head.partition(b"\r\n\r\n")[2] == b""
    assert b"content-length: 5\r\n" in head.lower()
    assert manifest.endswith(b"\r\n\r\n12345")
    assert manifest.count(b"\r\nlink: ") == 2
    assert b" 200 " in posted.partition(b"\r\n")[0]
    assert b"\r\nlocation: https://acme.example/x\r\n" in absolute
    assert len(journal(service)) == 5


def talk(address: tuple[str, int], request: bytes) -> bytes:
    """Send a request as it stands, and return everything that comes back until the server closes."""
    head, _, body = request.partition(b"\r\n\r\n")
    with socket.create_connection(address, timeout=10) as client:
        client.sendall(head + b"\r\nConnection: close\r\n\r\n" + body)
        return b"".join(iter(lambda: client.recv(65_536), b""))
