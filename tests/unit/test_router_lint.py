"""The linter: what it finds, that it never cries wolf, and that it stays linear."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Iterable, Sequence
from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gatewaycore.decision import Respond
from gatewaycore.errors import TemplateError
from gatewaycore.lint import Clash, clashes, lint
from gatewaycore.request import Request
from gatewaycore.route import Route
from gatewaycore.router import Router
from gatewaycore.rules import CatchAllRule, CollectionRule, ContainerRule, FileRule
from gatewaycore.rules.container import Credentials
from gatewaycore.rules.file import RouteSettings
from gatewaycore.rules.indexes import Asked, ProjectRoute, Source, index_pattern
from gatewaycore.rules.npm import NpmRule
from gatewaycore.rules.python import PythonRule
from gatewaycore.rules.python.simple import SimpleDialect
from gatewaycore.template import Matcher, UrlTemplate
from gatewaycore.template.overlap import overlap
from gatewaycore.template.sample import samples
from gatewaycore.trie import rank
from tests.examples import many

DOMAIN = "get.acme.example"


def file(path: str, *, url: str | None = "https://cdn.acme.example/x", name: str = "pkg", **more: Any) -> Sequence[Route]:
    return FileRule(name=name, domain=DOMAIN, incoming_path=path, outgoing_url=url, **more).compile()


def regex(text: str, name: str = "re") -> Sequence[Route]:
    return FileRule(name=name, domain=DOMAIN, incoming_regex=text, outgoing_url="https://cdn.acme.example/x").compile()


def router(*groups: Iterable[Route]) -> Router:
    return Router.compile([route for group in groups for route in group])


def found(*groups: Iterable[Route]) -> list[tuple[str, str, str]]:
    def path(route: Route) -> str:
        return route.label.removeprefix(DOMAIN)

    return [(clash.kind, path(clash.winner), path(clash.loser)) for clash in clashes(router(*groups))]


def paths(*texts: str) -> list[Sequence[Route]]:
    return [file(text, name=f"p{number}") for number, text in enumerate(texts)]


# --- samples -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "template",
    [
        "/", "/a", "/a/", "/{x}", "/{x}/b", "/a-{x}-{y}.tgz/{+z}", "{/x,y}", "/a{/x}{.y}{;z}", "/{x}/{x}{?x,q}", "/{+x}/{x}",
        "/a?v={v}&w=1-{w}", "/{x}?v={x}", "/{+x}", "/{+a}/b/{+c}", "/a{/x}/{x}", "/a?x", "/{x}{?v}{&w}", "/p/{+x}/b/{z}", "/{x}{?x}",
        "/caf%C3%A9/{x}", "/a b?q=a%26b",
    ],
)  # fmt: skip
def test_every_sample_is_matched_by_its_own_template(template: str) -> None:
    matcher = UrlTemplate.parse(template).matcher()
    for path, query in samples(matcher):
        assert path.startswith("/")
        assert matcher.match(path, path.split("/")[1:], query) is not None


def test_samples_have_every_optional_part_or_none() -> None:
    whole, bare = samples(UrlTemplate.parse("/a{/x}/{+rest}{?q}").matcher())
    assert whole[0].count("/") > 5
    assert whole[1].startswith("q=")
    assert bare[0].count("/") == 2
    assert bare[1] == ""


# --- what is found -------------------------------------------------------------------------------------------------------


def test_two_templates_that_differ_in_names_only_are_ambiguous() -> None:
    for texts in (("/{platform}/{version}", "/{os}/{release}"), ("/{os}/{release}", "/{platform}/{version}")):
        assert found(*paths(*texts)) == [("ambiguous", "/{os}/{release}", "/{platform}/{version}")]


def test_one_exact_path_twice_is_ambiguous_and_priority_settles_it() -> None:
    assert found(file("/install.sh"), file("/install.sh", name="other")) == [("ambiguous", "/install.sh", "/install.sh")]
    clash = next(clashes(router(file("/install.sh"), file("/install.sh", name="other", priority=1))))
    assert (clash.kind, clash.winner.package, clash.loser.package) == ("shadowed", "other", "pkg")


def test_two_that_meet_on_one_path_are_ambiguous_and_the_path_is_shown() -> None:
    (clash,) = clashes(router(*paths("/{a}/foo", "/foo/{b}")))
    assert (clash.kind, clash.example) == ("ambiguous", "/foo/foo")


def test_affixes_meet_too() -> None:
    (clash,) = clashes(router(*paths("/pkg-{v}", "/{v}-gkp")))
    assert clash.kind == "ambiguous"
    assert clash.example.startswith("/pkg-")
    assert clash.example.endswith("-gkp")


@pytest.mark.parametrize(
    ("winner", "loser", "example"),
    [
        ("/{+x}", "/{+x}/{x}", "/zq0vx/zq0vx"),
        ("/{x}.tgz/{x}{.o}", "/{y}/{x}.tgz", "/a.tgz/a.tgz"),
        ("/{+x}?q=1", "/{+y}.z", "/a.z?q=1"),
    ],
)
def test_what_meets_somewhere_is_found_where_it_takes_a_search(winner: str, loser: str, example: str) -> None:
    for texts in ((winner, loser), (loser, winner)):
        (clash,) = clashes(router(*paths(*texts)))
        assert (clash.kind, clash.winner.label, clash.loser.label) == ("ambiguous", DOMAIN + winner, DOMAIN + loser)
        assert clash.example == example


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("/{+x}/{x}", "/{+x}"),
        ("/{x}/{x}", "/{y}-1/{+z}"),
        ("/{x}/{x}", "/{y}/b"),
        ("/{a}{.b}", "/{c}.gz"),
        ("/{a}{;b}", "/{c};b=1"),
        ("/{x}?v={x}", "/{+y}?v=1"),
        ("/{+a}/x/{+b}", "/{+c}/y/{+d}"),
        ("{/a}", "/b"),
        ("/a/{x}?v=1", "/a/b?w={w}{&u}"),
        ("/{x}{?x}", "/b{?y}"),
    ],
)
def test_an_overlap_is_matched_by_both(one: str, other: str) -> None:
    matchers = [UrlTemplate.parse(text).matcher() for text in (one, other)]
    for pair in (matchers, matchers[::-1]):
        met = overlap(pair[0], pair[1])
        assert met is not None
        assert all(matcher.match(met[0], met[0].split("/")[1:], met[1]) is not None for matcher in matchers)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("/{x}", "/a/b"), ("/{x}/{x}", "/a/b"), ("/{+x}-1", "/{+x}-2"), ("/{+x}?v=1", "/{+x}?v=2"), ("/a{/x}", "/b{/x}"),
        ("/{a}{.b}", "/c/"), ("/{x}/{x}?v={x}", "/a/a?v=b"),
    ],
)  # fmt: skip
def test_where_there_is_no_overlap_none_is_found(one: str, other: str) -> None:
    assert overlap(UrlTemplate.parse(one).matcher(), UrlTemplate.parse(other).matcher()) is None


def test_priority_settles_what_meets() -> None:
    assert found(file("/{a}/foo"), file("/foo/{b}", priority=1)) == []


def test_more_than_two_are_each_reported_once() -> None:
    assert [loser for _, _, loser in found(*paths("/{a}", "/{b}", "/{c}"))] == ["/{b}", "/{c}"]


def test_parameters_that_may_stand_side_by_side_are_ambiguous() -> None:
    (clash,) = clashes(router(*paths("/get?x={v}", "/get?y={v}")))
    assert clash.kind == "ambiguous"
    assert clash.example.startswith("/get?x=")
    assert "&y=" in clash.example


def test_a_protocol_shadows_what_stands_under_its_prefix() -> None:
    container = ContainerRule(name="acme/rocket", domain=DOMAIN, backend="ghcr.io/acme/rocket").compile()
    assert found(container, file("/v2/{name}/manifests/{tag}")) == [("shadowed", "/v2/", "/v2/{name}/manifests/{tag}")]
    assert found(container, file("/v3/{name}/manifests/{tag}")) == []


def test_fewer_variables_win_even_when_they_span_segments() -> None:
    assert found(*paths("/{+x}", "/{a}/{b}")) == [("shadowed", "/{+x}", "/{a}/{b}")]


def test_two_packages_for_one_image_are_ambiguous() -> None:
    rule = ContainerRule(name="acme/rocket", domain=DOMAIN, backend="ghcr.io/acme/rocket")
    assert found(rule.compile(), ContainerRule(name="acme/rocket", domain=DOMAIN, backend="ghcr.io/acme/rocket", id="other").compile()) == [
        ("ambiguous", "/acme/rocket", "/acme/rocket")
    ]
    assert found(rule.compile(), CollectionRule(domain=DOMAIN, pattern="acme/*", backend="ghcr.io").compile()) == []


def test_expressions_and_catch_alls_that_never_win() -> None:
    everything = [CatchAllRule(name=name, domain=DOMAIN, redirect_target_domain="acme.example").compile() for name in ("one", "two")]
    assert found(*everything) == [("ambiguous", "/*", "/*")]
    assert found(regex("/a(.*)"), regex("/a(.*)", "again")) == [("shadowed", "~/a(.*)", "~/a(.*)")]
    assert found(file("/{+rest}"), regex("/a(.*)")) == [("shadowed", "/{+rest}", "~/a(.*)")]


# --- what is not ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "texts",
    [
        ("/a/{x}", "/a/{+x}"),
        ("/a/{x}", "/a{/x}"),
        ("/a{/x}{/y}", "/a/{x}/{y}", "/a"),
        ("/{x}", "/{x}?v={v}"),
        ("/{x}/{x}", "/{a}/{b}"),
        ("/{a}/foo", "/bar/{b}/x"),
        ("/get?os=linux", "/get?os=macos"),
        ("/{v}-linux.tgz", "/{v}-macos.tgz"),
        ("/{a}.tgz", "/{a}.zip"),
        ("/{+x}", "/{a}", "/{a}/b"),
        ("/a", "/a/"),
        ("/{x}/", "/{x}"),
        ("/docs/{+x}", "/docs", "/docs/"),
    ],
)
def test_rules_that_can_all_win_are_no_clash(texts: Sequence[str]) -> None:
    assert found(*paths(*texts)) == []


def test_a_catch_all_beside_a_spanning_template_still_has_the_root() -> None:
    assert found(file("/{+rest}"), CatchAllRule(name="all", domain=DOMAIN, redirect_target_domain="acme.example").compile()) == []
    assert found(file("/{+rest}"), regex(".*")) == []


def test_one_path_on_two_domains_is_no_clash() -> None:
    other = FileRule(name="b", domain="b.acme.example", incoming_path="/{y}").compile()
    assert found(file("/{x}"), other) == []
    wild = FileRule(name="w", domain="*.acme.example", incoming_path="/{y}").compile()
    assert found(wild, other, file("/{x}")) == []


def test_no_false_alarm_among_thousands_of_random_rules() -> None:
    words = random.Random(7)

    def word() -> str:
        return "".join(words.choices("abcdefghijklmnopqrstuvwxyz0123456789", k=8))

    shapes = (
        lambda: f"/{word()}/{{version}}/{word()}.tgz",
        lambda: f"/{word()}/{word()}",
        lambda: f"/{word()}/{{platform}}-{word()}.{{ext}}",
        lambda: f"/{{platform}}/{word()}/{{+rest}}",
        lambda: f"/{word()}{{/major,minor}}",
        lambda: f"/{word()}?file={word()}&v={{v}}",
        lambda: f"/{{channel}}/{{version}}/{word()}",
    )
    texts = [words.choice(shapes)() for _ in range(2000)]
    assert found(*paths(*texts)) == []


def test_ten_thousand_rules_take_ten_times_as_long_as_a_thousand() -> None:
    def build(count: int) -> Router:
        kinds = ("/{{p}}/pkg{}.tgz", "/pkg{}/{{v}}", "/a/{{v}}-{}.zip", "/b/{{v}}/f{}", "/exact/{}", "/{}-x/{{+rest}}")
        return router(*paths(*(kinds[n % len(kinds)].format(f"{n:06}") for n in range(count))))

    def seconds(subject: Router) -> float:
        started = time.perf_counter()
        list(clashes(subject))
        return time.perf_counter() - started

    small, large = build(1_000), build(10_000)
    seconds(small)
    # Wide margins: growth with the square would be a factor of a hundred.
    assert seconds(large) < 40 * max(min(seconds(small) for _ in range(3)), 0.01)


# --- against brute force -------------------------------------------------------------------------------------------------

_ALPHABET = ("a", "b", "ab", "a-b")
_PATHS = [f"/{'/'.join(parts)}" for size in (1, 2, 3) for parts in product(_ALPHABET, repeat=size)] + ["/", "/a/", "/b/a-"]
_PIECES = st.sampled_from(["a", "b", "{x}", "{y}", "a-{x}", "{x}-b", "{x}-{y}", "{+x}", "a{/x}", "{x}{.y}"])


@st.composite
def _templates(draw: st.DrawFn) -> list[str]:
    paths_of_pieces = st.lists(_PIECES, min_size=1, max_size=3).map(lambda pieces: "/" + "/".join(pieces))
    texts = draw(st.lists(paths_of_pieces, min_size=2, max_size=6, unique=True))
    usable = []
    for text in texts:
        try:
            UrlTemplate.parse(text).matcher()
        except TemplateError:
            continue
        usable.append(text)
    return usable


def _matches(route: Route, path: str) -> bool:
    assert isinstance(route.pattern, Matcher)
    return route.pattern.match(path, path.split("/")[1:], "") is not None


@settings(max_examples=many(300), deadline=None)
@given(_templates())
def test_what_is_said_holds_on_every_small_path(texts: list[str]) -> None:
    subject = router(*paths(*texts))
    reported = list(clashes(subject))
    losers = {id(clash.loser) for clash in reported}
    assert len(losers) == len(reported)
    routes = list(subject.routes())
    for path in _PATHS:
        match = subject.find(Request("GET", DOMAIN, path))
        for clash in reported:
            if clash.kind == "shadowed":
                assert match is None or match.route is not clash.loser
        if match is not None:
            _nobody_else_unreported(match.route, [route for route in routes if _matches(route, path)], reported)
    for clash in reported:
        assert _matches(clash.winner, clash.example)
        assert _matches(clash.loser, clash.example)


def _is_simple(text: str) -> bool:
    """Tell whether no variable is optional, repeated, or spans segments."""
    names = re.findall(r"\{(\w+)}", text)
    return text.count("{") == len(set(names)) == len(names)


def _nobody_else_unreported(winner: Route, matching: Sequence[Route], reported: Sequence[Clash]) -> None:
    """Whoever ties with the winner on some path was reported, as far as lint promises to find it."""
    for other in matching:
        one, two = winner.pattern, other.pattern
        assert isinstance(one, Matcher)
        assert isinstance(two, Matcher)
        tied = other is not winner and rank(one, 0) == rank(two, 0) and one.is_exact == two.is_exact
        if tied and _is_simple(winner.label) and _is_simple(other.label):
            assert any(clash.loser in (winner, other) or clash.winner in (winner, other) for clash in reported)


# --- a rule by itself ----------------------------------------------------------------------------------------------------


def told(*groups: Iterable[Route]) -> list[tuple[str, str]]:
    return [(finding.kind, finding.what) for finding in lint(router(*groups))]


def test_a_variable_that_nothing_fills() -> None:
    ((kind, what),) = told(file("/{version}", url="https://cdn.acme.example/{version}/{platform}"))
    assert kind == "unreachable-variable"
    assert "{platform}" in what


def test_a_group_of_an_expression_fills_its_variable() -> None:
    rule = FileRule(name="re", domain=DOMAIN, incoming_regex="/v(?<version>.+)", outgoing_url="https://cdn.acme.example/{version}/{other}")
    ((kind, what),) = told(rule.compile())
    assert kind == "unreachable-variable"
    assert "{other}" in what


def test_a_column_taken_from_a_variable_that_no_path_names() -> None:
    ((kind, what),) = told(file("/{version}", variables={"platform": "os"}))
    assert kind == "unnamed-variable"
    assert "'os'" in what
    ways = (RouteSettings(incoming_path="/{v}/a"), RouteSettings(incoming_path="/{os}/{v}/b"))
    assert told(FileRule(name="p", domain=DOMAIN, routes=ways, variables={"platform": "os"}).compile()) == []


def test_targets_without_tls() -> None:
    assert [kind for kind, _ in told(file("/a", url="http://cdn.acme.example/a"))] == ["insecure-target"]
    assert [kind for kind, _ in told(file("/{a}", url="http://cdn.acme.example/{a}"))] == ["insecure-target"]
    old = CatchAllRule(name="old", domain=DOMAIN, redirect_target_domain="http://acme.example").compile()
    assert [kind for kind, _ in told(old)] == ["insecure-target"]
    assert told(file("/a", url=None)) == []


@pytest.mark.parametrize("private", [False, True])
def test_indexes_without_tls(private: bool) -> None:
    """Hashes are no help where they come the same way."""
    shared: dict[str, Any] = {"domain": DOMAIN, "allow_private_backends": private}
    index, registry = "http://pkgs.acme.example/simple", "http://registry.acme.example"
    safe = PythonRule(name="safe", domain=DOMAIN, index="https://pkgs.acme.example/simple")
    listed = PythonRule(name="listed", domain=DOMAIN, files=())
    python = PythonRule(name="ours", index=index, projects=("a", "b"), **shared)
    npm = NpmRule(name="npm", registry=registry, scopes=("@acme",), packages=("skates",), **shared)
    pattern = index_pattern("go", ("/go",), SimpleDialect(), Nothing())
    go = ProjectRoute("x", DOMAIN, "g", pattern, "g", Source.parse("http://go.acme.example", private=private))
    routes: list[Route] = [*safe.compile(), *listed.compile(), *python.compile(), *npm.compile(), go]
    seen = told(routes)
    assert [kind for kind, _ in seen] == ([] if private else ["insecure-target"] * 3)
    assert all(what.startswith("is read from http://") for _, what in seen)


class Nothing:
    def read(self, path: str) -> Asked | Respond | None:
        return None


def image(name: str, backend: str, **more: Any) -> Sequence[Route]:
    return ContainerRule(name=name, domain=DOMAIN, backend=backend, **more).compile()


def test_nobody_checks_credentials_where_several_registries_could() -> None:
    ours, theirs = image("acme/skates", "ghcr.io/acme/skates"), image("acme/anvil", "docker.io/acme/anvil")
    ((kind, what),) = told(ours, theirs)
    assert kind == "no-login"
    assert "acme/skates is not said to be public" in what
    assert "ghcr.io, docker.io" in what
    public = image("acme/skates", "ghcr.io/acme/skates", public=True)
    ((kind, what),) = told(public, theirs)
    assert kind == "no-login"
    assert "ghcr.io" not in what


HASH = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"public": True}, {"public": True}),
        ({"login_backend": "docker.io"}, {}),
        ({"credentials": Credentials("bot", "secret"), "access_tokens": (HASH,)}, {}),
        ({"backend_auth": "anonymous"}, {}),
        ({"strategy": "redirect"}, {"public": True}),
        ({"strategy": "redirect"}, {"strategy": "redirect", "backend": "ghcr.io/acme/anvil"}),
    ],
)
def test_where_somebody_does_or_none_are_needed_there_is_nothing_to_say(one: dict[str, Any], other: dict[str, Any]) -> None:
    second = image("acme/anvil", **{"backend": "docker.io/acme/anvil", **other})
    assert told(image("acme/skates", "ghcr.io/acme/skates", **one), second) == []


def test_findings_name_both_packages() -> None:
    (finding,) = lint(router(file("/{a}", name="one"), file("/{b}", name="two")))
    assert (finding.kind, finding.package) == ("ambiguous", "two")
    assert "one" in finding.what
    assert "priority" in finding.hint


# --- tried ---------------------------------------------------------------------------------------------------------------


def tried(subject: Router, path: str, query: str = "") -> list[tuple[str, str]]:
    return [(route.label.removeprefix(DOMAIN), why) for route, why in subject.tried(Request("GET", DOMAIN, path, query))]


def test_tried_tells_why_each_rule_lost() -> None:
    everything = CatchAllRule(name="c", domain=DOMAIN, redirect_target_domain="a.example").compile()
    subject = router(*paths("/a/{x}", "/a/b", "/{+rest}", "/q?v={v}"), regex("/z.*"), everything)
    result = dict(tried(subject, "/a/c"))
    assert result["/a/{x}"] == ""
    assert "'c', not 'b'" in result["/a/b"]
    assert result["/{+rest}"] == "matches, but a more specific rule has won"
    assert result["~/z.*"] == "the expression does not match the whole path"
    assert result["/*"] == "matches, but a more specific rule has won"
    assert tried(subject, "/q", "v=1")[0][0] in ("/a/b", "/q?v={v}")
    assert dict(tried(subject, "/q"))["/q?v={v}"] == "needs query parameter 'v'"


def test_tried_names_the_image_that_won() -> None:
    subject = router(
        ContainerRule(name="acme/rocket", domain=DOMAIN, backend="ghcr.io/acme/rocket").compile(),
        ContainerRule(name="acme/skates", domain=DOMAIN, backend="ghcr.io/acme/skates").compile(),
        file("/{x}"),
    )
    result = dict(tried(subject, "/v2/acme/skates/manifests/1.0"))
    assert result["/acme/skates"] == ""
    assert result["/acme/rocket"] == "another rule fits this path better"
    assert dict(tried(subject, "/v2/acme/other/manifests/1.0"))["/acme/rocket"] == "this path asks for something else"
    assert "segment" in result["/{x}"]
    assert dict(tried(subject, "/x"))["/v2/"] == "the path is not under /v2"


def test_tried_of_a_host_without_rules_is_empty() -> None:
    assert list(router(file("/a")).tried(Request("GET", "other.example", "/a"))) == []
