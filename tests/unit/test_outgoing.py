"""Outgoing URLs: whatever the values, the authority stays the template's own."""

from __future__ import annotations

import pytest

from gatewaycore.errors import TemplateError
from gatewaycore.outgoing import Outgoing, authority, carry, safe_path, safe_value, wire_path, wire_query

CDN = "https://cdn.acme.example"


@pytest.mark.parametrize("value", ["1.2.3", "a/b", "..a", "a..", "...", "", "é", "a b", "%2e%2e", "1.0+build.5", "//x"])
def test_safe_values(value: str) -> None:
    assert safe_value(value)


@pytest.mark.parametrize("value", ["..", ".", "a/../b", "../a", "a/.", "a\\b", "a\nb", "a\rb", "\0", "\x7f", "\x85", "\u2028", "\t"])
def test_unsafe_values(value: str) -> None:
    assert not safe_value(value)


@pytest.mark.parametrize(
    ("path", "safe"),
    [
        ("/a/b", True),
        ("/a/../b", False),
        ("/%2e%2e/b", False),
        ("/%252e%252e/b", False),
        ("/a%5Cb", False),
        ("/a%250d", False),
        ("/%25", True),
        ("/caf%C3%A9", True),
    ],
)
def test_safe_path(path: str, safe: bool) -> None:
    assert safe_path(path) is safe


@pytest.mark.parametrize(
    ("path", "wire"),
    [("/a-b/%2F", "/a-b/%2F"), ("/a b", "/a%20b"), ("/100%", "/100%25"), ("/a?b#c", "/a%3Fb%23c"), ("/é", "/%C3%A9"), ("/\ud800", "/%3F")],
)
def test_wire_path(path: str, wire: str) -> None:
    assert wire_path(path) == wire


@pytest.mark.parametrize(
    ("query", "wire"),
    [
        ("a=b&c=/d?e", "a=b&c=/d?e"),
        ("a=b c", "a=b%20c"),
        ("a=#x", "a=%23x"),
        ("100%", "100%25"),
        ("a=\r\nb", "a=%0D%0Ab"),
        ("a=%zz", "a=%25zz"),
    ],
)
def test_wire_query(query: str, wire: str) -> None:
    assert wire_query(query) == wire


@pytest.mark.parametrize(
    ("url", "query", "expected"),
    [
        (f"{CDN}/a", "", f"{CDN}/a"),
        (f"{CDN}/a", "x=1", f"{CDN}/a?x=1"),
        (f"{CDN}/a?y=2", "x=1", f"{CDN}/a?y=2&x=1"),
        (f"{CDN}/a?x=2", "x=1&x=3&z", f"{CDN}/a?x=2&z"),
        (f"{CDN}/a?x=2", "x=1", f"{CDN}/a?x=2"),
        (f"{CDN}/a?", "x=1", f"{CDN}/a?x=1"),
        (f"{CDN}/a#top", "x=1", f"{CDN}/a?x=1#top"),
        (f"{CDN}/a?y=2#top?", "x=1", f"{CDN}/a?y=2&x=1#top?"),
        # Another spelling of a parameter is the same parameter.
        (f"{CDN}/a?version=2", "v%65rsion=1", f"{CDN}/a?version=2"),
        (f"{CDN}/a?a%20b=2", "a+b=1", f"{CDN}/a?a%20b=2"),
        (f"{CDN}/a?x=2", "&&", f"{CDN}/a?x=2&&&"),
    ],
)
def test_carry(url: str, query: str, expected: str) -> None:
    assert carry(url, query) == expected


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://Acme.Example/x", "acme.example"),
        ("http://acme.example:8080", "acme.example:8080"),
        ("https://[2001:db8::1]/", "[2001:db8::1]"),
        ("ftp://acme.example/", None),
        ("//acme.example/", None),
        ("https:///x", None),
        ("https://user@acme.example/", None),
        ("https://user:password@acme.example/", None),
        ("https://acme.example:99999999/", None),
        ("https://acme.example:x/", None),
        ("https://acme.example\\@evil.example/", None),
        ("https://acme.example/\n", None),
        ("https://[::1/", None),
        ("", None),
    ],
)
def test_authority(url: str, expected: str | None) -> None:
    assert authority(url) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/x",
        "cdn.acme.example/x",
        "ftp://cdn.acme.example/",
        "https://",
        "https:///x",
        "https://a@b/",
        "https://a\\b/",
        f"{CDN}/a\nb",
        "https://a:x/{v}",
        "https://a@b/{v}",
    ],
)
def test_what_is_no_absolute_url_is_refused(text: str) -> None:
    with pytest.raises(TemplateError, match=r"absolute URL|outgoing URL is absolute|host of this URL"):
        Outgoing.compile(text)


