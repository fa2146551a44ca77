"""Images behind a domain: which way each client goes, what survives the proxy, and what is recorded."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gatewaycore import ConfigError, Headers, Proxy, Redirect, Request, Respond
from gatewaycore.decision import Conversation, Decision, Relay, Step, Upstream
from gatewaycore.event import Observation
from gatewaycore.route import Api, ApiRoute, Match, Route, Rule
from gatewaycore.rules.container import CollectionRule, ContainerRule
from gatewaycore.rules.container.clients import FAMILIES, family
from gatewaycore.rules.container.paths import Blob, Manifest, Ping, Referrers, Tags, parse
from gatewaycore.rules.container.registry import RegistryRoute

pytestmark = pytest.mark.usefixtures("no_sockets")

DIGEST = "sha256:" + "0123456789abcdef" * 4
DOMAIN = "docker.acme.com"

AGENTS = {
    "skopeo": "skopeo/1.9.3",
    "podman": "containers/5.23.1 (github.com/containers/image)",
    "buildah": "Buildah/1.28.2",
    "oras-go": "oras-go",
    "oras-py": "python-requests/2.34.2",
    "dockerd, containerd store": "docker/29.0 go/go1.24 os/linux arch/amd64 containerd-client/2.3.4+unknown storage-driver/native",
    "BuildKit": "buildkit/v0.32",
    "crane": "crane/(devel) go-containerregistry/(devel)",
    "dockerd, graph drivers": r"docker/20.10.24 go/go1.19.8 os/linux arch/amd64 UpstreamClient(Docker-Client/20.10.24 \(linux\))",
    "docker manifest": "Docker-Client/28.2.2 (linux)",
    "containerd": "containerd/1.6.20~ds1",
}
SURVIVES = {  # public and anonymous, with credentials; everything redirected
    "skopeo": (False, False),
    "podman": (False, False),
    "buildah": (False, False),
    "oras-go": (False, False),
    "oras-py": (False, False),
    "dockerd, containerd store": (True, False),
    "BuildKit": (True, False),
    "crane": (True, False),
    "dockerd, graph drivers": (True, True),
    "docker manifest": (True, True),
    "containerd": (True, True),
}


def image(**settings: Any) -> ContainerRule:
    return ContainerRule(**{"name": "acme/rocket", "domain": DOMAIN, "backend": "ghcr.io/acme/rocket", **settings})


def registry(*rules: Rule) -> RegistryRoute:
    routes: list[Route] = [route for rule in rules for route in rule.compile()]
    pattern = routes[0].pattern
    assert isinstance(pattern, Api)
    joined = pattern.join(routes)
    assert isinstance(joined, RegistryRoute)
    return joined


def request(path: str, headers: dict[str, str] | list[tuple[str, str]] | None = None, *, method: str = "GET", query: str = "") -> Request:
    return Request(method, DOMAIN, path, query, Headers(headers or {}), client_ip="203.0.113.7")


def ask(route: ApiRoute, asked: Request) -> tuple[Match | None, Decision | None, Observation | None]:
    match = route.match(asked)
    return (None, None, None) if match is None else (match, match.route.decide(asked, match), match.route.observe(asked, match))


def decide(route: ApiRoute, path: str, headers: dict[str, str] | None = None, *, method: str = "GET", query: str = "") -> Decision | None:
    return ask(route, request(path, headers, method=method, query=query))[1]


def way(decision: Decision | None) -> str:
    return type(decision).__name__.lower()


PATHS = ["/v2", "/v2/", "/v2/acme/rocket/manifests/1.0", f"/v2/acme/rocket/blobs/{DIGEST}", "/v2/acme/rocket/tags/list"]


# --- which way ---------------------------------------------------------------------------------------------


def test_the_tables_cover_each_other() -> None:
    assert [row.name for row in FAMILIES] == list(AGENTS) == list(SURVIVES)
    assert {name: family(agent) and family(agent).name for name, agent in AGENTS.items()} == {name: name for name in AGENTS}  # type: ignore[union-attr]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("name", AGENTS)
def test_auto_follows_the_table_for_token_registries(name: str, path: str) -> None:
    """A client shows no credentials before it is asked for them: who would lose them goes to public images only."""
    served, public = registry(image()), registry(image(public=True))
    anonymous, credentials = SURVIVES[name]
    agent = {"User-Agent": AGENTS[name]}
    assert way(decide(public, path, agent)) == ("redirect" if anonymous else "proxy")
    for one in (served, public):
        assert way(decide(one, path, {**agent, "Authorization": "Bearer abc"})) == ("redirect" if credentials else "proxy")
        assert way(decide(one, path, {**agent, "Authorization": "Basic YTpi"})) == "proxy"
        assert way(decide(one, path, {**agent, "Authorization": " bAsIc\tYTpi"})) == "proxy"
    assert way(decide(served, path, agent)) == ("redirect" if anonymous and credentials else "proxy")


@pytest.mark.parametrize("agent", [None, "", "curl/8.5.0", "crio", "cri-o/1.30", "dockerd", "Mozilla/5.0 docker/1.0", "/", " docker/20.10"])
def test_unmeasured_clients_are_proxied(agent: str | None) -> None:
    headers = {} if agent is None else {"User-Agent": agent}
    # A field's surrounding white space is none of its value.
    wanted = "redirect" if agent == " docker/20.10" else "proxy"
    assert {way(decide(registry(image()), path, headers)) for path in PATHS} == {wanted}


@pytest.mark.parametrize("agent", [None, *AGENTS.values()])
def test_anonymous_registries_are_redirected_to_for_everybody(agent: str | None) -> None:
    served = registry(image(backend_auth="anonymous"))
    headers = {} if agent is None else {"User-Agent": agent}
    assert {way(decide(served, path, headers)) for path in PATHS} == {"redirect"}
    assert {way(decide(served, path, {**headers, "Authorization": "Basic YTpi"})) for path in PATHS} == {"proxy"}


@pytest.mark.parametrize("strategy", ["redirect", "proxy"])
@pytest.mark.parametrize(
    "headers", [{}, {"User-Agent": AGENTS["containerd"]}, {"User-Agent": AGENTS["skopeo"], "Authorization": "Basic YTpi"}]
)
def test_a_chosen_strategy_holds_for_everybody(strategy: str, headers: dict[str, str]) -> None:
    served = registry(image(strategy=strategy))
    assert {way(decide(served, path, headers)) for path in PATHS} == {strategy}


def test_beside_a_proxied_image_the_ping_is_proxied_and_only_those_who_survive_that_are_redirected() -> None:
    served = registry(image(strategy="proxy"), image(name="acme/probe", backend="ghcr.io/acme/probe", public=True))
    for agent, wanted in (("dockerd, graph drivers", "proxy"), ("containerd", "redirect"), ("BuildKit", "redirect"), ("skopeo", "proxy")):
        headers = {"User-Agent": AGENTS[agent]}
        assert way(decide(served, "/v2/", headers)) == "proxy"
        assert way(decide(served, "/v2/acme/rocket/manifests/1", headers)) == "proxy"
        assert way(decide(served, "/v2/acme/probe/manifests/1", headers)) == wanted


def test_beside_a_redirected_image_the_ping_goes_as_auto_says() -> None:
    served = registry(image(strategy="redirect"), image(name="acme/probe", backend="ghcr.io/acme/probe"))
    assert way(decide(served, "/v2/", {"User-Agent": AGENTS["skopeo"]})) == "proxy"
    assert way(decide(served, "/v2/", {"User-Agent": AGENTS["containerd"]})) == "redirect"


# --- where to ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "query", "location"),
    [
        ("/v2", "", "https://ghcr.io/v2/"),
        ("/v2/", "ns=docker.io", "https://ghcr.io/v2/?ns=docker.io"),
        ("/v2/acme/rocket/manifests/1.0", "", "https://ghcr.io/v2/acme/rocket/manifests/1.0"),
        ("/v2/acme/r%6Fcket/manifests/1.0", "", "https://ghcr.io/v2/acme/rocket/manifests/1.0"),
        (f"/v2/acme/rocket/manifests/{DIGEST}", "", f"https://ghcr.io/v2/acme/rocket/manifests/{DIGEST}"),
        (f"/v2/acme/rocket/blobs/{DIGEST.replace(':', '%3A')}", "", f"https://ghcr.io/v2/acme/rocket/blobs/{DIGEST}"),
        (f"/v2/acme/rocket/blobs/{DIGEST.replace(':', '%3a')}", "", f"https://ghcr.io/v2/acme/rocket/blobs/{DIGEST}"),
        ("/v2/acme/rocket/tags/list", "n=10&last=a", "https://ghcr.io/v2/acme/rocket/tags/list?n=10&last=a"),
        (f"/v2/acme/rocket/referrers/{DIGEST}", "artifactType=a/b", f"https://ghcr.io/v2/acme/rocket/referrers/{DIGEST}?artifactType=a/b"),
        ("/v2/acme/rocket/tags/list", "a=\r\nb&c=%zz&d=é#x", "https://ghcr.io/v2/acme/rocket/tags/list?a=%0D%0Ab&c=%25zz&d=%C3%A9%23x"),
    ],
)
@pytest.mark.parametrize("strategy", ["redirect", "proxy"])
def test_the_same_path_at_the_backend(path: str, query: str, location: str, strategy: str) -> None:
    decision = decide(registry(image(strategy=strategy)), path, query=query)
    found = decision.location if isinstance(decision, Redirect) else begun(decision).url
    assert found == location


@pytest.mark.parametrize(
    ("settings", "location"),
    [
        ({"backend": "docker pull docker.io/acme/rocket:1"}, "https://registry-1.docker.io/v2/"),
        ({"backend": "registry.hub.docker.com/acme/rocket"}, "https://registry-1.docker.io/v2/"),
        ({"backend": "localhost:5000/acme/rocket", "backend_scheme": "http"}, "http://localhost:5000/v2/"),
        ({"backend": "[2001:db8::7]:5000/acme/rocket"}, "https://[2001:db8::7]:5000/v2/"),
    ],
)
def test_backends(settings: dict[str, Any], location: str) -> None:
    decision = decide(registry(image(strategy="redirect", **settings)), "/v2/")
    assert isinstance(decision, Redirect)
    assert decision.location == location


def test_redirects_say_what_they_depend_on() -> None:
    chosen = decide(registry(image()), "/v2/", {"User-Agent": AGENTS["containerd"]})
    always = decide(registry(image(strategy="redirect", redirect_status=307)), "/v2/")
    assert isinstance(chosen, Redirect)
    assert isinstance(always, Redirect)
    assert (chosen.status, always.status) == (302, 307)
    assert chosen.headers["Vary"] == "User-Agent, Authorization"
    assert "Vary" not in always.headers
    assert chosen.headers["Docker-Distribution-API-Version"] == "registry/2.0"


# --- refusals ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v2/acme/other/manifests/1.0", 404, "NAME_UNKNOWN"),
        ("HEAD", f"/v2/acme/other/blobs/{DIGEST}", 404, "NAME_UNKNOWN"),
        ("GET", "/v2/_catalog", 404, "UNSUPPORTED"),
        ("GET", "/v2/acme/Rocket/manifests/1.0", 400, "NAME_INVALID"),
        ("GET", "/v2/acme//rocket/manifests/1.0", 400, "NAME_INVALID"),
        ("GET", "/v2//manifests/1.0", 400, "NAME_INVALID"),
        ("GET", "/v2/acme%2Frocket/manifests/1.0", 400, "NAME_INVALID"),
        ("GET", "/v2/acme/../rocket/tags/list", 400, "NAME_INVALID"),
        ("GET", "/v2/acme/%2e%2e/rocket/blobs/x", 400, "NAME_INVALID"),
        ("GET", "/v2/" + "a/" * 200 + "a/referrers/x", 400, "NAME_INVALID"),
        ("GET", "/v2/acme/rocket/manifests/", 400, "MANIFEST_INVALID"),
        ("GET", "/v2/acme/rocket/manifests/-x", 400, "MANIFEST_INVALID"),
        ("GET", "/v2/acme/rocket/manifests/1%0A0", 400, "MANIFEST_INVALID"),
        ("GET", "/v2/acme/rocket/manifests/sha256:abc", 400, "MANIFEST_INVALID"),
        ("GET", "/v2/acme/rocket/blobs/sha256:abc", 400, "DIGEST_INVALID"),
        ("GET", "/v2/acme/rocket/referrers/latest", 400, "DIGEST_INVALID"),
        ("GET", "/v2/acme/rocket/blobs/uploads/8d7a", 404, "BLOB_UPLOAD_UNKNOWN"),
        ("GET", "/v2/acme/rocket/blobs/uploads", 404, "BLOB_UPLOAD_UNKNOWN"),
        ("POST", "/v2/acme/rocket/blobs/uploads/", 405, "UNSUPPORTED"),
        ("PUT", "/v2/acme/rocket/manifests/1.0", 405, "UNSUPPORTED"),
        ("PATCH", "/v2/acme/rocket/blobs/uploads/8d7a", 405, "UNSUPPORTED"),
        ("DELETE", "/v2/acme/other/manifests/1.0", 405, "UNSUPPORTED"),
        ("OPTIONS", "/v2/", 405, "UNSUPPORTED"),
    ],
)
def test_refusals_are_what_clients_read_and_no_events(method: str, path: str, status: int, code: str) -> None:
    served = registry(image())
    match, decision, observation = ask(served, request(path, {"User-Agent": "x"}, method=method))
    assert match is not None
    assert match.route is served
    assert isinstance(decision, Respond)
    assert decision.status == status
    [error] = json.loads(decision.body)["errors"]
    assert error["code"] == code
    assert error["message"]
    assert isinstance(error["detail"], dict)
    assert decision.headers["Content-Type"] == "application/json"
    assert decision.headers["Docker-Distribution-API-Version"] == "registry/2.0"
    assert decision.headers.get("Allow") == ("GET, HEAD" if status == 405 else None)
    assert observation is None


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/v2x",
        "/v22/",
        "/v2/install.sh",
        "/v2/acme/rocket",
        "/v2/acme/rocket/tags",
        "/v2/acme/rocket/tags/list/",
        "/v2//",
        "/v1/acme/rocket/manifests/1",
    ],
)
def test_what_is_no_endpoint_is_left_to_other_rules(path: str) -> None:
    assert registry(image()).match(request(path)) is None


def test_names_may_hold_the_words_of_the_api() -> None:
    assert parse("/v2/a/manifests/blobs/manifests/tags") == Manifest("a/manifests/blobs", "tags")
    assert parse("/v2/tags/list/tags/list") == Tags("tags/list")
    assert parse(f"/v2/blobs/uploads/blobs/{DIGEST}") == Blob("blobs/uploads", DIGEST)
    assert parse(f"/v2/a/referrers/{DIGEST}") == Referrers("a", DIGEST)
    assert parse("/v2") == parse("/v2/") == Ping()


# --- collections -------------------------------------------------------------------------------------------


def collection(pattern: str, **settings: Any) -> CollectionRule:
    return CollectionRule(**{"domain": DOMAIN, "pattern": pattern, "backend": "ghcr.io", **settings})


def test_the_most_specific_rule_serves_an_image() -> None:
    rules: list[Rule] = [
        collection("*/*"),
        collection("acme/*"),
        collection("acme/web-*"),
        collection("acme/{web-1, web-2}"),
        collection("acme/*", priority=1, id="chosen"),
        image(),
        image(id="twin"),
        collection("*/rocket"),
        collection("*/*/*"),
    ]
    served = registry(*rules)
    wanted = {
        "acme/rocket": f"{DOMAIN}/acme/rocket",
        "other/rocket": f"{DOMAIN}/*/rocket",
        "acme/web-1": f"{DOMAIN}/acme/{{web-1, web-2}}",
        "acme/web-3": f"{DOMAIN}/acme/web-*",
        "acme/x": f"{DOMAIN}/acme/*",
        "other/x": f"{DOMAIN}/*/*",
        "a/b/c": f"{DOMAIN}/*/*/*",
    }
    for name, label in wanted.items():
        match = served.match(request(f"/v2/{name}/manifests/1"))
        assert match is not None
        assert match.route.label == label
    match = served.match(request("/v2/acme/x/manifests/1"))
    assert match is not None
    assert match.route.package == "chosen"
    assert way(decide(served, "/v2/rocket/manifests/1")) == "respond"
    assert [(first.package, second.package) for first, second in served.ambiguous] == [("acme/rocket", "twin")]


def test_an_image_that_a_collection_admits_is_a_package_of_its_own() -> None:
    served = registry(collection("acme/*", id="rule-7"))
    match, _, observation = ask(served, request("/v2/acme/new/manifests/1.0"))
    assert match is not None
    assert match.route.package == "rule-7"
    assert observation == Observation("acme/new", "container", f"{DOMAIN}/acme/*", "manifest", version="1.0")


# --- events ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "headers", "kind", "version", "variables"),
    [
        ("/v2/acme/rocket/manifests/1.0", {}, "manifest", "1.0", {}),
        (f"/v2/acme/rocket/manifests/{DIGEST}", {}, "manifest", DIGEST, {}),
        (f"/v2/acme/rocket/blobs/{DIGEST}", {}, "blob", None, {"digest": DIGEST}),
        (f"/v2/acme/rocket/blobs/{DIGEST}", {"Range": "bytes=5-9"}, "blob", None, {"digest": DIGEST, "range": "bytes=5-9"}),
        (f"/v2/acme/rocket/blobs/{DIGEST}", {"Range": "bytes=<script>"}, "blob", None, {"digest": DIGEST}),
        ("/v2/acme/rocket/tags/list", {}, "metadata", None, {}),
        (f"/v2/acme/rocket/referrers/{DIGEST}", {}, "metadata", None, {}),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("package", [None, "5f0c"])
def test_events_of_an_image(
    path: str, headers: dict[str, str], kind: str, version: str | None, variables: dict[str, str], method: str, package: str | None
) -> None:
    _, _, seen = ask(registry(image(id=package)), request(path, headers, method=method))
    assert seen is not None
    assert (seen.package, seen.package_type, seen.rule) == (package or "acme/rocket", "container", f"{DOMAIN}/acme/rocket")
    assert (seen.kind, seen.version, dict(seen.variables)) == (kind, version, variables)


def test_a_ping_is_nobodys_package() -> None:
    assert ask(registry(image()), request("/v2/"))[2] == Observation(None, "container", f"{DOMAIN}/v2/", "ping")


# --- proxying ----------------------------------------------------------------------------------------------


def asked(step: Step) -> Upstream:
    assert isinstance(step, Upstream)
    return step


def begun(decision: Decision | None) -> Upstream:
    return asked(conversation(decision).start())


def conversation(decision: Decision | None) -> Conversation:
    assert isinstance(decision, Proxy)
    return decision.open()


def proxied(
    headers: list[tuple[str, str]] | None = None, *, path: str = "/v2/acme/rocket/manifests/1.0", method: str = "GET"
) -> Conversation:
    return conversation(ask(registry(image(strategy="proxy")), request(path, headers, method=method))[1])


def test_what_a_registry_needs_reaches_it_untouched() -> None:
    lines = [
        ("accept", "application/vnd.oci.image.index.v1+json"),
        ("accept", "application/vnd.docker.distribution.manifest.list.v2+json"),
        ("user-agent", "docker/203.0.113.7"),
        ("authorization", "Bearer abc"),
        ("accept-encoding", "gzip"),
        ("if-none-match", '"sha256:abc"'),
        ("range", "bytes=0-99"),
        ("x-meta-team", "blue"),
    ]
    upstream = asked(proxied(lines, method="HEAD").start())
    assert (upstream.method, upstream.url) == ("HEAD", "https://ghcr.io/v2/acme/rocket/manifests/1.0")
    assert list(upstream.headers.items()) == lines


def test_nothing_tells_the_backend_who_the_client_is() -> None:
    lines = [
        ("Host", DOMAIN),
        ("Cookie", "session=1"),
        ("Forwarded", "for=203.0.113.7"),
        ("X-Forwarded-For", "203.0.113.7"),
        ("X-Forwarded-Host", DOMAIN),
        ("X-Real-IP", "198.51.100.1"),
        ("CF-Connecting-IP", "198.51.100.1"),
        ("Via", "1.1 laptop"),
        ("X-Some-Proxy", "client=203.0.113.7;x"),
        ("Connection", "keep-alive, X-Secret"),
        ("X-Secret", "1"),
        ("Keep-Alive", "5"),
        ("Proxy-Authorization", "Basic YTpi"),
        ("TE", "trailers"),
        ("Transfer-Encoding", "chunked"),
        ("Content-Length", "3"),
        ("Expect", "100-continue"),
        ("Accept", "*/*"),
    ]
    assert list(asked(proxied(lines).start()).headers.items()) == [("accept", "*/*")]


def test_what_a_registry_answers_reaches_the_client() -> None:
    lines = [
        ("content-type", "application/vnd.oci.image.index.v1+json"),
        ("content-length", "123"),
        ("docker-content-digest", DIGEST),
        ("docker-distribution-api-version", "registry/2.0"),
        ("etag", '"x"'),
        ("link", '</v2/acme/rocket/tags/list?n=1&last=a>; rel="next"'),
        ("www-authenticate", 'Bearer realm="https://ghcr.io/token",service="ghcr.io",scope="repository:acme/rocket:pull"'),
        ("www-authenticate", 'Basic realm="ghcr.io"'),
        ("accept-ranges", "bytes"),
        ("content-range", "bytes 0-9/10"),
        ("retry-after", "30"),
        ("oci-filters-applied", "artifactType"),
        ("ratelimit-remaining", "7;w=21600"),
    ]
    challenges = [line for line in lines if line[0] == "www-authenticate"]
    others = [line for line in lines if line[0] != "www-authenticate"]
    for status in (206, 304, 401, 404, 429, 503):
        seen = Headers([*others, *(challenges if status == 401 else [])])
        assert proxied(path=f"/v2/acme/rocket/blobs/{DIGEST}").receive(status, Headers(lines)) == Relay(status, seen)


def test_what_a_registry_says_of_its_own_host_stays_there() -> None:
    lines = [
        ("set-cookie", "a=b"),
        ("alt-svc", 'h3=":443"'),
        ("strict-transport-security", "max-age=1"),
        ("connection", "close, x-hop"),
        ("x-hop", "1"),
        ("transfer-encoding", "chunked"),
        ("report-to", "{}"),
        ("date", "Sun, 22 Nov 2026 08:32:56 GMT"),
    ]
    raw = Headers.from_raw([*Headers(lines).raw, (b"x-split", b"a\r\nset-cookie: b"), (b"etag", b'"x"')])
    assert proxied(method="HEAD").receive(200, raw) == Relay(200, Headers({"etag": '"x"'}))


@pytest.mark.parametrize(
    ("location", "seen"),
    [
        ("https://cdn.example/blob?sig=a%2Fb", "https://cdn.example/blob?sig=a%2Fb"),
        ("http://cdn.example/blob", "http://cdn.example/blob"),
        ("/storage/blob", "https://ghcr.io/storage/blob"),
        ("//cdn.example/blob", "https://cdn.example/blob"),
        ("https://93.184.215.14/blob", "https://93.184.215.14/blob"),
        ("https://[2606:4700::1111]:8443/blob", "https://[2606:4700::1111]:8443/blob"),
        # Bytes that no URL holds (RFC 3986 §2).
        ("https://cdn.example/\xc3\xa9 \t\xff?%C3", "https://cdn.example/%C3%A9%20%09%FF?%C3"),
        ("/\xe9", "https://ghcr.io/%E9"),
    ],
)
def test_redirects_are_passed_on_and_lead_where_they_led(location: str, seen: str) -> None:
    talk = proxied(path=f"/v2/acme/rocket/blobs/{DIGEST}")
    talk.start()
    assert talk.receive(307, Headers({"location": location})) == Relay(307, Headers({"location": seen}))


@pytest.mark.parametrize(
    ("location", "url"),
    [
        ("/v2/acme/rocket/blobs/other", "https://ghcr.io/v2/acme/rocket/blobs/other"),
        ("other?x=1", "https://ghcr.io/v2/acme/rocket/blobs/other?x=1"),
        ("../../../elsewhere", "https://ghcr.io/v2/elsewhere"),
        ("//ghcr.io/v2/acme/rocket/blobs/x", "https://ghcr.io/v2/acme/rocket/blobs/x"),
        ("/v2/acme/rocket/\xe9", "https://ghcr.io/v2/acme/rocket/%E9"),
    ],
)
def test_a_redirect_within_the_backends_api_is_followed_a_few_times(location: str, url: str) -> None:
    talk = proxied([("authorization", "Bearer abc")], path=f"/v2/acme/rocket/blobs/{DIGEST}")
    talk.start()
    step = talk.receive(307, Headers({"location": location}))
    assert isinstance(step, Upstream)
    assert (step.method, step.url, step.headers["authorization"]) == ("GET", url, "Bearer abc")
    for _ in range(3):
        step = talk.receive(302, Headers({"location": "/v2/again"}))
        assert isinstance(step, Upstream)
    answer = talk.receive(302, Headers({"location": "/v2/again"}))
    assert isinstance(answer, Respond)
    assert (answer.status, b"without end" in answer.body) == (502, True)
    assert answer.note == "ghcr.io redirects without end"


INSIDE = [
    "http://127.0.0.1/x",
    "https://10.1.2.3/",
    "http://[::1]:80/",
    "https://[fd00::1]/",
    "http://localhost:8080/",
    "https://a.localhost/",
]
NEVER = [
    "http://169.254.169.254/latest/meta-data",
    "http://[fe80::1]/",
    "http://[::ffff:169.254.169.254]/",
    "http://[64:ff9b::a9fe:a9fe]/",
    "http://0.0.0.0/",
    "http://224.0.0.1/",
    # Other ways to write an address, which clients take for one.
    "http://2852039166/",
    "http://0xa9fe.0xa9fe/",
    "http://169.254.169.254./",
]


@pytest.mark.parametrize("private", [False, True])
@pytest.mark.parametrize("location", INSIDE + NEVER)
def test_nobody_is_led_into_a_network(location: str, private: bool) -> None:
    served = registry(image(strategy="proxy", allow_private_backends=private))
    talk = conversation(decide(served, f"/v2/acme/rocket/blobs/{DIGEST}"))
    talk.start()
    answer = talk.receive(307, Headers({"location": location}))
    if private and location in INSIDE:
        assert isinstance(answer, Relay)
    else:
        assert isinstance(answer, Respond)
        assert (answer.status, b"nobody is sent to" in answer.body) == (502, True)


@pytest.mark.parametrize(
    "location",
    [
        "javascript:alert(1)",
        "http://",
        "//[",
        "https://[",
        "ftp://cdn.example/blob",
        "http:///foo",
        "https:///foo",
        "HTTPS:///x",
        "https://:1/x",
        "https://169.254.169.254\\@cdn.example/",
        "https://user@cdn.example/",
    ],
)
def test_a_redirect_to_nowhere_is_a_bad_gateway(location: str) -> None:
    talk = proxied()
    talk.start()
    answer = talk.receive(307, Headers({"location": location}))
    assert isinstance(answer, Respond)
    assert answer.status == 502


@pytest.mark.parametrize("status", [0, 99, 101, 199, 600, 999])
def test_what_is_no_status_is_a_bad_gateway(status: int) -> None:
    answer = proxied().receive(status, Headers())
    assert isinstance(answer, Respond)
    assert answer.status == 502


def test_no_content_has_no_length() -> None:
    lines = Headers({"content-length": "5", "etag": '"x"'})
    assert proxied(method="HEAD").receive(204, lines) == Relay(204, Headers({"etag": '"x"'}))
    # Here it is that of the answer to a request without a condition.
    assert proxied().receive(304, lines) == Relay(304, lines)


@pytest.mark.parametrize(("reason", "status"), [("connect", 502), ("protocol", 502), ("address", 502), ("timeout", 504)])
def test_a_silent_backend_is_a_registrys_error(reason: Any, status: int) -> None:
    talk = proxied()
    talk.start()
    answer = talk.fail(reason)
    assert isinstance(answer, Respond)
    assert answer.status == status
    assert json.loads(answer.body)["errors"][0]["code"] == "UNAVAILABLE"


# --- settings ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        (image(name="acme/rocket", backend="ghcr.io"), "write ghcr.io/acme/rocket"),
        (image(name="acme/Rocket"), "no image's name"),
        (image(backend="https://ghcr.io/acme/rocket"), "a URL"),
        (image(domain="ghcr.io"), "the domain itself"),
        (image(redirect_status=200), "200 is no redirect"),
        (collection("acme/*", backend="ghcr.io/acme"), "backend: ghcr.io"),
        (collection("acme/*", backend="https://ghcr.io/"), "write 'ghcr.io'"),
        (collection("acme/*", backend="gh cr"), "not a registry host"),
        (collection("acme/*:latest"), "never hold :"),
        (collection("Acme/*"), "never hold A"),
        (collection("acme/a,b"), "never hold ,"),
        (collection("ghcr.io/acme/*"), "write acme/*"),
        (collection("ghcr.io"), "write *"),
        (collection("acme/{a"), "'{' without '}'"),
        (collection("acme/*", redirect_status=404), "404 is no redirect"),
    ],
)
def test_settings_that_cannot_be_are_refused_with_the_fix(rule: Rule, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        rule.compile()
    assert says in str(caught.value)


def test_every_problem_is_told_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        image(name="Rocket", backend="docker pull", redirect_status=1).compile()
    assert [problem.where for problem in caught.value.problems] == ["name", "backend", "redirect-status"]
    with pytest.raises(ConfigError) as caught:
        collection("a//b", backend="a/b", redirect_status=1).compile()
    assert [problem.where for problem in caught.value.problems] == ["pattern", "backend", "redirect-status"]


def test_docker_hub_under_its_several_names_is_one_backend() -> None:
    registry(
        image(backend="docker.io/acme/rocket"),
        *(collection("a/*", backend=name) for name in ("docker.io", "registry-1.docker.io", "index.docker.io")),
    )


def test_always_proxied_and_always_redirected_cannot_share_a_token_registry() -> None:
    rules: list[Rule] = [image(strategy="proxy"), collection("other/*", strategy="redirect")]
    with pytest.raises(ConfigError, match="always proxied"):
        registry(*rules)
    served = registry(
        image(strategy="proxy", backend_auth="anonymous"), collection("other/*", strategy="redirect", backend_auth="anonymous")
    )
    assert way(decide(served, "/v2/other/x/manifests/1")) == "redirect"


def test_only_containers_join() -> None:
    [route] = image().compile()
    joined = registry(image())
    with pytest.raises(ConfigError):
        route.pattern.join([])
    with pytest.raises(ConfigError):
        route.pattern.join([joined])


def test_what_explain_prints() -> None:
    served = registry(image())
    assert (served.label, served.package, served.priority, served.pattern.prefixes) == (f"{DOMAIN}/v2/", None, 0, ("/v2",))
    assert isinstance(served, ApiRoute)


def test_a_route_alone_serves_nothing() -> None:
    [route] = image().compile()
    alone = Match(route, {})
    decision = route.decide(request("/v2/"), alone)
    assert isinstance(decision, Respond)
    assert decision.status == 404
    assert route.observe(request("/v2/"), alone) is None
