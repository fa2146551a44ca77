"""Requests: hosts, request targets, and the spelling of paths."""

from __future__ import annotations

import pytest

from gatewaycore.errors import RequestError
from gatewaycore.request import Request, behind, below, escape, normalise_host, origin_form, spell


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("get.acme.com", "get.acme.com"),
        ("GET.Acme.COM:8443", "get.acme.com"),
        ("get.acme.com.", "get.acme.com"),
        ("get.acme.com.:443", "get.acme.com"),
        ("get.acme.com:", "get.acme.com"),
        (" get.acme.com ", "get.acme.com"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("BÜCHER.example:80", "xn--bcher-kva.example"),
        # As browsers have it: Python's own codec takes it for fass.de, which is somebody else's.
        ("faß.de", "xn--fa-hia.de"),
        ("βόλος.com.", "xn--nxasmm1c.com"),
        ("_dmarc.bücher。example", "_dmarc.xn--bcher-kva.example"),
        ("127.0.0.1:8080", "127.0.0.1"),
        ("[2001:DB8::1]:8080", "[2001:db8::1]"),
        ("a_b.example", "a_b.example"),
        ("x", "x"),
    ],
)
def test_a_host_has_one_form(text: str, host: str) -> None:
    assert normalise_host(text) == host


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":80",
        ".",
        "...",
        "a b",
        "a/b",
        "user@host",
        "a\\b",
        "a%00b",
        "host\r\nx: y",
        "::1",
        "[::1",
        "-a",
        "a-",
        "x" * 255,
        "ü" * 64 + ".de",
        "ü" * 20_000,
        "bü:cher.de",
        "☃.de",
        "a\u200db.de",
        "a,b",
        "*",
    ],
)
def test_what_is_no_host_is_refused_with_400(text: str) -> None:
    with pytest.raises(RequestError, match="not a host name") as refused:
        normalise_host(text)
    assert refused.value.status == 400
    # A host may be as long as a server takes; the message is not.
    assert len(str(refused.value)) < 200


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/a", ("/a", None)),
        ("", ("/", None)),
        ("*", ("/*", None)),
        ("//evil.example/x", ("//evil.example/x", None)),
        ("http://Acme.example:80/a", ("/a", "Acme.example:80")),
        ("HTTPS://acme.example", ("/", "acme.example")),
        ("ftp://acme.example/a", ("/ftp://acme.example/a", None)),
    ],
)
def test_origin_form(target: str, expected: tuple[str, str | None]) -> None:
    assert origin_form(target) == expected


@pytest.mark.parametrize(
    ("mount", "path", "expected"),
    [
        (b"", "/a", "/a"),
        (b"/", "/a", "/a"),
        (b"/m", "/m/a", "/a"),
        (b"/m/", "/m/a", "/a"),
        (b"/m", "/m", "/"),
        (b"/m", "/mx/a", "/mx/a"),
        (b"/m", "/other", "/other"),
        (b"/m n", "/m%20n/a%2Fb", "/a%2Fb"),
        (b"/m", "/%6D/a", "/a"),
        ("/é".encode(), "/%C3%A9/a", "/a"),
    ],
)
def test_below_a_mount_the_rest_keeps_its_spelling(mount: bytes, path: str, expected: str) -> None:
    assert below(mount, path) == expected


@pytest.mark.parametrize(
    ("path", "count", "rest"), [("/a/b", 2, "/b"), ("/%2Fb", 2, "b"), ("/a%", 2, "%"), ("/%zz", 2, "zz"), ("/", 1, ""), ("/a", 9, "")]
)
def test_behind(path: str, count: int, rest: str) -> None:
    assert behind(path, count) == rest


@pytest.mark.parametrize(
    ("path", "wire"),
    [(b"/a b", "/a%20b"), (b"/a%b", "/a%25b"), (b"/\xc3\xa9", "/%C3%A9"), (b"/a+b~;=@", "/a+b~;=@"), (b"/a?b#c", "/a%3Fb%23c")],
)
def test_spell(path: bytes, wire: str) -> None:
    assert spell(path) == wire


@pytest.mark.parametrize(("target", "wire"), [("/a%20b?x=|", "/a%20b?x=|"), ("/\xc3\xa9?\xff", "/%C3%A9%3F%FF"), ("/€", "/%3F")])
def test_escape(target: str, wire: str) -> None:
    assert escape(target) == wire


def test_defaults() -> None:
    request = Request("GET", "x", "/")
    assert (request.query, len(request.headers), request.client_ip, request.scheme) == ("", 0, "", "https")
    assert request.received_at.utcoffset() is not None
    assert request == Request("GET", "x", "/") != Request("HEAD", "x", "/")
