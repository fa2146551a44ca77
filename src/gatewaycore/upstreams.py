"""Upstreams: what every adapter knows of asking one over httpx: how long, how many, how often, and a conversation's words for the outcome.

An adapter only sends and streams. What is asked, and what becomes of the answer, is the conversation's (`gatewaycore.decision.Proxy`).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, TypeAlias

import httpx
from attrs import evolve, frozen

from gatewaycore.connecting import TIMEOUT_S, was_forbidden
from gatewaycore.decision import (
    KEPT_BYTES,
    Conversation,
    Failure,
    Proxy,
    Read,
    Redirect,
    Relay,
    Respond,
    Step,
    Upstream,
    onward,
    without_body,
)
from gatewaycore.gateway import Outcome
from gatewaycore.headers import Headers, end_to_end, length

_log = logging.getLogger("gatewaycore.upstreams")

Trace: TypeAlias = Callable[[str, Any], Awaitable[None] | None]
"""What httpx calls as a request makes its way; a function for a `Client`, a coroutine function for an `AsyncClient`."""

Watch: TypeAlias = Callable[[Outcome, Upstream, int, httpx.Response | Failure], None]
"""Is told of each request to an upstream, when the head of its answer is there: for whom it was, when it was sent (`time.time_ns`), and
what came of it."""

UNANSWERED = (httpx.HTTPError, httpx.InvalidURL)
"""What httpx raises where there is no answer; a URL longer than it takes is none of its `HTTPError`s."""
_HUNG_UP = (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError)


def unwatched(_: Outcome, __: Upstream, ___: int, ____: httpx.Response | Failure) -> None:
    """Watch nothing."""


class UpstreamBrokenError(Exception):
    """The upstream ended in the middle of an answer, whose beginning the client has already: the connection must not end well."""


class Attempt:
    """One request, and whether it is worth sending again.

    An upstream may close a connection that was kept just as the next request is sent on it. Such a request is sent once more, if it is safe
    to (RFC 9110 §9.2.2, RFC 9112 §9.3.1): GET or HEAD, on a connection that others had before it, and nothing has come back.
    """

    __slots__ = ("_again", "_kept", "_opened", "_timeouts", "_upstream")

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._timeouts: dict[str, float] = {}
        self._again = upstream.method in ("GET", "HEAD")
        self._opened = self._kept = False

    def request(self, trace: Trace) -> httpx.Request:
        """Return the request to send: these header lines and no others, but for the ``Host`` of the URL and the length of a body.

        Args:
            trace: passes what it is called with on to `note`.

        Raises:
            httpx.InvalidURL: the URL is longer than httpx takes.
        """
        upstream = self._upstream
        extensions: dict[str, Any] = {"trace": trace}
        if upstream.timeout_s is not None:
            self._timeouts = dict.fromkeys(("connect", "read", "write", "pool"), upstream.timeout_s)
            extensions["timeout"] = self._timeouts
        content = upstream.body or None
        return httpx.Request(upstream.method, upstream.url, headers=upstream.headers.raw, content=content, extensions=extensions)

    def answered(self) -> None:
        """Give the body of an answer whose head is there as much time as any other: it is looked up when the body is read."""
        if self._timeouts:
            self._timeouts["read"] = TIMEOUT_S

    def note(self, event: str, _: object) -> None:
        """Learn from httpx which connection it takes."""
        if event == "connection.connect_tcp.started":
            self._opened = True
        elif event == "http11.send_request_headers.started":
            self._kept = not self._opened

    def again(self, error: Exception) -> bool:
        """Tell whether to send the request a second time after `error`; True at most once."""
        worth = self._again and self._kept and isinstance(error, _HUNG_UP)
        self._again = False
        return worth


def likeness(upstream: Upstream) -> Hashable:
    """Return what is equal for requests of which one answer serves all: where they may be sent, and every line of them."""
    return upstream.method, upstream.url, tuple(upstream.headers.raw), upstream.body, upstream.private


def ends_with_head(answer: httpx.Response) -> bool:
    """Tell whether an answer is whole with its head: its connection can be kept as soon as its end was read, which takes no waiting."""
    if without_body(answer.status_code, answer.request.method):
        return True
    return answer.headers.get("content-length") == "0" and "transfer-encoding" not in answer.headers


def received(answer: httpx.Response) -> Headers | None:
    """Return an upstream's header lines, without those that concern its connection only.

    None where nobody can tell how long the body is (RFC 9112 §6.3, item 5): each reader behind us would see it in its own way, and what one
    takes for a body is the next answer to another. Lengths that are repeated and equal have been joined by the HTTP parser.
    """
    headers = end_to_end(Headers.from_raw([(name.lower(), value) for name, value in answer.headers.raw]))
    lengths = [value for name, value in headers.raw if name == b"content-length"]
    return headers if not lengths or (len(lengths) == 1 and length(lengths[0]) is not None) else None


@frozen
class Heard:
    """The head of an answer, as a conversation takes it: with nothing that concerns the upstream's connection only."""

    status: int
    headers: Headers


def hear(answer: httpx.Response | Failure) -> Heard | Failure:
    """Return the head of an answer, or why there is none."""
    if not isinstance(answer, httpx.Response):
        return answer
    headers = received(answer)
    return "protocol" if headers is None else Heard(answer.status_code, headers)


def tell(conversation: Conversation, heard: Heard | Failure) -> Step:
    """Tell a conversation what came of its last request; return what it wants done."""
    return conversation.receive(heard.status, heard.headers) if isinstance(heard, Heard) else conversation.fail(heard)


