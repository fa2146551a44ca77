"""Testing routing rules offline: `simulate` a request against a gateway, with no socket open and nothing kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import TypeAlias

from attrs import frozen

from gatewaycore.decision import (
    MOST_TURNS,
    Collect,
    DecisionName,
    Proxy,
    Read,
    Redirect,
    Relay,
    Respond,
    Step,
    Upstream,
    onward,
    shown,
    wire_headers,
)
from gatewaycore.enrich import ENRICHMENTS, Enricher
from gatewaycore.event import Event
from gatewaycore.gateway import Gateway, Outcome, decision_name
from gatewaycore.headers import Headers
from gatewaycore.owntraffic import OwnTraffic
from gatewaycore.recorder import Recorder, Sent
from gatewaycore.request import Request, parse_host
from gatewaycore.salts import Salts

AnswerUpstream: TypeAlias = Callable[[Upstream], tuple[int, Mapping[str, str]] | tuple[int, Mapping[str, str], bytes]]
"""Stands in for an upstream: takes a request, returns status and headers, and the body where it matters."""


@frozen
class Seen:
    """What a client would see, and what would be recorded.

    Attributes:
        decision: "redirect", "proxy" or "respond".
        status: of the answer.
        headers: of the answer.
        body: of the answer; b"" where an upstream's would stream through.
        location: the Location, or None.
        upstream: the first upstream URL, or None.
        events: what would be recorded; [] for those who opted out, and for own traffic.
        rule: the label of the rule that won, or None.
        outcome: what the gateway decided.
        unread: whether the answer hangs on what the upstream says, and nobody said it.
    """

    decision: DecisionName
    status: int
    headers: Headers
    body: bytes
    location: str | None
    upstream: str | None
    events: list[Event]
    rule: str | None
    outcome: Outcome
    unread: bool = False


def make_request(
    method: str,
    url: str,
    headers: Mapping[str, str] | Iterable[tuple[str, str]] = (),
    client_ip: str = "",
    received_at: datetime | None = None,
) -> Request:
    """Make the request that a client would send for `url`: taken apart as it stands, nothing normalised on the way.

    Raises:
        RequestError: the URL names no host.
    """
    scheme = "http" if url[:7].lower() == "http://" else "https"
    rest = url[len(scheme) + 3 :] if url[: len(scheme) + 3].lower() == f"{scheme}://" else url
    end = min((index for index in (rest.find(mark) for mark in "/?#") if index >= 0), default=len(rest))
    target = rest[end:].partition("#")[0]
    path, _, query = target.partition("?")
    lines = list(headers.items()) if isinstance(headers, Mapping) else list(headers)
    host, port = parse_host(rest[:end])
    return Request(
        method.upper(),
        host,
        path or "/",
        query,
        Headers(lines),
        client_ip,
        scheme,
        received_at or datetime.now(UTC),
        port,
    )


def simulate(
    gateway: Gateway,
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | Iterable[tuple[str, str]] = (),
    body: bytes = b"",
    client_ip: str = "",
    upstream: AnswerUpstream | None = None,
    received_at: datetime | None = None,
    enrichers: Sequence[Enricher] | None = None,
    own: OwnTraffic | None = None,
) -> Seen:
    """Ask `gateway` as a client would.

    Args:
        gateway: from `gatewaycore.load`.
        method: "GET".
        url: absolute: ``https://get.acme.com/linux/1.2.3``.
        headers: field lines, repeated ones as pairs.
        body: for rules that read one.
        client_ip: the caller's address.
        upstream: answers in place of an upstream; without it every upstream answers 200.
        received_at: when, UTC; now, unless given.
        enrichers: say what can be known of the caller; by default what its user agent says.
        own: tells own traffic, which is answered and no event: ``GatewaySettings.own_traffic.compile()``.

    Raises:
        RequestError: the URL names no host.
    """
    request = make_request(method, url, headers, client_ip, received_at)
    outcome = gateway.decide(request)
    recorder = _recorder() if enrichers is None else Recorder(lambda _: True, enrichers, Salts(None))
    if own is not None:
        recorder = recorder.leaving_out(own)
    decision = outcome.decision
    if isinstance(decision, Proxy):
        return _proxied(outcome, decision, upstream or _fine, recorder)
    sent = Sent(0)
    if isinstance(decision, Collect):
        reception = decision.receive(body) if len(body) <= decision.limit else None
        received = decision.too_large if reception is None else reception.decision
        if isinstance(received, Proxy):
            return _proxied(outcome, received, upstream or _fine, recorder)
        answer: Redirect | Respond = received
        sent = Sent(0, 0, "", reception.entries if reception else (), answer if isinstance(answer, Redirect) else None)
    else:
        answer = decision
    visible = shown(answer, request.method)
    sent.status, sent.body_bytes = answer.status, len(visible)
    return Seen(
        decision=decision_name(answer),
        status=answer.status,
        headers=Headers.from_raw(wire_headers(answer)),
        body=visible,
        location=answer.location if isinstance(answer, Redirect) else answer.headers.get("location"),
        upstream=None,
        events=recorder.events(outcome, sent),
        rule=outcome.rule,
        outcome=outcome,
    )


@cache
def _recorder() -> Recorder:
    # One for all: it keeps nothing but what it knows of clients.
    return Recorder(lambda _: True, [ENRICHMENTS["client"]().open()], Salts(None))


def _fine(_: Upstream) -> tuple[int, Mapping[str, str]]:
    return 200, {}


def _proxied(outcome: Outcome, decision: Proxy, upstream: AnswerUpstream, recorder: Recorder) -> Seen:
    conversation = decision.open()
    step: Step = conversation.start()
    first: str | None = None
    last, unread = "", False
    for _ in range(MOST_TURNS):
        if not isinstance(step, Upstream):
            break
        first, last = first or step.url, step.url
        shared = step.shared
        status, headers, *bodies = upstream(step)
        step = conversation.receive(status, Headers(dict(headers)))
        if isinstance(step, Read):
            body, unread = b"".join(bodies), not bodies
            step = onward(step.receive(body if len(body) <= step.limit else None))
        elif shared:
            step = onward(step)
    final = step if isinstance(step, Relay | Respond | Redirect) else Respond(502)
    if isinstance(final, Relay):
        answered, visible = final.headers, b""
        sent = Sent(final.status, 0, last, variables=final.variables)
    else:
        answered, visible = Headers.from_raw(wire_headers(final)), shown(final, outcome.request.method)
        sent = Sent.concluding(final, len(visible), last)
    return Seen(
        decision="redirect" if isinstance(final, Redirect) else "proxy",
        status=final.status,
        headers=answered,
        body=visible,
        location=answered.get("location"),
        upstream=first,
        events=recorder.events(outcome, sent),
        rule=outcome.rule,
        outcome=outcome,
        unread=unread,
    )
