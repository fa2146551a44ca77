"""The gateway on whatever comes in: it always answers, never leads astray, keeps no address, and finds the one rule that should win."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from ipaddress import IPv6Address, ip_address
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from tests import strategies
from tests.examples import many

from gatewaycore.decision import Collect, Proxy, Redirect, Respond
from gatewaycore.enrich import ENRICHMENTS
from gatewaycore.errors import ConfigError
from gatewaycore.event import Event
from gatewaycore.gateway import Gateway, Outcome
from gatewaycore.headers import Headers
from gatewaycore.recorder import Recorder, Sent, decode
from gatewaycore.request import Request
from gatewaycore.route import Route
from gatewaycore.router import Router
from gatewaycore.rules import (
    RULES,
    CatchAllRule,
    CollectionRule,
    ContainerRule,
    EventRule,
    FileRule,
    InstallRule,
    NpmRule,
    PixelRule,
    PythonRule,
)
from gatewaycore.rules.file import RouteSettings
from gatewaycore.rules.python import PythonFile
from gatewaycore.salts import Salts
from gatewaycore.template import Matcher, UrlTemplate, normalise
from gatewaycore.trie import rank

thorough = settings(deadline=None, max_examples=many(400), suppress_health_check=[HealthCheck.too_slow])

GET, ANY = "get.acme.example", "any.example"
CDN = "https://cdn.acme.example"
WHEEL = "rocket_skates-1.2-py3-none-any.whl"
RULES_OF_ALL_TYPES: Sequence[Any] = (
    FileRule(
        name="cli",
        domain=GET,
        routes=(
            RouteSettings(incoming_path="/{platform}/{version}", outgoing_url=CDN + "/{version}/{platform}?v={version}"),
            RouteSettings(incoming_path="/all/{+rest}{?version}", outgoing_url=CDN + "/{+rest}"),
            RouteSettings(incoming_path="/to/{host}", outgoing_url="https://{host}/x"),
            RouteSettings(incoming_path="/ok"),
            RouteSettings(incoming_regex="/r[0-9](?<rest>.*)", outgoing_url=CDN + "/{+rest}"),
        ),
        allowed_hosts=("a.example", "b.example:81"),
    ),
    EventRule(name="usage", domain=GET, incoming_path="/e/v1/{event}"),
    InstallRule(name="hooks", domain=GET),
    PixelRule(name="docs", domain=GET),
    PixelRule(name="many", domain=GET, incoming_path="/b.png", package_variable="x-pxid"),
    CatchAllRule(name="old", domain=ANY, redirect_target_domain="acme.example"),
    CollectionRule(domain=GET, pattern="*/*", backend="ghcr.example"),
    ContainerRule(name="acme/x", domain="p.acme.example", backend="quay.example/acme/x", strategy="proxy"),
    # Two registries, and another name: the gateway hands out tokens of its own.
    ContainerRule(name="x", domain="b.acme.example", backend="quay.example/acme/x", mirrors=("ghcr.example/acme/x",)),
    CollectionRule(domain="b.acme.example", pattern="acme/*", backend="ghcr.example"),
    ContainerRule(name="acme/x", domain="r.acme.example", backend="quay.example/acme/x", strategy="redirect"),
    NpmRule(name="rocket-skates", domain=GET, registry="https://registry.example/npm", scopes=("@acme",), packages=("x",)),
    PythonRule(name="rocket-skates", domain=GET, files=(PythonFile(file_name=WHEEL, url=f"{CDN}/{WHEEL}"),)),
)
GATEWAY = Gateway.compile([route for rule in RULES_OF_ALL_TYPES for route in rule.compile()])
HOSTS = [*GATEWAY.router.domains, "nobody.example"]
KNOWN = [
    *strategies.targets(list(GATEWAY.router.routes())),
    ("/v2/acme/x/manifests/latest", ""),
    ("/v2/acme/x/blobs/sha256:" + "0" * 64, ""),
    ("/v2/x/manifests/latest", ""),
    ("/v2/token", "scope=repository:x:pull&scope=repository:acme/y:pull"),
    ("/simple/rocket-skates/", ""),
    (f"/simple/rocket-skates/{WHEEL}", ""),
    ("/to/a.example", ""),
    ("/to/b.example%3A81", ""),
]
# Where a request may lead: every authority that the configuration names, and no other.
CONFIGURED = ("cdn.acme.example", "a.example", "b.example:81", "acme.example", "ghcr.example", "quay.example", "registry.example")
any_request = strategies.requests(HOSTS, KNOWN)


def test_every_type_takes_part() -> None:
    assert {type(rule) for rule in RULES_OF_ALL_TYPES} >= set(RULES.values())


class Journal:
    """A recorder whose lines are looked at."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.recorder = Recorder(self._append, [ENRICHMENTS["client"]().open()], Salts(None))

    def _append(self, line: bytes) -> bool:
        self.lines.append(line)
        return True

    def answer(self, outcome: Outcome, body: bytes = b"") -> Redirect | Respond | Proxy:
        """Record as an adapter does; return what was answered."""
        decision = outcome.decision
        if outcome.settled is not None:
            self.recorder.record_settled(outcome, outcome.settled)
            return decision  # type: ignore[return-value]
        if isinstance(decision, Collect):
            reception = decision.receive(body[: decision.limit])
            answer = reception.decision
            if isinstance(answer, Proxy):
                return answer
            redirected = answer if isinstance(answer, Redirect) else None
            self.recorder.record(outcome, Sent(answer.status, 0, "", reception.entries, redirected))
            return answer
        if isinstance(decision, Proxy):
            self.recorder.record(outcome, Sent(200, 10, "https://quay.example/v2/"))
            return decision
        self.recorder.record(outcome, Sent(decision.status))
        return decision

    @property
    def events(self) -> list[Event]:
        return [decode(line) for line in self.lines]