def failure(error: Exception) -> Failure:
    """Return what went wrong, in the conversation's words."""
    if was_forbidden(error):
        _log.warning("an upstream's name has no address that may be connected to; allow-private-backends permits those of private networks")
        return "address"
    if isinstance(error, httpx.TimeoutException):
        return "timeout"
    return "connect" if isinstance(error, httpx.ConnectError) else "protocol"


def conclude(step: Step) -> Respond | Redirect:
    """Return the answer that a conversation has come to, and log what the operator should know of it."""
    answer = step if isinstance(step, Respond | Redirect) else Respond(502)
    report(answer)
    return answer


def report(answer: Redirect | Respond) -> None:
    """Log what the operator should know of an answer from here."""
    if answer.note:
        _log.warning("%s", answer.note)


def resume(conversation: Conversation, read: Read, body: Body | Failure) -> Upstream | Respond | Redirect:
    """Hand the body of an answer over, or say why there is none; return what a conversation wants done."""
    return onward(read.receive(body.whole) if isinstance(body, Body) else conversation.fail(body))


@frozen
class Landed:
    """The answer to a shared request, for all who waited for it.

    Attributes:
        heard: its head, or why there is none.
        body: its body, or why there is none, as far as whoever asked has read it; None where nobody wanted it.
    """

    heard: Heard | Failure
    body: Body | Failure | None = None

    def tell(self, conversation: Conversation) -> Upstream | Respond | Redirect:
        """Tell it to the conversation of another who waited; return what that wants done."""
        step = tell(conversation, self.heard)
        if isinstance(step, Read):
            # Who asked did not want the body that this one wants: then they did not ask the same.
            return resume(conversation, step, "protocol" if self.body is None else self.body)
        return onward(step)


class Deadline:
    """When a conversation must have come to its answer.

    Args:
        proxy: says how long it may take, from now on.
    """

    __slots__ = ("_body_ends_at", "_ends_at")

    def __init__(self, proxy: Proxy) -> None:
        self._body_ends_at = 0.0
        self._ends_at = None if proxy.deadline_s is None else time.monotonic() + proxy.deadline_s

    def hold(self, answer: httpx.Response) -> None:
        """Let the body of an answer that the conversation waits for take no longer than what is left, and a minute at the most."""
        now = time.monotonic()
        self._body_ends_at = now + TIMEOUT_S if self._ends_at is None else min(now + TIMEOUT_S, self._ends_at)
        # Looked up when the body is read, as in `Attempt.answered`.
        answer.request.extensions["timeout"]["read"] = max(0.001, self._body_ends_at - now)

    @property
    def is_over(self) -> bool:
        """Whether the body that is held has had its time: piece by piece it could take as long as it likes."""
        return time.monotonic() >= self._body_ends_at

    @property
    def left(self) -> float | None:
        """How long the head of the next answer may take altogether: line by line it could take as long as it likes. None is for ever."""
        return None if self._ends_at is None else max(0.001, self._ends_at - time.monotonic())

    def share(self, upstream: Upstream) -> Upstream | None:
        """Return a request with no more time than is left, or None when there is none."""
        if self._ends_at is None:
            return upstream
        left = self._ends_at - time.monotonic()
        if left <= 0:
            return None
        return upstream if upstream.timeout_s is not None and upstream.timeout_s <= left else evolve(upstream, timeout_s=left)


class Copy:
    """A copy of a body that is passed on, as long as it is wanted and not too long.

    Args:
        relay: says whether it is wanted.
    """

    __slots__ = ("_bytes", "_keep", "_pieces")

    def __init__(self, relay: Relay) -> None:
        self._keep = relay.keep
        self._pieces: list[bytes] = []
        self._bytes = 0

    def add(self, chunk: bytes) -> None:
        """Take a chunk."""
        if self._keep is None:
            return
        self._bytes += len(chunk)
        if self._bytes > KEPT_BYTES:
            self._keep, self._pieces = None, []
        else:
            self._pieces.append(chunk)

    def end(self) -> None:
        """Hand the whole body over."""
        if self._keep is not None:
            self._keep(b"".join(self._pieces))


class Body:
    """The body of an answer that a conversation reads before it goes on.

    Args:
        read: says how long it may be.
    """

    __slots__ = ("_left", "_pieces")

    def __init__(self, read: Read) -> None:
        self._left = read.limit
        self._pieces: list[bytes] = []

    def add(self, chunk: bytes) -> bool:
        """Take a chunk; False when it is too long, and nothing more is needed."""
        self._left -= len(chunk)
        self._pieces.append(chunk)
        return self._left >= 0

    def __len__(self) -> int:
        return sum(map(len, self._pieces))

    @property
    def whole(self) -> bytes | None:
        """The body, or None when it is too long."""
        if self._left < 0:
            self._pieces.clear()
            return None
        # One piece from now on: many may have waited for it.
        self._pieces = [b"".join(self._pieces)]
        return self._pieces[0]


class Measure:
    """Holds the body of an answer against the length that the client is told.

    A server may send what it is given as it is given: a byte too many is the beginning of the next answer on a connection that is kept, and
    a byte too few leaves the client to take the next answer for the rest of this one.

    Args:
        headers: of the answer as the client sees it.
    """

    __slots__ = ("_left",)

    def __init__(self, headers: Headers) -> None:
        announced = headers.first(b"content-length")
        self._left = None if announced is None else length(announced)

    def add(self, chunk: bytes) -> None:
        """Take a chunk into account, before it is passed on.

        Raises:
            UpstreamBrokenError: the body is longer than announced.
        """
        if self._left is not None:
            self._left -= len(chunk)
            if self._left < 0:
                raise UpstreamBrokenError

    def end(self) -> None:
        """Take note that there is no more.

        Raises:
            UpstreamBrokenError: the body is shorter than announced.
        """
        if self._left:
            raise UpstreamBrokenError
