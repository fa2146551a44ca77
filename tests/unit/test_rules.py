"""Package types `file`, `event`, `pixel`, `catch-all` and `install`: how they answer and what they see."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from gatewaycore.decision import Collect, Decision, Proxy, Reception, Redirect, Respond
from gatewaycore.errors import ConfigError
from gatewaycore.event import Observation
from gatewaycore.gateway import Gateway
from gatewaycore.headers import Headers
from gatewaycore.request import Request
from gatewaycore.route import Match, Route, Rule
from gatewaycore.router import Router
from gatewaycore.rules import CatchAllRule, EventRule, FileRule, InstallRule, PixelRule
from gatewaycore.rules.access import hash_token
from gatewaycore.rules.file import RouteSettings
from gatewaycore.rules.limits import Limits
from gatewaycore.rules.pixel import PNG

DOMAIN = "get.acme.example"
CDN = "https://cdn.acme.example"


class Asked:
    """One request, and what a rule makes of it."""

    def __init__(self, rule: Rule, path: str, method: str = "GET", query: str = "", headers: Mapping[str, str] | None = None) -> None:
        self.request = Request(method, DOMAIN, path, query, Headers(dict(headers or {})))
        match = Router.compile(rule.compile()).find(self.request)
        assert match is not None
        self.match: Match = match
        self.route: Route = match.route

    @property
    def decision(self) -> Decision:
        return self.route.decide(self.request, self.match)

    def receive(self, body: bytes) -> Reception:
        decision = self.decision
        assert isinstance(decision, Collect)
        return decision.receive(body)

    def seen(self, entry: Mapping[str, str] | None = None) -> Observation | None:
        return self.route.observe(self.request, self.match, entry)


def told(reception: Reception) -> Redirect | Respond:
    assert not isinstance(reception.decision, Proxy)
    return reception.decision


def answer(decision: Decision) -> Respond:
    assert isinstance(decision, Respond)
    return decision


def said(asked: Asked, entry: Mapping[str, str] | None = None) -> Observation:
    seen = asked.seen(entry)
    assert seen is not None
    return seen


# --- file ----------------------------------------------------------------------------------------------------------------


def file(**more: Any) -> FileRule:
    return FileRule(**{"name": "cli", "domain": DOMAIN, "incoming_path": "/{version}/x", "outgoing_url": CDN + "/x-{version}", **more})


@pytest.mark.parametrize(
    ("status", "method", "expected"),
    [(302, "GET", 302), (302, "HEAD", 302), (301, "GET", 301), (301, "DELETE", 308), (303, "OPTIONS", 307), (308, "GET", 308)],
)
def test_a_file_is_redirected(status: int, method: str, expected: int) -> None:
    asked = Asked(file(redirect_status=status), "/1.2/x", method, "a=b")
    assert asked.decision == Redirect(f"{CDN}/x-1.2?a=b", expected)
    assert asked.route.steady
    assert (asked.route.label, asked.route.domain, asked.route.package) == (f"{DOMAIN}/{{version}}/x", DOMAIN, "cli")


def test_without_an_outgoing_url_a_file_is_answered_with_200() -> None:
    assert Asked(file(outgoing_url=None), "/1.2/x").decision == Respond(200)


def test_what_cannot_be_part_of_a_url_is_refused_with_400() -> None:
    assert answer(Asked(file(), "/a%5Cb/x").decision).status == 400
    assert Asked(file(), "/a%5Cb/x", "POST").receive(b"").decision == Asked(file(), "/a%5Cb/x").decision


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
@pytest.mark.parametrize(
    ("body", "status", "entries"),
    [(b"", 307, 0), (b'{"a": 1}', 307, 1), (b"{}{}", 307, 2), (b"no JSON", 307, 0), (b"{}{}{}", 413, 0)],
)
def test_a_posted_body_is_an_extra(method: str, body: bytes, status: int, entries: int) -> None:
    reception = Asked(file(limits=Limits(body_bytes=90, events=2)), "/1/x", method).receive(body)
    assert (told(reception).status, len(reception.entries)) == (status, entries)
    collect = Asked(file(limits=Limits(body_bytes=9)), "/1/x", method).decision
    assert isinstance(collect, Collect)
    assert collect.limit == 9


def test_a_file_is_seen_as_a_download() -> None:
    seen = said(Asked(file(id="id-1", variables={"version": "v"}), "/1.2/x", query="v=9&platform=linux"), {"a": "b"})
    assert (seen.package, seen.package_type, seen.rule, seen.kind) == ("id-1", "file", f"{DOMAIN}/{{version}}/x", "download")
    assert (seen.version, seen.platform, dict(seen.variables)) == (
        "9",
        "linux",
        {"version": "1.2", "v": "9", "platform": "linux", "a": "b"},
    )


def test_a_package_has_several_ways_in() -> None:
    rule = file(
        routes=(
            RouteSettings(incoming_path="/b", outgoing_url=CDN + "/b"),
            RouteSettings(incoming_regex="/c(?<n>[0-9]+)", outgoing_url=CDN + "/{n}"),
        )
    )
    assert Asked(rule, "/b").decision == Redirect(f"{CDN}/b", 302)
    asked = Asked(rule, "/c42")
    assert asked.decision == Redirect(f"{CDN}/42", 302)
    assert asked.route.label == f"{DOMAIN}~/c(?<n>[0-9]+)"
    assert [route.label for route in file(incoming_path=None, outgoing_url=None, routes=rule.routes).compile()] == [
        f"{DOMAIN}/b",
        asked.route.label,
    ]


def test_hosts_may_be_chosen_by_variables_where_they_are_listed() -> None:
    rule = file(incoming_path="/{host}", outgoing_url="https://{host}/x", allowed_hosts=("A.acme.example",))
    assert Asked(rule, "/a.acme.example").decision == Redirect("https://a.acme.example/x", 302)
    assert answer(Asked(rule, "/evil.example").decision).status == 400


@pytest.mark.parametrize(
    ("more", "error", "message"),
    [
        ({"incoming_path": None, "outgoing_url": None}, ConfigError, "incoming-path: is missing"),
        ({"incoming_path": None, "routes": (RouteSettings(incoming_path="/a"),)}, ConfigError, "outgoing-url: stands beside routes"),
        ({"incoming_regex": "/x"}, ConfigError, "either incoming-path or incoming-regex"),
        ({"routes": (RouteSettings(),)}, ConfigError, "either incoming-path or incoming-regex"),
        ({"redirect_status": 200}, ConfigError, "200 is no redirect"),
        ({"variables": {"versoin": "v"}}, ConfigError, "variables.versoin"),
        ({"incoming_path": "x"}, ConfigError, 'begins with "/"'),
        ({"incoming_path": ""}, ConfigError, 'begins with "/"'),
        ({"incoming_path": "/{a}{b}"}, ConfigError, "between"),
        ({"incoming_path": None, "incoming_regex": "("}, ConfigError, "RE2 does not take"),
        ({"incoming_path": None, "incoming_regex": r"/(a)\1"}, ConfigError, "RE2 does not take"),
        ({"outgoing_url": "/x"}, ConfigError, "absolute"),
    ],
)
def test_a_file_that_cannot_be_compiled(more: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        file(**more).compile()


# --- event ---------------------------------------------------------------------------------------------------------------


def event(**more: Any) -> EventRule:
    return EventRule(**{"name": "usage", "domain": DOMAIN, "incoming_path": "/v1/{event}", **more})


@pytest.mark.parametrize(("status", "method"), [(200, "GET"), (200, "HEAD"), (204, "GET")])
def test_an_event_is_taken(status: Any, method: str) -> None:
    asked = Asked(event(response_status=status), "/v1/start", method)
    taken = answer(asked.decision)
    assert (taken.status, taken.body, taken.headers["cache-control"], taken.headers["access-control-allow-origin"]) == (
        status,
        b"",
        "no-store",
        "*",
    )
    assert not asked.route.steady
    assert (asked.route.label, asked.route.package) == (f"{DOMAIN}/v1/{{event}}", "usage")


def test_a_browser_may_ask_first() -> None:
    asked = Asked(event(access_tokens=(hash_token("t"),)), "/v1/start", "OPTIONS")
    assert answer(asked.decision).status == 204
    assert "POST" in answer(asked.decision).headers["access-control-allow-methods"]
    assert asked.seen() is None


@pytest.mark.parametrize(
    ("body", "headers", "status", "entries"),
    [
        (b"", {}, 200, []),
        (b'{"a": 1}\n{"a": 2}', {}, 200, [{"a": "1"}, {"a": "2"}]),
        (b"nonsense", {}, 400, []),
        (b"{}{}{}", {}, 413, []),
        (b"a=1&b=x+y\n", {"Content-Type": "Application/X-WWW-Form-Urlencoded; charset=utf-8"}, 200, [{"a": "1", "b": "x y"}]),
        (b"", {"Content-Type": "application/x-www-form-urlencoded"}, 200, [{}]),
    ],
)
def test_an_events_body(body: bytes, headers: dict[str, str], status: int, entries: Sequence[dict[str, str]]) -> None:
    reception = Asked(event(limits=Limits(events=2)), "/v1/start", "POST", headers=headers).receive(body)
    assert told(reception).status == status
    assert list(reception.entries) == entries
    # Whatever it is answered with: a page may send it, and read nothing back.
    assert told(reception).headers.get("access-control-allow-origin") == ("*" if status != 413 else None)


@pytest.mark.parametrize(
    ("authorization", "admitted"),
    [
        ("Bearer s3cret", True),
        ("bearer  s3cret ", True),
        ("Bearer other", True),
        ("Bearer wrong", False),
        ("Bearer", False),
        ("Bearer ", False),
        ("Basic s3cret", False),
        ("s3cret", False),
        ("Bearer " + hash_token("s3cret"), False),
        ("Bearer é", False),
        (None, False),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_only_listed_tokens_are_let_in(authorization: str | None, admitted: bool, method: str) -> None:
    rule = event(access_tokens=(hash_token("s3cret"), hash_token("other").upper()))
    decision = Asked(rule, "/v1/start", method, headers={"Authorization": authorization} if authorization else {}).decision
    if not admitted:
        assert answer(decision).status == 401
        assert answer(decision).headers["www-authenticate"].startswith("Bearer")
    else:
        assert isinstance(decision, Collect) or decision.status == 200  # type: ignore[union-attr]


@pytest.mark.parametrize("token", ["s3cret", "sha256:s3cret", "", "é" * 64, "a" * 63])
def test_a_token_that_is_not_hashed_is_refused_and_not_repeated(token: str) -> None:
    with pytest.raises(ConfigError, match="access-tokens: a token that is not hashed") as refused:
        event(access_tokens=(token,)).compile()
    assert "s3cret" not in str(refused.value)


def test_an_event_leads_nowhere() -> None:
    with pytest.raises(ConfigError, match="leads nowhere"):
        event(routes=(RouteSettings(incoming_path="/b", outgoing_url=CDN),)).compile()


def test_an_event_is_seen() -> None:
    seen = said(Asked(event(id="id-1"), "/v1/start", "POST", "a=1"), {"b": "2", "$type": "view"})
    assert (seen.package, seen.package_type, seen.kind, dict(seen.variables)) == (
        "id-1",
        "event",
        "view",
        {"event": "start", "a": "1", "b": "2"},
    )


# --- pixel ---------------------------------------------------------------------------------------------------------------


def pixel(**more: Any) -> PixelRule:
    return PixelRule(**{"name": "docs", "domain": DOMAIN, **more})


def chunks(png: bytes) -> list[tuple[bytes, bytes]]:
    """Take a PNG apart (PNG 3rd edition §5.3), and check every chunk's sum."""
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    found, position = [], 8
    while position < len(png):
        (length,) = struct.unpack_from(">I", png, position)
        kind, data = png[position + 4 : position + 8], png[position + 8 : position + 8 + length]
        (checksum,) = struct.unpack_from(">I", png, position + 8 + length)
        assert zlib.crc32(kind + data) == checksum
        found.append((kind, data))
        position += 12 + length
    return found


