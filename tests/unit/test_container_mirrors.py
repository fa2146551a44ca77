"""Mirrors: what is asked next where a registry is down or busy, what it is shown, and what is at hand when all of them are."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from hashlib import sha256
from typing import Any

import pytest

from gatewaycore import ConfigError, Headers, Proxy, Redirect, Respond
from gatewaycore.decision import Relay, Upstream
from gatewaycore.rules.container import CollectionRule, ContainerRule
from gatewaycore.rules.container.memory import Memory
from gatewaycore.rules.recent import Recent
from tests.unit.test_container_broker import DOMAIN, NOW, Answer, Talk, challenge, code, image, registry, request

pytestmark = pytest.mark.usefixtures("no_sockets")

MANIFEST = b'{"schemaVersion": 2}'
DIGEST = f"sha256:{sha256(MANIFEST).hexdigest()}"
PATH = "/v2/rocket/manifests/1.0"
BY_DIGEST = f"/v2/rocket/manifests/{DIGEST}"
MIRRORS = ("m1.example/acme/rocket", "m2.example/mirror/rocket")
TOKEN = {"Authorization": "Bearer clients-own"}
ASTRAY: tuple[Answer, ...] = (
    (302, {"location": "http://169.254.169.254/"}, b""),
    # Without end.
    (302, {"location": "/v2/acme/rocket/manifests/1.0"}, b""),
)
FINE: Answer = (200, {"content-type": "application/json", "docker-content-digest": DIGEST}, MANIFEST)


def hosts(answers: Mapping[str, Answer]) -> Any:
    """Return answers by host."""
    return lambda upstream: next((answer for host, answer in answers.items() if f"//{host}/" in upstream.url), None)


def open_mirror(host: str, answer: Answer = FINE) -> Any:
    """A registry that gives everybody a token, and an answer to those who show it."""

    def answers(upstream: Upstream) -> Answer | None:
        if not upstream.url.startswith(f"https://{host}/v2/"):
            return None
        if (upstream.headers.get("authorization") or "").startswith("Bearer token-of"):
            return answer
        return 401, {"www-authenticate": f'Bearer realm="https://{host}/token",service="s"'}, b""

    return answers


def mirrored(**settings: Any) -> ContainerRule:
    return image("rocket", "ghcr.io/acme/rocket", **{"mirrors": MIRRORS, **settings})


@pytest.mark.parametrize(
    "down", ["connect", "timeout", "protocol", "address", (429, {}, b""), (500, {}, b""), (503, {}, b""), (599, {}, b"")]
)
def test_a_mirror_answers_with_a_token_that_it_gives_to_anybody(down: Answer) -> None:
    talk = Talk(mirrored(), answers=[hosts({"ghcr.io": down}), open_mirror("m1.example"), registry("m1.example")])
    answer = talk.ask(PATH, TOKEN)
    assert isinstance(answer, Relay)
    assert (answer.status, answer.variables) == (200, {"digest": DIGEST})
    assert talk.urls == [
        "https://ghcr.io/v2/acme/rocket/manifests/1.0",
        "https://m1.example/v2/acme/rocket/manifests/1.0",
        "https://m1.example/token?service=s&scope=repository%3Aacme%2Frocket%3Apull",
        "https://m1.example/v2/acme/rocket/manifests/1.0",
    ]
    # What the client shows is for the first place alone.
    assert [one.headers.get("authorization") for one in talk.sent] == [
        "Bearer clients-own",
        None,
        None,
        "Bearer token-of:m1.example:repository:acme/rocket:pull",
    ]
    assert {one.timeout_s for one in talk.sent} == {20 / 3}
    # The mirror's token is good for a while.
    talk.ask(PATH, TOKEN)
    assert len(talk.sent) == 2
    talk.ask(PATH, TOKEN, at=NOW + timedelta(minutes=10))
    assert len(talk.sent) == 4


def test_a_token_that_a_mirror_no_longer_takes_is_let_go_of() -> None:
    talk = Talk(mirrored(), answers=[hosts({"ghcr.io": "connect"}), open_mirror("m1.example"), registry("m1.example")])
    talk.ask(PATH, TOKEN)
    refuses: Answer = (401, {"www-authenticate": 'Bearer realm="https://m1.example/token"'}, b"")
    talk.answers = [hosts({"ghcr.io": "connect", "m1.example": refuses, "m2.example": FINE})]
    assert talk.ask(PATH, TOKEN).status == 200
    assert talk.urls[-1] == "https://m2.example/v2/mirror/rocket/manifests/1.0"
    talk.answers = [hosts({"ghcr.io": "connect"}), open_mirror("m1.example"), registry("m1.example")]
    talk.ask(PATH, TOKEN)
    assert len(talk.sent) == 4


@pytest.mark.parametrize(
    "first",
    [
        (404, {}, b""),
        (403, {}, b""),
        (400, {}, b""),
        (401, {}, b""),
        (401, {"www-authenticate": "Basic realm=x"}, b""),
        (401, {"www-authenticate": 'Bearer realm="https://evil.example/token"'}, b""),
        (99, {}, b""),
        (307, {"location": "ftp://x"}, b""),
        (502, {}, b""),
        *ASTRAY,
    ],
)
def test_a_mirror_that_does_not_have_it_is_passed_over(first: Answer) -> None:
    talk = Talk(mirrored(), answers=[hosts({"ghcr.io": "connect", "m1.example": first, "m2.example": FINE})])
    assert talk.ask(PATH, TOKEN).status == 200
    assert talk.urls[-1] == "https://m2.example/v2/mirror/rocket/manifests/1.0"


@pytest.mark.parametrize("first", [*ASTRAY, (401, {"www-authenticate": 'Bearer realm="https://evil.example/token"'}, b"")])
def test_a_registry_that_leads_astray_is_not_passed_over(first: Answer) -> None:
    talk = Talk(mirrored(), answers=[hosts({"ghcr.io": first, "m1.example": FINE})])
    answer = talk.ask(PATH, TOKEN)
    assert isinstance(answer, Respond)
    # Somebody may have taken it over: the operator is told.
    assert (answer.status, answer.note.partition(" ")[0]) == (502, "ghcr.io")
    assert not any("m1.example" in url for url in talk.urls)


@pytest.mark.parametrize("first", ASTRAY)
def test_the_operator_is_told_of_a_mirror_that_leads_astray(first: Answer) -> None:
    talk = Talk(mirrored(mirrors=MIRRORS[:1]), answers=[hosts({"ghcr.io": "connect", "m1.example": first})])
    answer = talk.ask(PATH, TOKEN)
    assert isinstance(answer, Respond)
    assert (answer.status, answer.note.partition(" ")[0]) == (502, "m1.example")


@pytest.mark.parametrize("answer", [(404, {}, b""), (500, {}, b""), (200, {}, b"no token"), (200, {}, b" " * 300_000), "timeout"])
def test_nor_one_that_gives_no_token(answer: Answer) -> None:
    def no_token(upstream: Upstream) -> Answer | None:
        return answer if "m1.example/token" in upstream.url else None

    talk = Talk(mirrored(), answers=[no_token, hosts({"ghcr.io": "connect", "m2.example": FINE}), open_mirror("m1.example")])
    assert talk.ask(PATH, TOKEN).status == 200


def test_what_the_registry_itself_says_of_an_image_is_believed() -> None:
    talk = Talk(mirrored(), answers=[hosts({"ghcr.io": (404, {}, b"")})])
    assert talk.ask(PATH, TOKEN).status == 404
    talk.answers = [hosts({"ghcr.io": (403, {}, b"")})]
    assert talk.ask(PATH, TOKEN).status == 403
    talk.answers = [hosts({"ghcr.io": (401, {}, b"")})]
    assert challenge(talk.ask(PATH, TOKEN))
    assert len(talk.sent) == 1


@pytest.mark.parametrize(
    ("answers", "status", "retry"),
    [
        (
            {"ghcr.io": (429, {"retry-after": "30"}, b""), "m1.example": "connect", "m2.example": (503, {"retry-after": "9"}, b"")},
            429,
            "30",
        ),
        ({"ghcr.io": "timeout", "m1.example": (503, {"retry-after": "9"}, b""), "m2.example": (404, {}, b"")}, 503, "9"),
        ({"ghcr.io": (500, {}, b""), "m1.example": "connect", "m2.example": (429, {"retry-after": "5"}, b"")}, 429, "5"),
        ({"ghcr.io": "connect", "m1.example": "connect", "m2.example": "timeout"}, 502, None),
        ({"ghcr.io": "timeout", "m1.example": "connect", "m2.example": (404, {}, b"")}, 504, None),
        ({"ghcr.io": "timeout", "m1.example": "timeout", "m2.example": "connect"}, 504, None),
    ],
)
def test_when_all_refuse_the_client_is_told_when_to_come_back(answers: Mapping[str, Answer], status: int, retry: str | None) -> None:
    talk = Talk(mirrored(), answers=[hosts(answers)])
    answer = talk.ask(PATH, TOKEN)
    assert isinstance(answer, Respond)
    assert (answer.status, answer.headers.get("retry-after")) == (status, retry)
    assert code(answer) == ("TOOMANYREQUESTS" if status == 429 else "UNAVAILABLE")
    assert len(talk.sent) == 3


@pytest.mark.parametrize("when", ["5\r\nX: y", "\u00e9", "9" * 80, ""])
def test_when_to_come_back_is_told_where_it_can_be(when: str) -> None:
    talk = Talk(mirrored(), answers=[lambda _: (429, {"retry-after": when}, b"")])
    answer = talk.ask(PATH, TOKEN)
    assert isinstance(answer, Respond)
    assert (answer.status, answer.headers.get("retry-after")) == (429, None if when else "")


def test_the_operator_is_told_of_a_mirror_with_a_foreign_token_server() -> None:
    foreign: Answer = (401, {"www-authenticate": 'Bearer realm="https://evil.example/t"'}, b"")
    talk = Talk(mirrored(mirrors=MIRRORS[:1]), answers=[hosts({"ghcr.io": "connect", "m1.example": foreign})])
    answer = talk.ask(PATH, TOKEN)
    assert isinstance(answer, Respond)
    assert (answer.status, "evil.example" in answer.note) == (502, True)


def test_tokens_for_images_that_are_at_hand_elsewhere_do_not_wait_for_a_registry_that_is_down() -> None:
    talk = Talk(mirrored(), answers=[hosts({"ghcr.io": (503, {}, b"")}), hosts({"m1.example": FINE})])
    said = talk.token("scope=repository:rocket:pull")
    assert talk.ask(PATH, {"Authorization": f"Bearer {said['token']}"}).status == 200
    assert "authorization" not in talk.sent[0].headers


def test_a_registry_whose_token_server_is_down_is_passed_over_for_its_mirrors() -> None:
    def half_down(upstream: Upstream) -> Answer | None:
        return registry()(upstream) if upstream.url.endswith("/v2/") else (401, {}, b"") if "//ghcr.io/v2/" in upstream.url else None

    talk = Talk(mirrored(), answers=[half_down, hosts({"m1.example": FINE})])
    said = talk.token("scope=repository:rocket:pull")
    assert talk.ask(PATH, {"Authorization": f"Bearer {said['token']}"}).status == 200
    talk.answers = [half_down]
    assert talk.ask(PATH, {"Authorization": f"Bearer {said['token']}"}).status == 502


@pytest.mark.parametrize("gone", [(404, {}, b""), (200, {}, b"<html>"), (503, {}, b""), "connect", "timeout"])
def test_nor_is_its_client_sent_back_and_forth_to_one_that_is_gone(gone: Answer) -> None:
    wants: Answer = (401, {"www-authenticate": 'Bearer realm="https://ghcr.io/token",service="s"'}, b"")

    def without_tokens(upstream: Upstream) -> Answer | None:
        return gone if upstream.url.startswith("https://ghcr.io/token") else hosts({"ghcr.io": wants, "m1.example": FINE})(upstream)

    talk = Talk(mirrored(), answers=[without_tokens])
    token = {"Authorization": f"Bearer {talk.token('scope=repository:rocket:pull')['token']}"}
    assert talk.ask(PATH, token).status == 200
    assert talk.urls[-1] == "https://m1.example/v2/acme/rocket/manifests/1.0"
    # Where its token server is stays known, and is tried first again.
    talk.answers = [registry()]
    assert talk.token("scope=repository:rocket:pull")["token"].startswith("token-of")
    assert len(talk.sent) == 1


def test_where_a_token_server_has_moved_to_is_learned_from_the_registry_that_has_mirrors() -> None:
    talk = Talk(mirrored(), answers=[registry()])
    talk.token("scope=repository:rocket:pull")
    wants: Answer = (401, {"www-authenticate": 'Bearer realm="https://ghcr.io/elsewhere"'}, b"")
    talk.answers = [hosts({"m1.example": FINE}), lambda upstream: wants if "//ghcr.io/v2/acme" in upstream.url else None]
    token = {"Authorization": f"Bearer {talk.token('scope=repository:rocket:pull')['token']}"}
    assert talk.ask(PATH, token).status == 200
    talk.answers = [registry(realm="https://ghcr.io/elsewhere")]
    talk.token("scope=repository:rocket:pull")
    [url] = talk.urls
    assert url.startswith("https://ghcr.io/elsewhere?")


def test_a_registry_that_says_late_that_it_wants_a_token_is_asked_for_one() -> None:
    def late(upstream: Upstream) -> Answer | None:
        if upstream.url == "https://ghcr.io/v2/":
            return 200, {}, b""
        return (401, {"www-authenticate": 'Bearer realm="https://ghcr.io/token"'}, b"") if "//ghcr.io/v2/" in upstream.url else None

    talk = Talk(mirrored(), answers=[late, registry()])
    said = talk.token("scope=repository:rocket:pull")
    assert challenge(talk.ask(PATH, {"Authorization": f"Bearer {said['token']}"}))
    assert talk.token("scope=repository:rocket:pull")["token"].startswith("token-of")


def test_a_mirror_may_be_reached_in_another_way() -> None:
    rule = mirrored(backend_scheme="http", mirrors=("https://m1.example/acme/rocket", "m2.example/r", "http://m3.example/r"))
    talk = Talk(rule, answers=[])
    talk.ask(PATH, TOKEN)
    assert [one.url.partition("/v2/")[0] for one in talk.sent] == [
        "http://ghcr.io",
        "https://m1.example",
        "http://m2.example",
        "http://m3.example",
    ]
    collection = CollectionRule(domain=DOMAIN, pattern="acme/*", backend="ghcr.io", mirrors=("http://m1.example:5000",))
    assert str(collection.compile()[0].mirrors[0].backend.origin) == "http://m1.example:5000"


def test_a_range_that_a_mirror_cannot_satisfy_is_told() -> None:
    talk = Talk(mirrored(), answers=[hosts({"ghcr.io": "connect", "m1.example": (416, {"content-range": "bytes */5"}, b"")})])
    assert talk.ask(f"/v2/rocket/blobs/{DIGEST}", {**TOKEN, "Range": "bytes=9-"}).status == 416


def test_all_places_together_have_one_deadline() -> None:
    talk = Talk(mirrored(deadline_s=9))
    decision = talk.decide(request(PATH, TOKEN))
    assert isinstance(decision, Proxy)
    assert decision.deadline_s == 9
    alone = Talk(image(), answers=[]).decide(request(PATH, TOKEN))
    assert isinstance(alone, Proxy)
    assert alone.deadline_s is None
    tokens = talk.decide(request("/v2/token", query="scope=repository:rocket:pull"))
    assert isinstance(tokens, Proxy)
    assert tokens.deadline_s == 20


# --- settings -----------------------------------------------------------------------------------------------


def test_whoever_has_mirrors_is_not_redirected_past_them() -> None:
    agent = {"User-Agent": "containerd/1.6"}
    assert challenge(Talk(mirrored(public=True)).ask(PATH, agent))
    open_ = Talk(mirrored(backend_auth="anonymous"), answers=[hosts({"ghcr.io": "connect", "m1.example": FINE})])
    assert open_.ask("/v2/").status == 200
    assert open_.ask(PATH, agent).status == 200
    assert isinstance(Talk(image("r", "ghcr.io/r", backend_auth="anonymous")).ask("/v2/r/manifests/1", agent), Redirect)


def test_mirrors_of_a_collection_have_the_same_names() -> None:
    rule = CollectionRule(domain=DOMAIN, pattern="acme/*", backend="ghcr.io", mirrors=("m1.example:5000",))
    talk = Talk(rule, answers=[hosts({"ghcr.io": "connect", "m1.example:5000": FINE})])
    assert talk.ask("/v2/acme/x/manifests/1", TOKEN).status == 200
    assert talk.urls[-1] == "https://m1.example:5000/v2/acme/x/manifests/1"


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"mirrors": ("a b",)}, "mirrors[0]"),
        ({"mirrors": (f"{DOMAIN}/acme/x",)}, "is the domain itself"),
        ({"mirrors": tuple(f"m{number}.example/x" for number in range(5))}, "5 mirrors are too many"),
        ({"mirrors": MIRRORS, "strategy": "redirect"}, "not sent on to a mirror"),
        ({"deadline_s": 0}, "leaves no time"),
    ],
)
def test_mirrors_that_cannot_be(settings: Mapping[str, Any], says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        image("rocket", "ghcr.io/acme/rocket", **settings).compile()
    assert says in str(caught.value)


def test_mirrors_of_a_collection_are_hosts() -> None:
    with pytest.raises(ConfigError, match="more than a registry's host"):
        CollectionRule(domain=DOMAIN, pattern="acme/*", backend="ghcr.io", mirrors=("m1.example/acme",)).compile()


# --- what is at hand ----------------------------------------------------------------------------------------


def fetched(talk: Talk, path: str = PATH, token: str = "clients-own") -> None:
    talk.answers = [hosts({"ghcr.io": FINE})]
    assert talk.ask(path, {"Authorization": f"Bearer {token}"}).status == 200


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("down", ["connect", (429, {}, b""), (503, {}, b"")])
def test_a_manifest_that_anybody_may_have_is_at_hand_by_its_digest(down: Answer, method: str) -> None:
    talk = Talk(image("rocket", "ghcr.io/acme/rocket", strategy="broker", public=True))
    fetched(talk)
    talk.answers = [hosts({"ghcr.io": down})]
    answer = talk.ask(BY_DIGEST, TOKEN, method=method)
    lines = [("content-type", "application/json"), ("docker-content-digest", DIGEST), ("etag", f'"{DIGEST}"')]
    assert answer == Respond(200, Headers(lines), MANIFEST, kept=True)
    # A tag may have moved meanwhile, and another image is another one.
    assert talk.ask(PATH, TOKEN).status in (429, 502, 503)
    assert isinstance(answer, Respond)
    assert answer.kept
    assert talk.ask(BY_DIGEST.replace("rocket", "rockets"), TOKEN).status == 404


def test_one_fetched_with_a_token_that_anybody_gets_is_anybodys() -> None:
    talk = Talk(image("rocket", "ghcr.io/acme/rocket", strategy="broker"), answers=[registry()])
    token = talk.token("scope=repository:rocket:pull")["token"]
    fetched(talk, token=token)
    talk.answers = []
    assert talk.ask(BY_DIGEST, TOKEN).status == 200


def test_one_fetched_with_credentials_is_nobody_elses() -> None:
    talk = Talk(image("rocket", "ghcr.io/acme/rocket", strategy="broker"))
    fetched(talk)
    talk.answers = []
    assert talk.ask(BY_DIGEST, TOKEN).status == 502


def test_in_passing_only_what_nobody_showed_anything_for() -> None:
    talk = Talk(image("rocket", "ghcr.io/rocket", strategy="proxy"))
    fetched(talk)
    talk.answers = []
    assert talk.ask(BY_DIGEST).status == 502
    talk.answers = [hosts({"ghcr.io": FINE})]
    talk.ask(PATH)
    talk.answers = []
    assert talk.ask(BY_DIGEST).status == 200


@pytest.mark.parametrize(
    "answer",
    [
        (200, {"docker-content-digest": DIGEST}, b"another"),
        (200, {"docker-content-digest": DIGEST, "content-encoding": "gzip"}, MANIFEST),
        (200, {"docker-content-digest": "sha256:short"}, MANIFEST),
        (200, {}, MANIFEST),
        (206, {"docker-content-digest": DIGEST}, MANIFEST),
    ],
)
def test_what_is_not_what_its_digest_says_is_not_kept(answer: Answer) -> None:
    talk = Talk(image("rocket", "ghcr.io/acme/rocket", strategy="broker", public=True), answers=[hosts({"ghcr.io": answer})])
    talk.ask(PATH, TOKEN)
    talk.answers = []
    assert talk.ask(BY_DIGEST, TOKEN).status == 502


def test_a_mirrors_manifest_is_at_hand_too() -> None:
    talk = Talk(mirrored(), answers=[hosts({"ghcr.io": "connect", "m1.example": FINE})])
    talk.ask(PATH, TOKEN)
    talk.answers = []
    assert talk.ask(BY_DIGEST, TOKEN).status == 200
    assert len(talk.sent) == 3


# --- memory -------------------------------------------------------------------------------------------------


def test_the_least_recently_used_goes_first() -> None:
    recent: Recent[str, int] = Recent(3)
    for number, key in enumerate("abc"):
        recent.put(key, number)
    assert recent.get("a") == 0
    recent.put("d", 3)
    assert [recent.get(key) for key in "abcd"] == [0, None, 2, 3]
    recent.put("e", 4, weight=2)
    assert len(recent) == 2
    recent.put("f", 5, weight=4)
    assert recent.get("f") is None
    recent.drop("e")
    recent.drop("e")
    assert len(recent) == 1


def test_what_was_counted_twice_weighs_nothing_when_it_is_gone() -> None:
    recent: Recent[str, int] = Recent(3)
    recent._weight = 50
    recent.put("a", 1)
    assert len(recent) == 0
    recent.put("b", 1)
    assert recent.get("b") == 1


def test_what_another_thread_has_pushed_out_is_still_found(monkeypatch: pytest.MonkeyPatch) -> None:
    recent: Recent[str, int] = Recent(3)
    recent.put("a", 1)

    class Racing(dict[str, tuple[int, int]]):
        def move_to_end(self, key: str) -> None:
            raise KeyError(key)

    monkeypatch.setattr(recent, "_entries", Racing(recent._entries))
    assert recent.get("a") == 1


def test_manifests_together_stay_small() -> None:
    memory = Memory()
    backend = image().compile()[0].place.backend
    bodies = [json.dumps({"n": number, "fill": "x" * 1_000_000}).encode() for number in range(40)]
    digests = [f"sha256:{sha256(body).hexdigest()}" for body in bodies]
    for digest, body in zip(digests, bodies, strict=True):
        memory.keep_manifest(backend, "acme/x", digest, "application/json", body)
    kept = [digest for digest in digests if memory.manifest(backend, "acme/x", digest) is not None]
    assert kept == digests[-33:]
