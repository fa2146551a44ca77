"""Routers: which host, and within it which rule, whatever the order in the file."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import pytest

from gatewaycore.errors import ConfigError
from gatewaycore.request import Request
from gatewaycore.route import Api, ApiRoute, Match, Regex, Route
from gatewaycore.router import Router
from gatewaycore.rules import CatchAllRule, ContainerRule, FileRule, PythonRule
from gatewaycore.rules.python import PythonFile
from gatewaycore.template import UrlTemplate
from gatewaycore.trie import rank

DOMAIN = "get.acme.example"


def file(path: str, domain: str = DOMAIN, **more: Any) -> Sequence[Route]:
    return FileRule(name=path, domain=domain, incoming_path=path, **more).compile()


def regex(text: str, **more: Any) -> Sequence[Route]:
    return FileRule(name=text, domain=DOMAIN, incoming_regex=text, **more).compile()


def catch_all(domain: str = DOMAIN, **more: Any) -> Sequence[Route]:
    return CatchAllRule(name=f"all of {domain}", domain=domain, redirect_target_domain="acme.example", **more).compile()


def found(router: Router, path: str, host: str = DOMAIN, query: str = "") -> str | None:
    match = router.find(Request("GET", host, path, query))
    return None if match is None else match.route.package


def made(*groups: Sequence[Route], default: str | None = None) -> Router:
    return Router.compile([route for group in groups for route in group], default)


# --- hosts ---------------------------------------------------------------------------------------------------------------


HOSTS = made(file("/exact"), file("/wild", "*.acme.example"), file("/any", "*"), default=None)


@pytest.mark.parametrize(
    ("host", "path", "package"),
    [
        (DOMAIN, "/exact", "/exact"),
        # A host that is named is not asked for elsewhere.
        (DOMAIN, "/wild", None),
        ("px.acme.example", "/wild", "/wild"),
        ("a.px.acme.example", "/wild", None),
        ("acme.example", "/wild", None),
        ("a.px.acme.example", "/any", "/any"),
        ("localhost", "/any", "/any"),
    ],
)
def test_exact_then_wildcard_then_default(host: str, path: str, package: str | None) -> None:
    assert found(HOSTS, path, host) == package


def test_a_default_domain_answers_for_unknown_hosts() -> None:
    router = made(file("/a"), default=DOMAIN)
    assert found(router, "/a", "203.0.113.7") == "/a"
    assert found(made(file("/a")), "/a", "203.0.113.7") is None
    assert found(made(file("/a"), default="nobody.example"), "/a", "203.0.113.7") is None


def test_a_router_says_what_it_knows() -> None:
    assert HOSTS.domains == ("*", "*.acme.example", DOMAIN)
    assert [HOSTS.knows(host) for host in (DOMAIN, "px.acme.example", "localhost")] == [True, True, False]
    assert not made(file("/a")).knows("px.acme.example")
    assert HOSTS.count == 3
    assert [route.package for route in HOSTS.routes(DOMAIN)] == ["/exact"]
    assert [route.package for route in HOSTS.routes()] == ["/any", "/wild", "/exact"]
    assert not list(HOSTS.routes("nobody.example"))


# --- within a host -------------------------------------------------------------------------------------------------------


RULES = [file(path) for path in ("/a/b", "/a/{x}", "/{x}/b", "/{x}/{y}", "/a/x-{y}", "/{+rest}", "/a/{x}?v={v}", "/a{/x}")] + [
    regex("/r[0-9]+"),
    catch_all(),
]
ANSWERS = {
    "/a/b": "/a/b",
    "/a/c": "/a/{x}",
    "/a/x-1": "/a/x-{y}",
    "/c/b": "/{x}/b",
    # Fewer variables, whatever they span.
    "/c/d": "/{+rest}",
    "/c/d/e": "/{+rest}",
    "/a": "/a{/x}",
    "/": "all of get.acme.example",
    "/%61/b": "/a/b",
    "/a/%62": "/a/b",
}


@pytest.mark.parametrize(("path", "package"), ANSWERS.items())
def test_the_most_specific_rule_wins(path: str, package: str) -> None:
    for order in (RULES, RULES[::-1], [*RULES[5:], *RULES[:5]]):
        assert found(made(*order), path) == package


def test_a_named_parameter_counts_only_where_the_path_names_it() -> None:
    assert found(made(*RULES), "/a/c", query="v=1") == "/a/{x}?v={v}"
    assert found(made(file("/a"), file("/a?v={v}")), "/a", query="v=1") == "/a?v={v}"
    assert found(made(file("/a"), file("/a?v={v}")), "/a", query="w=1") == "/a"


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_priority_settles_ties(order: Sequence[int]) -> None:
    ties = [file("/{a}", priority=1), file("/{b}", priority=3), file("/{c}", priority=2)]
    assert found(made(*(ties[place] for place in order)), "/x") == "/{b}"


@pytest.mark.parametrize(
    ("texts", "path", "query"),
    [
        (("/{+x}/{x}", "/{+x}"), "/b/b", ""),
        (("/{y}/{x}.tgz", "/{x}.tgz/{x}{.o}"), "/q.tgz/q.tgz", ""),
        (("/{+y}.z", "/{+x}?q=1"), "/b/x.z", "q=1"),
        (("/{version}/latest", "/stable/{channel}"), "/stable/latest", ""),
        (("/{a}", "/{b}", "/{c}"), "/x", ""),
        (("/a?x={v}", "/a?y={v}"), "/a", "x=1&y=1"),
    ],
)
def test_the_file_does_not_decide_between_equals(texts: Sequence[str], path: str, query: str) -> None:
    # Nor does what they are called.
    winners = {found(made(*map(file, order)), path, query=query) for order in itertools.permutations(texts)}
    assert winners == {min(texts)}


def test_of_one_path_the_package_decides_and_of_one_package_the_file() -> None:
    one, two = (FileRule(name=name, domain=DOMAIN, incoming_path="/{x}").compile() for name in ("one", "two"))
    assert found(made(one, two), "/a") == found(made(two, one), "/a") == "one"
    first, second = file("/{x}", outgoing_url="https://a.example/"), file("/{x}", outgoing_url="https://b.example/")
    match = made(second, first).find(Request("GET", DOMAIN, "/a"))
    assert match is not None
    assert match.route is second[0]


def test_regular_expressions_go_in_file_order_and_priority_before_it() -> None:
    assert found(made(regex("/.*x"), regex("/.*")), "/ax") == "/.*x"
    assert found(made(regex("/.*"), regex("/.*x")), "/ax") == "/.*"
    assert found(made(regex("/.*"), regex("/.*x", priority=1)), "/ax") == "/.*x"
    assert found(made(regex("/.*x"), catch_all(priority=9)), "/ax") == "/.*x"
    assert found(made(regex("/.*x")), "/a") is None


def test_a_protocol_comes_first_and_knows_what_is_not_its_own() -> None:
    image = ContainerRule(name="acme/x", domain=DOMAIN, backend="ghcr.example/acme/x").compile()
    router = made(image, file("/v2/{+x}"), file("/v2x"), catch_all())
    for path in ("/v2", "/v2/", "/v2/acme/x/manifests/1", "/%76%32/acme/x/manifests/1"):
        match = router.find(Request("GET", DOMAIN, path))
        assert match is not None
        assert match.route.pattern == image[0].pattern
    assert found(router, "/v2x") == "/v2x"
    assert found(router, "/v2y") == "all of get.acme.example"


def test_rank_follows_the_design() -> None:
    ordered = ["/a/b/{x}", "/abc/{x}", "/a/{x}", "/x-{x}", "/{x}", "/{x}/{y}", "/{x}/{+y}"]
    ranks = [rank(UrlTemplate.parse(text).matcher(), 0) for text in ordered]
    assert ranks == sorted(ranks)
    matcher = UrlTemplate.parse("/{x}").matcher()
    assert rank(matcher, 5) < rank(matcher, 4)


# --- joining -------------------------------------------------------------------------------------------------------------


def test_routes_that_cannot_share_a_host_are_refused_all_at_once() -> None:
    one = ContainerRule(name="acme/x", domain=DOMAIN, backend="ghcr.example/acme/x", strategy="proxy").compile()
    two = ContainerRule(name="acme/y", domain=DOMAIN, backend="quay.example/acme/y", strategy="proxy").compile()
    with pytest.raises(ConfigError, match="one ping tells clients how to authenticate for both"):
        made(one, two)


class Spoken:
    """A protocol's route, as another distribution would write it."""

    steady = False
    priority = 0
    package = "spoken"

    def __init__(self, name: str, prefixes: tuple[str, ...], joined: Any = None) -> None:
        self.domain = DOMAIN
        self.label = f"{DOMAIN} {name}"
        self.pattern = Api(name, prefixes, lambda routes: joined or routes[0])

    def match(self, request: Request) -> Match | None:
        return Match(self, {})

    def decide(self, request: Request, match: Match) -> Any:
        raise AssertionError("never asked")

    def observe(self, request: Request, match: Match, entry: Any = None) -> None:
        return None


