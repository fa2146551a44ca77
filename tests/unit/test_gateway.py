"""Gateways: answers, and the ones that are kept."""

from __future__ import annotations

from typing import Any

import pytest

from gatewaycore import gateway as room
from gatewaycore.decision import Collect, Proxy, Redirect, Respond
from gatewaycore.gateway import NOT_FOUND, Gateway, decision_name
from gatewaycore.headers import Headers
from gatewaycore.request import Request
from gatewaycore.rules import CatchAllRule, ContainerRule, EventRule, FileRule, PixelRule

GET = "get.acme.example"
RULES = (
    FileRule(name="f", domain=GET, incoming_path="/f/{v}", outgoing_url="https://cdn.acme.example/{v}"),
    FileRule(name="ok", domain=GET, incoming_path="/ok"),
    EventRule(name="e", domain=GET, incoming_path="/e"),
    PixelRule(name="p", domain=GET),
    CatchAllRule(name="c", domain="old.acme.example", redirect_target_domain="acme.example"),
    ContainerRule(name="acme/x", domain="docker.acme.example", backend="ghcr.example/acme/x", strategy="redirect"),
)


@pytest.fixture
def gateway() -> Gateway:
    return Gateway.compile([route for rule in RULES for route in rule.compile()])


def ask(gateway: Gateway, path: str, method: str = "GET", host: str = GET, query: str = "", headers: Any = ()) -> room.Outcome:
    return gateway.decide(Request(method, host, path, query, Headers(headers)))


def asked_often(gateway: Gateway, path: str, **more: Any) -> room.Outcome:
    """Ask three times: an answer is kept at the second time at the latest."""
    for _ in range(2):
        ask(gateway, path, **more)
    return ask(gateway, path, **more)


def test_nothing_is_found_where_nothing_is_served(gateway: Gateway) -> None:
    for host, path in ((GET, "/none"), ("nobody.example", "/f/1")):
        outcome = ask(gateway, path, host=host)
        assert (outcome.decision, outcome.match, outcome.rule, outcome.settled) == (NOT_FOUND, None, None, None)


def test_an_outcome_names_its_rule(gateway: Gateway) -> None:
    assert ask(gateway, "/f/1").rule == f"{GET}/f/{{v}}"


@pytest.mark.parametrize(
    ("path", "more"),
    [("/f/1", {}), ("/f/1", {"method": "HEAD"}), ("/f/1", {"query": "a=b"}), ("/x", {"host": "old.acme.example"})],
)
def test_a_steady_redirect_is_kept_and_stays_the_same(gateway: Gateway, path: str, more: dict[str, Any]) -> None:
    fresh = ask(gateway, path, **more)
    kept = asked_often(gateway, path, **more)
    assert kept.settled is not None
    assert kept.decision is kept.settled.decision
    assert kept.decision == fresh.decision
    assert (kept.match and kept.match.variables) == (fresh.match and fresh.match.variables)
    # Another client's request is its own.
    other = ask(gateway, path, **more, headers={"User-Agent": "x"})
    assert other.decision is kept.decision
    assert other.request.headers["user-agent"] == "x"


@pytest.mark.parametrize(
    ("path", "more"),
    [
        ("/f/1", {"method": "POST"}),
        ("/f/1", {"method": "DELETE"}),
        ("/f/%2e%2e", {}),
        ("/ok", {}),
        ("/e", {}),
        ("/a.png", {}),
        ("/v2/acme/x/manifests/1", {"host": "docker.acme.example"}),
        ("/none", {}),
    ],
)
def test_nothing_else_is_kept(gateway: Gateway, path: str, more: dict[str, Any]) -> None:
    assert asked_often(gateway, path, **more).settled is None


def test_method_host_path_and_query_tell_answers_apart(gateway: Gateway) -> None:
    locations = {
        (outcome.decision.location, outcome.decision.status)
        for outcome in (
            asked_often(gateway, "/f/1"),
            asked_often(gateway, "/f/2"),
            asked_often(gateway, "/f/1", query="q"),
            asked_often(gateway, "/f/1", method="POST"),
            asked_often(gateway, "/f/1", host="old.acme.example"),
        )
        if isinstance(outcome.decision, Redirect)
    }
    assert len(locations) == 4
    assert isinstance(asked_often(gateway, "/f/1", method="POST").decision, Collect)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(room, "KEPT", 4)
    return 4


def test_what_is_kept_is_bounded(gateway: Gateway, small: int) -> None:
    for number in range(50):
        asked_often(gateway, f"/f/{number}")
        assert len(gateway._kept) <= small
    assert asked_often(gateway, "/f/49").settled is not None


def test_what_is_remembered_is_bounded(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "SEEN", 4)
    for number in range(50):
        ask(gateway, f"/f/{number}")
        assert len(gateway._seen) <= 4
    assert not gateway._kept


def test_what_is_long_is_answered_and_not_kept(gateway: Gateway) -> None:
    # Thousands of paths as long as a server takes would fill the memory.
    for path, query in ((f"/f/{'x' * 60_000}", ""), ("/f/1", "q" * 60_000)):
        outcome = asked_often(gateway, path, query=query)
        assert isinstance(outcome.decision, Redirect)
        assert outcome.settled is None
    assert not gateway._kept


@pytest.mark.parametrize(
    ("decision", "name"),
    [
        (Redirect("https://x.example/", 302), "redirect"),
        (Respond(200), "respond"),
        (Collect(1, lambda _: NotImplemented), "respond"),
        (Proxy(lambda: NotImplemented), "proxy"),
    ],
)
def test_decision_name(decision: Any, name: str) -> None:
    assert decision_name(decision) == name


def test_what_is_no_decision_has_no_name() -> None:
    with pytest.raises(AssertionError):
        decision_name(None)  # type: ignore[arg-type]


@pytest.mark.parametrize("path", ["/d/203.0.113.7", "/d/%3203.0.113.7", "/d/::ffff:cb00:7107"])
def test_an_answer_that_holds_its_clients_address_is_not_kept(path: str) -> None:
    gateway = Gateway.compile(FileRule(name="d", domain="x", incoming_path="/d/{v}", outgoing_url="https://cdn.x/{v}").compile())
    for _ in range(4):
        assert gateway.decide(Request("GET", "x", path, client_ip="203.0.113.7")).settled is None
    assert gateway._kept == {}
    # For everybody else it is a version like any other.
    assert gateway.decide(Request("GET", "x", path, client_ip="198.51.100.9")).settled is not None
