"""Strategies: requests as clients and attackers make them, well-formed by `Request`'s own words."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address
from string import ascii_letters, digits
from urllib.parse import quote

from hypothesis import strategies as st

from gatewaycore.headers import Headers
from gatewaycore.request import Request
from gatewaycore.route import Api, Everything, Regex, Route
from gatewaycore.template import Matcher
from gatewaycore.template.sample import samples

METHODS = ("GET", "GET", "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "BREW")
AGENTS = (
    "curl/8.5.0", "docker/26.1.0 go/go1.21.9 git-commit/x kernel/6.1 os/linux arch/amd64 UpstreamClient(Docker-Client/26.1.0)",
    "containerd/1.7.2",
    'pip/24.0 {"ci":true,"installer":{"name":"pip","version":"24.0"},"cpu":"arm64"}', "Mozilla/5.0 (X11; Linux x86_64) Firefox/128.0", "",
)  # fmt: skip
# What stands out in paths: separators, escapes of them, and what leads elsewhere.
PIECES = (
    "a", "linux", "1.2.3", "v2", "simple", "acme", "x", "manifests", "blobs", "latest", "sha256:" + "0" * 64, "rocket-skates",
    "install", "..", ".", "", "%2e%2e", "%2F", "%5C", "\\", "%0d%0a", "%00", "%", "%zz", "@evil.example", "//evil.example", ":80",
    "%C3%A9", "%FF", "%ED%A0%80", "%252e%252e", "~", "+", "|", "a%20b",
)  # fmt: skip

visible = st.characters(min_codepoint=0x21, max_codepoint=0x7E)
wire_text = st.text(visible, max_size=30)
# As on the wire: visible ASCII, begins with "/", without the "?" and "#" that would end it.
segments = st.one_of(st.sampled_from(PIECES), st.text(visible, max_size=12)).map(lambda text: text.replace("?", "").replace("#", ""))
paths = st.lists(segments, max_size=8).map(lambda parts: "/" + "/".join(parts))
names = st.sampled_from(("version", "platform", "page", "package", "arch", "x-pxid", "a", "%61", "$version", ""))
pairs = st.tuples(names, st.one_of(st.sampled_from(PIECES), wire_text)).map("=".join)
queries = st.one_of(st.just(""), st.lists(pairs, max_size=4).map("&".join), wire_text)
header_names = st.one_of(
    st.sampled_from(
        ("user-agent", "referer", "authorization", "accept", "range", "content-type", "cookie", "x-forwarded-for", "forwarded", "host")
    ),
    st.text(ascii_letters + digits + "-", min_size=1, max_size=12),
)
values = st.one_of(
    st.sampled_from(
        (*AGENTS, "Bearer x", "Basic YTpi", "bytes=0-9", "application/json", "application/x-www-form-urlencoded", "https://docs.example/a")
    ),
    st.text(st.characters(max_codepoint=0xFF, exclude_characters="\r\n\0"), max_size=30),
)
addresses = st.one_of(
    st.integers(1 << 24, (1 << 32) - 1).map(lambda number: str(IPv4Address(number))),
    st.integers(1 << 64, (1 << 128) - 1).map(lambda number: str(IPv6Address(number))),
)
bodies = st.one_of(
    st.sampled_from(
        (
            b"",
            b"{}",
            b'{"version": "1", "a": {"b": [1, 2]}}',
            b'{"$version": "1"}\n{"page": "x"}',
            b"[{}, {}]",
            b"no JSON",
            b"a=1&b=2",
            b'"\\ud800"',
        )
    ),
    st.binary(max_size=40),
)


def header_lists(*, opted_out: bool = False) -> st.SearchStrategy[list[tuple[str, str]]]:
    """Return header lines; with `opted_out`, one of them says so."""
    lines = st.lists(st.tuples(header_names, values), max_size=5)
    said = st.sampled_from([("DNT", "1"), ("dnt", "1;x"), ("Sec-GPC", "1")])
    return st.tuples(lines, said, lines).map(lambda parts: [*parts[0], parts[1], *parts[2]]) if opted_out else lines


_BELOW = (
    "",
    "/",
    "/rocket-skates",
    "/x/1.0.0",
    "/@acme%2fx",
    "/@acme/x/-/x-1.0.0.tgz",
    "/-/ping",
    "/-/npm/v1/keys",
    "/-/package/x/dist-tags",
)


def targets(routes: Sequence[Route]) -> list[tuple[str, str]]:
    """Return paths and queries that routes answer, as far as that can be told from outside."""
    found: list[tuple[str, str]] = []
    for route in routes:
        pattern = route.pattern
        if isinstance(pattern, Matcher):
            found += samples(pattern)
        elif isinstance(pattern, Api):
            found += [(prefix + rest, "") for prefix in pattern.prefixes for rest in _BELOW]
        elif isinstance(pattern, Regex | Everything):
            found.append(("/", ""))
    return found


@st.composite
def requests(
    draw: st.DrawFn,
    hosts: Sequence[str],
    known: Sequence[tuple[str, str]] = (),
    lines: st.SearchStrategy[list[tuple[str, str]]] | None = None,
) -> Request:
    """Draw a request; half of them for paths that something may be served under."""
    path, query = draw(st.one_of(st.tuples(paths, queries), st.sampled_from(list(known)))) if known else draw(st.tuples(paths, queries))
    if draw(st.booleans()):
        query = "&".join(part for part in (query, draw(queries)) if part)
    return Request(
        draw(st.sampled_from(METHODS)),
        draw(st.sampled_from(list(hosts))),
        # Samples of templates may hold what a client would escape.
        path if path.isascii() else quote(path),
        query,
        Headers(draw(header_lists() if lines is None else lines)),
        draw(st.one_of(st.just(""), addresses)),
        draw(st.sampled_from(("https", "http"))),
    )
