"""URL templates: what parses, what can be matched, what matches, what comes out."""

from __future__ import annotations

import time
from typing import Any

import pytest

from gatewaycore.errors import TemplateError
from gatewaycore.template import Matcher, Open, Tail, UrlTemplate, Value, escape, normalise

# --- the grammar --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "variables"),
    [
        ("", ()),
        ("/plain", ()),
        ("/{a}", ("a",)),
        ("/{a}/{b}/{a}", ("a", "b")),
        ("/{+a}{/b,c}{?d}{&e}", ("a", "b", "c", "d", "e")),
        ("{#a}{.b}{;c}", ("a", "b", "c")),
        ("/{x_1}/{a.b}/{%41}/{1}", ("x_1", "a.b", "%41", "1")),
        ("/{a:3}/{b*}{?c:9999,d*}", ("a", "b", "c", "d")),
        ('/sp ace/"quoted"/100%/<b>', ()),
    ],
)
def test_parses(text: str, variables: tuple[str, ...]) -> None:
    template = UrlTemplate.parse(text)
    assert template.source == text
    assert template.variables == variables


@pytest.mark.parametrize(
    ("text", "span", "message"),
    [
        ("/a{b", (2, 3), "never closed"),
        ("/{", (1, 2), "never closed"),
        ("/a}b", (2, 3), "closes nothing"),
        ("/{a}}", (4, 5), "closes nothing"),
        ("/{a{b}}", (3, 4), "nested"),
        ("/{}", (1, 3), "at least one variable"),
        ("/{+}", (1, 4), "at least one variable"),
        ("/{=a}", (2, 3), "reserved"),
        ("/{|a}", (2, 3), "reserved"),
        ("/{,}", (2, 3), "reserved"),
        ("/{a,}", (4, 5), "missing"),
        ("/{a,,b}", (4, 5), "missing"),
        ("/{a b}", (2, 5), "not a variable name"),
        ("/{ a}", (2, 4), "not a variable name"),
        ("/{x,default-arch}", (4, 16), "'default-arch' is not a variable name"),
        ("/{a..b}", (2, 6), "not a variable name"),
        ("/{a.}", (2, 4), "not a variable name"),
        ("/{%4}", (2, 4), "not a variable name"),
        ("/{+a,+b}", (5, 7), "not a variable name"),
        ("/{a:}", (3, 4), "modifier"),
        ("/{a:0}", (3, 5), "modifier"),
        ("/{a:10000}", (3, 9), "modifier"),
        ("/{a*b}", (3, 5), "modifier"),
        ("/{a:1*}", (3, 6), "modifier"),
    ],
)
def test_refuses_with_the_place(text: str, span: tuple[int, int], message: str) -> None:
    with pytest.raises(TemplateError, match=message) as caught:
        UrlTemplate.parse(text)
    assert caught.value.span == span
    assert caught.value.source == text


