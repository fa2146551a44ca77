"""The ASGI adapter: what only an adapter can get wrong."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
import uvicorn
from fastapi import FastAPI
from litestar import Litestar, asgi
from litestar.types import Receive as LitestarReceive
from litestar.types import Scope as LitestarScope
from litestar.types import Send as LitestarSend
from starlette.applications import Starlette
from starlette.routing import Host, Mount

from gatewaycore.clientip import TrustedProxies
from gatewaycore.decision import MOST_TURNS, Proxy, Relay, Respond
from gatewaycore.decision import Upstream as Step
from gatewaycore.enrich import Caller, Column
from gatewaycore.gateway import Gateway, Outcome
from gatewaycore.headers import Headers
from gatewaycore.recorder import Recorder
from gatewaycore.request import Request
from gatewaycore.salts import Salts
from gatewaycore.service import Service
from gatewaycore.upstreams import UpstreamBrokenError
from gatewaycore_asgi import GatewayApp
from gatewaycore_asgi.reading import read_request
from gatewaycore_asgi.types import Message, Receive, Scope, Send
from tests.worlds import (
    CLIENT_IP,
    MANIFEST,
    Answered,
    Asked,
    HangingUp,
    Received,
    Upstream,
    Write,
    answered,
    drive,
    journal,
    open_service,
    packages,
    plain,
    scope_of,
)

REDIRECTED = Asked("GET", "https://get.acme.example/linux/1.2")
REPORTED = Asked("POST", "https://in.acme.example/v1", body=b'{"n": 1}')


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with open_service(packages(), tmp_path) as service:
        yield service


def proxying(upstream: Upstream, data: Path) -> Service:
    return open_service(packages(upstream.authority), data)


def run(service: Service, work: Callable[[GatewayApp], Awaitable[Any]]) -> Any:
    """Run `work` with an app of its own event loop, and close the app."""

    async def whole() -> Any:
        app = GatewayApp(service)
        try:
            return await asyncio.wait_for(work(app), 10)
        finally:
            await app.aclose()

    return asyncio.run(whole())


def ask(service: Service, asked: Asked, wrap: Callable[[GatewayApp], Any] = lambda app: app, **changed: Any) -> Answered:
    messages = run(service, lambda app: drive(wrap(app), scope_of(asked, **changed), asked.body))
    return answered(messages, journal(service))


class TestLifespan:
    def test_starts_and_closes_the_service(self, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
        calls: list[str] = []
        monkeypatch.setattr(service, "start", lambda: calls.append("start"))
        monkeypatch.setattr(service, "close", lambda: calls.append("close"))
        incoming = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
        sent: list[Message] = []

        async def receive() -> Message:
            return incoming.pop(0)

        async def send(message: Message) -> None:
            sent.append(message)

        asyncio.run(GatewayApp(service)({"type": "lifespan"}, receive, send))
        assert [message["type"] for message in sent] == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
        assert calls == ["start", "close"]

    def test_the_first_request_starts_it_where_no_lifespan_comes(self, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
        calls: list[str] = []
        monkeypatch.setattr(service, "start", lambda: calls.append("start"))

        async def twice(app: GatewayApp) -> None:
            await drive(app, scope_of(REDIRECTED))
            await drive(app, scope_of(REDIRECTED))

        run(service, twice)
        assert calls == ["start"]

    def test_other_scopes(self, service: Service) -> None:
        sent: list[Message] = []

        async def receive() -> Message:
            return {"type": "websocket.connect"}

        async def send(message: Message) -> None:
            sent.append(message)

        app = GatewayApp(service)
        asyncio.run(app({"type": "websocket", "path": "/"}, receive, send))
        assert [message["type"] for message in sent] == ["websocket.close"]
        with pytest.raises(ValueError, match="unknown ASGI scope type 'mqtt'"):
            asyncio.run(app({"type": "mqtt"}, receive, send))


@pytest.mark.parametrize(
    ("path", "changed", "location"),
    [
        ("/a%2Fb", {}, "/a%2Fb"),
        ("/a%20b", {}, "/a%20b"),
        ("/%C3%A9", {}, "/%C3%A9"),
        ("/%ff", {}, "/%ff"),
        ("/a%2", {}, "/a%252"),
        ("/\xe9", {"path": "/\ufffd"}, "/%E9"),
        ("", {}, "/"),
        ("/a", {"query_string": b"x=\xc3\xa9"}, "/a?x=%C3%A9"),
        # Servers need not give the raw path: what an escape stood for is then lost.
        ("/a%2Fb%20c%C3%A9", {"raw_path": None}, "/a/b%20c%C3%A9"),
        ("/a", {"path": "/lone\udcff", "raw_path": None}, "/lone%3F"),
        # A middleware rewrote the path, and left the raw one as it was.
        ("/a%2Fb", {"path": "/c d"}, "/c%20d"),
        ("/%ff/b", {"path": "/b"}, "/b"),
        # Mounts, with the prefix in both, spelled by the client in its own way, or in neither.
        ("/dl/a%2Fb", {"root_path": "/dl"}, "/a%2Fb"),
        ("/%64l/a%2Fb", {"root_path": "/dl"}, "/a%2Fb"),
        ("/d%20l/%C3%A9/x", {"root_path": "/d l/é"}, "/x"),
        ("/dl", {"root_path": "/dl"}, "/"),
        ("/dl/", {"root_path": "/dl/"}, "/"),
        ("/dlx/y", {"root_path": "/dl"}, "/dlx/y"),
        ("/a%2Fb", {"root_path": "/dl"}, "/a%2Fb"),
        ("/dl/a%2Fb", {"root_path": "/dl", "path": "/a/b"}, "/a%2Fb"),
        ("/dl/a%2Fb/c", {"path": "/a/b/c/"}, "/a%2Fb/c"),
        # Absolute form (RFC 9112 §3.2.2): its authority overrides the Host field.
        ("/", {"path": "http://OLD.acme.example:80/a b", "raw_path": b"http://OLD.acme.example:80/a%20b"}, "/a%20b"),
        ("/", {"path": "https://old.acme.example", "raw_path": b"https://old.acme.example"}, "/"),
        ("/", {"path": "*", "raw_path": b"*"}, "/*"),
    ],
)
def test_path(service: Service, path: str, changed: dict[str, Any], location: str) -> None:
    seen = ask(service, Asked("GET", f"https://old.acme.example{path}"), **changed)
    assert seen.location == f"https://acme.example{location}"


def test_absolute_form_names_the_host(service: Service) -> None:
    target = "http://get.acme.example/linux/1"
    seen = ask(service, Asked("GET", "https://other.example/x"), path=target, raw_path=target.encode())
    assert seen.location == "https://cdn.acme.example/1/linux"
    target = "http://get.acme.example@old.acme.example/linux/1"
    assert ask(service, Asked("GET", "https://get.acme.example/x"), path=target, raw_path=target.encode()).status == 400


def test_no_host_field(service: Service) -> None:
    """HTTP/1.0 has none: then it is the server's own name, which no rule here serves."""
    assert ask(service, REDIRECTED, headers=[]).status == 404
    assert ask(service, REDIRECTED, headers=[], server=("get.acme.example", 80)).status == 302
    assert ask(service, REDIRECTED, headers=[], server=None).status == 404
    assert ask(service, REDIRECTED, client=None).status == 302


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_bad_host(service: Service, method: str) -> None:
    seen = ask(service, Asked(method, "https://a b/"))
    assert (seen.status, seen.body) == (400, b"" if method == "HEAD" else b"the Host field names no host\n")


