"""What the gateway may answer: `Redirect`, `Respond`, `Collect` or `Proxy`.

A tagged union, to be taken apart with ``match`` and closed with ``assert_never``. Decisions describe; adapters perform.
None of them is ever subclassed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, Protocol, TypeAlias

from attrs import define, field, frozen

from gatewaycore.headers import Headers

NO_HEADERS = Headers()
TEXT = Headers([("content-type", "text/plain; charset=utf-8"), ("x-content-type-options", "nosniff")])


@define(slots=True)
class Redirect:
    """Send the client elsewhere (RFC 9110 §15.4). Not frozen for speed alone: nobody mutates it.

    Attributes:
        location: an absolute URL, ASCII, free of control characters.
        status: 301, 302, 303, 307 or 308.
        headers: further response headers.
        note: what the operator should know of it; see `Respond`.
    """

    location: str
    status: int
    headers: Headers = NO_HEADERS
    note: str = field(default="", kw_only=True)
    _lines: tuple[tuple[bytes, bytes], ...] | None = field(default=None, init=False, repr=False, eq=False)

    @property
    def lines(self) -> tuple[tuple[bytes, bytes], ...]:
        """The header lines of the answer, encoded once, for a redirect may be sent many times."""
        lines = self._lines
        if lines is None:
            lines = self._lines = ((b"location", self.location.encode("latin-1")), (b"content-length", b"0"), *self.headers.raw)
        return lines


@frozen
class Respond:
    """Answer from here.

    Attributes:
        counts: whether it is an event although its status is one of refusal: a challenge is a step of a conversation.
        kept: whether it was at hand, and is nobody's whom a conversation has asked before.
        note: what the operator should know of it, where that is more than the client is told; an adapter logs it. Never a credential.
    """

    status: int
    headers: Headers = NO_HEADERS
    body: bytes = b""
    counts: bool = field(default=False, kw_only=True)
    kept: bool = field(default=False, kw_only=True)
    note: str = field(default="", kw_only=True)


@frozen
class Reception:
    """What a body turned out to be: the answer, and the events in it (each a mapping of flattened names to text)."""

    decision: Redirect | Respond | Proxy
    entries: tuple[Mapping[str, str], ...] = ()


@frozen
class Collect:
    """The rule needs the body. The adapter reads at most `limit` bytes and calls `receive(body)`; more is answered with `too_large`."""

    limit: int
    receive: Callable[[bytes], Reception]
    too_large: Respond = field(factory=lambda: Respond(413, TEXT, b"the body is larger than this gateway takes\n"))


@frozen
class Upstream:
    """A request to send upstream.

    Attributes:
        url: absolute; its authority comes from the configuration, or has passed a check against it.
        headers: all of them, but for the ``Host`` of the URL and the length of the body.
        body: what a token server reads of a form; nothing of a client's is passed on as one.
        private: whether it may be at an address of a private network or of this machine; see `gatewaycore.addresses`.
        shared: whether one answer serves everybody who sends the same meanwhile. Whoever was first takes it in before the others have it,
            and what that conversation reads of its body, or leaves unread, is what the others get.
        timeout_s: how long to wait for a connection, and how long for each piece of the head of the answer; None for as long as ever.
    """

    method: str
    url: str
    headers: Headers
    body: bytes = b""
    private: bool = False
    shared: bool = False
    timeout_s: float | None = None


@frozen
class Relay:
    """Pass the upstream's answer on: this status, these headers, and its body as it streams.

    Attributes:
        variables: what the answer says of what was fetched; they join those of its event.
        keep: takes the whole body when its last piece is there, if that is no longer than `KEPT_BYTES`.
    """

    status: int
    headers: Headers
    variables: Mapping[str, str] = field(factory=dict)
    keep: Callable[[bytes], object] | None = None


KEPT_BYTES = 4 * 1024 * 1024
"""As large as a manifest may be (OCI distribution-spec v1.1 §"Pushing Manifests")."""


@frozen
class Read:
    """Read the body of this answer, and call ``receive(body)``: with None where it is longer than `limit` bytes.

    Then it is gone. What follows is another request, or an answer from here.
    """

    limit: int
    receive: Callable[[bytes | None], Step]


Step: TypeAlias = Upstream | Relay | Respond | Redirect | Read
"""What a conversation wants done: ask (again), pass the answer on, answer from here, send the client on, or read a body first."""


def onward(step: Step) -> Upstream | Respond | Redirect:
    """Return what a conversation wants done where there is no body, or none any more: what would need one is answered with 502."""
    return step if isinstance(step, Upstream | Respond | Redirect) else Respond(502)


Failure: TypeAlias = Literal["connect", "timeout", "protocol", "address"]
"""Why there is no answer: nobody there; too late; no HTTP; or an address that this gateway does not connect to."""

MOST_TURNS = 64
"""Requests that one conversation may make, whatever it wants: each has bounds of its own, far below."""


class Conversation(Protocol):
    """A conversation with an upstream, sans-I/O in the manner of h11. One object serves one request."""

    def start(self) -> Step:
        """Return the first request to send, or the answer where none is needed."""
        ...

    def receive(self, status: int, headers: Headers) -> Step:
        """Take the status line and headers of an answer; return what to do: ask again, read or pass on its body, or answer from here."""
        ...

    def fail(self, reason: Failure) -> Step:
        """Take a failure to get an answer, or to get anything of one to be relayed while nothing of it has left; return what to do."""
        ...


@frozen
class Proxy:
    """Fetch the answer from an upstream: `open()` begins a fresh conversation.

    Attributes:
        deadline_s: how long it may take to come to an answer; whatever is asked for after that is a "timeout". None for as long as each
            request may take.
    """

    open: Callable[[], Conversation]
    deadline_s: float | None = None


Decision: TypeAlias = Redirect | Respond | Collect | Proxy
DecisionName: TypeAlias = Literal["redirect", "proxy", "respond"]

STATUSES = frozenset({301, 302, 303, 307, 308})


def redirect_status(configured: int, method: str) -> int:
    """Return the status for `method`: a method other than GET and HEAD keeps method and body (RFC 9110 §15.4.8, §15.4.9)."""
    if method in ("GET", "HEAD") or configured in (307, 308):
        return configured
    return 308 if configured == 301 else 307


def without_body(status: int, method: str) -> bool:
    """Tell whether an answer to `method` ends with its headers (RFC 9112 §6.3)."""
    return method == "HEAD" or status in BODILESS


def shown(answer: Redirect | Respond, method: str) -> bytes:
    """Return the body that is sent for an answer from here."""
    return b"" if isinstance(answer, Redirect) or without_body(answer.status, method) else answer.body


def wire_headers(answer: Redirect | Respond) -> list[tuple[bytes, bytes]]:
    """Return the header lines of an answer from here, its length included, as ASGI sends them (lower-case names, bytes)."""
    if isinstance(answer, Redirect):
        return list(answer.lines)
    if answer.status in BODILESS:
        return answer.headers.raw
    return [*answer.headers.raw, (b"content-length", str(len(answer.body)).encode())]


BODILESS = frozenset({204, 304})
"""Answers that have neither a body nor a length of one (RFC 9110 §8.6)."""