@pytest.mark.parametrize(
    ("text", "span", "message"),
    [
        ("/x{#a}", (2, 6), "fragment"),
        ("/x#y", (2, 3), "fragment"),
        ("/x?a=b#y", (6, 7), "fragment"),
        ("/{a}{b}", (1, 7), "literal between"),
        ("/{a}{+b}", (1, 8), "literal between"),
        ("/{+a}{b}", (1, 8), "literal between"),
        ("/x{/a}{b}", (2, 9), "literal between"),
        ("/x{.a}{b}", (2, 9), "literal between"),
        ("/x?k={a}{b}", (5, 11), "literal between"),
        ("/{a:3}", (1, 6), "modifiers"),
        ("/x{/a*}", (2, 7), "modifiers"),
        ("/{a,b}", (1, 6), "write {a},{b}"),
        ("/{+a,b}", (1, 7), r"write \{\+a\},\{\+b\}"),
        ("", (0, 0), "begins with"),
        ("x/{a}", (0, 2), "begins with"),
        ("{a}", (0, 3), "begins with"),
        ("{.a}", (0, 4), "begins with"),
        ("?a={a}", (0, 1), "begins with"),
        ("https://example.org/{a}", (0, 20), "begins with"),
        ("/x{?a}/y", (6, 8), "can follow"),
        ("/x{?a}{b}", (6, 9), "can follow"),
        ("/x{?a}{?b}", (6, 10), "can follow"),
        ("/x{&a}", (2, 6), "a query begins"),
        ("/x?a=b{?c}", (6, 10), "a query begins"),
        ("/x?a={/c}", (5, 9), "has no place in a query"),
        ("/x?a={;c}", (5, 9), "has no place in a query"),
        ("/x?{a}=b", (3, 8), "name cannot hold a variable"),
        ("/x?p{a}", (3, 7), "name cannot hold a variable"),
        ("/x?a=1&a={b}", (7, 12), "'a' is named twice"),
        ("/x?a=1{&a}", (6, 10), "'a' is named twice"),
    ],
)
def test_refuses_to_match_what_nobody_could(text: str, span: tuple[int, int], message: str) -> None:
    template = UrlTemplate.parse(text)
    with pytest.raises(TemplateError, match=message) as caught:
        template.matcher()
    assert caught.value.span == span
    assert isinstance(template.expand({"a": "1"}), str)


def test_an_error_shows_the_place() -> None:
    with pytest.raises(TemplateError) as caught:
        UrlTemplate.parse("/dl/{ver sion}")
    lines = str(caught.value).splitlines()
    assert lines[-1].index("^") == lines[-2].index("ver sion")


# --- paths --------------------------------------------------------------------------------------------------