def litestar(app: GatewayApp) -> Litestar:
    @asgi("/dl", is_mount=True, copy_scope=True)
    async def gateway(scope: LitestarScope, receive: LitestarReceive, send: LitestarSend) -> None:
        await app(cast(Scope, scope), cast(Receive, receive), cast(Send, send))

    return Litestar([gateway], openapi_config=None)


def fastapi(app: GatewayApp) -> FastAPI:
    outer = FastAPI()
    outer.mount("/dl", app)
    return outer


@pytest.mark.parametrize(
    "framework",
    [
        lambda app: Starlette(routes=[Mount("/dl", app)]),
        lambda app: Starlette(routes=[Mount("/outer", routes=[Mount("/dl", app)]), Mount("/dl", app)]),
        fastapi,
        litestar,
    ],
    ids=["starlette", "starlette, twice", "fastapi", "litestar"],
)
@pytest.mark.parametrize("path", ["/a%2Fb/c%20d", "/x/%C3%A9", "/dl/dl", "/x", "/"])
def test_mounted_below_a_path(service: Service, framework: Callable[[GatewayApp], Any], path: str) -> None:
    seen = ask(service, Asked("GET", f"https://old.acme.example/dl{path}?q=1"), framework, state={})
    assert seen.location == f"https://acme.example{path}?q=1"