def authority_of(location: str) -> str:
    """Take the authority as a browser does (WHATWG URL): backslashes are slashes, and whatever stands before "@" is no host."""
    scheme, _, rest = location.partition("://")
    assert scheme in ("http", "https")
    end = min(index for index in (*(rest.find(mark) for mark in "/?#\\"), len(rest)) if index >= 0)
    return rest[:end].rpartition("@")[2].lower()


@thorough
@given(request=any_request, body=strategies.bodies)
def test_every_request_is_answered_and_recorded_without_an_error(request: Request, body: bytes) -> None:
    journal = Journal()
    for _ in range(3):
        answer = journal.answer(GATEWAY.decide(request), body)
        if isinstance(answer, Redirect):
            assert authority_of(answer.location) in CONFIGURED
            assert answer.location.isascii()
            assert not any(ord(character) <= 0x20 or ord(character) == 0x7F for character in answer.location)
            assert "/../" not in answer.location.replace("%2e", ".").replace("%2E", ".").replace("%2F", "/").partition("?")[0] + "/"
    assert journal.recorder.failed == 0
    for line, event in zip(journal.lines, journal.events, strict=True):
        assert line.count(b"\n") == 1
        assert event.domain == request.host or request.client_ip in request.host
        assert event.method == request.method
        assert isinstance(json.loads(line)["time"], str)


@thorough
@given(data=st.data(), body=strategies.bodies)
def test_whoever_opted_out_leaves_nothing(data: st.DataObject, body: bytes) -> None:
    request = data.draw(strategies.requests(HOSTS, KNOWN, strategies.header_lists(opted_out=True)))
    journal = Journal()
    for _ in range(3):
        journal.answer(GATEWAY.decide(request), body)
    assert (journal.lines, journal.recorder.failed) == ([], 0)


# --- no address at rest --------------------------------------------------------------------------------------------------


def spellings(address: str) -> st.SearchStrategy[str]:
    """Return ways to write an address."""
    parsed = ip_address(address)
    if not isinstance(parsed, IPv6Address):
        return st.sampled_from([address, f"::ffff:{address}", f"x{address}y", f"{address}:8080"])
    return st.sampled_from(
        [address, address.upper(), parsed.exploded, parsed.exploded.upper(), f"[{address.upper()}]", f"[{address}]:8080"]
    )