MATCHES: list[tuple[str, str, dict[str, str] | None]] = [
    # literals
    ("/", "/", {}),
    ("/a/b", "/a/b", {}),
    ("/a/b", "/a/b/", None),
    ("/a/b/", "/a/b", None),
    ("/a/b", "/a/B", None),
    ("/a b", "/a%20b", {}),
    ("/ü", "/%c3%bc", {}),
    ("/%7euser", "/~user", {}),
    ("/~user", "/%7Euser", {}),
    ("/100%", "/100%25", {}),
    ('/"|"', '/"|"', {}),
    ("/a%2Fb", "/a/b", None),
    ("//a", "//a", {}),
    ("/a", "a", None),
    ("/a", "", None),
    # one segment each
    ("/{a}", "/x", {"a": "x"}),
    ("/{a}", "/", None),
    ("/{a}", "/x/", None),
    ("/{a}/", "/x/", {"a": "x"}),
    ("/{a}/{b}", "/x/y", {"a": "x", "b": "y"}),
    ("/{a}/{b}", "//y", None),
    ("/{a}", "/1.0+build.5", {"a": "1.0+build.5"}),
    ("/{a}", "/!$&'()*+,;=:@", {"a": "!$&'()*+,;=:@"}),
    ("/{a}", "/caf%C3%A9%20x", {"a": "café x"}),
    ("/{a}", "/x%2Fy", {"a": "x/y"}),
    ("/{a}", "/%FF", {"a": "\ufffd"}),
    ("/{a}", "/100%", {"a": "100%"}),
    ("/{a}", "/..", {"a": ".."}),
    # literals within a segment: leftmost, shortest
    ("/{package}-{version}.{ext}", "/minikube-1.0.iso", {"package": "minikube", "version": "1", "ext": "0.iso"}),
    ("/{package}-{os}-{arch}", "/minikube-linux-amd64-hallo", {"package": "minikube", "os": "linux", "arch": "amd64-hallo"}),
    ("/{package}-{os}-{arch}", "/minikube-linux", None),
    ("/{package}-{os}-{arch}", "/minikube--", None),
    ("/v{a}", "/v1", {"a": "1"}),
    ("/v{a}", "/1", None),
    ("/v{a}", "/v", None),
    ("/{a}.tgz", "/x.tgz.tgz", {"a": "x.tgz"}),
    ("/{a}.tgz", "/.tgz", None),
    ("/v{a}v", "/v", None),
    ("/v{a}v", "/vv", None),
    ("/{a}--{b}", "/x---y", {"a": "x", "b": "-y"}),
    ("/x{a}y/{b}", "/x1y/2", {"a": "1", "b": "2"}),
    ("/x{a}y/{b}", "/x1/y/2", None),
    # an escape is one character
    ("/{a}2{b}", "/x%2Cy", None),
    ("/{a}2{b}", "/x%2C2y", {"a": "x,", "b": "y"}),
    ("/{a}C", "/x%2C", None),
    ("/{a}C", "/x%2CC", {"a": "x,"}),
    # several segments
    ("/{+a}", "/x", {"a": "x"}),
    ("/{+a}", "/x/y/z", {"a": "x/y/z"}),
    ("/{+a}", "/", None),
    ("/{+a}", "//", {"a": "/"}),
    ("/{+a}", "/x%2Fy/z", {"a": "x/y/z"}),
    ("/v/{+a}", "/v/x/y", {"a": "x/y"}),
    ("/v/{+a}", "/v", None),
    ("/v/{+a}", "/w/x", None),
    ("/v{+a}", "/v/x", {"a": "/x"}),
    ("/{+a}.sig", "/x/y.sig", {"a": "x/y"}),
    ("/{+a}/here", "/foo/bar/here", {"a": "foo/bar"}),
    ("/{+a}/{b}", "/x/y/z", {"a": "x/y", "b": "z"}),
    ("/{+a}/{b}", "/x", None),
    ("/{+a}/{b}/", "/x/y/", {"a": "x", "b": "y"}),
    ("/{+a}C/x", "/y%2C/x", None),
    ("/{c}/{+a}/{b}-{d}/e", "/c/x/y/b-d/e", {"c": "c", "a": "x/y", "b": "b", "d": "d"}),
    ("/{+a}/x/{+b}", "/1/x/2/x/3", {"a": "1", "b": "2/x/3"}),
    ("/{b}-{+a}", "/1-2-3/4", {"b": "1", "a": "2-3/4"}),
    ("{+a}/here", "/foo/here", {"a": "/foo"}),
    # twice the same
    ("/{a}/{a}", "/x/x", {"a": "x"}),
    ("/{a}/{a}", "/x/y", None),
    ("/{a}-{a}", "/1-2-1-2", {"a": "1-2"}),
    ("/{a}/{a}", "/%2C/,", {"a": ","}),
    ("/{a}-{a}", "/,-x-%2C-x", {"a": ",-x"}),
    ("/{a}/{a}", "/%2C/%3B", None),
    ("/{+a}/{a}", "/x/y/x%2Fy", {"a": "x/y"}),
    ("/{+a}/{a}", "/x/y/x/y", None),
    ("/{+a}/{+a}", "/x/y/x/y", {"a": "x/y"}),
    ("/{a}-{b}-{a}-{b}", "/1-2-3-1-2-3", {"a": "1", "b": "2-3"}),
    # optional expressions
    ("/X{.a}", "/X.y", {"a": "y"}),
    ("/X{.a}", "/X", {}),
    ("/X{.a}", "/X.", None),
    ("/X{.a}", "/Xy", None),
    ("/X{.a,b}", "/X.1.2", {"a": "1", "b": "2"}),
    ("/{n}{.a}", "/x.tar.gz", {"n": "x", "a": "tar.gz"}),
    ("/{n}{.a}", "/x", {"n": "x"}),
    ("/{n}{.a}", "/x%2E2", {"n": "x", "a": "2"}),
    ("/{n}{.a}/z", "/x.y/z", {"n": "x", "a": "y"}),
    ("/a{.x}a", "/aa", {}),
    ("{/a}", "/x", {"a": "x"}),
    ("{/a}", "/", {}),
    ("{/a}", "/x/y", None),
    ("{/var,x}/here", "/value/1024/here", {"var": "value", "x": "1024"}),
    ("{/var,x}/here", "/value/here", {"var": "value"}),
    ("{/var,x}/here", "/here", {}),
    ("/a{/b}", "/a", {}),
    ("/a{/b}", "/a/", None),
    ("/a{/b}", "/a/x", {"b": "x"}),
    ("/a{/b}/c", "/a/c", {}),
    ("/a{/b}/c", "/a/x/c", {"b": "x"}),
    ("/{+a}{/b}", "/x/y/z", {"a": "x/y", "b": "z"}),
    ("/{+a}{/b}", "/x", {"a": "x"}),
    ("{/who,who}", "/fred/fred", {"who": "fred"}),
    ("{/who,who}", "/fred", None),
    ("/{who}{/who}", "/fred", None),
    ("/a{/who}{.who}", "/a.x", None),
    ("/a{/who}{.who}", "/a/x.x", {"who": "x"}),
    ("/a{/who}-{who}", "/a-x", None),
    ("/{;x,y,empty}", "/;x=1024;y=768;empty", {"x": "1024", "y": "768", "empty": ""}),
    ("/{;x,y}", "/;y=1", {"y": "1"}),
    ("/{;x}", "/;x=", {"x": ""}),
    ("/{;x}", "/;xy=1", None),
    ("/{;x}", "/;x=%2F", {"x": "/"}),
    ("/{;x}/{a}", "/;x=1/2", {"x": "1", "a": "2"}),
    ("/{a}{;x}", "/y;x=1", {"a": "y", "x": "1"}),
    ("/{;x}{;x}", "/;x=1;x=1", {"x": "1"}),
    ("/{;x}{;x}", "/;x;x", {"x": ""}),
    ("/{;x}{;x}", "/;x=1;x", None),
    # a query is not asked for
    ("/{a}", "/x?y=z", {"a": "x"}),
    # a fragment never comes over the wire; if it does, it is text
    ("/{a}", "/x#y", {"a": "x#y"}),
]