def test_two_protocols_cannot_have_one_prefix() -> None:
    with pytest.raises(ConfigError, match=r"/p is claimed by get\.acme\.example one and by get\.acme\.example two"):
        made([Spoken("one", ("/p",))], [Spoken("two", ("/p",))])


def test_what_joins_routes_must_match_for_itself() -> None:
    with pytest.raises(TypeError, match="must match for itself"):
        made([Spoken("one", ("/p",), file("/x")[0])])


def test_a_prefix_may_have_two_segments() -> None:
    router = made([Spoken("one", ("/p/q",))], catch_all())
    assert [found(router, path) for path in ("/p/q", "/p/q/r", "/p", "/p/qr")] == [
        "spoken",
        "spoken",
        "all of get.acme.example",
        "all of get.acme.example",
    ]


# --- explaining ----------------------------------------------------------------------------------------------------------


def test_tried_names_the_winner_and_why_the_others_lost() -> None:
    listed = PythonRule(
        name="p", domain=DOMAIN, files=(PythonFile(file_name="p-1.tar.gz", url="https://cdn.acme.example/p-1.tar.gz"),)
    ).compile()
    router = made(listed, *RULES)
    told = [(route.package, reason) for route, reason in router.tried(Request("GET", DOMAIN, "/a/c"))]
    assert [package for package, reason in told if not reason] == ["/a/{x}"]
    assert len(told) == len(RULES) + 1
    reasons = dict(told)
    assert reasons["/{x}/{y}"] == "matches, but a more specific rule has won"
    assert reasons["/r[0-9]+"] == "the expression does not match the whole path"
    assert reasons["all of get.acme.example"] == "matches, but a more specific rule has won"
    assert any("is not under /simple" in reason for reason in reasons.values())
    assert not list(router.tried(Request("GET", "nobody.example", "/")))