@pytest.mark.parametrize(
    ("framework", "path", "mount"),
    [
        (lambda app: app, "/npm/x", ""),
        (lambda app: Starlette(routes=[Mount("/dl", app)]), "/dl/npm/x", "/dl"),
        (lambda app: Starlette(routes=[Mount("/outer", routes=[Mount("/dl", app)])]), "/outer/dl/npm/x", "/outer/dl"),
        (lambda app: Starlette(routes=[Mount("/{team}", app)]), '/a%22b"%5C%0A%C3%A9/npm/x', "/a%22b%22%5C%0A%C3%A9"),
        (fastapi, "/dl/npm/x", "/dl"),
        (litestar, "/dl/npm/x", "/dl"),
    ],
    ids=["root", "starlette", "starlette, twice", "starlette, by a pattern", "fastapi", "litestar"],
)
def test_what_links_begin_with_below_a_path(framework: Callable[[Any], Any], path: str, mount: str) -> None:
    found: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        found.append(read_request(scope, TrustedProxies()).base)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    asyncio.run(drive(framework(app), scope_of(Asked("GET", f"https://www.acme.example:8443{path}"), state={})))
    assert found == [f"https://www.acme.example:8443{mount}"]


@pytest.mark.parametrize(
    ("changed", "mount"),
    [
        ({"root_path": "/dl"}, "/dl"),
        ({"root_path": "/dl/"}, "/dl"),
        ({"root_path": "dl"}, "/dl"),
        ({"root_path": "/"}, ""),
        ({"root_path": "/d l/é"}, "/d%20l/%C3%A9"),
        # A proxy has cut off the one, and a framework the other, which it does not say.
        ({"root_path": "/site", "path": "/x"}, "/site/dl"),
        ({"root_path": "/dl/", "path": "/x"}, "/dl"),
    ],
)
def test_mount(changed: dict[str, Any], mount: str) -> None:
    assert read_request(scope_of(Asked("GET", "https://www.acme.example/dl/x"), **changed), TrustedProxies()).mount == mount


def test_mounted_twice(service: Service) -> None:
    asked = Asked("GET", "https://old.acme.example/outer/dl/a%2Fb")
    seen = ask(service, asked, lambda app: Starlette(routes=[Mount("/outer", routes=[Mount("/dl", app)])]))
    assert seen.location == "https://acme.example/a%2Fb"


def test_beside_others_by_host(service: Service) -> None:
    seen = ask(service, REDIRECTED, lambda app: Starlette(routes=[Host("get.acme.example", app)]))
    assert seen.location == "https://cdn.acme.example/1.2/linux"


def test_trusted_proxies(tmp_path: Path) -> None:
    asked = Asked("GET", "https://inner.example/linux/1", (("X-Forwarded-For", "198.51.100.9"), ("X-Forwarded-Host", "get.acme.example")))
    for trusted, status in (("10.0.0.0/8", 404), (f"{CLIENT_IP}/32", 302)):
        service = open_service({**packages(), "gateway": {"trusted-proxies": [trusted]}}, tmp_path / str(status))
        assert ask(service, asked).status == status