QUERIES: list[tuple[str, str, dict[str, str] | None]] = [
    ("/go?next={next}", "/go?next=/foo/bar", {"next": "/foo/bar"}),
    ("/go?next={next}", "/go?other=1&next=x&more", {"next": "x"}),
    ("/go?next={next}", "/go", None),
    ("/go?next={next}", "/go?next=", None),
    ("/go?next={next}", "/go?next", None),
    ("/go?next={next}", "/stop?next=x", None),
    ("/go?next={next}", "/go?next=a+b%2Bc%FF", {"next": "a b+c\ufffd"}),
    ("/go?next={next}", "/go?n%65xt=1", {"next": "1"}),
    ("/go?next={next}", "/go?next=&next=2&next=3", {"next": "2"}),
    ("/go?next={+next}", "/go?next=https://a/?b=c", {"next": "https://a/?b=c"}),
    ("/?fixed=yes{&x}", "/?fixed=yes&x=1024", {"x": "1024"}),
    ("/?fixed=yes{&x}", "/?x=1024&fixed=yes", {"x": "1024"}),
    ("/?fixed=yes{&x}", "/?fixed=yes", {}),
    ("/?fixed=yes{&x}", "/?fixed=no&x=1", None),
    ("/?fixed=yes", "/?fixed=no&fixed=yes", {}),
    ("/?flag", "/?flag", {}),
    ("/?flag", "/?flag=", {}),
    ("/?flag", "/?flag=1", None),
    ("/x?", "/x", {}),
    ("/x?&&a={a}&", "/x?&a=1&&", {"a": "1"}),
    ("/x?{&a}", "/x?a=1", {"a": "1"}),
    ("/x{?a,b}", "/x?b=2&a=1", {"a": "1", "b": "2"}),
    ("/x{?a,b}", "/x?b=", {"b": ""}),
    ("/x{?a,b}", "/x", {}),
    ("/x{?a}{&b}", "/x?b=2", {"b": "2"}),
    ("/x{?Stra%C3%9Fe}", "/x?Stra%c3%9fe=Weg", {"Stra%C3%9Fe": "Weg"}),
    ("/data?d={d}&m={m}", "/data?m=1&d=2", {"d": "2", "m": "1"}),
    ("/data?d={d}&m={m}", "/data?m=1", None),
    ("/{a}?b={b}", "/x?b=y", {"a": "x", "b": "y"}),
    ("/{+a}/{c}-{+d}?b={b}", "/x/y-z?b=y", {"a": "x", "c": "y", "d": "z", "b": "y"}),
    ("/{+a}/{c}-{+d}?b={b}", "/x/y-z", None),
    ("/x?v=v{version}", "/x?v=1&v=v2", {"version": "2"}),
    ("/x?ll={lat},{lon}", "/x?ll=1%2C2", {"lat": "1", "lon": "2"}),
    ("/x?ll={lat}2{lon}", "/x?ll=%25252C", {"lat": "%", "lon": "52C"}),
    # a variable that path and query share
    ("/{a}?b={a}", "/x?b=x", {"a": "x"}),
    ("/{a}?b={a}", "/x?b=y", None),
    ("/{a}?b={a}", "/x?b=y&b=x", {"a": "x"}),
    ("/{a}?b={a}", "/x%2C?b=x,", {"a": "x,"}),
    ("/{a}-{b}?c={a}", "/1-2-3?c=1-2", {"a": "1-2", "b": "3"}),
    ("/{a}{?a}", "/x?a=x", {"a": "x"}),
    ("/{a}{?a}", "/x?a=y", None),
    ("/{a}{?a}", "/x", None),
    ("{/a}{?a}", "/", {}),
    ("{/a}{?a}", "/?a=x", None),
    ("/x?b={a}&c={a}", "/x?b=1&b=2&c=2", {"a": "2"}),
    ("/x?b={a}&c={a}", "/x?b=1&c=2", None),
    ("/x?b={a}&c={a}&d=e", "/x?b=1&c=1&d=e", {"a": "1"}),
    ("/x?b={a}&c={a}&d=e", "/x?b=1&c=1&d=f", None),
    ("/x?b=v{a}{&a}", "/x?b=v1&a=1", {"a": "1"}),
    ("/{a}/{a}?b={b}", "/x/x?b=1", {"a": "x", "b": "1"}),
    ("/{a}/{a}?b={b}", "/x/x", None),
]


