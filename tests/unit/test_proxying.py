"""Performing a `Proxy`: what both adapters do of the same conversation, over real sockets."""

from __future__ import annotations

import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import httpcore
import pytest
from attrs import define, field

from gatewaycore import upstreams
from gatewaycore.decision import (
    KEPT_BYTES,
    Collect,
    Conversation,
    Decision,
    Failure,
    Proxy,
    Read,
    Reception,
    Redirect,
    Relay,
    Respond,
    Step,
)
from gatewaycore.decision import Upstream as Request
from gatewaycore.event import Observation
from gatewaycore.gateway import Gateway
from gatewaycore.headers import Headers
from gatewaycore.request import Request as Incoming
from gatewaycore.route import Everything, Match
from gatewaycore.service import Service
from gatewaycore.upstreams import UpstreamBrokenError
from tests.adapters import ADAPTERS, Adapter, Wsgi
from tests.worlds import (
    Asked,
    HangingUp,
    Received,
    Script,
    Upstream,
    Write,
    journal,
    open_service,
    packages,
    plain,
)

GET = Asked("GET", "https://scripted.example/x")


# --- conversations -------------------------------------------------------------------------------------------------------


def pass_on(status: int, headers: Headers) -> Step:
    return Relay(status, headers)


def say(reason: Failure) -> Step:
    return Respond(502, body=reason.encode())


@define
class Talk:
    """A conversation as a test writes it: what is asked first, what is made of every answer, and what of a failure."""

    first: Step
    then: Callable[[int, Headers], Step] = pass_on
    failed: Callable[[Failure], Step] = say

    def start(self) -> Step:
        return self.first

    def receive(self, status: int, headers: Headers) -> Step:
        return self.then(status, headers)

    def fail(self, reason: Failure) -> Step:
        return self.failed(reason)


@define
class Scripted:
    """A route that decides what a test says."""

    script: Callable[[Incoming], Decision]
    variables: dict[str, str] = field(factory=dict)
    steady = False
    label = "scripted.example/*"
    domain = "scripted.example"
    priority = 0
    package = None
    pattern = Everything()

    def decide(self, request: Incoming, match: Match) -> Decision:
        return self.script(request)

    def observe(self, request: Incoming, match: Match, entry: object = None) -> Observation:
        return Observation("scripted", "scripted", self.label, "metadata", variables=self.variables)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with open_service(packages(), tmp_path) as service:
        yield service


def decide(service: Service, script: Callable[[Incoming], Decision], **variables: str) -> None:
    service.gateway = Gateway.compile([cast(Any, Scripted(script, variables))])


def noting(asked: list[float | None], attempt: type) -> Callable[[Request], Any]:
    """Return a maker of attempts that notes how long each may take."""

    def make(upstream: Request) -> Any:
        asked.append(upstream.timeout_s)
        return attempt(upstream)

    return make


def hold(service: Service, talk: Callable[[], Conversation], **variables: str) -> None:
    """Have every request answered by a conversation."""
    decide(service, lambda _: Proxy(talk), **variables)


def to(upstream: Upstream | HangingUp, method: str = "GET", path: str = "/", **more: Any) -> Request:
    return Request(method, f"http://{upstream.authority}{path}", Headers(), private=True, **more)


@pytest.fixture(params=ADAPTERS.values(), ids=list(ADAPTERS))
def adapter(request: pytest.FixtureRequest) -> Adapter:
    made: Adapter = request.param
    return made


def dying(announced: int, body: bytes) -> Script:
    """Announce more than comes."""

    def script(_: Received, write: Write) -> None:
        write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % announced + body)

    return script


# --- reading -------------------------------------------------------------------------------------------------------------