@pytest.mark.parametrize(
    "text",
    [
        "https://{host}/x",
        "{+url}",
        "https://cdn{x}.acme.example/",
        "https://cdn.acme.example{x}",
        "https://cdn.acme.example:{port}/",
        "{scheme}://a/",
    ],
)
def test_variables_reach_the_authority_only_where_hosts_are_allowed(text: str) -> None:
    with pytest.raises(TemplateError, match="allowed-hosts"):
        Outgoing.compile(text)
    compiled = Outgoing.compile(text, frozenset({"cdn.acme.example"}))
    assert (compiled.origin, compiled.host) == ("", None)


def test_a_constant_url() -> None:
    outgoing = Outgoing.compile(f"{CDN}/a?x=1")
    assert outgoing.locate({}, "") == f"{CDN}/a?x=1"
    assert outgoing.locate({"x": ".."}, "x=2&y=3") == f"{CDN}/a?x=1&y=3"
    assert outgoing.host == "cdn.acme.example"


@pytest.mark.parametrize(
    ("text", "variables", "query", "expected"),
    [
        ("/{v}/x-{p}.tgz", {"v": "1.2", "p": "linux"}, "", "/1.2/x-linux.tgz"),
        ("/{v}", {"v": "a b/ü"}, "", "/a%20b%2F%C3%BC"),
        ("/{+v}", {"v": "a/b c"}, "", "/a/b%20c"),
        ("/{v}", {}, "", "/"),
        ("/{v}?v={v}", {"v": "1"}, "v=2&w=3", "/1?v=1&w=3"),
        ("/{?v}", {"v": "a&b"}, "", "/?v=a%26b"),
        ("/{v}", {"v": "100%"}, "", "/100%25"),
        ("/{+v}", {"v": "a%20b"}, "", "/a%20b"),
        # What would lead elsewhere than the template says.
        ("/{v}", {"v": ".."}, "", None),
        ("/{+v}", {"v": "a/../b"}, "", None),
        ("/{v}", {"v": "a\\b"}, "", None),
        ("/{v}", {"v": "a\r\nb"}, "", None),
        ("/base/{+v}", {"v": "%2e%2e/secret"}, "", None),
        ("/base/{+v}", {"v": "a%2F..%2Fb"}, "", None),
        ("/base/{+v}", {"v": "a%5Cb"}, "", None),
        ("/{v}", {"v": "1", "unused": ".."}, "", "/1"),
        ("/{+v}", {"v": "//evil.example"}, "", "///evil.example"),
        ("/{+v}", {"v": "@evil.example"}, "", "/@evil.example"),
    ],
)
def test_locate(text: str, variables: dict[str, str], query: str, expected: str | None) -> None:
    assert Outgoing.compile(CDN + text).locate(variables, query) == (None if expected is None else CDN + expected)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://a.example/x", "https://a.example/x"),
        ("https://b.example:8443/x", "https://b.example:8443/x"),
        ("https://b.example/x", None),
        ("https://A.example/x", "https://A.example/x"),
        ("https://a.example@evil.example/", None),
        ("https://evil.example/a.example", None),
        ("https://a.example.evil.example/", None),
        ("//a.example/", None),
        ("javascript:alert(1)", None),
        ("https://a.example\\.evil.example/", None),
        ("https://evil.example#a.example", None),
    ],
)
def test_a_host_from_a_variable_must_be_listed(url: str, expected: str | None) -> None:
    outgoing = Outgoing.compile("{+url}", frozenset({"a.example", "b.example:8443"}))
    assert outgoing.locate({"url": url}, "") == expected