# Where a client, or a page that it reads, may put its address; "@" stands for it.
PLACES: tuple[tuple[str, str, str, str, dict[str, str]], ...] = (
    ("GET", GET, "/@/1.2", "", {}),
    ("GET", GET, "/linux/@", "", {}),
    ("GET", GET, "/linux/a-@-b", "", {}),
    ("GET", GET, "/all/a/@", "version=@", {}),
    ("GET", GET, "/r1/@", "", {}),
    ("GET", GET, "/linux/1", "@=@&page=@&platform=@", {}),
    ("POST", GET, "/linux/1", "ip=@", {}),
    ("GET", GET, "/a.png", "page=@", {}),
    ("GET", GET, "/a.png", "", {"Referer": "https://docs.example/?ip=@"}),
    ("GET", GET, "/b.png", "x-pxid=@", {}),
    ("GET", GET, "/e/v1/@", "", {}),
    ("POST", GET, "/e/v1/start", "", {"Content-Type": "application/x-www-form-urlencoded"}),
    ("POST", GET, "/e/v1/start", "", {}),
    ("POST", GET, "/package-event/install/@", "", {}),
    ("POST", GET, "/package-event/install", "", {}),
    ("GET", ANY, "/@", "a=@", {}),
    ("GET", GET, "/v2/acme/@/manifests/@", "", {}),
    ("GET", "p.acme.example", "/v2/acme/x/manifests/@", "", {}),
    ("GET", GET, "/v2/acme/x/blobs/sha256:" + "0" * 64, "", {"Range": "bytes=0-9", "X": "@"}),
    ("GET", GET, f"/simple/rocket-skates/{WHEEL}", "a=@", {}),
    ("GET", GET, "/linux/1", "", {"X-Forwarded-For": "@", "Forwarded": "for=@", "Cookie": "ip=@", "X-Real-IP": "@", "From": "@"}),
)  # fmt: skip


@thorough
@given(data=st.data(), address=strategies.addresses, place=st.sampled_from(PLACES))
def test_no_address_is_kept(data: st.DataObject, address: str, place: tuple[str, str, str, str, dict[str, str]]) -> None:
    method, host, path, query, headers = place
    written = data.draw(spellings(address))
    escaped = quote(written, safe="") if data.draw(st.booleans()) else written
    assume("[" not in escaped or "@" not in path)
    lines = {name: value.replace("@", escaped) for name, value in headers.items()}
    lines["User-Agent"] = data.draw(st.sampled_from(["", "curl/8", f"x/1 (+{written})", written]))
    body = json.dumps({"ip": written, written: {"nested": [written]}, "$version": written, "$referrer": written, "$ip": written}).encode()
    if "Content-Type" in lines:
        body = f"ip={escaped}&{escaped}=1&page={escaped}".encode()
    # A mapped address is how a socket for both families names an IPv4 caller.
    caller = data.draw(st.sampled_from([address, f"::ffff:{address}"])) if "." in address else address
    request = Request(method, host, path.replace("@", escaped), query.replace("@", escaped), Headers(lines), caller)
    journal = Journal()
    for _ in range(3):
        journal.answer(GATEWAY.decide(request), body)
    assert journal.recorder.failed == 0
    for line, event in zip(journal.lines, journal.events, strict=True):
        kept = [
            event.package,
            event.version,
            event.platform,
            event.arch,
            event.page,
            event.user_agent,
            event.client,
            event.client_version,
            event.os,
        ]
        kept += [*event.variables, *event.variables.values()]
        for text in kept:
            assert text is None or address not in text
            assert text is None or address not in text.lower().replace("%3a", ":")
            assert text is None or ":" not in address or ip_address(address).exploded not in text.lower()
        # Not in the rest of the line either: of these rules, no word of the operator's is an address.
        assert address.encode() not in line


# --- dispatch ------------------------------------------------------------------------------------------------------------

PARTS = ("a", "b", "x-", "-y", ".tgz", "{p}", "{q}", "{+r}", "{/s}", "{.t}", "a{p}", "{q}.b", "a{+r}")
templates = st.lists(st.lists(st.sampled_from(PARTS), min_size=1, max_size=3).map("".join), min_size=1, max_size=4).map(
    lambda parts: "/" + "/".join(parts)
)
some_paths = st.lists(st.text("abxy.-", min_size=1, max_size=4), min_size=1, max_size=5).map(lambda parts: "/" + "/".join(parts))


def compiled(texts: Sequence[str]) -> list[Route]:
    """Compile what can be matched."""
    routes: list[Route] = []
    for number, text in enumerate(texts):
        try:
            routes += FileRule(name=str(number), domain=GET, incoming_path=text).compile()
        except ConfigError:
            continue
    return routes


def standing(route: Route) -> tuple[bool, tuple[int, ...]]:
    matcher = route.pattern
    assert isinstance(matcher, Matcher)
    return (not matcher.is_exact, rank(matcher, route.priority))