def test_the_pixel_is_one_transparent_pixel() -> None:
    (_, header), (_, data), (_, end) = chunks(PNG)
    width, height, depth, colour, compression, filtering, interlace = struct.unpack(">IIBBBBB", header)
    assert (width, height, depth, colour, compression, filtering, interlace) == (1, 1, 8, 4, 0, 0, 0)
    # One line: its filter, one byte of grey, one of alpha.
    line = zlib.decompress(data)
    assert (len(line), line[0], line[2]) == (3, 0, 0)
    assert [kind for kind, _ in chunks(PNG)] == [b"IHDR", b"IDAT", b"IEND"]
    assert end == b""
    assert len(PNG) < 80


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_pixel_is_fetched_anew_at_every_view(method: str) -> None:
    asked = Asked(pixel(), "/a.png", method)
    shown = answer(asked.decision)
    assert (shown.status, shown.body, shown.headers["content-type"]) == (200, PNG, "image/png")
    assert "no-store" in shown.headers["cache-control"]
    assert not asked.route.steady
    assert (asked.route.label, asked.route.package) == (f"{DOMAIN}/a.png", "docs")


@pytest.mark.parametrize("method", ["POST", "OPTIONS", "DELETE"])
def test_a_pixel_is_only_fetched(method: str) -> None:
    refused = answer(Asked(pixel(), "/a.png", method).decision)
    assert (refused.status, refused.headers["allow"]) == (405, "GET, HEAD")