class TestRead:
    @pytest.mark.parametrize(("limit", "read"), [(5, b"12345"), (4, None), (1000, b"12345"), (0, None)])
    def test_whole_or_not_at_all(self, service: Service, adapter: Adapter, limit: int, read: bytes | None) -> None:
        bodies: list[bytes | None] = []

        def take(body: bytes | None) -> Step:
            bodies.append(body)
            return Respond(200, body=b"read")

        with Upstream(plain(200, [], b"12345")) as upstream:
            hold(service, lambda: Talk(to(upstream), lambda status, headers: Read(limit, take)))
            (seen,) = adapter.ask(service, [GET])
        assert (seen.status, seen.body, bodies) == (200, b"read", [read])
        (event,) = journal(service)
        assert (event["status"], event["bytes"], event["target"]) == (200, 4, "127.0.0.1")

    def test_no_more_than_it_takes_to_know_that_it_is_too_long(self, service: Service, adapter: Adapter) -> None:
        def script(_: Received, write: Write) -> None:
            write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
            while True:
                write(b"x" * 65_536)

        with Upstream(script) as upstream:
            hold(
                service, lambda: Talk(to(upstream), lambda status, headers: Read(100, lambda body: Respond(200, body=repr(body).encode())))
            )
            (seen,) = adapter.ask(service, [GET])
            assert upstream.left.wait(10)
        assert seen.body == b"None"

    def test_the_upstream_dies_in_the_middle(self, service: Service, adapter: Adapter) -> None:
        with Upstream(dying(100, b"123")) as upstream:
            hold(service, lambda: Talk(to(upstream), lambda status, headers: Read(1000, unreachable)))
            (seen,) = adapter.ask(service, [GET])
        assert (seen.status, seen.body) == (502, b"protocol")
        assert [event["status"] for event in journal(service)] == [502]

    def test_the_upstream_stalls_in_the_middle(self, service: Service, adapter: Adapter, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("gatewaycore.upstreams.TIMEOUT_S", 0.2)
        done = threading.Event()

        def script(_: Received, write: Write) -> None:
            dying(100, b"123")(_, write)
            done.wait(10)

        with Upstream(script) as upstream:
            hold(service, lambda: Talk(to(upstream), lambda status, headers: Read(1000, unreachable)))
            (seen,) = adapter.ask(service, [GET])
            done.set()
        assert (seen.status, seen.body) == (502, b"timeout")

    def test_the_upstream_takes_its_time_piece_by_piece(self, service: Service, adapter: Adapter, monkeypatch: pytest.MonkeyPatch) -> None:
        """Each piece is in time, and all together are not. Time stands still here, but for what the upstream takes of it."""
        now = [100.0]
        monkeypatch.setattr("gatewaycore.upstreams.time.monotonic", lambda: now[0])
        done = threading.Event()

        def script(_: Received, write: Write) -> None:
            write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n1")
            now[0] += 9.0
            write(b"2")
            done.wait(10)

        with Upstream(script) as upstream:
            decide(service, lambda _: Proxy(lambda: Talk(to(upstream), lambda status, headers: Read(1000, unreachable)), 5.0))
            (seen,) = adapter.ask(service, [GET])
            done.set()
        assert (seen.status, seen.body) == (502, b"timeout")

    def test_and_then_another_request(self, service: Service, adapter: Adapter) -> None:
        with Upstream(lambda received, write: plain(200, [], received.target.encode())(received, write)) as upstream:

            def then(status: int, headers: Headers) -> Step:
                if len(upstream.received) == 1:
                    return Read(100, lambda body: to(upstream, path=f"/after{(body or b'').decode()}"))
                return Relay(status, headers)

            hold(service, lambda: Talk(to(upstream, path="/first"), then))
            (seen,) = adapter.ask(service, [GET])
        assert (seen.status, seen.body) == (200, b"/after/first")

    @pytest.mark.parametrize("wanted", [Relay(200, Headers()), Read(100, lambda _: Respond(200))], ids=["relay", "read"])
    @pytest.mark.parametrize("whole", [True, False])
    def test_a_body_that_is_gone(self, service: Service, adapter: Adapter, wanted: Step, whole: bool) -> None:
        """Nothing can be passed on, or read again."""
        with Upstream(plain(200, [], b"12345") if whole else dying(100, b"123")) as upstream:
            hold(service, lambda: Talk(to(upstream), lambda status, headers: Read(100, lambda _: wanted), lambda _: wanted))
            (seen,) = adapter.ask(service, [GET])
        assert (seen.status, seen.body) == (502, b"")


def unreachable(_: bytes | None) -> Step:
    raise AssertionError


# --- relaying ------------------------------------------------------------------------------------------------------------


class TestRelay:
    @pytest.mark.parametrize("body", [b"12345", b"x" * 300_000, b""])
    @pytest.mark.parametrize("chunked", [False, True])
    def test_a_whole_body_is_kept_once(self, service: Service, adapter: Adapter, body: bytes, chunked: bool) -> None:
        def script(received: Received, write: Write) -> None:
            if not chunked:
                plain(200, [], body)(received, write)
                return
            pieces = b"".join(b"%x\r\n%s\r\n" % (len(body), body) for body in (body,) if body)
            write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + pieces + b"0\r\n\r\n")

        kept: list[bytes] = []
        with Upstream(script) as upstream:
            hold(service, lambda: Talk(to(upstream), lambda status, headers: Relay(status, headers, keep=kept.append)))
            (seen,) = adapter.ask(service, [GET])
        assert (seen.status, seen.body) == (200, body)
        assert kept == [body]
        assert [event["bytes"] for event in journal(service)] == [len(body)]

    def test_a_broken_one_is_not(self, service: Service, adapter: Adapter) -> None:
        kept: list[bytes] = []
        with Upstream(dying(1_000_000, b"x" * 300_000)) as upstream:
            hold(service, lambda: Talk(to(upstream), lambda status, headers: Relay(status, headers, keep=kept.append)))
            with pytest.raises(UpstreamBrokenError):
                adapter.ask(service, [GET])
        assert kept == []
        assert [event["status"] for event in journal(service)] == [200]

    def test_nor_is_one_that_nobody_gets(self, service: Service, adapter: Adapter) -> None:
        kept: list[bytes] = []
        with Upstream(plain(200, [], b"12345")) as upstream:
            hold(service, lambda: Talk(to(upstream, "HEAD"), lambda status, headers: Relay(status, headers, keep=kept.append)))
            (seen,) = adapter.ask(service, [Asked("HEAD", GET.url)])
        assert (seen.body, seen.headers["content-length"], kept) == (b"", "5", [])

    @pytest.mark.parametrize(("size", "count"), [(1000, 1), (1001, 0)])
    def test_nor_is_a_long_one(self, service: Service, adapter: Adapter, size: int, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(upstreams, "KEPT_BYTES", 1000)
        kept: list[bytes] = []
        with Upstream(plain(200, [], b"x" * size)) as upstream:
            hold(service, lambda: Talk(to(upstream), lambda status, headers: Relay(status, headers, keep=kept.append)))
            (seen,) = adapter.ask(service, [GET])
        assert (len(seen.body or b""), len(kept)) == (size, count)

    def test_what_the_answer_says_joins_the_event(self, service: Service, adapter: Adapter) -> None:
        """And has no say over what the request said."""
        with Upstream(plain(200, [], b"12345")) as upstream:
            said = {"digest": "sha256:1", "tag": "evil"}
            hold(service, lambda: Talk(to(upstream), lambda status, headers: Relay(status, headers, said)), tag="1.0")
            for method in ("GET", "HEAD"):
                adapter.ask(service, [Asked(method, GET.url)])
        assert [event["variables"] for event in journal(service)] == [{"digest": "sha256:1", "tag": "1.0"}] * 2

    def test_as_it_does_where_the_answer_ends_too_soon(self, service: Service, adapter: Adapter) -> None:
        with Upstream(dying(1_000_000, b"x" * 300_000)) as upstream:
            hold(service, lambda: Talk(to(upstream), lambda status, headers: Relay(status, headers, {"digest": "sha256:1"})))
            with pytest.raises(UpstreamBrokenError):
                adapter.ask(service, [GET])
        assert [event["variables"] for event in journal(service)] == [{"digest": "sha256:1"}]

    @pytest.mark.parametrize("keep", [None, lambda _: pytest.fail("too long to be kept")], ids=["passing", "keeping"])
    def test_a_large_body_does_not_fill_the_memory(self, service: Service, adapter: Adapter, keep: Any) -> None:
        chunk, count = b"x" * 65_536, 512

        def script(_: Received, write: Write) -> None:
            write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (len(chunk) * count))
            for _number in range(count):
                write(chunk)

        with Upstream(script) as upstream:
            hold(service, lambda: Talk(to(upstream), lambda status, headers: Relay(status, headers, keep=keep)))
            tracemalloc.start()
            try:
                size = adapter.drain(service, GET)
                peak = tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()
        assert size == len(chunk) * count == 33_554_432
        # What is kept at most, and what an app and a connection need besides.
        assert peak < KEPT_BYTES + 8 * 1024 * 1024

    def test_the_connection_of_an_answer_without_a_body_is_kept(self, service: Service, adapter: Adapter) -> None:
        with HangingUp() as upstream:
            hold(service, lambda: Talk(to(upstream, "HEAD")))
            seen = adapter.ask(service, [Asked("HEAD", GET.url)] * 2)
        assert [answer.status for answer in seen] == [200, 200]
        # The second was asked on the first one's connection, which this upstream then closes, and once more on another.
        assert [len(heads) for heads in upstream.heads] == [2, 1]


