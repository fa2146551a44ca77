"""Upstreams: what is worth a second try, what of an answer can be told, and whether its body has the length that was announced."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from attrs import evolve

from gatewaycore.decision import Failure, Relay, Respond, Upstream
from gatewaycore.headers import Headers
from gatewaycore.upstreams import Attempt, Measure, UpstreamBrokenError, ends_with_head, failure, hear, likeness, received, tell

KEPT = ("http11.send_request_headers.started", "http11.send_request_headers.complete")
NEW = ("connection.connect_tcp.started", "connection.connect_tcp.complete", *KEPT)
HUNG_UP = httpx.RemoteProtocolError("Server disconnected without sending a response.")


def attempt(method: str = "GET", events: tuple[str, ...] = KEPT) -> Attempt:
    made = Attempt(Upstream(method, "https://ghcr.example/v2/", Headers({"X": "1"})))
    for event in events:
        made.note(event, {})
    return made


class TestAttempt:
    def test_nothing_is_added_to_a_request_but_its_host(self) -> None:
        request = attempt().request(lambda event, info: None)
        assert (request.method, str(request.url)) == ("GET", "https://ghcr.example/v2/")
        assert request.headers.raw == [(b"Host", b"ghcr.example"), (b"x", b"1")]

    @pytest.mark.parametrize("error", [HUNG_UP, httpx.ReadError(""), httpx.WriteError("")])
    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    def test_once_where_a_kept_connection_was_just_closed(self, method: str, error: Exception) -> None:
        made = attempt(method)
        assert [made.again(error), made.again(error)] == [True, False]

    @pytest.mark.parametrize(
        ("made", "error"),
        [
            (attempt("POST"), HUNG_UP),
            (attempt(events=NEW), HUNG_UP),
            (attempt(events=()), HUNG_UP),
            (attempt(), httpx.ReadTimeout("")),
            (attempt(), httpx.ConnectError("")),
            (attempt(), httpx.LocalProtocolError("")),
            (attempt(), httpx.InvalidURL("")),
        ],
        ids=["not safe", "new connection", "no connection", "timeout", "not reached", "cannot be sent", "no URL"],
    )
    def test_never_otherwise(self, made: Attempt, error: Exception) -> None:
        assert not made.again(error)


@pytest.mark.parametrize(
    ("method", "status", "lines", "ends"),
    [
        ("HEAD", 200, [("Content-Length", "5")], True),
        ("HEAD", 200, [("Transfer-Encoding", "chunked")], True),
        ("GET", 204, [], True),
        ("GET", 304, [("Content-Length", "5")], True),
        ("GET", 307, [("Content-Length", "0")], True),
        ("GET", 200, [], False),
        ("GET", 200, [("Content-Length", "5")], False),
        ("GET", 200, [("Content-Length", "0"), ("Transfer-Encoding", "chunked")], False),
    ],
)
def test_what_ends_with_its_head(method: str, status: int, lines: list[tuple[str, str]], ends: bool) -> None:
    answer = httpx.Response(status, headers=lines, request=httpx.Request(method, "https://ghcr.example/v2/"))
    assert ends_with_head(answer) is ends


def test_what_is_alike_has_one_answer() -> None:
    step = Upstream("GET", "https://ghcr.example/v2/", Headers({"accept": "a/b"}), shared=True)
    assert likeness(step) == likeness(evolve(step, headers=Headers({"Accept": "a/b"}), timeout_s=5.0))
    others: list[dict[str, Any]] = [
        {"method": "HEAD"},
        {"url": "https://ghcr.example/"},
        {"headers": Headers()},
        {"body": b"x"},
        {"private": True},
    ]
    assert len({likeness(step), *(likeness(evolve(step, **other)) for other in others)}) == 1 + len(others)


class Talk:
    """A conversation that passes everything on."""

    def start(self) -> Upstream:
        raise AssertionError

    def receive(self, status: int, headers: Headers) -> Relay:
        return Relay(status, headers)

    def fail(self, reason: Failure) -> Respond:
        return Respond(502, body=reason.encode())


@pytest.mark.parametrize(
    ("lines", "left"),
    [
        ([("X", "1"), ("Connection", "x")], []),
        ([("Content-Length", "5")], [("content-length", "5")]),
        ([("Content-Length", "50"), ("Transfer-Encoding", "chunked")], []),
        ([("Content-Length", "5"), ("Content-Length", "6"), ("Transfer-Encoding", "gzip, chunked")], []),
    ],
)
def test_an_answer_is_told_with_the_length_that_its_body_has(lines: list[tuple[str, str]], left: list[tuple[str, str]]) -> None:
    assert tell(Talk(), hear(httpx.Response(200, headers=lines))) == Relay(200, Headers(left))


@pytest.mark.parametrize("lengths", [["5", "6"], ["5", "5"], ["5, 5"], ["-5"], ["five"], [""]])
def test_a_length_that_nobody_can_tell_is_no_answer(lengths: list[str]) -> None:
    answer = httpx.Response(200, headers=[("Content-Length", value) for value in lengths])
    assert received(answer) is None
    assert tell(Talk(), hear(answer)) == Respond(502, body=b"protocol")


def test_a_failure_is_told_in_the_conversations_words() -> None:
    assert tell(Talk(), "timeout") == Respond(502, body=b"timeout")
    assert failure(httpx.ConnectTimeout("")) == "timeout"
    assert failure(httpx.ConnectError("")) == "connect"
    assert failure(UpstreamBrokenError()) == "protocol"


class TestMeasure:
    @pytest.mark.parametrize("headers", [Headers(), Headers({"content-length": "5"}), Headers({"content-length": "many"})])
    def test_as_announced_or_not_announced(self, headers: Headers) -> None:
        measure = Measure(headers)
        measure.add(b"123")
        measure.add(b"45")
        measure.end()

    def test_too_long(self) -> None:
        measure = Measure(Headers({"content-length": "5"}))
        measure.add(b"123")
        with pytest.raises(UpstreamBrokenError):
            measure.add(b"456")

    def test_too_short(self) -> None:
        measure = Measure(Headers({"content-length": "5"}))
        measure.add(b"1234")
        with pytest.raises(UpstreamBrokenError):
            measure.end()