def test_a_pixel_may_be_something_else() -> None:
    shown = answer(Asked(pixel(content_type="image/svg+xml", body="<svg/>"), "/a.png").decision)
    assert (shown.body, shown.headers["content-type"]) == (b"<svg/>", "image/svg+xml")


@pytest.mark.parametrize(
    ("query", "headers", "page"),
    [
        ("", {"Referer": "https://docs.acme.example/a"}, "https://docs.acme.example/a"),
        ("page=here", {"Referer": "https://docs.acme.example/a"}, "here"),
        ("x=1", {}, None),
        ("", {}, None),
    ],
)
def test_the_page_is_the_referer_unless_the_query_names_it(query: str, headers: dict[str, str], page: str | None) -> None:
    seen = said(Asked(pixel(id="id-1"), "/a.png", "GET", query, headers))
    assert (seen.package, seen.package_type, seen.kind, seen.page) == ("id-1", "pixel", "view", page)


@pytest.mark.parametrize(("query", "package"), [("x-pxid=p1&page=a", "p1"), ("x-pxid=", None), ("", None), ("page=a", None)])
def test_one_pixel_may_serve_many_packages(query: str, package: str | None) -> None:
    seen = Asked(pixel(package_variable="x-pxid"), "/a.png", "GET", query).seen()
    assert (seen and seen.package) == package