@pytest.mark.parametrize(("template", "target", "expected"), MATCHES + QUERIES)
def test_matches(template: str, target: str, expected: dict[str, str] | None) -> None:
    parsed = UrlTemplate.parse(template)
    assert parsed.match(target) == expected
    if not target.startswith("/"):
        return
    path, _, query = target.partition("?")
    reason = parsed.matcher().explain(normalise(path), query)
    assert bool(reason) == (expected is None)


@pytest.mark.parametrize(
    ("template", "target", "reason"),
    [
        ("/linux/{a}", "/darwin/x", "segment 1 is 'darwin', not 'linux'"),
        ("/dl/linux", "/dl/darwin", "segment 2 is 'darwin', not 'linux'"),
        ("/{a}-{b}.tgz", "/x.tgz", "segment 1 is 'x.tgz', not '{a}-{b}.tgz'"),
        ("/{a}/{b}", "/x/", "segment 2 is '', not '{b}'"),
        ("/{a}/{b}/c", "/x/y/c/d", "has 4 segments, the template 3"),
        ("/{a}/{b}", "/x", "has 1 segment, the template 2"),
        ("/v/{+a}", "/v", "has 1 segment, the template 2 or more"),
        ("/v/{+a}.tgz/{b}", "/v/x/y/z", "the rest is 'x/y/z', not '{+a}.tgz/{b}'"),
        ("/v{/a}/{+b}x{.c}{;d}", "/w", "the path does not fit '/v{/a}/{+b}x{.c}{;d}'"),
        ("/x?next={next}", "/x?a=b", "needs query parameter 'next'"),
        ("/x?next=v{next}", "/x?next=1", "query parameter 'next' is '1', not 'v{next}'"),
        ("/{+a}{/b}?next={next}", "/x", "needs query parameter 'next'"),
        ("/{a}?next={a}", "/x?next=y", "a variable that is named twice has two values"),
        ("/{a}?next={a}", "/x", "needs query parameter 'next'"),
    ],
)
def test_explains(template: str, target: str, reason: str) -> None:
    path, _, query = target.partition("?")
    assert UrlTemplate.parse(template).matcher().explain(path, query) == reason


