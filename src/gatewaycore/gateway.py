"""Gateway: `decide(request) -> Outcome`. Floors 0 to 4 end here: no socket, no clock, no file, no randomness."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Protocol, assert_never

from attrs import define

from gatewaycore.decision import TEXT, Collect, Decision, DecisionName, Proxy, Redirect, Respond
from gatewaycore.privacy import redact
from gatewaycore.request import Request
from gatewaycore.route import Match, Route
from gatewaycore.router import Router

NOT_FOUND = Respond(404, TEXT, b"nothing is served under this address\n")

TARGETS: Final = "/.well-known/redirect-targets.json"
"""Where each domain tells which hosts it may redirect to (RFC 8615)."""

KEPT = 4096
"""Answers that a gateway keeps; the most asked-for paths of a gateway are few, and most of its requests are for them."""

SEEN = 8192
"""Requests that a gateway remembers, as a number each, to recognise the second of its kind."""

KEPT_LENGTH = 512
"""Characters of path and query up to which an answer is kept: thousands of paths as long as a server takes would fill the memory."""


@define(slots=True, eq=False)
class Settled:
    """An answer that is the same for every request with this method, host, path and query.

    Attributes:
        decision: the redirect.
        match: the route that won.
        columns, names_arch, suspect: the recorder's note: what all events of this answer have in common, encoded; whether an architecture
            is part of it; and whether something in it looks like an address.
        counted: where it is counted, as whoever counts has noted.
    """

    decision: Redirect
    match: Match
    columns: bytes | None = None
    names_arch: bool = False
    suspect: bool = False
    counted: int | None = None


@define(slots=True)
class Outcome:
    """What was decided, and what is needed to record it. Nobody mutates it.

    Attributes:
        request: the request.
        decision: what to answer.
        match: which route won, with its variables; None when none did.
        settled: the answer as the gateway keeps it, where it does.
        trace: whoever traces this request has noted here what it needs.
    """

    request: Request
    decision: Decision
    match: Match | None
    settled: Settled | None = None
    trace: object = None

    @property
    def rule(self) -> str | None:
        """The label of the rule that won."""
        return None if self.match is None else self.match.route.label


class Targets(Protocol):
    """Tell, on each domain, where it may redirect to."""

    def answer(self, request: Request) -> Respond | None:
        """Return the answer to a request for `TARGETS`; None where it is not theirs."""
        ...


class Gateway:
    """Decides. Its rules never change: a reload makes another gateway.

    A `Route.steady` redirect is kept, by method, host, path and query, and given again without being worked out; what is kept is
    bounded, and forgotten all at once when there is too much of it.

    Args:
        router: the compiled rules.
        targets: tell, on each domain, where it may redirect to; None where that is not told.
    """

    __slots__ = ("_kept", "_seen", "router", "targets")

    def __init__(self, router: Router, targets: Targets | None = None) -> None:
        self.router = router
        self.targets = targets
        self._kept: dict[tuple[str, str, str, str], Settled] = {}
        self._seen: set[int] = set()

    @classmethod
    def compile(cls, routes: Iterable[Route], default_domain: str | None = None) -> Gateway:
        """Make a gateway of compiled routes; see `Router.compile`."""
        return cls(Router.compile(routes, default_domain))

    def decide(self, request: Request) -> Outcome:
        """Decide what to answer. Total: returns an outcome for every well-formed request, and raises for none."""
        key = (request.method, request.host, request.path, request.query)
        settled = self._kept.get(key)
        if settled is not None:
            return Outcome(request, settled.decision, settled.match, settled)
        match = self.router.find(request)
        if self.targets is not None and request.path == TARGETS and (match is None or getattr(match.route, "source", None) != TARGETS):
            # A rule for this very path is somebody's own list.
            told = self.targets.answer(request)
            if told is not None:
                return Outcome(request, told, None)
        if match is None:
            return Outcome(request, NOT_FOUND, None)
        route = match.route
        decision = route.decide(request, match)
        if (
            isinstance(decision, Redirect)
            and route.steady
            and request.method in ("GET", "HEAD")
            and len(request.path) + len(request.query) <= KEPT_LENGTH
        ):
            # What is asked for only once is not kept: that costs 3 µs a request, most of it the garbage collector's, who looks at all that
            # piles up. Two that share a number are kept early, which harms nobody.
            mark = hash(key)
            seen = self._seen
            if mark in seen:
                settled = self._keep(key, decision, match, request.client_ip)
            else:
                if len(seen) >= SEEN:
                    seen.clear()
                seen.add(mark)
        return Outcome(request, decision, match, settled)

    def inherit(self, older: Gateway) -> None:
        """Go on with what routes of the gateway before this one have at hand: rules are read again in an outage, too."""
        before = {(type(route), route.label): route for route in older.router.apis()}
        for route in self.router.apis():
            inherit, past = getattr(route, "inherit", None), before.get((type(route), route.label))
            if inherit is not None and past is not None:
                inherit(past)

    def forget(self) -> None:
        """Decide the next request as if it were the first: let go of the answers that are kept, and of what routes have learned."""
        self._kept.clear()
        self._seen.clear()
        for route in self.router.apis():
            forget = getattr(route, "forget", None)
            if forget is not None:
                forget()

    def _keep(self, key: tuple[str, str, str, str], decision: Redirect, match: Match, client_ip: str) -> Settled | None:
        text = " ".join(key)
        if redact(text, client_ip) != text:
            # What holds its client's address is forgotten with its answer.
            return None
        if len(self._kept) >= KEPT:
            self._kept.clear()
        settled = self._kept[key] = Settled(decision, match)
        return settled


def decision_name(decision: Decision) -> DecisionName:
    """Return the word that events and `explain` use; what a `Collect` leads to is a "respond" unless its reception redirects."""
    match decision:
        case Redirect():
            return "redirect"
        case Proxy():
            return "proxy"
        case Respond() | Collect():
            return "respond"
        case _:
            assert_never(decision)