# --- catch-all -----------------------------------------------------------------------------------------------------------


def catch_all(**more: Any) -> CatchAllRule:
    return CatchAllRule(**{"name": "old", "domain": DOMAIN, "redirect_target_domain": "acme.example", **more})


@pytest.mark.parametrize(
    ("target", "path", "query", "location"),
    [
        ("acme.example", "/", "", "https://acme.example/"),
        ("acme.example", "/a/b%20c", "x=1", "https://acme.example/a/b%20c?x=1"),
        ("http://acme.example:8080/", "/a", "", "http://acme.example:8080/a"),
        ("acme.example", "//evil.example", "", "https://acme.example//evil.example"),
        ("acme.example", "/a b|", "q= #", "https://acme.example/a%20b%7C?q=%20%23"),
        ("[2001:db8::1]:80", "/a", "", "https://[2001:db8::1]:80/a"),
    ],
)
def test_everything_is_led_to_the_same_path_elsewhere(target: str, path: str, query: str, location: str) -> None:
    asked = Asked(catch_all(redirect_target_domain=target), path, "GET", query)
    assert asked.decision == Redirect(location, 302)
    assert asked.route.steady
    assert (asked.route.label, asked.route.package, asked.route.priority) == (f"{DOMAIN}/*", "old", 0)