# --- what a router asks -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("template", "elements"),
    [
        ("/", ("",)),
        ("/a/b", ("a", "b")),
        ("/a b/{x}", ("a%20b", Open("", ""))),
        ("/a/{x}-{y}.tgz/b", ("a", Open("", ".tgz"), "b")),
        ("/a/v{x}", ("a", Open("v", ""))),
        ("/a/{+x}", ("a", Tail("", ""))),
        ("/a/v{+x}.sig", ("a", Tail("v", ".sig"))),
        ("/a/{+x}/b/c", ("a", Tail("", "/b/c"))),
        ("/a/{+x}/{b}.c/d", ("a", Tail("", ".c/d"))),
        ("/a/{+x}/{b}", ("a", Tail("", ""))),
        ("/a/{x}-{+y}/b", ("a", Tail("", "/b"))),
        ("/a/v{x}/{x}/b", ("a", Open("v", ""), Open("", ""), "b")),
        ("/a{/x}", (Tail("a", ""),)),
        ("/a{/x}/b", (Tail("a", "/b"),)),
        ("{/x}/b", (Tail("", "b"),)),
        ("{/x}/b/{y}", (Tail("", ""),)),
        ("{+x}/b", (Tail("", "/b"),)),
        ("/a/{x}{.y}/b", ("a", Open("", ""), "b")),
        ("/a/x{.y}/b", ("a", Tail("x", "/b"))),
        ("/{;x}", (Tail("", ""),)),
        ("/a?b={b}&c={b}", ("a",)),
    ],
)
def test_elements(template: str, elements: tuple[object, ...]) -> None:
    assert UrlTemplate.parse(template).matcher().elements == elements


@pytest.mark.parametrize(
    ("template", "path"),
    [("/a/%7eb", "/a/~b"), ("/", "/"), ("/a?x={y}", "/a"), ("/a?x={y}&z={y}", "/a"), ("/{a}", ""), ("/{a}/{a}", "")],
)
def test_exact_paths(template: str, path: str) -> None:
    matcher = UrlTemplate.parse(template).matcher()
    assert matcher.is_exact == bool(path)
    assert matcher.path == path


@pytest.mark.parametrize(
    ("template", "segments", "chars", "variables", "spanning"),
    [
        ("/a/bc", 2, 3, 0, 0),
        ("/a/{x}", 1, 1, 1, 0),
        ("/a/{x}-{y}.tgz", 1, 6, 2, 0),
        ("/a/{+x}/b", 2, 2, 1, 1),
        ("/a/{+x}/b/{+y}", 2, 2, 2, 2),
        ("/{a}/{a}", 0, 0, 1, 0),
        ("/a{/x}", 1, 1, 1, 1),
        ("/a?k=v{x}{&y}", 1, 3, 2, 0),
    ],
)
def test_specificity(template: str, segments: int, chars: int, variables: int, spanning: int) -> None:
    matcher = UrlTemplate.parse(template).matcher()
    assert (matcher.literal_segments, matcher.literal_chars) == (segments, chars)
    assert (matcher.variable_count, matcher.spanning_count) == (variables, spanning)


def test_required_parameters_are_decoded() -> None:
    assert UrlTemplate.parse("/x?a=1&b%20c={b}{&d}").matcher().required_query == ("a", "b c")


def test_a_matcher_takes_the_segments_that_the_caller_has_split() -> None:
    matcher = UrlTemplate.parse("/dl/{platform}/{version}").matcher()
    assert matcher.variables == ("platform", "version")
    assert matcher.match("/dl/linux/1.0", ["dl", "linux", "1.0"], "x=y") == {"platform": "linux", "version": "1.0"}


