"""simulate: what a client would see, with no socket open and nothing kept."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from gatewaycore.decision import MOST_TURNS, Proxy, Upstream
from gatewaycore.errors import RequestError
from gatewaycore.event import Observation
from gatewaycore.gateway import Gateway
from gatewaycore.headers import Headers
from gatewaycore.request import Request
from gatewaycore.route import Everything, Match
from gatewaycore.rules import ContainerRule, EventRule, FileRule, PixelRule
from gatewaycore.rules.limits import Limits
from gatewaycore.rules.pixel import PNG
from gatewaycore.testing import make_request, simulate

GET = "get.acme.example"
MANIFEST = "https://docker.acme.example/v2/acme/x/manifests/1"
GATEWAY = Gateway.compile(
    [
        route
        for rule in (
            FileRule(
                name="cli",
                domain=GET,
                incoming_path="/{version}",
                outgoing_url="https://cdn.acme.example/{version}",
                limits=Limits(body_bytes=20, events=1),
            ),
            EventRule(name="usage", domain=GET, incoming_path="/e/{event}"),
            EventRule(name="quiet", domain=GET, incoming_path="/q/{event}", response_status=204),
            PixelRule(name="docs", domain=GET),
            ContainerRule(name="acme/x", domain="docker.acme.example", backend="ghcr.example/acme/x", strategy="proxy"),
        )
        for route in rule.compile()
    ]
)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://get.acme.example", ("https", GET, "/", "")),
        ("HTTP://Get.Acme.example:80/a%20b?x=1#top", ("http", GET, "/a%20b", "x=1")),
        ("get.acme.example/a?b?c", ("https", GET, "/a", "b?c")),
        ("https://get.acme.example?a=b", ("https", GET, "/", "a=b")),
        ("https://get.acme.example#a", ("https", GET, "/", "")),
        ("https://get.acme.example//a/../b", ("https", GET, "//a/../b", "")),
    ],
)
def test_a_url_is_taken_apart_as_it_stands(url: str, expected: tuple[str, str, str, str]) -> None:
    request = make_request("get", url, [("A", "1"), ("a", "2")], "203.0.113.7")
    assert (request.scheme, request.host, request.path, request.query) == expected
    assert (request.method, request.headers.get_all("a"), request.client_ip) == ("GET", ["1", "2"], "203.0.113.7")
    assert request.received_at.tzinfo is UTC


@pytest.mark.parametrize("url", ["", "https://", "https:///x", "https://user@get.acme.example/"])
def test_a_url_without_a_host_is_refused(url: str) -> None:
    with pytest.raises(RequestError):
        simulate(GATEWAY, "GET", url)


def test_a_redirect() -> None:
    when = datetime(2026, 11, 22, tzinfo=UTC)
    seen = simulate(GATEWAY, "GET", f"https://{GET}/1.2", headers={"User-Agent": "curl/8.5.0"}, client_ip="203.0.113.7", received_at=when)
    assert (seen.decision, seen.status, seen.location, seen.body, seen.upstream) == (
        "redirect",
        302,
        "https://cdn.acme.example/1.2",
        b"",
        None,
    )
    assert seen.headers["location"] == seen.location
    assert (seen.rule, seen.outcome.rule) == (f"{GET}/{{version}}",) * 2
    (event,) = seen.events
    assert (event.version, event.client, event.time, event.bytes) == ("1.2", "curl", when, 0)


def test_enrichers_may_be_given() -> None:
    class Moon:
        """Says where everybody is."""

        def columns(self, caller: Any) -> Mapping[str, str]:
            return {"country": "moon"}

    (event,) = simulate(GATEWAY, "GET", f"https://{GET}/1", enrichers=[Moon()], headers={"User-Agent": "curl/8"}).events
    assert (event.country, event.client) == ("moon", None)


@pytest.mark.parametrize(
    ("method", "body", "decision", "status", "events"),
    [
        ("POST", b"", "redirect", 307, 1),
        ("POST", b'{"a": 1}', "redirect", 307, 1),
        ("POST", b"{}{}", "respond", 413, 0),
        ("POST", b" " * 21, "respond", 413, 0),
    ],
)
def test_a_body(method: str, body: bytes, decision: str, status: int, events: int) -> None:
    seen = simulate(GATEWAY, method, f"https://{GET}/1", body=body)
    assert (seen.decision, seen.status, len(seen.events)) == (decision, status, events)
    assert (seen.location is not None) == (decision == "redirect")
    if events:
        assert (seen.events[0].decision, seen.events[0].target) == ("redirect", "cdn.acme.example")


def test_each_event_in_a_body() -> None:
    seen = simulate(GATEWAY, "POST", f"https://{GET}/e/x", body=b'{"a": 1}\n{"a": 2}')
    assert [event.variables["a"] for event in seen.events] == ["1", "2"]
    assert (seen.decision, seen.status, seen.location) == ("respond", 200, None)


@pytest.mark.parametrize(
    ("method", "path", "status", "body"), [("GET", "/a.png", 200, PNG), ("HEAD", "/a.png", 200, b""), ("GET", "/q/x", 204, b"")]
)
def test_an_answer_from_here(method: str, path: str, status: int, body: bytes) -> None:
    seen = simulate(GATEWAY, method, f"https://{GET}{path}")
    assert (seen.decision, seen.status, seen.body) == ("respond", status, body)
    assert seen.events[0].bytes == len(body)
    assert seen.headers.get("content-length") == (str(len(PNG)) if status == 200 else None)


@pytest.mark.parametrize("headers", [{"DNT": "1"}, {"Sec-GPC": "1"}])
@pytest.mark.parametrize("url", [f"https://{GET}/1", f"https://{GET}/a.png", MANIFEST])
def test_who_opted_out_is_served(headers: dict[str, str], url: str) -> None:
    seen = simulate(GATEWAY, "GET", url, headers=headers)
    assert seen.status in (200, 302)
    assert seen.events == []


def test_nothing_is_served() -> None:
    seen = simulate(GATEWAY, "GET", "https://nobody.example/")
    assert (seen.decision, seen.status, seen.rule, seen.events) == ("respond", 404, None, [])


# --- upstreams -----------------------------------------------------------------------------------------------------------


def test_an_upstream_answers_200_unless_told_otherwise() -> None:
    seen = simulate(GATEWAY, "GET", MANIFEST)
    assert (seen.decision, seen.status, seen.upstream) == ("proxy", 200, "https://ghcr.example/v2/acme/x/manifests/1")
    (event,) = seen.events
    assert (event.decision, event.target, event.kind) == ("proxy", "ghcr.example", "manifest")


def test_an_upstream_may_be_played() -> None:
    asked: list[Upstream] = []

    def upstream(step: Upstream) -> tuple[int, Mapping[str, str]]:
        asked.append(step)
        return 404, {"Content-Type": "application/json"}

    seen = simulate(GATEWAY, "GET", MANIFEST, upstream=upstream)
    assert (seen.status, seen.headers["content-type"], len(asked)) == (404, "application/json", 1)
    assert seen.events[0].status == 404


class Circle:
    """A conversation that never ends, and a route that holds it."""

    steady, label, domain, priority, package = False, "circle.example/*", "circle.example", 0, None
    pattern = Everything()
    turns = 0

    def decide(self, request: Request, match: Match) -> Proxy:
        return Proxy(lambda: self)

    def observe(self, request: Request, match: Match, entry: Mapping[str, str] | None = None) -> Observation:
        return Observation("circle", "circle", self.label, "metadata")

    def start(self) -> Upstream:
        self.turns += 1
        return Upstream("GET", f"https://ghcr.example/{self.turns}", Headers())

    def receive(self, status: int, headers: Headers) -> Upstream:
        return self.start()

    def fail(self, reason: str) -> Upstream:
        return self.start()


def test_an_upstream_that_leads_in_circles_is_left() -> None:
    asked: list[str] = []

    def upstream(step: Upstream) -> tuple[int, Mapping[str, str]]:
        asked.append(step.url)
        return 307, {}

    seen = simulate(Gateway.compile([Circle()]), "GET", "https://circle.example/", upstream=upstream)
    assert (seen.status, seen.upstream) == (502, asked[0])
    # As often as an adapter asks.
    assert len(asked) == MOST_TURNS
