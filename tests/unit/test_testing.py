"""simulate: what a client would see, with no socket open and nothing kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, cast

import pytest
from attrs import evolve

from gatewaycore.decision import MOST_TURNS, Collect, Proxy, Read, Reception, Relay, Respond, Step, Upstream
from gatewaycore.errors import RequestError
from gatewaycore.event import Observation
from gatewaycore.gateway import Gateway
from gatewaycore.headers import Headers
from gatewaycore.request import Request
from gatewaycore.route import Everything, Match
from gatewaycore.rules import ContainerRule, EventRule, FileRule, PixelRule
from gatewaycore.rules.limits import Limits
from gatewaycore.rules.pixel import PNG
from gatewaycore.testing import Seen, make_request, simulate

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


class Scripted(Circle):
    """A route that answers with a conversation as a test writes it: what it asks first, and what it makes of every answer."""

    def __init__(self, first: Step, then: Callable[[int, Headers], Step], collects: int | None = None) -> None:
        self.first, self.then, self.collects = first, then, collects

    def decide(self, request: Request, match: Match) -> Any:
        if self.collects is None:
            return Proxy(lambda: cast(Any, self))
        return Collect(self.collects, lambda body: Reception(self.taking(body)))

    def taking(self, body: bytes) -> Proxy:
        asking = Upstream("POST", "https://ghcr.example/token", Headers(), body)
        return Proxy(lambda: cast(Any, Scripted(asking, self.then)))

    def start(self) -> Any:
        return self.first

    def receive(self, status: int, headers: Headers) -> Any:
        return self.then(status, headers)


ASKING = Upstream("GET", "https://ghcr.example/", Headers())


def play(route: Scripted, method: str = "GET", body: bytes = b"", said: bytes = b"12345") -> tuple[Seen, list[Upstream]]:
    """Return what is seen where every upstream answers 200 with a body, and what upstreams are asked."""
    asked: list[Upstream] = []

    def upstream(step: Upstream) -> tuple[int, Mapping[str, str], bytes]:
        asked.append(step)
        return 200, {"x-a": "1"}, said

    gateway = Gateway.compile([cast(Any, route)])
    return simulate(gateway, method, "https://circle.example/", body=body, upstream=upstream), asked


def show(body: bytes | None) -> Respond:
    return Respond(203, body=repr(body).encode())


@pytest.mark.parametrize(("limit", "shown"), [(5, b"b'12345'"), (4, b"None")])
def test_an_upstreams_body_is_read(limit: int, shown: bytes) -> None:
    seen, _ = play(Scripted(ASKING, lambda status, headers: Read(limit, show)))
    assert (seen.decision, seen.status, seen.body) == ("proxy", 203, shown)
    assert [(event.status, event.bytes, event.target) for event in seen.events] == [(203, len(shown), "ghcr.example")]


def test_a_body_that_is_not_given_is_empty() -> None:
    route = Scripted(ASKING, lambda status, headers: Read(5, show))
    assert simulate(Gateway.compile([cast(Any, route)]), "GET", "https://circle.example/").body == b"b''"


def test_an_upstreams_body_is_not_shown_to_head() -> None:
    seen, _ = play(Scripted(ASKING, lambda status, headers: Read(5, show)), "HEAD")
    assert (seen.status, seen.body, seen.headers["content-length"]) == (203, b"", "8")
    assert seen.events[0].bytes == 0


def test_one_request_leads_to_another() -> None:
    def then(status: int, headers: Headers) -> Step:
        return Read(5, lambda body: Upstream("GET", f"https://ghcr.example/{body!r}", Headers()))

    seen, asked = play(Scripted(ASKING, then))
    assert (seen.status, len(asked), asked[1].url) == (502, MOST_TURNS, "https://ghcr.example/b'12345'")


@pytest.mark.parametrize(
    ("first", "step"),
    [
        (ASKING, Read(5, lambda _: Relay(200, Headers()))),
        (ASKING, Read(5, lambda _: Read(5, show))),
        (evolve(ASKING, shared=True), Relay(200, Headers())),
    ],
    ids=["relayed when it was read", "read twice", "shared and relayed"],
)
def test_a_body_that_is_not_there(first: Upstream, step: Step) -> None:
    """As adapters do it."""
    seen, _ = play(Scripted(first, lambda status, headers: step))
    assert (seen.status, seen.body) == (502, b"")


def test_what_a_shared_answer_says() -> None:
    seen, asked = play(Scripted(evolve(ASKING, shared=True), lambda status, headers: Respond(status, headers)))
    assert (seen.status, seen.headers["x-a"], len(asked)) == (200, "1", 1)


def test_a_relayed_answer_has_variables() -> None:
    seen, _ = play(Scripted(ASKING, lambda status, headers: Relay(status, headers, {"digest": "sha256:1"})))
    assert (seen.status, seen.body, seen.headers["x-a"]) == (200, b"", "1")
    assert seen.events[0].variables == {"digest": "sha256:1"}


def test_a_form_that_becomes_a_request() -> None:
    route = Scripted(ASKING, lambda status, headers: Read(5, show), 10)
    seen, asked = play(route, "POST", b"grant=1")
    assert [(step.method, step.url, step.body) for step in asked] == [("POST", "https://ghcr.example/token", b"grant=1")]
    assert (seen.decision, seen.status, seen.body, seen.upstream) == ("proxy", 203, b"b'12345'", "https://ghcr.example/token")
    assert [(event.decision, event.target) for event in seen.events] == [("proxy", "ghcr.example")]
    seen, asked = play(route, "POST", b"x" * 11)
    assert (seen.decision, seen.status, asked) == ("respond", 413, [])
