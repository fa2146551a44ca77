"""Package type `event`: telemetry. A path template, a query or a JSON body; the answer is 200, whatever was sent along."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import ClassVar, Literal

from attrs import define, evolve, field, frozen

from gatewaycore.decision import TEXT, Collect, Decision, Reception, Respond
from gatewaycore.errors import ConfigError, Problem
from gatewaycore.event import Observation
from gatewaycore.headers import Headers
from gatewaycore.request import Request
from gatewaycore.route import Match, Pattern, Route
from gatewaycore.rules.access import admits, is_hashed
from gatewaycore.rules.file import RouteSettings, compiled, meaning, source, too_many, ways
from gatewaycore.rules.limits import DEFAULT_LIMITS, Limits
from gatewaycore.rules.variables import BodyError, Subject, TooManyEventsError, body_entries, query_variables

_FORM = b"application/x-www-form-urlencoded"
_BEARER = "bearer "
# Telemetry comes from browsers too: any page may send it, and none may read anything back.
_OPEN = [("access-control-allow-origin", "*"), ("cache-control", "no-store")]
_PREFLIGHT = Respond(
    204,
    Headers(
        [
            *_OPEN,
            ("access-control-allow-methods", "GET, HEAD, POST, PUT, OPTIONS"),
            ("access-control-allow-headers", "authorization, content-type"),
            ("access-control-max-age", "86400"),
        ]
    ),
)
_UNAUTHORIZED = Respond(
    401,
    Headers([*_OPEN, *TEXT.items(), ("www-authenticate", 'Bearer realm="events"')]),
    b"this package takes events with a listed bearer token only\n",
)
_ANSWERS = {status: Respond(status, Headers(_OPEN)) for status in (200, 204)}


@frozen(kw_only=True)
class EventRule:
    """Settings of an `event` package.

    Attributes:
        name, domain, id, incoming_path, routes, priority, variables, limits: as a `file` package has them, without an outgoing URL.
        access_tokens: SHA-256 hashes of the bearer tokens that are let in (``sha256:…``, see `hash_token`); none means anybody.
        response_status: 200, or 204 for those who want no content.
    """

    name: str
    domain: str
    id: str | None = None
    incoming_path: str | None = None
    routes: tuple[RouteSettings, ...] = ()
    access_tokens: tuple[str, ...] = ()
    response_status: Literal[200, 204] = 200
    priority: int = 0
    variables: Mapping[str, str] = field(factory=dict)
    limits: Limits = DEFAULT_LIMITS

    def compile(self) -> Sequence[Route]:
        """Make one route of each path.

        Raises:
            ConfigError: a path cannot be compiled; there is none, one leads somewhere, or a token is not hashed. Holds all that is wrong.
        """
        problems: list[Problem] = []
        tokens = tuple(token.lower() for token in self.access_tokens)
        if not all(map(is_hashed, tokens)):
            # Not repeated: it is most likely the secret itself.
            problems.append(Problem("access-tokens", "a token that is not hashed", "write sha256: and its SHA-256 in 64 hex digits"))
        found = meaning(self.variables, problems)
        subject = Subject(self.id or self.name, "event", "event", found)
        routes: list[Route] = []
        for at, way in ways(self, problems):
            if way.outgoing_url:
                problems.append(Problem(f"{at}outgoing-url", "an event package leads nowhere", "use type: file for a redirect"))
            matched, _ = compiled(at, evolve(way, outgoing_url=None), frozenset(), problems)
            if matched is not None and not problems:
                routes.append(
                    EventRoute(
                        domain=self.domain,
                        source=source(way),
                        pattern=matched,
                        priority=way.priority,
                        subject=subject,
                        tokens=tokens,
                        answer=_ANSWERS[self.response_status],
                        limits=self.limits,
                    )
                )
        if problems:
            raise ConfigError(problems)
        return routes


@define(slots=True, eq=False)
class EventRoute:
    """A compiled path of an `event` package."""

    steady: ClassVar[bool] = False

    domain: str
    source: str
    pattern: Pattern
    priority: int
    subject: Subject
    tokens: tuple[str, ...]
    answer: Respond
    limits: Limits

    @property
    def label(self) -> str:
        """The domain and the path as configured."""
        return self.domain + self.source

    @property
    def package(self) -> str:
        """The package's id or name."""
        return self.subject.package

    def decide(self, request: Request, match: Match) -> Decision:
        """Answer 200, after reading the body where there may be one; 401 without a listed token."""
        if request.method == "OPTIONS":
            return _PREFLIGHT
        if self.tokens and not self._admits(request):
            return _UNAUTHORIZED
        if request.method in ("GET", "HEAD"):
            return self.answer
        return Collect(self.limits.body_bytes, partial(self._receive, request))

    def _admits(self, request: Request) -> bool:
        sent = request.headers.get("authorization") or ""
        if sent[: len(_BEARER)].lower() != _BEARER:
            return False
        return admits(self.tokens, sent[len(_BEARER) :].strip().encode("latin-1", "replace"))

    def _receive(self, request: Request, body: bytes) -> Reception:
        try:
            if _is_form(request, body):
                entries: tuple[Mapping[str, str], ...] = (query_variables(body.decode("utf-8", "replace").strip()),)
            else:
                entries = body_entries(body, self.limits.events_beside(request.path, request.query))
        except TooManyEventsError as error:
            return Reception(too_many(error))
        except BodyError as error:
            return Reception(Respond(400, Headers([*_OPEN, *TEXT.items()]), f"{error}\n".encode()))
        return Reception(self.answer, entries)

    def observe(self, request: Request, match: Match, entry: Mapping[str, str] | None = None) -> Observation | None:
        """Return an event; a preflight is none."""
        if request.method == "OPTIONS":
            return None
        return self.subject.observe(self.domain + self.source, match.variables, request.query, entry or {})


def _is_form(request: Request, body: bytes) -> bool:
    # ``curl -d '{"a": 1}'`` calls its JSON a form.
    kind = (request.headers.first(b"content-type") or b"").split(b";")[0].strip().lower()
    return kind == _FORM and not body.lstrip().startswith((b"{", b"["))