def test_compiled_templates_are_immutable_and_hold_no_dict() -> None:
    template = UrlTemplate.parse("/{a}")
    for compiled in (template.matcher(), template.expander()):
        assert not hasattr(compiled, "__dict__")
        with pytest.raises(AttributeError):
            compiled.variables = ()  # type: ignore[misc]


# --- normal form --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "normal"),
    [
        ("/a/b", "/a/b"),
        ("/%61%2d%2E%5f%7E", "/a-._~"),
        ("/%2f%3a", "/%2F%3A"),
        ("/%2541", "/%2541"),
        ("/é", "/%C3%A9"),
        ("/%", "/%25"),
        ("/%4", "/%254"),
        ("/%%34", "/%254"),
        ("/%zz", "/%25zz"),
        ('/a b\\"<>^`{|}', "/a%20b%5C%22%3C%3E%5E%60%7B%7C%7D"),
        ("/a?b#c", "/a%3Fb%23c"),
        ("/[a]!$&'()*+,;=:@", "/[a]!$&'()*+,;=:@"),
        ("/\x00\x7f", "/%00%7F"),
        ("/\ud800", "/%ED%A0%80"),
    ],
)
def test_normalise(path: str, normal: str) -> None:
    assert normalise(path) == normal
    assert normalise(normal) == normal


def test_escape_leaves_urls_alone_and_mends_the_rest() -> None:
    assert escape("https://a.example:8/b%2fc?d=e#f[]'") == "https://a.example:8/b%2fc?d=e#f[]'"
    assert escape('a b"é%4g') == "a%20b%22%C3%A9%254g"


# --- expansion ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("template", "values", "url"),
    [
        ("https://a.example/{v}/x-{v}.tgz", {"v": "1.0"}, "https://a.example/1.0/x-1.0.tgz"),
        ("https://a.example/{v}", {}, "https://a.example/"),
        ("https://a.example/{v}", {"v": "a/b c+é"}, "https://a.example/a%2Fb%20c%2B%C3%A9"),
        ("https://a.example/{+v}", {"v": "a/b c?é"}, "https://a.example/a/b%20c?%C3%A9"),
        ("https://a.example/{+v}", {"v": "100%"}, "https://a.example/100%25"),
        ("https://a.example/{+v}", {"v": "a%2Fb"}, "https://a.example/a%2Fb"),
        ("https://a.example/100%/%41/{v}", {"v": "%s"}, "https://a.example/100%25/%41/%25s"),
        ('/a b"{v}', {"v": "x"}, "/a%20b%22x"),
        ("/100%", {}, "/100%25"),
        ("{a,b}", {"a": "1", "b": ":"}, "1,%3A"),
        ("{+a,b}", {"b": ":"}, ":"),
        ("{#a}", {"a": "x/y"}, "#x/y"),
        ("X{.a,b}", {"a": "", "b": "y"}, "X..y"),
        ("{/a,b}", {"a": "x/y", "b": "z"}, "/x%2Fy/z"),
        ("{;a,b}", {"a": "", "b": "é"}, ";a;b=%C3%A9"),
        ("{?a,b,c}", {"a": "", "b": "x&y"}, "?a=&b=x%26y"),
        ("?x{&a}", {"a": "1"}, "?x&a=1"),
        ("{?a}{#b}{/c}", {}, ""),
        ("/{a:2}{/b*}", {"a": "xyz", "b": "q"}, "/xy/q"),
        ("/{a}", {"a": "\ud800"}, "/%3F"),
    ],
)
def test_expands_strings(template: str, values: dict[str, str], url: str) -> None:
    parsed = UrlTemplate.parse(template)
    assert parsed.expander().expand(values) == url
    assert parsed.expand(values) == url