def brute(routes: Sequence[Route], path: str) -> tuple[bool, tuple[int, ...]] | None:
    """Try them all; return where the best of those that match stands."""
    wire = normalise(path)
    matching = [
        route for route in routes if isinstance(route.pattern, Matcher) and route.pattern.match(wire, wire.split("/")[1:], "") is not None
    ]
    return min(map(standing, matching), default=None)


@thorough
@given(texts=st.lists(templates, min_size=1, max_size=12, unique=True), path=some_paths, seed=st.integers(0, 1000))
def test_the_winner_is_the_one_that_trying_them_all_would_find_whatever_the_order(texts: list[str], path: str, seed: int) -> None:
    routes = compiled(texts)
    shuffled = list(routes)
    random.Random(seed).shuffle(shuffled)
    best = brute(routes, path)
    winners = set()
    for order in (routes, shuffled, routes[::-1]):
        match = Router.compile(order).find(Request("GET", GET, path))
        assert (None if match is None else standing(match.route)) == best
        winners.add(match and match.route.label)
        if match is not None and isinstance(match.route.pattern, Matcher):
            wire = normalise(path)
            assert dict(match.variables) == match.route.pattern.match(wire, wire.split("/")[1:], "")
    assert len(winners) == 1


# Few words, so that many templates meet; and variables that are named twice, optional, or in the query.
MEETING = (
    "/{x}",
    "/{y}",
    "/{+x}",
    "/{+y}",
    "/a",
    "/a{x}",
    "/{x}a",
    "/{+x}.a",
    "/{y}.{x}",
    "{/x}",
    "{.y}",
    "{;x}",
    "/{x}{.x}",
    "/{+y}a{.x}",
)
QUERIES = ("", "", "?q=1", "?q={x}", "?r={y}", "?q={x}&r=1", "{?x,q}", "{?r}")
meeting_templates = st.tuples(st.lists(st.sampled_from(MEETING), min_size=1, max_size=3), st.sampled_from(QUERIES)).map(
    lambda parts: "".join(parts[0]) + parts[1]
)
meeting_paths = st.lists(st.sampled_from(("a", "aa", "a.a", "b", "b.a", "a;x=b")), min_size=1, max_size=3).map(
    lambda parts: "/" + "/".join(parts)
)


@thorough
@given(
    texts=st.lists(meeting_templates, min_size=2, max_size=8),
    path=meeting_paths,
    query=st.sampled_from(("", "q=1", "q=a&r=1", "r=1&q=1", "x=a")),
    priorities=st.lists(st.integers(0, 1), min_size=8, max_size=8),
    random=st.randoms(use_true_random=False),
)
def test_shuffled_rules_have_the_same_winner(texts: list[str], path: str, query: str, priorities: list[int], random: random.Random) -> None:
    groups = []
    for number, text in enumerate(texts):
        try:
            groups.append(FileRule(name=f"p{number}", domain=GET, incoming_path=text, priority=priorities[number]).compile())
        except ConfigError:
            continue
    request = Request("GET", GET, path, query)
    first = Router.compile([route for group in groups for route in group]).find(request)
    for _ in range(4):
        random.shuffle(groups)
        router = Router.compile([route for group in groups for route in group])
        match = router.find(request)
        assert (match and match.route.package) == (first and first.route.package)
        assert [route for route, why in router.tried(request) if not why] == ([match.route] if match else [])


@pytest.mark.parametrize(
    "template",
    ["/t{0}/{{x}}/{{y}}", "/{{x}}/t{0}/{{y}}", "/p/t{0}-{{x}}.tgz", "/p/{{x}}-t{0}.tgz", "/t{0}/{{+rest}}", "/q/t{0}{{/x}}", "/exact/t{0}"],
)
def test_what_is_tried_for_a_request_does_not_grow_with_the_rules(template: str, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = 0
    match = Matcher.match

    def counted(self: Matcher, *arguments: Any) -> Any:
        nonlocal tried
        tried += 1
        return match(self, *arguments)

    most = []
    for count in (10, 100, 2_000):
        router = Router.compile(
            [route for number in range(count) for route in FileRule(name="x", domain=GET, incoming_path=template.format(number)).compile()]
        )
        path = UrlTemplate.parse(template.format(7)).expand({"x": "v", "y": "w", "rest": "r/s"})
        monkeypatch.setattr(Matcher, "match", counted)
        tried = 0
        assert router.find(Request("GET", GET, path)) is not None
        monkeypatch.undo()
        most.append(tried)
    assert most[0] == most[1] == most[2] <= 2