# --- asking --------------------------------------------------------------------------------------------------------------


class TestAsking:
    def test_a_body_arrives_with_its_length(self, service: Service, adapter: Adapter) -> None:
        form = b"grant_type=refresh_token&refresh_token=x"
        with Upstream(plain(200, [], b"{}")) as upstream:
            lines = Headers({"content-type": "application/x-www-form-urlencoded"})
            step = Request("POST", f"http://{upstream.authority}/token", lines, form, private=True)
            hold(service, lambda: Talk(step))
            adapter.ask(service, [GET])
        (received,) = upstream.received
        assert (received.method, received.target, received.body) == ("POST", "/token", form)
        assert received.headers.get_all("content-length") == [str(len(form))]
        assert "transfer-encoding" not in received.headers

    def test_a_form_that_becomes_a_request(self, service: Service, adapter: Adapter) -> None:
        """The client's body is collected, and what it said is asked of an upstream."""
        with Upstream(lambda received, write: plain(200, [], received.body.upper())(received, write)) as upstream:

            def receive(body: bytes) -> Reception:
                return Reception(Proxy(lambda: Talk(to(upstream, "POST", body=body))))

            decide(service, lambda _: Collect(20, receive))
            seen = adapter.ask(service, [Asked("POST", GET.url, body=b"grant_type=password"), Asked("POST", GET.url, body=b"x" * 21)])
        assert [answer.status for answer in seen] == [200, 413]
        assert seen[0].body == b"GRANT_TYPE=PASSWORD"
        assert [received.body for received in upstream.received] == [b"grant_type=password"]
        (event,) = journal(service)
        assert (event["decision"], event["method"], event["target"]) == ("proxy", "POST", "127.0.0.1")

    @pytest.mark.parametrize("way", ["proxy", "respond", "collect"])
    def test_a_note_is_for_the_operator(self, service: Service, adapter: Adapter, caplog: pytest.LogCaptureFixture, way: str) -> None:
        answer = Respond(502, Headers({"x-a": "1"}), b"no", note="ghcr.example names a token server that is not its own")
        decisions: dict[str, Decision] = {
            "proxy": Proxy(lambda: Talk(answer)),
            "respond": answer,
            "collect": Collect(10, lambda _: Reception(answer)),
        }
        decide(service, lambda _: decisions[way])
        (seen,) = adapter.ask(service, [GET])
        assert [record.getMessage() for record in caplog.records if record.name.startswith("gatewaycore")] == [answer.note]
        assert (seen.status, seen.body) == (502, b"no")
        assert "names a token server" not in repr(seen)

    def test_a_timeout_of_its_own(self, service: Service, adapter: Adapter) -> None:
        done = threading.Event()
        with Upstream(lambda _, write: done.wait(10)) as upstream:
            hold(service, lambda: Talk(to(upstream, timeout_s=0.1)))
            (seen,) = adapter.ask(service, [GET])
            done.set()
        assert (seen.status, seen.body) == (502, b"timeout")

    @pytest.mark.parametrize("shared", [False, True])
    def test_a_deadline_for_all_that_is_asked(
        self, service: Service, adapter: Adapter, shared: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Time stands still here, but for what the conversation takes of it."""
        now = [100.0]
        monkeypatch.setattr("gatewaycore.upstreams.time.monotonic", lambda: now[0])
        asked: list[float | None] = []
        failures: list[Failure] = []

        with Upstream(plain(200, [], b"")) as upstream:

            def again(status: int, headers: Headers) -> Step:
                now[0] += 4.0
                return to(upstream, shared=shared, timeout_s=5.0)

            def failed(reason: Failure) -> Step:
                failures.append(reason)
                return to(upstream) if len(failures) < 3 else Respond(504)

            monkeypatch.setattr(adapter.room, "Attempt", noting(asked, adapter.room.Attempt))
            decide(service, lambda _: Proxy(lambda: Talk(to(upstream, shared=shared, timeout_s=5.0), again, failed), 10.0))
            (seen,) = adapter.ask(service, [GET])
        assert seen.status == 504
        # What is left of the ten seconds, and no more than it asks for itself; then nothing is sent any more.
        assert asked == [5.0, 5.0, 2.0]
        assert failures == ["timeout"] * 3

    @pytest.mark.parametrize("read", [False, True])
    def test_which_ends_with_the_head(self, service: Service, adapter: Adapter, read: bool, monkeypatch: pytest.MonkeyPatch) -> None:
        """A body takes its time. What counts is how long a socket is waited for, not how long it takes on this machine."""
        heard = threading.Event()
        connects, reads = note_timeouts(monkeypatch)

        def script(_: Received, write: Write) -> None:
            write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
            assert heard.wait(10)
            write(b"12345")

        def then(status: int, headers: Headers) -> Step:
            heard.set()
            return Read(5, lambda body: Respond(200, body=body or b"")) if read else Relay(status, headers)

        with Upstream(script) as upstream:
            hold(service, lambda: Talk(to(upstream, timeout_s=7.0), then))
            (seen,) = adapter.ask(service, [GET])
        assert (seen.status, seen.body) == (200, b"12345")
        (connect,) = connects
        assert 0 < connect <= 7
        assert reads == [7.0, *(pytest.approx(60) for _ in reads[1:])]
        assert len(reads) > 1

    def test_where_nothing_can_be_opened(self, service: Service, adapter: Adapter, monkeypatch: pytest.MonkeyPatch) -> None:
        """An error of this machine's is not a client that has gone away, and is raised as it is."""

        def missing(**_: object) -> Any:
            raise FileNotFoundError("SSL_CERT_FILE")

        monkeypatch.setattr(adapter.room, "open_client" if isinstance(adapter, Wsgi) else "open_async_client", missing)
        hold(service, lambda: Talk(Request("GET", "http://127.0.0.1:1/", Headers())))
        with pytest.raises(FileNotFoundError):
            adapter.ask(service, [GET])

    def test_an_address_that_is_not_connected_to(self, service: Service, adapter: Adapter) -> None:
        with Upstream(plain(200, [], b"12345")) as upstream:
            hold(service, lambda: Talk(Request("GET", f"http://{upstream.authority}/", Headers())))
            (seen,) = adapter.ask(service, [GET])
        assert (seen.status, seen.body, upstream.received) == (502, b"address", [])


def note_timeouts(monkeypatch: pytest.MonkeyPatch) -> tuple[list[Any], list[Any]]:
    """Return how long each connection, and each piece of an answer, is waited for."""
    connects: list[Any] = []
    reads: list[Any] = []

    def noted(kind: type, name: str, timeouts: list[Any]) -> None:
        original = getattr(kind, name)

        def wrapper(self: Any, *args: Any, **more: Any) -> Any:
            timeouts.append(more["timeout"] if "timeout" in more else args[2 if name == "connect_tcp" else 1])
            return original(self, *args, **more)

        monkeypatch.setattr(kind, name, wrapper)

    for backend in (httpcore.SyncBackend, httpcore.AnyIOBackend):
        noted(backend, "connect_tcp", connects)
    for stream in ("httpcore._backends.sync.SyncStream", "httpcore._backends.anyio.AnyIOStream"):
        module, _, name = stream.rpartition(".")
        noted(getattr(__import__(module, fromlist=[name]), name), "read", reads)
    return connects, reads


# --- one answer for all --------------------------------------------------------------------------------------------------


class TestShared:
    @pytest.mark.parametrize("fails", [False, True])
    def test_many_at_once_make_one_request(self, service: Service, adapter: Adapter, fails: bool, monkeypatch: pytest.MonkeyPatch) -> None:
        waiting = threading.Semaphore(0)
        monkeypatch.setattr(adapter.room, "_Flight", adapter.flight(waiting))

        def script(received: Received, write: Write) -> None:
            for _ in range(49):
                assert waiting.acquire(timeout=10)
            if not fails:
                plain(401, [("WWW-Authenticate", "Basic")], b"who is there?")(received, write)

        with Upstream(script) as upstream:
            hold(
                service,
                lambda: Talk(to(upstream, shared=True), lambda status, headers: Respond(status, body=headers["www-authenticate"].encode())),
            )
            seen = adapter.ask(service, [GET] * 50, at_once=True)
        assert {(answer.status, answer.body) for answer in seen} == {(502, b"protocol") if fails else (401, b"Basic")}
        assert len(seen) == 50
        assert len(upstream.received) == 1
        assert len(journal(service)) == 50

    def test_one_after_the_other_ask_again(self, service: Service, adapter: Adapter) -> None:
        with Upstream(plain(401, [], b"")) as upstream:
            hold(service, lambda: Talk(to(upstream, shared=True), lambda status, headers: Respond(status)))
            seen = adapter.ask(service, [GET] * 3)
        assert [answer.status for answer in seen] == [401] * 3
        assert len(upstream.received) == 3

    @pytest.mark.parametrize(
        "more", [{"private": False}, {"headers": Headers({"authorization": "Basic eA=="})}], ids=["private", "headers"]
    )
    def test_what_is_not_the_same_is_not_shared(self, service: Service, adapter: Adapter, more: dict[str, Any]) -> None:
        """Least of all with somebody who may not go there."""
        second = threading.Event()

        def script(received: Received, write: Write) -> None:
            if received.headers.get("authorization") is None:
                assert second.wait(10)
            plain(401, [], b"")(received, write)

        with Upstream(script) as upstream:
            url = f"http://{upstream.authority}/"

            def choose(request: Incoming) -> Decision:
                if request.path == "/first":
                    return Proxy(lambda: Talk(Request("GET", url, Headers(), private=True, shared=True), answer))
                step = Request("GET", url, **{"headers": Headers(), "private": True, "shared": True, **more})
                return Proxy(lambda: Talk(step, lambda status, headers: end(status), lambda reason: end(502)))

            def answer(status: int, headers: Headers) -> Step:
                return Respond(status)

            def end(status: int) -> Step:
                second.set()
                return Respond(status)

            decide(service, choose)
            seen = adapter.ask(service, [Asked("GET", "https://scripted.example/first"), GET], at_once=True)
        assert [answer.status for answer in seen] == [401, 502 if "private" in more else 401]

    def test_nothing_of_it_is_passed_on(self, service: Service, adapter: Adapter) -> None:
        with Upstream(plain(200, [], b"12345")) as upstream:
            hold(service, lambda: Talk(to(upstream, shared=True), lambda status, headers: Relay(200, Headers())))
            (seen,) = adapter.ask(service, [GET])
        assert (seen.status, seen.body) == (502, b"")

    @pytest.mark.parametrize("size", [5, 300_000], ids=["small", "large"])
    @pytest.mark.parametrize("limit", [300_000, 4], ids=["whole", "too-long"])
    def test_many_at_once_read_one_body(
        self, service: Service, adapter: Adapter, size: int, limit: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """And whoever was first has made sense of it before the others look at it."""
        waiting = threading.Semaphore(0)
        monkeypatch.setattr(adapter.room, "_Flight", adapter.flight(waiting))
        read: list[bytes | None] = []
        made: list[bytes | None] = []

        def script(received: Received, write: Write) -> None:
            for _ in range(19):
                assert waiting.acquire(timeout=10)
            plain(200, [], b"x" * size)(received, write)

        def take(body: bytes | None) -> Step:
            read.append(body)
            if not made:
                # Long enough for another thread to begin, were it let to.
                time.sleep(0.01)
                made.append(body)
            return Respond(200, body=b"nothing" if body is None else str(len(body)).encode())

        with Upstream(script) as upstream:
            hold(service, lambda: Talk(to(upstream, shared=True), lambda status, headers: Read(limit, take)))
            seen = adapter.ask(service, [GET] * 20, at_once=True)
        assert {(answer.status, answer.body) for answer in seen} == {(200, b"nothing" if limit < size else str(size).encode())}
        assert len(upstream.received) == len(made) == 1
        assert len(read) == 20
        assert all(body is read[0] for body in read)

    @pytest.mark.parametrize("first", [True, False], ids=["cut-short", "unwanted"])
    def test_a_body_that_is_missing_is_missing_for_all(
        self, service: Service, adapter: Adapter, first: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        waiting = threading.Semaphore(0)
        monkeypatch.setattr(adapter.room, "_Flight", adapter.flight(waiting))
        heads: list[int] = []

        def script(received: Received, write: Write) -> None:
            for _ in range(4):
                assert waiting.acquire(timeout=10)
            write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nConnection: close\r\n\r\n12345" + (b"" if first else b"6789"))

        def take(status: int, headers: Headers) -> Step:
            heads.append(status)
            return Read(100, unreachable) if first or len(heads) > 1 else Respond(502, body=b"protocol")

        with Upstream(script) as upstream:
            hold(service, lambda: Talk(to(upstream, shared=True), take))
            seen = adapter.ask(service, [GET] * 5, at_once=True)
        assert [(answer.status, answer.body) for answer in seen] == [(502, b"protocol")] * 5
        assert len(upstream.received) == 1


class TestSendingOn:
    @pytest.mark.parametrize("reads", [False, True], ids=["head", "body"])
    @pytest.mark.parametrize("shared", [False, True], ids=["alone", "shared"])
    def test_a_conversation_may_end_with_a_redirect(self, service: Service, adapter: Adapter, reads: bool, shared: bool) -> None:
        """Its event is that of any redirect: the upstream that was asked is not where the client went."""
        away = Redirect("https://files.example/x", 302)
        with Upstream(plain(200, [], b"12345")) as upstream:
            hold(service, lambda: Talk(to(upstream, shared=shared), lambda *_: Read(100, lambda body: away) if reads else away))
            (seen,) = adapter.ask(service, [GET])
        assert (seen.status, seen.body, seen.headers["location"]) == (302, b"", "https://files.example/x")
        (event,) = journal(service)
        assert (event["decision"], event["status"], event["target"], event["bytes"]) == ("redirect", 302, "files.example", 0)