@pytest.mark.parametrize(
    ("text", "value", "expected"),
    [
        # In the path, a value is path: it brings no query, no fragment, and no dot segment in front of one.
        ("/{+v}?token=good", "a?token=evil#", "/a%3Ftoken=evil%23?token=good&q=1"),
        ("/{+v}", "a?b#c", "/a%3Fb%23c?q=1&token=evil"),
        ("/{+v}", "..?x", "/..%3Fx?q=1&token=evil"),
        ("/{+v}", "a%20b?c;d=e&f", "/a%20b%3Fc;d=e&f?q=1&token=evil"),
        ("/{+v}", "50%?20", "/50%25%3F20?q=1&token=evil"),
        ("/{+v}?token=good", "a%3Fb%23", "/a%3Fb%23?token=good&q=1"),
        ("/{+v:3}?token=good", "a?bcd", "/a%3Fb?token=good&q=1"),
        ("/{+v,v}", "?", "/%3F,%3F?q=1&token=evil"),
        ("/{v}?token=good", "a?#b", "/a%3F%23b?token=good&q=1"),
        # In a parameter, it is that parameter's.
        ("/?next={+v}&token=good", "https://a/?b=c&token=evil#d", "/?next=https://a/?b=c%26token=evil%23d&token=good&q=1"),
        ("/?next={+v}&token=good", "1;token=evil", "/?next=1%3Btoken=evil&token=good&q=1"),
        ("/?{+v}&token=good", "token=evil&x", "/?token%3Devil%26x&token=good&q=1"),
        ("/?to{+v}&token=good", "ken=evil", "/?token%3Devil&token=good&q=1"),
        ("/{?v}&token={+v}", "a&b=c", "/?v=a%26b%3Dc&token=a%26b=c&q=1"),
        # In a fragment there is nothing left to displace.
        ("/?token=good#{+v}", "a?b&c", "/?token=good&q=1#a?b&c"),
        ("/?token=good{#v}", "a?b&c", "/?token=good&q=1#a?b&c"),
    ],
)
def test_a_value_stays_in_the_part_where_the_template_has_it(text: str, value: str, expected: str) -> None:
    assert Outgoing.compile(CDN + text).locate({"v": value}, "q=1&token=evil") == CDN + expected


@pytest.mark.parametrize(
    ("text", "url", "expected"),
    [
        ("{+url}", "https://a.example/x?y=1#z", "https://a.example/x?y=1#z"),
        ("{+url}?token=good", "https://a.example/x?token=evil#", "https://a.example/x%3Ftoken=evil%23?token=good"),
        ("{+url}/y", "https://a.example/x?y=1", "https://a.example/x%3Fy=1/y"),
        ("https://{+url}/x", "a.example?", None),
        ("https://{+url}/x", "a.example#", None),
    ],
)
def test_a_value_that_is_the_whole_url_keeps_its_query(text: str, url: str, expected: str | None) -> None:
    assert Outgoing.compile(text, frozenset({"a.example"})).locate({"url": url}, "") == expected


def test_one_without_url_leads_nowhere() -> None:
    assert Outgoing(None, None, "").locate({}, "") is None


@pytest.mark.parametrize(
    "value",
    [
        "evil.example",
        ".evil.example",
        "@evil.example",
        ":80@evil.example",
        "//evil.example",
        "%2F%2Fevil.example",
        "\t//evil",
        "?@evil",
        "#@evil",
    ],
)
def test_no_value_moves_the_authority(value: str) -> None:
    for text in ("/{v}", "/{+v}", "/a{/v}", "?u={v}", "/x{?v}", "/#{v}"):
        location = Outgoing.compile(CDN + text).locate({"v": value}, "")
        assert location is None or authority(location) == "cdn.acme.example"