class TestBody:
    def test_client_gone_in_the_middle(self, service: Service) -> None:
        """Nobody is answered, and nothing recorded."""
        incoming: list[Message] = [{"type": "http.request", "body": b'{"n"', "more_body": True}, {"type": "http.disconnect"}]
        sent: list[Message] = []

        async def receive() -> Message:
            return incoming.pop(0)

        async def send(message: Message) -> None:
            sent.append(message)

        run(service, lambda app: app(scope_of(REPORTED), receive, send))
        assert sent == []
        assert journal(service) == []

    def test_announced_too_large_is_not_read(self, service: Service) -> None:
        asked = Asked("POST", REPORTED.url, (("Content-Length", "101"),))
        sent: list[Message] = []

        async def receive() -> Message:
            raise AssertionError("the body is read")

        async def send(message: Message) -> None:
            sent.append(message)

        run(service, lambda app: app(scope_of(asked), receive, send))
        assert sent[0]["status"] == 413

    def test_without_a_length(self, service: Service) -> None:
        async def work(app: GatewayApp) -> list[int]:
            scope = scope_of(Asked("POST", REPORTED.url))
            return [(await drive(app, scope, b"{}".ljust(size)))[0]["status"] for size in (100, 101)]

        assert run(service, work) == [200, 413]

    def test_leading_zeros_of_a_length(self, service: Service) -> None:
        for length, status in (("0" * 21 + "60000000", 413), ("0" * 21 + "101", 413), ("0" * 5000 + "2", 200)):
            assert ask(service, Asked("POST", REPORTED.url, (("Content-Length", length),), b"{}")).status == status

    @pytest.mark.parametrize("length", ["-1", "many", "²", "9" * 5000])
    def test_lengths_that_are_none(self, service: Service, length: str) -> None:
        asked = Asked("POST", REPORTED.url, (("Content-Length", length),), b"{}")
        assert ask(service, asked).status == (413 if length.startswith("9") else 200)


