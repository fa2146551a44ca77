"""Whatever a request says: no exception, no foreign host, no control character, and nobody's address at the backend."""

from __future__ import annotations

import re
from contextlib import suppress
from urllib.parse import urlsplit

from hypothesis import given
from hypothesis import strategies as st

from gatewaycore import Headers, Proxy, Redirect, Request, Respond
from gatewaycore.decision import Relay, Upstream
from gatewaycore.errors import ConfigError
from gatewaycore.route import Route
from gatewaycore.rules.container import CollectionRule, ContainerRule, ImageName, ImagePattern
from gatewaycore.rules.container.backend import Auth
from gatewaycore.rules.container.joining import join
from gatewaycore.rules.container.names import is_repository
from gatewaycore.rules.container.registry import RegistryRoute
from gatewaycore.rules.container.way import Strategy

ADDRESS = "203.0.113.7"
DIGEST = "sha256:" + "a" * 64
AGENTS = ["", "curl/8", "docker/20.10", "docker/29 containerd-client/2", "containerd/2.4", "skopeo/1", "crane/x", "Docker-Client", "\x00/ÿ"]
PIECES = [
    *("v2", "acme", "x", "manifests", "blobs", "tags", "list", "referrers", "uploads", "_catalog", "latest"),
    *(DIGEST, "..", "", "@evil.example", "%2F", "%0d%0a", "%00", "\\", "é", "Ä", "%"),
]

