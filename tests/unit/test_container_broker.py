"""The broker: the gateway's own tokens, and what each registry and its token server get to see. No socket is opened here."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias
from urllib.parse import parse_qs, urlsplit

import pytest
from attrs import evolve

from gatewaycore import Collect, ConfigError, Gateway, Headers, Proxy, Redirect, Request, Respond
from gatewaycore.decision import Decision, Failure, Read, Relay, Step, Upstream
from gatewaycore.route import Rule
from gatewaycore.rules.access import hash_token
from gatewaycore.rules.container import CollectionRule, ContainerRule, Credentials
from gatewaycore.rules.container.tokens import NOBODY, pack, unpack
from gatewaycore.testing import simulate

pytestmark = pytest.mark.usefixtures("no_sockets")

DOMAIN = "docker.acme.example"
DIGEST = "sha256:" + "0123456789abcdef" * 4
NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)

Answer: TypeAlias = tuple[int, Mapping[str, str] | Sequence[tuple[str, str]], bytes] | Failure
Answers: TypeAlias = Callable[[Upstream], Answer]


def image(name: str = "rocket", backend: str = "ghcr.io/acme/rocket-server", **settings: Any) -> ContainerRule:
    return ContainerRule(**{"name": name, "domain": DOMAIN, "backend": backend, **settings})


def collection(pattern: str, backend: str, **settings: Any) -> CollectionRule:
    return CollectionRule(**{"domain": DOMAIN, "pattern": pattern, "backend": backend, **settings})


def gateway(*rules: Rule) -> Gateway:
    return Gateway.compile([route for rule in rules for route in rule.compile()])


def basic(name: str, password: str) -> str:
    return "Basic " + b64encode(f"{name}:{password}".encode()).decode()


def request(path: str, headers: Mapping[str, str] | None = None, *, method: str = "GET", query: str = "", at: datetime = NOW) -> Request:
    return Request(method, DOMAIN, path, query, Headers(dict(headers or {})), "203.0.113.7", "https", at, 8443)


def registry(
    host: str = "ghcr.io", *, realm: str | None = None, users: Mapping[str, str] | None = None, tokens: str = "token-of"
) -> Callable[[Upstream], Answer | None]:
    """Return a registry on `host` and its token server; it gives everybody a token that says what it is for."""
    realm = realm or f"https://{host}/token"

    def answer(upstream: Upstream) -> Answer | None:
        url = urlsplit(upstream.url)
        if upstream.url == f"https://{host}/v2/":
            return 401, {"www-authenticate": f'Bearer realm="{realm}",service="{host}-service"'}, b""
        if upstream.url.partition("?")[0] == realm:
            authorization = upstream.headers.get("authorization")
            if users is not None and authorization is not None and authorization not in [basic(*user) for user in users.items()]:
                return 401, {}, b""
            fields = parse_qs(upstream.body.decode() or url.query)
            said = {"token": f"{tokens}:{host}:{','.join(fields.get('scope', ['login']))}", "expires_in": 300}
            if fields.get("offline_token") == ["true"]:
                said["refresh_token"] = "refresh-me"
            return 200, {}, json.dumps(said).encode()
        return None

    return answer


def hub(upstream: Upstream) -> Answer | None:
    if upstream.url == "https://registry-1.docker.io/v2/":
        return 401, {"www-authenticate": 'Bearer realm="https://auth.docker.io/token",service="registry.docker.io"'}, b""
    if upstream.url.startswith("https://auth.docker.io/token?"):
        return 200, {}, json.dumps({"access_token": "hub-token"}).encode()
    return None


class Talk:
    """Asks a gateway, and answers its upstreams."""

    def __init__(self, *rules: Rule, answers: Sequence[Callable[[Upstream], Answer | None]] = ()) -> None:
        self.gateway = gateway(*rules)
        self.answers = answers
        self.sent: list[Upstream] = []

    def decide(self, asked: Request, body: bytes = b"") -> Decision:
        decision = self.gateway.decide(asked).decision
        if isinstance(decision, Collect):
            return decision.receive(body).decision
        return decision

    def ask(self, path: str, headers: Mapping[str, str] | None = None, *, body: bytes = b"", **more: Any) -> Redirect | Respond | Relay:
        """Return what the client gets; `sent` then holds what was asked of others."""
        self.sent = []
        decision = self.decide(request(path, headers, **more), body)
        if not isinstance(decision, Proxy):
            assert isinstance(decision, Redirect | Respond)
            return decision
        conversation = decision.open()
        step: Step = conversation.start()
        while isinstance(step, Upstream):
            self.sent.append(step)
            answer = self._answer(step)
            if not isinstance(answer, tuple):
                step = conversation.fail(answer)
                continue
            status, lines, content = answer
            step = conversation.receive(status, Headers(lines if isinstance(lines, dict) else list(lines)))  # type: ignore[arg-type]
            if isinstance(step, Read):
                step = step.receive(content if len(content) <= step.limit else None)
            elif isinstance(step, Relay) and step.keep is not None:
                step.keep(content)
        assert isinstance(step, Respond | Relay)
        return step

    def _answer(self, upstream: Upstream) -> Answer:
        return next((found for one in self.answers if (found := one(upstream)) is not None), "connect")

    def token(self, query: str = "", headers: Mapping[str, str] | None = None, **more: Any) -> dict[str, Any]:
        answer = self.ask("/v2/token", headers, query=query, **more)
        assert isinstance(answer, Respond)
        assert answer.status == 200, answer
        assert answer.headers["cache-control"] == "no-store"
        said: dict[str, Any] = json.loads(answer.body)
        assert said["token"] == said["access_token"]
        return said

    @property
    def urls(self) -> list[str]:
        return [upstream.url for upstream in self.sent]


def code(answer: object) -> str:
    assert isinstance(answer, Respond)
    [error] = json.loads(answer.body)["errors"]
    return str(error["code"])


def challenge(answer: object) -> str:
    assert isinstance(answer, Respond)
    assert answer.status == 401
    assert answer.headers["docker-distribution-api-version"] == "registry/2.0"
    return answer.headers["www-authenticate"]


PULL = "scope=repository:rocket:pull"
MANIFEST = "/v2/rocket/manifests/1.0"
OWN = f'Bearer realm="https://{DOMAIN}:8443/v2/token",service="{DOMAIN}"'


# --- the gateway's own challenge ----------------------------------------------------------------------------


def test_a_renamed_image_makes_the_gateway_a_registry_of_its_own() -> None:
    talk = Talk(image())
    assert challenge(talk.ask("/v2/")) == OWN
    assert challenge(talk.ask("/v2/", {"Authorization": basic("a", "b")})) == OWN
    pong = talk.ask("/v2/", {"Authorization": "Bearer anything"})
    assert isinstance(pong, Respond)
    assert (pong.status, pong.body) == (200, b"{}")
    assert challenge(talk.ask(MANIFEST)) == f'{OWN},scope="repository:rocket:pull"'
    assert code(talk.ask(MANIFEST, method="HEAD")) == "UNAUTHORIZED"
    assert talk.sent == []


def test_one_registry_under_the_same_names_answers_for_itself() -> None:
    talk = Talk(image("acme/rocket", "ghcr.io/acme/rocket"))
    assert isinstance(talk.decide(request("/v2/")), Proxy)
    # Then the path is nobody's: other rules may have it.
    assert talk.gateway.decide(request("/v2/token")).match is None


@pytest.mark.parametrize("method", ["PUT", "DELETE", "HEAD"])
def test_tokens_are_asked_for_with_get_or_post(method: str) -> None:
    answer = Talk(image()).ask("/v2/token", method=method)
    assert isinstance(answer, Respond)
    assert (answer.status, answer.headers["allow"]) == (405, "GET, POST")


def test_a_ping_is_an_event_however_it_is_answered() -> None:
    served = gateway(image())
    for headers, status in (({}, 401), ({"Authorization": "Bearer x"}, 200)):
        [event] = simulate(served, "GET", f"https://{DOMAIN}/v2/", headers=headers).events
        assert (event.kind, event.status, event.decision, event.package) == ("ping", status, "respond", None)
    # Without a token nothing was asked for that could be had.
    assert simulate(served, "GET", f"https://{DOMAIN}{MANIFEST}").events == []
    assert simulate(served, "GET", f"https://{DOMAIN}/v2/token?{PULL}").events == []
    assert simulate(served, "GET", f"https://{DOMAIN}/v2/", headers={"DNT": "1"}).events == []


# --- tokens -------------------------------------------------------------------------------------------------


def test_a_token_is_fetched_under_the_backends_name_and_passed_on_as_it_is() -> None:
    talk = Talk(image(), answers=[registry()])
    said = talk.token(PULL, {"User-Agent": "skopeo/1.9.3", "X-Forwarded-For": "203.0.113.7", "Cookie": "a=b"})
    assert said["token"] == "token-of:ghcr.io:repository:acme/rocket-server:pull"
    assert said["expires_in"] == 300
    lookup, fetch = talk.sent
    assert (lookup.url, lookup.shared, list(lookup.headers)) == ("https://ghcr.io/v2/", True, ["accept", "accept-encoding"])
    assert fetch.url == "https://ghcr.io/token?service=ghcr.io-service&scope=repository%3Aacme%2Frocket-server%3Apull"
    assert dict(fetch.headers.items()) == {"accept": "application/json", "accept-encoding": "identity", "user-agent": "skopeo/1.9.3"}
    # What it wants was learned, for a while.
    talk.token(PULL)
    assert len(talk.sent) == 1
    talk.token(PULL, at=NOW + timedelta(hours=2))
    assert len(talk.sent) == 2


def test_several_scopes_repeated_or_in_one() -> None:
    talk = Talk(collection("*", "ghcr.io", strategy="broker"), answers=[registry()])
    for query in ("scope=repository:a:pull&scope=repository:b:pull", "scope=repository:a:pull%20repository:b:pull,push"):
        assert talk.token(query)["token"] == "token-of:ghcr.io:repository:a:pull,repository:b:pull"


@pytest.mark.parametrize(
    "query",
    [
        "",
        "service=x",
        "scope=repository:unknown/image:pull",
        "scope=repository:rocket:push",
        "scope=registry:catalog:*",
        "scope=repository:../x:pull&scope=nonsense&scope=",
        "scope=repository:ROCKET:pull",
    ],
)
def test_who_asks_for_nothing_that_is_here_gets_a_token_for_nothing(query: str) -> None:
    talk = Talk(image(), answers=[registry()])
    assert talk.token(query)["token"] == NOBODY
    assert talk.sent == []


def test_docker_hubs_token_server_is_known_to_be_its_own() -> None:
    talk = Talk(image("hello", "hello-world"), answers=[hub])
    assert talk.token("scope=repository:hello:pull")["token"] == "hub-token"
    assert talk.urls[1] == "https://auth.docker.io/token?service=registry.docker.io&scope=repository%3Alibrary%2Fhello-world%3Apull"


@pytest.mark.parametrize(
    ("realm", "allowed"),
    [
        ("https://auth.example/token", ("auth.example",)),
        ("https://auth.example:8443/token", ("auth.example",)),
        ("https://auth.example:8443/token", ("auth.example:8443",)),
        ("https://ghcr.io:5001/token", ()),
        ("https://GHCR.io/token", ()),
    ],
)
def test_token_servers_of_its_own_and_listed_ones(realm: str, allowed: tuple[str, ...]) -> None:
    talk = Talk(image(allowed_realms=allowed), answers=[registry(realm=realm)])
    assert "acme/rocket-server" in talk.token(PULL, {"Authorization": basic("bob", "pw")})["token"]
    assert talk.sent[1].headers["authorization"] == basic("bob", "pw")


@pytest.mark.parametrize(
    "realm",
    [
        "https://evil.example/token",
        "https://ghcr.io.evil.example/token",
        "https://evil.example/ghcr.io/token",
        "https://ghcr.io@evil.example/token",
        "https://evil.example#@ghcr.io/",
        "http://ghcr.io/token",
        "http://169.254.169.254/latest/meta-data",
        "//evil.example/token",
        "/token",
        "nowhere",
        "https://auth.example:8443/token",
        "https://ghcr.io\\\\.evil.example/",
    ],
)
def test_a_foreign_token_server_gets_nothing(realm: str) -> None:
    talk = Talk(image(allowed_realms=("auth.example:9443",)), answers=[registry(realm=realm)])
    answer = talk.ask("/v2/token", {"Authorization": basic("bob", "s3cret")}, query=PULL)
    assert isinstance(answer, Respond)
    assert answer.status == 502
    assert b"not known to be its own" in answer.body
    assert talk.urls == ["https://ghcr.io/v2/"]
    assert "authorization" not in talk.sent[0].headers
    assert "allowed-realms" in answer.note
    assert "s3cret" not in answer.note
    assert b64encode(b"bob:s3cret").decode() not in answer.note
    # It is not believed for an hour either.
    talk.ask("/v2/token", query=PULL)
    assert talk.urls == ["https://ghcr.io/v2/"]


OWN_REALM = 'Bearer realm="https://ghcr.io/token",service="ghcr.io"'
EVIL = 'realm="https://evil.example/token"'


@pytest.mark.parametrize("strategy", ["proxy", "broker"])
@pytest.mark.parametrize(
    "lines",
    [
        [f'Basic realm="x", Bearer {EVIL},service="ghcr.io"'],
        [OWN_REALM, f"Bearer {EVIL}"],
        # One reader takes the first of two, and another the last.
        [f"{OWN_REALM},{EVIL}"],
        [f"{OWN_REALM},Realm=https://evil.example/token"],
        [f'Bearer x="{"a" * 5000}",{EVIL}'],
        [f"{OWN_REALM} ;; {EVIL}"],
        [f'{OWN_REALM},x="unclosed'],
        [f"{EVIL}, {OWN_REALM}"],
    ],
)
def test_nor_does_the_client_learn_of_one(lines: list[str], strategy: str) -> None:
    """In passing, a client would send its password there."""
    talk = Talk(image("acme/x", "ghcr.io/acme/x", strategy=strategy))
    talk.answers = [lambda _: (401, [("www-authenticate", line) for line in lines], b"")]
    for path in ("/v2/acme/x/manifests/1", *(["/v2/"] if strategy == "proxy" else [])):
        answer = talk.ask(path, {"Authorization": f"Bearer {NOBODY}"})
        assert isinstance(answer, Respond)
        assert answer.status == 502
        assert "www-authenticate" not in answer.headers
        assert "ghcr.io names a token server" in answer.note


@pytest.mark.parametrize("status", [200, 206, 307, 400, 403, 404, 407, 500])
def test_a_challenge_without_a_401_is_none(status: int) -> None:
    """Some clients read it all the same."""
    talk = Talk(image("acme/x", "ghcr.io/acme/x", strategy="proxy"))
    evil = [("www-authenticate", f"Bearer {EVIL}"), ("proxy-authenticate", f"Bearer {EVIL}")]
    talk.answers = [lambda _: (status, evil, b"")]
    for path in ("/v2/", "/v2/acme/x/manifests/1"):
        answer = talk.ask(path)
        assert isinstance(answer, Respond | Relay)
        assert answer.status == status
        assert "evil.example" not in str(answer.headers)


def test_a_challenge_is_written_anew() -> None:
    talk = Talk(image("acme/x", "ghcr.io/acme/x", strategy="proxy"))
    line = 'BEARER  Realm = "https://ghcr.io/to\\ken" , service=ghcr.io,scope="repository:acme/x:pull", x=y,error="a\\"b"'
    talk.answers = [lambda _: (401, [("www-authenticate", line), ("www-authenticate", "Negotiate abc=="), ("etag", "e")], b"")]
    answer = talk.ask("/v2/acme/x/manifests/1")
    assert isinstance(answer, Relay)
    assert answer.headers.get_all("www-authenticate") == [
        'Bearer realm="https://ghcr.io/token",service="ghcr.io",scope="repository:acme/x:pull",error="a\\"b"'
    ]
    assert answer.headers["etag"] == "e"


def test_the_challenge_of_a_renamed_image_that_was_said_to_need_none() -> None:
    talk = Talk(image(strategy="proxy", backend_auth="anonymous"))
    line = f'{OWN_REALM},scope="repository:acme/rocket-server:pull"'
    talk.answers = [lambda _: (401, {"www-authenticate": line}, b'{"errors":[{"code":"UNAUTHORIZED","message":"acme/rocket-server"}]}')]
    for method in ("GET", "HEAD"):
        answer = talk.ask(MANIFEST, method=method)
        assert isinstance(answer, Respond | Relay)
        assert answer.headers["www-authenticate"] == f'{OWN_REALM},scope="repository:rocket:pull"'
        assert "acme" not in str(answer)


@pytest.mark.parametrize(
    ("path", "status", "lines", "seen"),
    [
        ("/v2/rocket/tags/list", 206, {"content-range": "bytes 0-9/30"}, 502),
        ("/v2/rocket/tags/list", 203, {}, 502),
        ("/v2/rocket/tags/list", 302, {}, 502),
        (MANIFEST, 300, {"content-length": "9"}, 300),
        (MANIFEST, 302, {"content-length": "9"}, 302),
        (MANIFEST, 200, {"location": "https://ghcr.io/v2/acme/rocket-server/x", "content-disposition": "filename=acme"}, 200),
    ],
)
def test_nothing_else_that_could_name_the_backends_repository(path: str, status: int, lines: dict[str, str], seen: int) -> None:
    talk = Talk(image(), answers=[lambda _: (status, lines, b"acme/rocket-server")])
    answer = talk.ask(path, {"Authorization": "Bearer abc", "Range": "bytes=0-9"})
    assert isinstance(answer, Respond | Relay)
    assert answer.status == seen
    assert "acme" not in str(answer.headers)
    assert isinstance(answer, Relay) or b"acme" not in answer.body
    assert ("range" in talk.sent[0].headers) is ("manifests" in path)


def test_the_length_of_what_is_rewritten_is_not_told() -> None:
    for path, status in (("/v2/rocket/tags/list", 200), (MANIFEST, 404)):
        answer = renamed(path, (status, {"content-length": "99"}, b""), method="HEAD")
        assert "content-length" not in answer.headers
    assert renamed(MANIFEST, (200, {"content-length": "99"}, b""), method="HEAD").headers["content-length"] == "99"


def test_credentials_of_a_form_become_those_of_a_query() -> None:
    """containerd posts; few token servers take that, and all take a GET."""
    talk = Talk(image(), answers=[registry(users={"bob": "pw"})])
    form = b"grant_type=password&client_id=containerd-client&service=x&scope=repository%3Arocket%3Apull&username=bob&password=pw"
    said = talk.token(method="POST", body=form)
    assert said["token"] == "token-of:ghcr.io:repository:acme/rocket-server:pull"
    _, fetch = talk.sent
    assert (fetch.method, fetch.body, fetch.headers["authorization"]) == ("GET", b"", basic("bob", "pw"))
    assert parse_qs(urlsplit(fetch.url).query)["account"] == ["bob"]
    assert "refresh_token" not in said


def test_a_refresh_token_goes_back_to_the_server_it_is_of() -> None:
    talk = Talk(image(), answers=[registry()])
    said = talk.token(f"{PULL}&offline_token=true&account=bob&client_id=docker", {"Authorization": basic("bob", "pw")})
    assert said["refresh_token"] == "refresh-me"
    form = b"grant_type=refresh_token&refresh_token=refresh-me&client_id=docker&service=x&scope=repository:rocket:pull"
    talk.token(method="POST", body=form)
    [fetch] = talk.sent
    assert (fetch.method, fetch.url, fetch.headers["content-type"]) == (
        "POST",
        "https://ghcr.io/token",
        "application/x-www-form-urlencoded",
    )
    assert parse_qs(fetch.body.decode()) == {
        "grant_type": ["refresh_token"],
        "service": ["ghcr.io-service"],
        "client_id": ["docker"],
        "refresh_token": ["refresh-me"],
        "scope": ["repository:acme/rocket-server:pull"],
    }


def test_a_refresh_token_is_asked_for_no_image_where_its_client_names_none() -> None:
    talk = Talk(image(), answers=[registry()])
    talk.token(method="POST", body=b"grant_type=refresh_token&refresh_token=refresh-me&client_id=docker&service=x")
    assert talk.sent[-1].body == b"grant_type=refresh_token&service=ghcr.io-service&client_id=docker&refresh_token=refresh-me"


def test_nobody_anonymous_gets_a_refresh_token() -> None:
    assert "refresh_token" not in Talk(image(), answers=[registry()]).token(f"{PULL}&offline_token=true")


@pytest.mark.parametrize(
    "body", [b"", b"grant_type=authorization_code&code=x", b"grant_type=password", b"\xff\xfe", b"&" * 500, b"x=" * 200]
)
def test_a_form_that_is_no_grant(body: bytes) -> None:
    answer = Talk(image()).ask("/v2/token", method="POST", body=body)
    assert isinstance(answer, Respond)
    assert answer.status == 400


@pytest.mark.parametrize("status", [401, 403, 400])
def test_a_refused_password_is_told(status: int) -> None:
    def refuses(upstream: Upstream) -> Answer | None:
        return (status, {}, b"wrong password of acme/rocket-server") if "/token" in upstream.url else None

    talk = Talk(image(), answers=[refuses, registry()])
    answer = talk.ask("/v2/token", {"Authorization": basic("bob", "wrong")}, query=PULL)
    assert code(answer) == "DENIED"
    assert isinstance(answer, Respond)
    assert answer.status == 401
    assert b"rocket-server" not in answer.body


@pytest.mark.parametrize(
    ("given", "status", "retry"),
    [
        ((429, {"retry-after": "30"}, b""), 429, "30"),
        ((503, {"retry-after": "7"}, b""), 503, "7"),
        ((500, {}, b""), 503, None),
        ((302, {"location": "https://evil.example/"}, b""), 502, None),
        ((404, {}, b""), 502, None),
        ((200, {}, b"<html>"), 502, None),
        ((200, {}, b"[]"), 502, None),
        ((200, {}, b'{"token": "a b"}'), 502, None),
        ((200, {}, b'{"token": "a\\nb"}'), 502, None),
        ((200, {}, b'{"token": 7}'), 502, None),
        ((200, {}, b"{" + b" " * 300_000 + b"}"), 502, None),
        ("timeout", 504, None),
        ("connect", 502, None),
        ("address", 502, None),
    ],
)
def test_what_a_token_server_may_do_instead(given: Answer, status: int, retry: str | None) -> None:
    talk = Talk(image(), answers=[lambda upstream: given if "/token" in upstream.url else None, registry()])
    answer = talk.ask("/v2/token", {"Authorization": basic("bob", "pw")}, query=PULL)
    assert isinstance(answer, Respond)
    assert (answer.status, answer.headers.get("retry-after")) == (status, retry)
    assert len(talk.sent) == 2


@pytest.mark.parametrize(
    ("given", "status"),
    [((404, {}, b""), 502), ((503, {}, b""), 503), ((429, {}, b""), 429), ((401, {}, b""), 502), ("connect", 502), ("timeout", 504)],
)
def test_a_registry_that_does_not_say_what_it_wants(given: Answer, status: int) -> None:
    answer = Talk(image(), answers=[lambda _: given]).ask("/v2/token", query=PULL)
    assert isinstance(answer, Respond)
    assert answer.status == status


@pytest.mark.parametrize("gone", [(404, {}, b""), (301, {"location": "https://ghcr.io/"}, b""), (200, {}, b"<html>"), "connect", "timeout"])
def test_a_server_that_has_moved_is_looked_for_again(gone: Answer) -> None:
    talk = Talk(image(), answers=[registry()])
    talk.token(PULL)
    talk.answers = [lambda upstream: gone if "/token" in upstream.url else None, registry()]
    talk.ask("/v2/token", query=PULL)
    assert len(talk.sent) == 1
    talk.answers = [registry(realm="https://ghcr.io/elsewhere")]
    talk.token(PULL)
    assert talk.urls[0] == "https://ghcr.io/v2/"
    assert talk.urls[1].startswith("https://ghcr.io/elsewhere?")


def test_what_a_registry_wants_is_asked_again_when_all_is_forgotten() -> None:
    talk = Talk(image(), answers=[registry()])
    talk.token(PULL)
    talk.token(PULL)
    assert len(talk.sent) == 1
    talk.gateway.forget()
    talk.token(PULL)
    assert talk.urls[0] == "https://ghcr.io/v2/"


# --- images with a token ------------------------------------------------------------------------------------


def test_a_manifest_is_asked_for_under_the_backends_name_with_the_clients_token() -> None:
    talk = Talk(
        image(), answers=[lambda _: (200, {"docker-content-digest": DIGEST, "etag": "x", "x-repository": "acme/rocket-server"}, b"{}")]
    )
    answer = talk.ask(
        MANIFEST,
        {"Authorization": "Bearer abc", "Accept": "application/vnd.oci.image.index.v1+json", "Accept-Encoding": "gzip"},
        query="a=b",
    )
    [sent] = talk.sent
    assert sent.url == "https://ghcr.io/v2/acme/rocket-server/manifests/1.0?a=b"
    assert dict(sent.headers.items()) == {
        "accept": "application/vnd.oci.image.index.v1+json",
        "authorization": "Bearer abc",
        "accept-encoding": "identity",
    }
    assert answer == Relay(200, Headers({"docker-content-digest": DIGEST, "etag": "x"}), {"digest": DIGEST})


def test_a_token_that_does_not_do_is_answered_with_the_gateways_challenge() -> None:
    upstream = {"www-authenticate": 'Bearer realm="https://ghcr.io/token",service="g",scope="repository:acme/rocket-server:pull"'}
    talk = Talk(image(), answers=[lambda _: (401, upstream, b'{"errors":[{"message":"acme/rocket-server"}]}')])
    answer = talk.ask(MANIFEST, {"Authorization": "Bearer expired"})
    assert challenge(answer) == f'{OWN},scope="repository:rocket:pull",error="invalid_token"'
    assert isinstance(answer, Respond)
    assert b"rocket-server" not in answer.body
    # And its token server is known from now on.
    talk.answers = [registry()]
    talk.token(PULL)
    assert len(talk.sent) == 1


def test_the_token_of_nobody_is_shown_to_nobody() -> None:
    talk = Talk(image(), answers=[lambda _: (404, {}, b"")])
    talk.ask(MANIFEST, {"Authorization": f"Bearer {NOBODY}"})
    assert "authorization" not in talk.sent[0].headers


def test_a_registry_that_wants_nothing_gets_nothing() -> None:
    talk = Talk(image(), answers=[lambda _: (200, {}, b"{}")])
    assert talk.token(PULL)["token"] == NOBODY


# --- names --------------------------------------------------------------------------------------------------


def renamed(path: str, answer: Answer, *, method: str = "GET", **settings: Any) -> Respond | Relay:
    seen = Talk(image(**settings), answers=[lambda _: answer]).ask(path, {"Authorization": "Bearer abc"}, method=method)
    assert isinstance(seen, Respond | Relay)
    return seen


def test_tags_come_back_under_the_clients_name() -> None:
    body = b'{"name": "acme/rocket-server", "tags": ["1.0", "2.0"]}'
    link = '</v2/acme/rocket-server/tags/list?last=2.0&n=2>; rel="next"'
    answer = renamed("/v2/rocket/tags/list", (200, {"content-type": "application/json", "content-length": "53", "link": link}, body))
    assert isinstance(answer, Respond)
    assert json.loads(answer.body) == {"name": "rocket", "tags": ["1.0", "2.0"]}
    assert answer.headers["link"] == '</v2/rocket/tags/list?last=2.0&n=2>; rel="next"'
    assert "content-length" not in answer.headers


@pytest.mark.parametrize("body", [b"[]", b"{", b'{"tags": 1}', b"{" + b" " * 9_000_000 + b"}"])
def test_what_is_no_list_of_tags(body: bytes) -> None:
    answer = renamed("/v2/rocket/tags/list", (200, {}, body))
    assert answer.status == 502


@pytest.mark.parametrize("settings", [{"strategy": "broker"}, {"strategy": "proxy", "backend_auth": "anonymous"}])
@pytest.mark.parametrize("said", [{"content-type": "text/html", "x-content-type-options": "none"}, {}])
@pytest.mark.parametrize(
    ("path", "status", "body"),
    [
        ("/v2/rocket/tags/list", 200, b'{"tags": ["<script>"]}'),
        (MANIFEST, 404, b'{"errors": [{"code": "X", "message": "<script>"}]}'),
    ],
)
def test_what_is_written_anew_is_json(path: str, status: int, body: bytes, said: Mapping[str, str], settings: Mapping[str, Any]) -> None:
    answer = renamed(path, (status, said, body), **settings)
    assert isinstance(answer, Respond)
    assert (answer.status, b"<script>" in answer.body) == (status, True)
    # To a browser, a backend's word for it would make a page of this domain of it.
    assert answer.headers == Headers({"content-type": "application/json", "x-content-type-options": "nosniff"})


@pytest.mark.parametrize(
    ("link", "seen"),
    [
        ("</v2/acme/rocket-server/tags/list?n=1>; rel=next", '</v2/rocket/tags/list?n=1>; rel="next"'),
        ('<https://ghcr.io/v2/acme/rocket-server/tags/list?n=1>; rel="next"', '</v2/rocket/tags/list?n=1>; rel="next"'),
        ("<list?n=1>; rel=next, <?n=2>; rel=last", '</v2/rocket/tags/list?n=1>; rel="next", </v2/rocket/tags/list?n=2>; rel="last"'),
        ("<https://GHCR.io:443/v2/acme/rocket-server/tags/list?n=1>; rel=next", '</v2/rocket/tags/list?n=1>; rel="next"'),
        ("<https://ghcr.io:8443/v2/acme/rocket-server/tags/list>; rel=next", None),
        ("<http://ghcr.io:443/v2/acme/rocket-server/tags/list>; rel=next", None),
        # A tag may be called as a part of the repository is.
        (
            "</v2/acme/rocket-server/tags/list?last=rocket-server&n=2>; rel=next",
            '</v2/rocket/tags/list?last=rocket-server&n=2>; rel="next"',
        ),
        ("</v2/acme/rocket-server/tags/list?from=acme%2Frocket-server>; rel=next", None),
        ("</v2/acme/other/tags/list>; rel=next", None),
        ("</v2/acme/rocket-server/tags/list>; rel=next, </v2/acme/other/tags/list>; rel=x", None),
        ("<https://evil.example/v2/acme/rocket-server/tags/list>; rel=next", None),
        ("</v2/acme/rocket-server/../other/tags/list>; rel=next", None),
        ("<http://[>; rel=next", None),
        ("<http://[x/>; rel=next", None),
        ("</v2/acme/rocket-server/x>; title=acme/rocket-server; rel=x", '</v2/rocket/x>; rel="x"'),
        ("</v2/acme/rocket-server/x>; title=acme/rocket-server", "</v2/rocket/x>"),
        ("nonsense", None),
    ],
)
def test_links_stay_with_the_image(link: str, seen: str | None) -> None:
    answer = renamed("/v2/rocket/tags/list", (200, {"link": link}, b'{"tags": []}'))
    assert answer.headers.get("link") == seen


def test_links_of_a_backend_in_the_clear() -> None:
    link = "<HTTP://GHCR.io:80/v2/acme/rocket-server/tags/list?n=1>; rel=next"
    answer = renamed("/v2/rocket/tags/list", (200, {"link": link}, b'{"tags": []}'), backend_scheme="http")
    assert answer.headers.get("link") == '</v2/rocket/tags/list?n=1>; rel="next"'


def test_a_link_to_the_backend_itself_leads_here_where_names_are_the_same() -> None:
    talk = Talk(image("acme/x", "ghcr.io/acme/x", strategy="proxy"))
    lines = [
        ("link", "<https://ghcr.io/v2/acme/x/tags/list?n=2>; rel=next"),
        ("link", "<a>; rel=x"),
        ("link", "<https://o.example/>; rel=y"),
        ("link", "<http://[x/>; rel=next"),
    ]
    talk.answers = [lambda _: (200, lines, b"")]
    answer = talk.ask("/v2/acme/x/tags/list")
    assert isinstance(answer, Relay)
    assert answer.headers.get_all("link") == [
        "</v2/acme/x/tags/list?n=2>; rel=next",
        "<a>; rel=x",
        "<https://o.example/>; rel=y",
        # Whoever cannot read it leaves it alone.
        "<http://[x/>; rel=next",
    ]


@pytest.mark.parametrize(
    ("body", "errors"),
    [
        (
            b'{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown","detail":{"Name":"acme/rocket-server"}}]}',
            [("MANIFEST_UNKNOWN", "manifest unknown")],
        ),
        (b'{"errors":[{"code":"X","message":"no acme/rocket-server:1.0 here"}]}', [("X", "no rocket:1.0 here")]),
        (b'{"errors":[{"code":"X","message":"ask acme, or see https://ghcr.io/"}]}', [("X", "")]),
        (b'{"errors":[{"code":"a b","message":5},{"code":7}]}', [("UNKNOWN", ""), ("UNKNOWN", "")]),
        (b'{"errors":[]}', [("MANIFEST_UNKNOWN", "")]),
        (b'{"errors":{}}', [("MANIFEST_UNKNOWN", "")]),
        (b"<html>acme/rocket-server</html>", [("MANIFEST_UNKNOWN", "")]),
        (b'["acme/rocket-server"]' + b" " * 70_000, [("MANIFEST_UNKNOWN", "")]),
    ],
)
def test_errors_name_nothing_of_the_backends(body: bytes, errors: list[tuple[str, str]]) -> None:
    answer = renamed(MANIFEST, (404, {"content-type": "application/json", "content-length": "9", "retry-after": "1"}, body))
    assert isinstance(answer, Respond)
    assert [(error["code"], error["message"]) for error in json.loads(answer.body)["errors"]] == errors
    assert (answer.status, answer.headers["retry-after"]) == (404, "1")
    assert b"acme" not in answer.body


@pytest.mark.parametrize("location", ["https://cdn.example/blob?sig=1", "/storage/x"])
def test_a_blobs_redirect_is_passed_on_without_its_body(location: str) -> None:
    answer = renamed(f"/v2/rocket/blobs/{DIGEST}", (307, {"location": location, "content-length": "9"}, b"acme/rocket-server"))
    assert answer == Respond(307, Headers({"location": location.replace("/storage", "https://ghcr.io/storage")}))


def test_a_redirect_to_another_repository_of_the_backend_is_followed_and_not_told() -> None:
    def moved(upstream: Upstream) -> Answer:
        if upstream.url.endswith("acme/rocket-server/manifests/1.0"):
            return 301, {"location": "/v2/acme/rocket-renamed/manifests/1.0"}, b""
        return 200, {"etag": "x"}, b"{}"

    talk = Talk(image(), answers=[moved])
    assert talk.ask(MANIFEST, {"Authorization": "Bearer abc"}) == Relay(200, Headers({"etag": "x"}))
    assert talk.urls[1] == "https://ghcr.io/v2/acme/rocket-renamed/manifests/1.0"
    assert talk.sent[1].headers["authorization"] == "Bearer abc"


@pytest.mark.parametrize("location", ["http://[", "ftp://x/"])
def test_a_redirect_that_leads_nowhere(location: str) -> None:
    assert renamed(MANIFEST, (307, {"location": location}, b"")).status == 502


# --- several registries -------------------------------------------------------------------------------------

BOTH = (image("rocket", "ghcr.io/acme/rocket"), collection("tools/*", "quay.io"))


def both(**settings: Any) -> tuple[Rule, ...]:
    return image("rocket", "ghcr.io/acme/rocket", **settings), collection("tools/*", "quay.io", **settings)


def test_each_registry_sees_its_own_token_only() -> None:
    talk = Talk(*both(), answers=[registry(), registry("quay.io", tokens="q"), lambda _: (200, {}, b"")])
    token = talk.token("scope=repository:rocket:pull&scope=repository:tools/a:pull")["token"]
    parts = unpack(token)
    assert parts is not None
    assert sorted(parts.values()) == [
        "Bearer q:quay.io:repository:tools/a:pull",
        "Bearer token-of:ghcr.io:repository:acme/rocket:pull",
    ]
    assert "ghcr" not in "".join(parts)
    bearer = {"Authorization": f"Bearer {token}"}
    talk.ask(MANIFEST, bearer)
    assert talk.sent[0].headers["authorization"] == "Bearer token-of:ghcr.io:repository:acme/rocket:pull"
    talk.ask("/v2/tools/a/manifests/1", bearer)
    assert talk.sent[0].headers["authorization"] == "Bearer q:quay.io:repository:tools/a:pull"
    one = talk.token("scope=repository:rocket:pull")["token"]
    assert challenge(talk.ask("/v2/tools/a/manifests/1", {"Authorization": f"Bearer {one}"})).endswith(
        'scope="repository:tools/a:pull",error="insufficient_scope"'
    )
    # A token that is not ours is a registry's, and nobody can tell whose.
    assert challenge(talk.ask(MANIFEST, {"Authorization": "Bearer eyJhbGciOi"}))
    assert talk.sent == []


def test_a_clients_password_goes_to_the_registry_that_is_named_for_it() -> None:
    answers = [registry(), registry("quay.io")]
    headers = {"Authorization": basic("bob", "pw")}
    query = "scope=repository:rocket:pull&scope=repository:tools/a:pull"
    shown: dict[str | None, dict[str, str | None]] = {}
    for login in (None, "quay.io"):
        talk = Talk(*both(login_backend=login), answers=answers)
        talk.token(query, headers)
        shown[login] = {urlsplit(one.url).netloc: one.headers.get("authorization") for one in talk.sent if "/token" in one.url}
    assert shown == {None: {"ghcr.io": None, "quay.io": None}, "quay.io": {"ghcr.io": None, "quay.io": basic("bob", "pw")}}


def test_a_login_is_checked_by_the_registry_that_is_named_for_it() -> None:
    answers = [registry(users={}), registry("quay.io", users={"bob": "pw"})]
    talk = Talk(*both(login_backend="quay.io"), answers=answers)
    login = "account=bob&client_id=docker&offline_token=true&service=x"
    assert talk.token(login, {"Authorization": basic("bob", "pw")})["refresh_token"] == "refresh-me"
    refused = talk.ask("/v2/token", {"Authorization": basic("bob", "wrong")}, query=login)
    assert code(refused) == "DENIED"
    nameless = Talk(*both(), answers=answers)
    answer = nameless.ask("/v2/token", {"Authorization": basic("bob", "pw")}, query=login)
    assert isinstance(answer, Respond)
    assert (answer.status, b"login-backend" in answer.body, nameless.sent) == (401, True, [])
    assert nameless.token(login)["token"] == NOBODY


def test_one_registry_with_tokens_checks_logins_unasked() -> None:
    rules = (image(), image("open", "open.example/acme/open", backend_auth="anonymous"))
    talk = Talk(*rules, answers=[registry(users={"bob": "pw"})])
    assert talk.token("account=bob", {"Authorization": basic("bob", "pw")})["token"] == "token-of:ghcr.io:login"
    assert code(talk.ask("/v2/token", {"Authorization": basic("bob", "no")}, query="account=bob")) == "DENIED"


@pytest.mark.parametrize(
    ("login", "says"),
    [("gcr.io", "'gcr.io' holds no image of this domain (one of ghcr.io, quay.io)"), ("https://x", "holds no image of this domain")],
)
def test_a_login_backend_that_is_none(login: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        gateway(*both(login_backend=login))
    assert says in str(caught.value)


def test_two_accounts_of_one_name_have_tokens_apart() -> None:
    accounts = [Credentials("_json_key", password) for password in ("one", "two")]
    rules = [image(name, f"gcr.io/p/{name}", credentials=account, public=True) for name, account in zip("ab", accounts, strict=True)]
    talk = Talk(*rules, answers=[registry("gcr.io"), lambda _: (200, {}, b"")])
    token = talk.token("scope=repository:a:pull&scope=repository:b:pull")["token"]
    parts = unpack(token)
    assert parts is not None
    assert len(parts) == 2
    for name in "ab":
        assert talk.ask(f"/v2/{name}/manifests/1", {"Authorization": f"Bearer {token}"}).status == 200
        assert talk.sent[0].headers["authorization"] == f"Bearer token-of:gcr.io:repository:p/{name}:pull"
    assert not [account for account in accounts if account.password in token]


def test_one_registry_in_two_settings_checks_logins_as_one() -> None:
    rules = (image("a", "ghcr.io/x/a"), image("b", "ghcr.io/x/b", allowed_realms=("auth.example",)))
    talk = Talk(*rules, answers=[registry(users={"bob": "pw"})])
    bob = {"Authorization": basic("bob", "pw")}
    assert talk.token("account=bob", bob)["token"]
    talk.token("scope=repository:a:pull&scope=repository:b:pull", bob)
    assert [one.headers.get("authorization") for one in talk.sent if "/token" in one.url] == [bob["Authorization"]] * 2


def test_a_password_as_long_as_a_book() -> None:
    talk = Talk(*both(login_backend="quay.io"), answers=[registry(), registry("quay.io")])
    long = {"Authorization": basic("bob", "x" * 5000)}
    for query in ("account=bob", "scope=repository:rocket:pull"):
        assert code(talk.ask("/v2/token", long, query=query)) == "DENIED"
        assert talk.sent == []


def test_what_a_client_calls_itself_is_a_word() -> None:
    talk = Talk(image(), answers=[registry()])
    talk.token(f"{PULL}&client_id=a\ud800\u00e9%0Ab&account=x\ud800", {"Authorization": basic("bob", "pw")})
    assert parse_qs(urlsplit(talk.urls[1]).query)["client_id"] == ["a?b"]


def test_a_registry_with_its_default_port_is_itself() -> None:
    def moved(upstream: Upstream) -> Answer | None:
        if upstream.url == "https://reg.example/v2/acme/x/manifests/1.0":
            return 307, {"location": "https://REG.example:443/v2/acme/x/manifests/2.0"}, b""
        return (200, {}, b"") if upstream.url.endswith("/2.0") else None

    talk = Talk(image("x", "reg.example:443/acme/x"), answers=[moved])
    assert talk.ask("/v2/x/manifests/1.0", {"Authorization": "Bearer t"}).status == 200


def test_a_login_backend_has_several_names() -> None:
    rules = (image("a", "docker.io/x/a", login_backend="index.docker.io"), image("b", "quay.io/b", login_backend="docker.io"))
    talk = Talk(*rules, answers=[hub])
    assert "hub-token" in str(unpack(talk.token("account=bob", {"Authorization": basic("bob", "pw")})["token"]))


def test_two_login_backends() -> None:
    rules = (image("a", "ghcr.io/a", login_backend="ghcr.io"), image("b", "quay.io/b", login_backend="quay.io"))
    with pytest.raises(ConfigError, match="are both named"):
        gateway(*rules)
    with pytest.raises(ConfigError, match="no registry here takes its users' credentials"):
        gateway(image("a", "ghcr.io/a", login_backend="ghcr.io", credentials=ACCOUNT, public=True))


# --- redirects beside the broker ----------------------------------------------------------------------------

CONTAINERD = {"User-Agent": "containerd/1.6.20~ds1"}
BUILDKIT = {"User-Agent": "buildkit/v0.32"}


@pytest.mark.parametrize(
    ("agent", "public", "redirected"),
    [
        (CONTAINERD, False, True),
        (BUILDKIT, False, False),
        (BUILDKIT, True, True),
        ({"User-Agent": "crane/0.20"}, True, False),
        ({"User-Agent": "docker/20.10"}, True, False),
        ({"User-Agent": "skopeo/1.9"}, True, False),
        ({}, True, False),
    ],
)
def test_who_never_asks_for_a_ping_may_be_redirected_beside_another_registry(agent: dict[str, str], public: bool, redirected: bool) -> None:
    rules = (image("acme/x", "ghcr.io/acme/x", public=public), collection("tools/*", "quay.io"))
    decision = Talk(*rules).decide(request("/v2/acme/x/manifests/1", agent))
    assert isinstance(decision, Redirect) is redirected
    # With a token it has come to the gateway for it, and under another name no registry's own would do.
    assert not isinstance(Talk(*rules).decide(request("/v2/acme/x/manifests/1", {**agent, "Authorization": "Bearer x"})), Redirect)
    renamed = (image(public=public), rules[1])
    assert not isinstance(Talk(*renamed).decide(request(MANIFEST, agent)), Redirect)


def test_nobody_who_may_have_credentials_is_redirected_to_another_registry_than_theirs() -> None:
    """containerd shows them to whoever asks, wherever it was sent."""
    rules = (image("acme/x", "ghcr.io/acme/x", login_backend="quay.io"), collection("tools/*", "quay.io"))
    talk = Talk(*rules)
    assert isinstance(talk.decide(request("/v2/acme/x/manifests/1", CONTAINERD)), Respond)
    assert isinstance(talk.decide(request("/v2/tools/a/manifests/1", CONTAINERD)), Redirect)


def test_registries_that_ask_nobody_are_redirected_to_and_the_ping_asks_for_nothing() -> None:
    rules = (
        image("a", "one.example/x/a", backend_auth="anonymous"),
        image("b", "two.example/x/b", backend_auth="anonymous", redirect_status=307),
    )
    talk = Talk(*rules)
    pong = talk.ask("/v2/")
    assert isinstance(pong, Respond)
    assert pong.status == 200
    assert talk.ask("/v2/b/manifests/1", query="n=1") == Redirect(
        "https://two.example/v2/x/b/manifests/1?n=1", 307, Headers([("docker-distribution-api-version", "registry/2.0")])
    )
    proxied = talk.decide(request("/v2/a/manifests/1", {"Authorization": basic("a", "b")}))
    assert isinstance(proxied, Proxy)
    upstream = proxied.open().start()
    assert isinstance(upstream, Upstream)
    assert "authorization" not in upstream.headers
    # One that asks all the same is no such registry.
    talk.answers = [lambda _: (401, {"www-authenticate": "Basic realm=x"}, b"")]
    answer = talk.ask("/v2/a/manifests/1", {"Authorization": basic("a", "b")})
    assert isinstance(answer, Respond)
    assert (answer.status, answer.note) == (502, "one.example refuses what the gateway shows it")


def test_beside_a_token_registry_one_that_asks_nobody_is_redirected_to() -> None:
    def decided(agent: str, where: str = "open.example", token: str = "x", *more: Rule) -> Decision:
        rules = (image(), *more, image("open", f"{where}/acme/open", backend_auth="anonymous"))
        shown = {"Authorization": f"Bearer {token}"} if token else {}
        return Talk(*rules).decide(request("/v2/open/manifests/1", {"User-Agent": agent, **shown}))

    for agent in ("skopeo/1.9", "docker/20.10", "buildkit/v0.32"):
        assert isinstance(decided(agent), Redirect)
        # A host below the gateway's own gets its tokens from some clients, and so does another port of it.
        for below in (f"nightly.{DOMAIN}", f"{DOMAIN}:5000"):
            assert isinstance(decided(agent, below), Proxy)
            assert isinstance(decided(agent, below, ""), Redirect)
    # These show what they have for this domain to whomever they are led to; of others nobody knows.
    for agent in ("containerd/2.4", "oras-go", "some-client/1", ""):
        assert isinstance(decided(agent), Proxy)
    # Where nobody can log in, there is nothing to show.
    nobody = Talk(image(), image("other", "quay.io/x"), image("open", "open.example/acme/open", backend_auth="anonymous"))
    assert isinstance(nobody.decide(request("/v2/open/manifests/1", CONTAINERD)), Redirect)
    talk = Talk(image(), image("open", "open.example/o", backend_auth="anonymous", strategy="proxy"), answers=[lambda _: (200, {}, b"")])
    talk.ask("/v2/open/manifests/1", {"Authorization": "Bearer x"})
    assert "authorization" not in talk.sent[0].headers
    talk.answers = [lambda _: (401, {}, b"")]
    assert challenge(talk.ask("/v2/open/manifests/1", {"Authorization": "Bearer x"})).endswith('scope="repository:open:pull"')


# --- the gateway's own credentials --------------------------------------------------------------------------

ACCOUNT = Credentials("acme-bot", "bot-password")
HASH = hash_token("alice-password")


def private(**settings: Any) -> ContainerRule:
    return image("secret", "ghcr.io/acme/secret", **{"credentials": ACCOUNT, "access_tokens": (HASH,), **settings})


def test_who_logs_in_to_the_gateway_pulls_with_its_credentials() -> None:
    talk = Talk(private(), answers=[registry(users={"acme-bot": "bot-password"})])
    alice = {"Authorization": basic("alice", "alice-password")}
    assert talk.token("account=alice", alice)["token"] == NOBODY
    said = talk.token("scope=repository:secret:pull&offline_token=true", alice)
    assert said["token"] == "token-of:ghcr.io:repository:acme/secret:pull"
    # The gateway's own refresh token would be good for all that its account can see.
    assert "refresh_token" not in said
    fetch = talk.sent[-1]
    assert fetch.headers["authorization"] == ACCOUNT.basic
    assert "offline_token" not in fetch.url
    assert "alice" not in fetch.url


@pytest.mark.parametrize("headers", [{}, {"Authorization": basic("alice", "guess")}, {"Authorization": basic("acme-bot", "bot-password")}])
def test_nobody_else_does(headers: dict[str, str]) -> None:
    talk = Talk(private(), answers=[registry()])
    for query in ("scope=repository:secret:pull", *(["account=alice"] if headers else [])):
        assert code(talk.ask("/v2/token", headers, query=query)) == "DENIED"
        assert talk.sent == []


def test_what_is_public_is_for_everybody() -> None:
    talk = Talk(private(public=True, access_tokens=()), answers=[registry()])
    assert talk.token("scope=repository:secret:pull")["token"] == "token-of:ghcr.io:repository:acme/secret:pull"
    assert talk.sent[-1].headers["authorization"] == ACCOUNT.basic


def test_a_private_and_a_public_image_of_one_registry_have_tokens_apart() -> None:
    talk = Talk(private(), collection("acme/*", "ghcr.io"), answers=[registry()])
    parts = unpack(talk.token("scope=repository:secret:pull&scope=repository:acme/x:pull")["token"])
    assert parts is not None
    assert list(parts.values()) == ["Bearer token-of:ghcr.io:repository:acme/x:pull"]
    alice = {"Authorization": basic("alice", "alice-password")}
    both = unpack(talk.token("scope=repository:secret:pull&scope=repository:acme/x:pull", alice)["token"])
    assert both is not None
    assert len(both) == 2


def test_a_password_that_is_for_the_gateway_goes_to_no_registry() -> None:
    rules = (private(), image("acme/open", "quay.io/acme/open"))
    alice = {"Authorization": basic("alice", "alice-password")}
    for login in (None, "quay.io"):
        talk = Talk(*(evolve(rule, login_backend=login) for rule in rules), answers=[registry(), registry("quay.io", users={})])
        assert talk.token("account=alice", alice)["token"] == NOBODY
        assert talk.sent == []
        assert unpack(talk.token("scope=repository:acme/open:pull", alice)["token"])
        assert {one.headers.get("authorization") for one in talk.sent} == {None}
        # Nor does what was mistyped, unless a registry is named for what is no password of the gateway's.
        wrong = talk.ask("/v2/token", {"Authorization": basic("alice", "alice-pasword")}, query="account=alice")
        assert code(wrong) == "DENIED"
        assert bool(talk.sent) is (login is not None)
        # Who may have such a password is not redirected past the gateway: containerd would show it there.
        assert not isinstance(talk.ask("/v2/acme/open/manifests/1", CONTAINERD), Redirect)


def basic_registry(upstream: Upstream) -> Answer | None:
    """A registry without a token server, which wants a password with each request."""
    shown = upstream.headers.get("authorization")
    if shown in (ACCOUNT.basic, basic("bob", "pw")):
        return 200, {}, b"{}"
    return 401, {"www-authenticate": 'Basic realm="ghcr"'}, b""


def test_a_registry_that_wants_passwords_is_shown_the_gateways_to_those_who_logged_in() -> None:
    talk = Talk(private(), answers=[basic_registry])
    token = talk.token("scope=repository:secret:pull", {"Authorization": basic("alice", "alice-password")})["token"]
    assert ACCOUNT.password not in token
    answer = talk.ask("/v2/secret/manifests/1", {"Authorization": f"Bearer {token}"})
    assert answer == Relay(200, Headers())
    assert talk.sent[0].headers["authorization"] == ACCOUNT.basic
    key = next(iter(unpack(token) or {}))
    for part in ("Login " + b64encode(b"alice:guess").decode(), "Login !", "Login", "Public"):
        forged = pack({key: part})
        assert challenge(talk.ask("/v2/secret/manifests/1", {"Authorization": f"Bearer {forged}"})).endswith('error="invalid_token"')
    open_ = Talk(private(public=True, access_tokens=()), answers=[basic_registry])
    token = open_.token("scope=repository:secret:pull")["token"]
    assert open_.ask("/v2/secret/manifests/1", {"Authorization": f"Bearer {token}"}).status == 200
    # The gateway's own password no longer does: nothing that a client could show would help.
    open_.answers = [lambda _: (401, {"www-authenticate": "Basic realm=x"}, b"")]
    assert open_.ask("/v2/secret/manifests/1", {"Authorization": f"Bearer {token}"}).status == 502


def test_or_the_clients_own() -> None:
    talk = Talk(image(strategy="broker"), answers=[basic_registry])
    bob = {"Authorization": basic("bob", "pw")}
    assert "token" in talk.token("account=bob", bob)
    assert code(talk.ask("/v2/token", {"Authorization": basic("bob", "wrong")}, query="account=bob")) == "DENIED"
    token = talk.token(PULL, bob)["token"]
    assert talk.ask(MANIFEST, {"Authorization": f"Bearer {token}"}).status == 200
    assert talk.sent[0].headers["authorization"] == basic("bob", "pw")


# --- tokens of our making -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "token", ["", "gw1.", "gw1.!!!", "gw1.bm9uZQ", "gw1.W10", "gw1." + "A" * 70_000, "eyJ", "gw1." + b64encode(b'{"a": 1}').decode()]
)
def test_what_is_no_token_of_our_making(token: str) -> None:
    assert unpack(token) is None


def test_no_line_break_gets_into_a_field_by_a_token() -> None:
    assert unpack(pack({"a": "Bearer x\r\nX: y"})) is None
    assert unpack(pack({"a": "Bearer x"})) == {"a": "Bearer x"}