@pytest.mark.parametrize(
    ("template", "values", "url"),
    [
        ("/{a}", {"a": ["x", "y"]}, "/x,y"),
        ("{/a*}", {"a": ["x", "y"]}, "/x/y"),
        ("{?a*,b}", {"a": {"x": "1"}, "b": ["y", "z"]}, "?x=1&b=y,z"),
        ("/{a}{b}{c}", {"a": 1, "b": None, "c": "z"}, "/1z"),
        ("/100%{?a}", {"a": []}, "/100%25"),
        ("/{a:2}{b*}{;c,d}", {"a": "xyz", "b": ["q"], "c": "1", "d": ["2"]}, "/xyq;c=1;d=2"),
    ],
)
def test_expands_other_values(template: str, values: dict[str, Value], url: str) -> None:
    assert UrlTemplate.parse(template).expand(values) == url


@pytest.mark.parametrize(
    ("template", "prefix"),
    [
        ("https://a.example/{v}", "https://a.example/"),
        ("https://a.example/100%/{v}/b", "https://a.example/100%25/"),
        ("https://a.example/", "https://a.example/"),
        ("https://a.example/100%", "https://a.example/100%25"),
        ("{v}/b", ""),
    ],
)
def test_the_prefix_is_what_no_value_changes(template: str, prefix: str) -> None:
    assert UrlTemplate.parse(template).expander().prefix == prefix


# --- any input takes bounded time ---------------------------------------------------------------------------

DASHES = "/" + "a-" * 50_000
ESCAPES = "/" + "%2C" * 33_000
HOSTILE: list[tuple[str, str]] = [
    ("/{a}-{b}-{c}-{d}-x", DASHES),
    ("/{a}2{b}2{c}x", ESCAPES),
    ("/{a}-{b}-{a}-{d}-x", DASHES),
    ("/{a}-{a}-x", DASHES),
    ("/{+a}-{+b}-{+c}x", DASHES),
    ("/{+a}-{+b}q{+c}-", DASHES),
    ("/{+a}-{+b}zz/{+a}", DASHES),
    ("/" + "{+a}-" * 30 + "q", "/" + "-" * 100_000),
    ("/{+a}/{b}/{+c}/{d}-{e}/x", "/" + "a/" * 50_000),
    ("/{+a}{/b,c,d}/z", "/" + "a/" * 50_000),
    ("/{a}{.b,c,d,e}x", "/" + "a." * 50_000),
    ("/{+a}2{+b}2{a}", ESCAPES),
    ("/{+a},{a}", "/" + "a%2C" * 12_500 + "," + "a," * 12_500 + "b"),
    ("/{+a}aaaaaaaab{+a}", "/" + "a" * 100_000),
    ("/x?a={v}&b={v}", "/x?" + "a=1&" * 12_000 + "b=2&" * 12_000),
    ("/{a}-{b}-{c}?x={a}", f"{DASHES}?{'x=y&' * 5_000}"),
]


@pytest.mark.parametrize(("template", "target"), HOSTILE)
def test_hostile_paths_take_bounded_time(template: str, target: str) -> None:
    matcher = UrlTemplate.parse(template).matcher()
    path, _, query = target.partition("?")
    segments = path.split("/")[1:]
    started = time.process_time()
    assert matcher.match(path, segments, query) is None
    # it is some 20 ms; quadratic work would be minutes, and a busy machine does not matter
    assert time.process_time() - started < 10


def test_long_paths_still_match() -> None:
    path = "/" + "a/" * 2_000 + "x-1/q"
    for template in ("/{+p}/{a}-{b}/q", "/{+p}/{a}-{+b}/q"):
        assert UrlTemplate.parse(template).match(path) == {"p": "a/" * 1_999 + "a", "a": "x", "b": "1"}


@pytest.mark.parametrize("count", [10, 2_000])
def test_a_template_may_be_long(count: int) -> None:
    template = "/" + "/".join(f"{{+v{number}}}" for number in range(count))
    found: Any = UrlTemplate.parse(template).match("/" + "/".join(["x"] * count))
    assert len(found) == count


def test_matchers_are_equal_when_their_templates_mean_the_same() -> None:
    one: Matcher = UrlTemplate.parse("/%7E/{a}").matcher()
    assert one == UrlTemplate.parse("/~/{a}").matcher()
    assert UrlTemplate.parse("/{a}") == UrlTemplate.parse("/{a}")