@pytest.mark.parametrize(
    ("winner", "loser", "path", "by"),
    [
        (file("/{a}", priority=1), file("/{b}"), "/x", "its priority"),
        (file("/stable/{b}"), file("/{a}/latest"), "/stable/latest", "its path: the two are compared as text"),
        (file("/a?x={v}"), file("/a?y={v}"), "/a?x=1&y=1", "its path: the two are compared as text"),
        (
            FileRule(name="one", domain=DOMAIN, incoming_path="/{x}").compile(),
            FileRule(name="two", domain=DOMAIN, incoming_path="/{x}").compile(),
            "/a",
            "its package's name: the paths are the same",
        ),
        (file("/{x}"), file("/{x}", outgoing_url="https://a.example/"), "/a", "the order in the file"),
        (regex("/a.*"), regex("/.*"), "/ab", "the order in the file"),
        (regex("/a.*", priority=1), regex("/.*"), "/ab", "its priority"),
        (catch_all(), catch_all(), "/", "the order in the file"),
    ],
)
def test_tried_says_what_settles_a_tie(winner: Sequence[Route], loser: Sequence[Route], path: str, by: str) -> None:
    target, _, query = path.partition("?")
    told = list(made(winner, loser).tried(Request("GET", DOMAIN, target, query)))
    assert told == [(winner[0], ""), (loser[0], f"matches, and is as specific; the other comes first by {by}")]


def test_tried_when_nobody_wins() -> None:
    assert all(reason for _, reason in made(file("/a"), regex("/b")).tried(Request("GET", DOMAIN, "/c")))


def test_routes_satisfy_their_protocols() -> None:
    assert isinstance(file("/a")[0], Route)
    assert isinstance(Spoken("x", ()), ApiRoute)
    assert isinstance(regex("/a")[0].pattern, Regex)
