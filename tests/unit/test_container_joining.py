"""Images on one domain: which of them can share it, in which mode, and what is said where they cannot."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from gatewaycore import ConfigError
from gatewaycore.route import Rule
from gatewaycore.rules.access import hash_token
from gatewaycore.rules.container import CollectionRule, ContainerRule, Credentials
from gatewaycore.rules.container.backend import Backend
from gatewaycore.rules.container.challenges import Challenge, Foreign, Realm, believe, parse_challenges
from gatewaycore.rules.container.joining import join

pytestmark = pytest.mark.usefixtures("no_sockets")

DOMAIN = "docker.acme.example"
ACCOUNT = Credentials("bot", "secret-of-the-bot")
HASH = hash_token("x")


def image(name: str = "acme/a", backend: str = "", **settings: Any) -> ContainerRule:
    return ContainerRule(**{"name": name, "domain": DOMAIN, "backend": backend or f"ghcr.io/{name}", **settings})


def images(pattern: str = "other/*", backend: str = "ghcr.io", **settings: Any) -> CollectionRule:
    return CollectionRule(**{"domain": DOMAIN, "pattern": pattern, "backend": backend, **settings})


MODES: list[tuple[str, list[Rule]]] = [
    ("passed", [image()]),
    ("passed", [image(), images()]),
    ("passed", [image(strategy="proxy"), images()]),
    ("passed", [image(strategy="redirect", backend="ghcr.io/x/y"), images()]),
    ("passed", [image(backend_auth="anonymous", backend="open.example/x/y")]),
    ("open", [image(backend_auth="anonymous"), images(backend="quay.io", backend_auth="anonymous")]),
    ("open", [image(backend_auth="anonymous", mirrors=("quay.io/acme/a",))]),
    ("open", [image(backend_auth="anonymous", strategy="redirect"), images(backend="q.io", backend_auth="anonymous", strategy="proxy")]),
    ("own", [image(strategy="broker")]),
    ("own", [image(backend_auth="anonymous", strategy="broker")]),
    ("own", [image(backend="ghcr.io/x/y")]),
    ("own", [image(mirrors=("quay.io/acme/a",))]),
    ("own", [image(credentials=ACCOUNT, public=True)]),
    ("own", [image(), images(backend="quay.io")]),
    ("own", [image(), images(backend="quay.io", backend_auth="anonymous")]),
    ("own", [image(), images(backend="quay.io", strategy="redirect")]),
    ("own", [image(), image("acme/b", credentials=ACCOUNT, public=True)]),
    ("own", [image(), images(allow_private_backends=True)]),
]


@pytest.mark.parametrize(("mode", "rules"), MODES)
def test_who_answers_the_ping(mode: str, rules: list[Rule]) -> None:
    joined = join([route for rule in rules for route in rule.compile()])
    assert joined.mode == mode
    assert joined.ping_proxied == any(getattr(rule, "strategy", "") == "proxy" for rule in rules)


CLASHES: list[tuple[list[Rule], str]] = [
    (
        [image(strategy="proxy"), images(backend="quay.io", strategy="proxy")],
        "acme/a comes from ghcr.io (token, https) and other/* from quay.io",
    ),
    ([image(strategy="redirect"), images(backend="quay.io", strategy="redirect")], "strategy: redirect leaves it to their registries"),
    ([image(strategy="proxy"), images(backend="quay.io", backend_auth="anonymous")], "other/* from quay.io (anonymous, https)"),
    (
        [image(strategy="proxy"), images(backend="quay.io")],
        "acme/a is always proxied, so that its registry hands out the tokens; but acme/a comes",
    ),
    ([image(strategy="proxy"), images(strategy="broker")], "but other/* has strategy: broker"),
    ([image(strategy="proxy", backend="ghcr.io/x/y")], "but acme/a is called 'x/y' at its backend"),
    ([image(strategy="proxy", mirrors=("quay.io/acme/a",))], "but acme/a has mirrors"),
    ([image(strategy="proxy"), images(strategy="redirect")], "acme/a is always proxied and other/* always redirected"),
    ([image(strategy="redirect"), images(strategy="proxy")], "other/* is always proxied and acme/a always redirected"),
]


@pytest.mark.parametrize(("rules", "says"), CLASHES)
def test_what_cannot_go_together_is_told_with_the_choice(rules: list[Rule], says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        join([route for rule in rules for route in rule.compile()])
    [problem] = caught.value.problems
    assert says in str(problem)
    assert "another domain" in problem.hint
    assert DOMAIN in problem.where
    assert problem.about is not None


def test_one_stranger_of_each_backend_is_named() -> None:
    rules: list[Rule] = [
        image(strategy="proxy"),
        *(images(f"{name}/*", backend=f"{name}.example", strategy="proxy") for name in ("b", "c")),
    ]
    rules.append(images("d/*", backend="c.example", strategy="proxy"))
    with pytest.raises(ConfigError) as caught:
        join([route for rule in rules for route in rule.compile()])
    assert [problem.about.label for problem in caught.value.problems] == [f"{DOMAIN}/b/*", f"{DOMAIN}/c/*"]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("settings", "where", "says"),
    [
        ({"credentials": ACCOUNT}, "credentials", "would let everybody pull what the gateway's account can"),
        ({"credentials": ACCOUNT, "public": True, "access_tokens": (HASH,)}, "public", "is for everybody, and for those who log in"),
        ({"access_tokens": (HASH,)}, "access-tokens", "no credentials that those who log in could use"),
        ({"credentials": ACCOUNT, "access_tokens": ("plain",)}, "access-tokens", "not hashed"),
        ({"credentials": ACCOUNT, "public": True, "strategy": "proxy"}, "credentials", "strategy: proxy, which shows the client's"),
        ({"credentials": ACCOUNT, "public": True, "strategy": "redirect"}, "credentials", "strategy: redirect, which shows the client's"),
        ({"credentials": ACCOUNT, "public": True, "backend_auth": "anonymous"}, "credentials", "asks nobody for any"),
        ({"credentials": Credentials("", "p"), "public": True}, "credentials", "the username is empty"),
        ({"credentials": Credentials("a:b", "p"), "public": True}, "credentials", "has a colon in it"),
        ({"credentials": Credentials("a", ""), "public": True}, "credentials", "the password is empty"),
    ],
)
@pytest.mark.parametrize("make", [image, images])
def test_access_that_cannot_be(make: Any, settings: Mapping[str, Any], where: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make(**settings).compile()
    [problem] = caught.value.problems
    assert (problem.where, says in problem.what) == (where, True)
    assert "plain" not in str(problem)


def test_credentials_are_in_no_message() -> None:
    rule = image(credentials=ACCOUNT, public=True)
    for text in (repr(rule), repr(rule.compile()), str(rule.compile()[0].place.backend)):
        assert ACCOUNT.password not in text


# --- challenges ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        (
            ['Bearer realm="https://a/t",service="s", scope="x:y:z"'],
            [("bearer", {"realm": "https://a/t", "service": "s", "scope": "x:y:z"})],
        ),
        (["BASIC Realm=x"], [("basic", {"realm": "x"})]),
        (['Basic realm="a, b", Bearer realm = "c"'], [("basic", {"realm": "a, b"}), ("bearer", {"realm": "c"})]),
        (["Basic", "Bearer"], [("basic", {}), ("bearer", {})]),
        (['Bearer realm="a\\"b\\\\c"'], [("bearer", {"realm": 'a"b\\c'})]),
        (["Bearer realm=https://a/t,service=s"], [("bearer", {"realm": "https://a/t", "service": "s"})]),
        (['Bearer realm="one", realm="two"'], [("odd", {})]),
        (['realm="x", Bearer a="b"'], [("odd", {})]),
        (['Bearer realm="unclosed'], [("odd", {})]),
        (["Basic", "Bearer a=1 ???"], [("basic", {}), ("odd", {})]),
        ([",,, Bearer ,, a=1 ,,"], [("bearer", {"a": "1"})]),
        ([""], []),
        (["\x00\xff"], [("odd", {})]),
        (["Bearer " + "a=b," * 5_000], [("odd", {})]),
        (["Negotiate YWJj=="], [("negotiate", {"ywjj": "="})]),
    ],
)
def test_challenges_are_read_as_they_are_written(lines: list[str], found: list[tuple[str, dict[str, str]]]) -> None:
    assert [(one.scheme, dict(one.parameters)) for one in parse_challenges(lines)] == found


def test_a_realm_may_have_a_query_of_its_own() -> None:
    found = believe(Backend("ghcr.io"), Challenge("bearer", {"realm": "https://ghcr.io/token?x=1#y", "service": "s"}))
    assert found == Realm("https://ghcr.io/token?x=1", "s")
    assert found.asking("scope=a") == "https://ghcr.io/token?x=1&scope=a"
    assert Realm("https://ghcr.io/token").asking("") == "https://ghcr.io/token"


@pytest.mark.parametrize(
    ("registry", "scheme", "realm", "own"),
    [
        ("127.0.0.1:5000", "http", "http://127.0.0.1:5001/t", True),
        ("[::1]:5000", "http", "http://[::1]/t", True),
        ("registry.gitlab.com", "https", "https://gitlab.com/jwt/auth", True),
        ("docker.io", "https", "https://auth.docker.io/token", True),
        ("docker.io", "https", "https://registry-1.docker.io/token", True),
        ("docker.io", "https", "https://docker.io/token", False),
        ("ghcr.io", "https", "https://auth.docker.io/token", False),
        ("ghcr.io", "https", "https://ghcr.io:443/token", True),
        ("quay.io", "https", "https://auth.example/token", True),
        ("quay.io", "https", "https://auth.example:444/token", False),
        ("ghcr.io", "http", "https://ghcr.io/token", True),
        ("ghcr.io", "https", "http://ghcr.io:443/token", False),
    ],
)
def test_which_token_servers_are_a_registrys_own(registry: str, scheme: Any, realm: str, own: bool) -> None:
    found = believe(Backend(registry, scheme=scheme, realms=("auth.example:443",)), Challenge("bearer", {"realm": realm}))
    assert isinstance(found, Realm) is own
    if isinstance(found, Foreign):
        assert registry in found.note(Backend(registry))


def test_a_note_holds_nothing_that_a_terminal_obeys() -> None:
    note = Foreign("a\x1b[31m\nb" + "c" * 500).note(Backend("ghcr.io"))
    assert "\x1b" not in note
    assert "\n" not in note
    assert len(note) < 300