@pytest.mark.parametrize(
    "asked",
    [REDIRECTED, REPORTED, Asked("GET", "https://in.acme.example/v1"), Asked("HEAD", REDIRECTED.url)],
    ids=["redirect", "collect", "respond", "head"],
)
def test_event_before_the_last_chunk(service: Service, asked: Asked) -> None:
    seen: list[int] = []

    def on_send(message: Message) -> None:
        if message["type"] == "http.response.body" and not message.get("more_body"):
            seen.append(len(journal(service)))

    run(service, lambda app: drive(app, scope_of(asked), asked.body, on_send))
    assert seen == [1]


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
        """RFC 9110 §7.6.1, both ways."""
        lines = [("Connection", "x-named"), ("X-Named", "1"), ("Keep-Alive", "timeout=5"), ("Trailer", "x"), ("Upgrade", "h2c")]
        lines += [("Proxy-Foo", "1"), ("HTTP2-Settings", "x"), ("X_Real_IP", "203.0.113.9"), ("X-Kept", "1")]
        with Upstream(plain(200, lines, b"{}")) as upstream:
            asked = Asked("GET", MANIFEST, (*lines, ("Accept", "a/b"), ("Accept", "c/d"), ("Proxy-Authorization", "Basic eA==")))
            seen = ask(proxying(upstream, tmp_path), asked)
        (received,) = upstream.received
        gone = {"x-named", "keep-alive", "trailer", "upgrade", "proxy-foo", "http2-settings", "x_real_ip"}
        assert (gone | {"proxy-authorization"}).isdisjoint(received.headers)
        assert received.headers.get_all("accept") == ["a/b", "c/d"]
        assert received.headers.get_all("host") == [upstream.authority]
        assert received.headers["x-kept"] == "1"
        assert (gone | {"connection"}).isdisjoint(seen.headers)
        assert seen.headers["x-kept"] == "1"

    def test_repeated_lines_survive(self, tmp_path: Path) -> None:
        with Upstream(plain(200, [("Link", "<a>"), ("X", "1"), ("Link", "<b>")], b"{}")) as upstream:
            assert ask(proxying(upstream, tmp_path), Asked("GET", MANIFEST)).headers.get_all("link") == ["<a>", "<b>"]

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

            async def work(app: GatewayApp) -> list[int]:
                return [(await drive(app, scope_of(Asked(each, MANIFEST))))[0]["status"] for each in ("GET", method)]

            assert run(service, work) == [200, 200]
        # The second was left without an answer, and came again.
        assert [len(heads) for heads in upstream.heads] == [2, 1]
        assert [event["status"] for event in journal(service)] == [200, 200]

    def test_a_new_connection_that_is_closed_without_an_answer(self, tmp_path: Path) -> None:
        with Upstream(lambda _, write: None) as upstream:
            assert ask(proxying(upstream, tmp_path), Asked("GET", MANIFEST)).status == 502
        assert len(upstream.received) == 1

    @pytest.mark.parametrize("chunks", [[], [b"1"], [b"123", b"456"], [b"123", b"45", b"6"]])
    def test_a_body_of_another_length(self, tmp_path: Path, chunks: list[bytes]) -> None:
        """Whatever is wrong on the way here: not a byte more than announced is sent, and no good end after fewer."""

        class Stream(httpx.AsyncByteStream):
            async def __aiter__(self) -> AsyncIterator[bytes]:
                for chunk in chunks:
                    yield chunk

        sent: list[Message] = []

        async def work(app: GatewayApp) -> None:
            answer = httpx.MockTransport(lambda _: httpx.Response(200, headers={"content-length": "5"}, stream=Stream()))
            app._proxy._clients[True] = httpx.AsyncClient(transport=answer)
            await drive(app, scope_of(Asked("GET", MANIFEST)), b"", sent.append)

        service = open_service(packages(), tmp_path)
        with pytest.raises(UpstreamBrokenError):
            run(service, work)
        assert all(message.get("more_body", True) for message in sent)
        assert sum(len(message.get("body", b"")) for message in sent) <= 5
        assert [event["status"] for event in journal(service)] == [200]

    def test_event_before_the_last_chunk(self, tmp_path: Path) -> None:
        with Upstream(plain(200, [], b"x" * 300_000)) as upstream:
            service = proxying(upstream, tmp_path)
            seen: list[tuple[bool, int]] = []

            def on_send(message: Message) -> None:
                if message["type"] == "http.response.body":
                    seen.append((message.get("more_body", False), len(journal(service))))

            run(service, lambda app: drive(app, scope_of(Asked("GET", MANIFEST)), b"", on_send))
        assert len(seen) > 1
        assert [count for more, count in seen if more] == [0] * (len(seen) - 1)
        assert seen[-1] == (False, 1)
        assert journal(service)[0]["bytes"] == 300_000

    def test_no_faster_than_the_client(self, tmp_path: Path) -> None:
        """Not more than the chunk being sent and the one behind it are ever held."""
        counts: list[int] = []
        read = 0

        class Stream(httpx.AsyncByteStream):
            async def __aiter__(self) -> AsyncIterator[bytes]:
                nonlocal read
                for _ in range(50):
                    read += 1
                    yield b"x" * 1000

        def on_send(message: Message) -> None:
            if message["type"] == "http.response.body":
                counts.append(read)

        async def work(app: GatewayApp) -> None:
            app._proxy._clients[True] = httpx.AsyncClient(transport=httpx.MockTransport(lambda _: httpx.Response(200, stream=Stream())))
            await drive(app, scope_of(Asked("GET", MANIFEST)), b"", on_send)

        run(open_service(packages(), tmp_path), work)
        assert len(counts) == 50
        assert all(ahead <= number + 2 for number, ahead in enumerate(counts))

    def test_client_gone_in_the_middle(self, tmp_path: Path) -> None:
        """The upstream is left, and what was fetched so far is recorded."""

        def script(_: Received, write: Write) -> None:
            write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
            while True:
                write(b"x" * 65_536)

        with Upstream(script) as upstream:
            service = proxying(upstream, tmp_path)

            async def work(app: GatewayApp) -> None:
                gone = asyncio.Event()

                async def receive() -> Message:
                    await gone.wait()
                    return {"type": "http.disconnect"}

                chunks = 0

                async def send(message: Message) -> None:
                    nonlocal chunks
                    chunks += message["type"] == "http.response.body"
                    if chunks == 2:
                        gone.set()
                        await asyncio.Event().wait()

                await app(scope_of(Asked("GET", MANIFEST)), receive, send)

            run(service, work)
            assert upstream.left.wait(10)
        (event,) = journal(service)
        assert event["status"] == 200
        assert 0 < event["bytes"] < 1_000_000_000

    def test_client_gone_as_send_says(self, tmp_path: Path) -> None:
        """ASGI 3, spec version 2.4: `send` raises an OSError."""
        with Upstream(plain(200, [], b"x" * 300_000)) as upstream:
            service = proxying(upstream, tmp_path)

            async def work(app: GatewayApp) -> None:
                async def receive() -> Message:
                    await asyncio.Event().wait()
                    raise AssertionError

                async def send(message: Message) -> None:
                    if message["type"] == "http.response.body":
                        raise OSError("gone")

                await app(scope_of(Asked("GET", MANIFEST)), receive, send)

            run(service, work)
        assert [event["status"] for event in journal(service)] == [200]

    def test_client_gone_before_the_upstream_answers(self, tmp_path: Path) -> None:
        asked, done = threading.Event(), threading.Event()

        def script(_: Received, write: Write) -> None:
            asked.set()
            done.wait(10)

        with Upstream(script) as upstream:
            service = proxying(upstream, tmp_path)

            async def work(app: GatewayApp) -> None:
                async def receive() -> Message:
                    await asyncio.get_running_loop().run_in_executor(None, asked.wait, 10)
                    return {"type": "http.disconnect"}

                async def send(message: Message) -> None:
                    raise AssertionError("nobody is there")

                await app(scope_of(Asked("GET", MANIFEST)), receive, send)

            run(service, work)
            done.set()
        assert journal(service) == []

    def test_the_client_that_all_wait_for_is_gone(self, service: Service) -> None:
        """One of the others asks anew, for all that are left."""
        asked, done, started = threading.Event(), threading.Event(), 0

        def script(received: Received, write: Write) -> None:
            if asked.is_set():
                plain(401, [], b"")(received, write)
            else:
                asked.set()
                done.wait(10)

        with Upstream(script) as upstream:

            class Asking:
                def start(self) -> Step:
                    nonlocal started
                    started += 1
                    return Step("GET", f"http://{upstream.authority}/", Headers(), private=True, shared=True)

                def receive(self, status: int, headers: Headers) -> Respond:
                    return Respond(status)

                def fail(self, reason: str) -> Respond:
                    return Respond(500)

            class Deciding:
                def decide(self, request: Request) -> Outcome:
                    return Outcome(request, Proxy(Asking), None)

            async def work(app: GatewayApp) -> list[int]:
                gone = asyncio.Event()

                async def receive() -> Message:
                    await gone.wait()
                    return {"type": "http.disconnect"}

                async def send(message: Message) -> None:
                    raise AssertionError("nobody is there")

                leader = asyncio.create_task(app(scope_of(Asked("GET", MANIFEST)), receive, send))
                await asyncio.get_running_loop().run_in_executor(None, asked.wait, 10)
                others = [asyncio.create_task(drive(app, scope_of(Asked("GET", MANIFEST)))) for _ in range(5)]
                while started < 6:
                    await asyncio.sleep(0)
                gone.set()
                await leader
                return [messages[0]["status"] for messages in await asyncio.gather(*others)]

            service.gateway = cast(Gateway, Deciding())
            assert run(service, work) == [401] * 5
            done.set()
        assert len(upstream.received) == 2

    def test_upstream_dies_in_the_middle(self, tmp_path: Path) -> None:
        def script(_: Received, write: Write) -> None:
            write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\nConnection: close\r\n\r\n0123456789")

        with Upstream(script) as upstream:
            service = proxying(upstream, tmp_path)
            sent: list[Message] = []
            with pytest.raises(UpstreamBrokenError):
                run(service, lambda app: drive(app, scope_of(Asked("GET", MANIFEST)), b"", sent.append))
        assert all(message.get("more_body", True) for message in sent)
        assert [event["status"] for event in journal(service)] == [200]

    def test_upstream_stalls_in_the_middle(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("gatewaycore.connecting.TIMEOUT", httpx.Timeout(0.2))
        done = threading.Event()

        def script(_: Received, write: Write) -> None:
            write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n0123456789")
            done.wait(10)

        with Upstream(script) as upstream:
            service = proxying(upstream, tmp_path)
            with pytest.raises(UpstreamBrokenError):
                ask(service, Asked("GET", MANIFEST))
            done.set()
        assert len(journal(service)) == 1

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

    def test_a_field_that_cannot_be_sent(self, tmp_path: Path) -> None:
        with Upstream(plain(200, [], b"")) as upstream:
            assert ask(proxying(upstream, tmp_path), Asked("GET", MANIFEST, (("X", "a\nb"),))).status == 502

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


def test_behind_a_real_server(tmp_path: Path) -> None:
    """Both of uvicorn's protocols, a connection for each request: what raw bytes become on their way here."""
    with Upstream(plain(200, [("Link", "<a>"), ("Link", "<b>")], b"12345")) as upstream:
        for http in ("h11", "httptools"):
            service = proxying(upstream, tmp_path / http)
            config = uvicorn.Config(GatewayApp(service), "127.0.0.1", 0, http=cast(Any, http), log_level="critical", lifespan="on")
            server = uvicorn.Server(config)
            listening = config.bind_socket()
            # From now on a client waits, and is not refused, until the server is there.
            listening.listen()
            thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
            thread.start()
            try:
                seen = [
                    talk(listening.getsockname(), request)
                    for request in (
                        b"GET /a%2Fb%20c?x=%2F HTTP/1.1\r\nHost: old.acme.example:1\r\n",
                        b"HEAD /v2/acme/tool/manifests/1.0 HTTP/1.1\r\nHost: docker.acme.example\r\n",
                        b"GET /v2/acme/tool/manifests/1.0 HTTP/1.1\r\nHost: docker.acme.example\r\n",
                        b"GET http://old.acme.example/x HTTP/1.1\r\nHost: old.acme.example\r\n",
                        b"POST /v1 HTTP/1.1\r\nHost: in.acme.example\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n",
                    )
                ]
            finally:
                server.should_exit = True
                thread.join(10)
                listening.close()
            redirected, head, manifest, absolute, posted = seen
            assert b"\r\nlocation: https://acme.example/a%2Fb%20c?x=%2F\r\n" in redirected
            assert head.lower().partition(b"\r\n\r\n")[2] == b""
            assert b"content-length: 5\r\n" in head.lower()
            assert manifest.endswith(b"12345")
            assert manifest.count(b"link: ") == 2
            assert b"location: https://acme.example/x\r\n" in absolute
            assert posted.startswith(b"HTTP/1.1 200")
            assert len(journal(service)) == 5


def talk(address: tuple[str, int], request: bytes) -> bytes:
    """Send a request head (or head and body) as it stands, and return everything that comes back until the server closes."""
    with socket.create_connection(address, timeout=10) as client:
        head, blank, body = request.partition(b"\r\n\r\n")
        client.sendall(head.removesuffix(b"\r\n") + b"\r\nConnection: close\r\n\r\n" + (body + b"\r\n" if blank else b""))
        return b"".join(iter(lambda: client.recv(65_536), b""))