@pytest.mark.parametrize("path", ["/../x", "/a/%2e%2e/x", "/%5Cevil.example", "/%0d%0ax", "/%252e%252e/"])
def test_a_path_that_leads_astray_is_refused(path: str) -> None:
    assert answer(Asked(catch_all(), path).decision).status == 400


@pytest.mark.parametrize(
    "target", ["", "acme.example/x", "acme.example?x", "https://", "user@acme.example", "ftp://acme.example", "a b", "acme.example#x"]
)
def test_a_target_that_is_no_domain_is_refused(target: str) -> None:
    with pytest.raises(ConfigError, match="redirect-target-domain"):
        catch_all(redirect_target_domain=target).compile()


def test_a_catch_all_keeps_methods_and_refuses_odd_statuses() -> None:
    assert Asked(catch_all(redirect_status=301), "/", "POST").decision == Redirect("https://acme.example/", 308)
    with pytest.raises(ConfigError, match="300 is no redirect"):
        catch_all(redirect_status=300).compile()


def test_a_catch_all_is_seen_as_a_download() -> None:
    seen = said(Asked(catch_all(id="id-1"), "/a", query="version=1"))
    assert (seen.package, seen.package_type, seen.kind, seen.version) == ("id-1", "catch-all", "download", "1")


# --- install -------------------------------------------------------------------------------------------------------------


def install(**more: Any) -> InstallRule:
    return InstallRule(**{"name": "hooks", "domain": DOMAIN, **more})


@pytest.mark.parametrize("path", ["/package-event/install", "/package-event/install/acme/x"])
def test_an_install_is_reported_with_post(path: str) -> None:
    refused = answer(Asked(install(), path).decision)
    assert (refused.status, refused.headers["allow"]) == (405, "POST")
    asked = Asked(install(), path, "POST")
    assert isinstance(asked.decision, Collect)
    assert not asked.route.steady
    assert asked.route.label.startswith(DOMAIN + "/package-event/install")
    assert asked.route.package == "hooks"


@pytest.mark.parametrize(
    ("body", "status", "entries"),
    [(b'{"package": "p"}', 200, 1), (b"{}{}", 200, 2), (b"", 422, 0), (b"[]", 422, 0), (b"x", 422, 0), (b"{}{}{}", 413, 0)],
)
def test_a_report(body: bytes, status: int, entries: int) -> None:
    reception = Asked(install(limits=Limits(events=2)), "/package-event/install", "POST").receive(body)
    assert (told(reception).status, len(reception.entries)) == (status, entries)


@pytest.mark.parametrize(
    ("path", "entry", "package"),
    [
        ("/package-event/install", {"package": "p", "version": "1"}, "p"),
        ("/package-event/install/acme/x", {"package": "p", "version": "1"}, "acme/x"),
        ("/package-event/install", {"version": "1"}, "hooks"),
        ("/package-event/install", {"package": "", "version": "1"}, "hooks"),
    ],
)
def test_a_report_names_its_package(path: str, entry: dict[str, str], package: str) -> None:
    seen = said(Asked(install(), path, "POST"), entry)
    assert (seen.package, seen.kind, seen.version) == (package, "install", "1")


def test_a_report_without_a_body_is_an_install_of_the_rule_itself() -> None:
    assert said(Asked(install(id="id-1"), "/package-event/install", "POST")).package == "id-1"


def test_a_long_query_leaves_room_for_fewer_events_beside_it() -> None:
    limits = Limits(body_bytes=1000, events=50)
    assert [limits.events_beside("/v1", query) for query in ("", "x" * 96, "x" * 5000)] == [50, 10, 1]
    rule = EventRule(name="usage", domain="in.acme.example", incoming_path="/v1", limits=limits)
    request = Request("POST", "in.acme.example", "/v1", "q=" + "x" * 94)
    decision = Gateway.compile(rule.compile()).decide(request).decision
    assert isinstance(decision, Collect)
    assert [told(decision.receive(b'{"n": 1}' * count)).status for count in (10, 11)] == [200, 413]