# Lone surrogates too: a server that decodes bytes leniently makes them.
any_text = st.text(st.characters())
any_path = st.one_of(
    any_text.map(lambda text: "/" + text),
    any_text.map(lambda text: "/v2/" + text),
    st.lists(st.sampled_from(PIECES), max_size=8).map(lambda parts: "/v2/" + "/".join(parts)),
    st.tuples(any_text, any_text).map(lambda pair: f"/v2/acme/{pair[0]}/manifests/{pair[1]}"),
)
any_line = st.tuples(
    st.one_of(
        st.text(max_size=20), st.sampled_from(["authorization", "user-agent", "range", "accept", "connection", "x-forwarded-for", "x-hint"])
    ),
    st.one_of(st.sampled_from(["Basic YTpi", "Bearer x", ADDRESS, f"by {ADDRESS}", *AGENTS]), st.text(max_size=30)),
)
requests = st.builds(
    Request,
    method=st.sampled_from(["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "BREW"]),
    host=st.just("docker.acme.com"),
    path=any_path,
    query=st.one_of(st.just(""), any_text),
    headers=st.lists(any_line, max_size=6).map(Headers),
    client_ip=st.sampled_from([ADDRESS, "", "2001:db8::7"]),
)


def _registry(strategy: Strategy, auth: Auth) -> RegistryRoute:
    routes: list[Route] = []
    for pattern in ("*", "*/*", "acme/{a*, b}", "*/*/*"):
        collection = CollectionRule(domain="docker.acme.com", pattern=pattern, backend="ghcr.io", strategy=strategy, backend_auth=auth)
        routes += collection.compile()
    image = ContainerRule(name="acme/x", domain="docker.acme.com", backend="ghcr.io/acme/x", strategy=strategy, backend_auth=auth)
    return join([*routes, *image.compile()])


STRATEGIES: list[Strategy] = ["auto", "redirect", "proxy"]
AUTHS: list[Auth] = ["token", "anonymous"]
REGISTRIES = [_registry(strategy, auth) for strategy in STRATEGIES for auth in AUTHS]


def _is_the_backends(url: str) -> bool:
    clean = re.search(r"[^\x21-\x7e]|\\", url) is None
    return clean and urlsplit(url)[:2] == ("https", "ghcr.io") and url.startswith("https://ghcr.io/v2/")


@given(requests, st.sampled_from(REGISTRIES))
def test_every_request_is_answered_and_leads_to_the_backend_alone(request: Request, registry: RegistryRoute) -> None:
    match = registry.match(request)
    if match is None:
        return
    decision = match.route.decide(request, match)
    seen = match.route.observe(request, match)
    if isinstance(decision, Respond):
        assert seen is None
        assert 400 <= decision.status < 500
        return
    assert seen is not None
    assert request.method in ("GET", "HEAD")
    if isinstance(decision, Redirect):
        assert _is_the_backends(decision.location)
        return
    assert isinstance(decision, Proxy)
    upstream = decision.open().start()
    assert isinstance(upstream, Upstream)
    assert _is_the_backends(upstream.url)
    told = [value for name, value in upstream.headers.items() if name not in ("accept", "authorization", "user-agent", "range")]
    assert not any(request.client_ip and request.client_ip in value for value in told)


@given(requests, st.sampled_from(["", "Bearer x", "Basic YTpi"]), st.sampled_from(AGENTS), st.sampled_from(REGISTRIES))
def test_one_client_goes_one_way(request: Request, authorization: str, agent: str, registry: RegistryRoute) -> None:
    headers = Headers([("user-agent", agent), *([("authorization", authorization)] if authorization else [])])
    ways = set()
    for path in ("/v2/", request.path):
        asked = Request("GET", request.host, path, headers=headers)
        match = registry.match(asked)
        if match is not None and not isinstance(decision := match.route.decide(asked, match), Respond):
            ways.add(type(decision))
    assert len(ways) == 1


@given(
    st.integers(100, 599),
    st.lists(st.tuples(st.sampled_from(["location", "link", "etag", "set-cookie", "x"]), st.text(max_size=40)), max_size=4),
)
def test_every_answer_of_a_backend_can_be_taken(status: int, lines: list[tuple[str, str]]) -> None:
    asked = Request("GET", "docker.acme.com", "/v2/acme/x/manifests/1")
    match = REGISTRIES[4].match(asked)
    assert match is not None
    decision = match.route.decide(asked, match)
    assert isinstance(decision, Proxy)
    answer = decision.open().receive(status, Headers(lines))
    if isinstance(answer, Relay):
        assert answer.status == status
        assert not any(re.search(r"[\r\n\0]", value) or name == "set-cookie" for name, value in answer.headers.items())
    else:
        assert isinstance(answer, Respond)


segment = st.text("ab*", min_size=1, max_size=6).filter(lambda text: "**" not in text)


@given(st.lists(segment, min_size=1, max_size=3), st.lists(st.text("ab", min_size=0, max_size=7), min_size=1, max_size=3))
def test_patterns_match_what_a_regular_expression_would(segments: list[str], parts: list[str]) -> None:
    # The oracle may backtrack: its patterns are this test's own, and short.
    oracle = "/".join(re.escape(text).replace(r"\*", "[^/]+") for text in segments)
    name = "/".join(parts)
    assert ImagePattern.parse("/".join(segments)).match(name) == (re.fullmatch(oracle, name) is not None)


@given(st.text())
def test_names_and_patterns_are_parsed_or_refused(text: str) -> None:
    try:
        name = ImageName.parse(text)
    except ConfigError:
        pass
    else:
        assert is_repository(name.repository)
        assert ImageName.parse(str(name)) == name
    with suppress(ConfigError):
        ImagePattern.parse(text).match(text)


patterns_of_abc = st.from_regex(r"[a-c*]{1,2}(/[a-c*]{1,2}){0,2}", fullmatch=True).filter(lambda text: "**" not in text)


@given(st.lists(patterns_of_abc, min_size=1, max_size=8), st.from_regex(r"[a-c]{1,2}(/[a-c]{1,2}){0,2}", fullmatch=True))
def test_the_index_finds_what_a_walk_through_all_patterns_finds(patterns: list[str], name: str) -> None:
    rules = [CollectionRule(domain="d.example", pattern=pattern, backend="ghcr.io") for pattern in patterns]
    registry = join([route for rule in rules for route in rule.compile()])
    match = registry.match(Request("GET", "d.example", f"/v2/{name}/tags/list"))
    fitting = [ImagePattern.parse(pattern) for pattern in patterns if ImagePattern.parse(pattern).match(name)]
    assert match is not None
    best = max(fitting, key=lambda pattern: pattern.specificity, default=None)
    assert match.route.label == ("d.example/v2/" if best is None else f"d.example/{best}")
