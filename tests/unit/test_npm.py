"""npm: which packages a domain serves, in which spellings and forms, and where their tarballs are."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs
import pytest
from attrs import define, field

import gatewaycore
from gatewaycore import ConfigError, Gateway
from gatewaycore.decision import Proxy, Respond, Upstream
from gatewaycore.headers import Headers
from gatewaycore.rules.indexes import Fetched, PageError
from gatewaycore.rules.npm import NpmRule
from gatewaycore.rules.npm.packument import ABBREVIATED, WHOLE, OneVersion, PackumentDialect, dist_tags
from gatewaycore.rules.npm.paths import is_package_name, is_scope
from gatewaycore.testing import Seen, make_request, simulate

DOMAIN = "npm.acme.example"
REGISTRY = "https://registry.acme.example/npm"
START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
NPM = "npm/11.19.1 node/v20.20.2 linux x64 workspaces/false ci/github-actions"
AS_NPM = f"{ABBREVIATED}; q=1.0, {WHOLE}; q=0.8, */*"
KEYS = {"keys": [{"expires": None, "keyid": "SHA256:x", "keytype": "ecdsa-sha2-nistp256", "scheme": "s", "key": "a2V5"}]}


def manifest(package: str, version: str, **more: Any) -> dict[str, Any]:
    base = package.rpartition("/")[2]
    dist = {"tarball": f"https://cdn.acme.example/{base}/{version}.tgz", "shasum": "ab", "integrity": "sha512-cd==", "unpackedSize": 1}
    dist["signatures"] = [{"keyid": "SHA256:x", "sig": "MEUC"}]
    return {"name": package, "version": version, "dist": {**dist, **more.pop("dist", {})}, "readme": "long", **more}


def packument(package: str, *versions: str, **more: Any) -> dict[str, Any]:
    listed = {version: manifest(package, version) for version in versions or ("1.0.0", "1.1.0")}
    tags = {"latest": list(listed)[-1]}
    return {
        "_id": package,
        "name": package,
        "dist-tags": tags,
        "versions": listed,
        "time": {"modified": "2026-01-01T00:00:00.000Z"},
        **more,
    }


@define
class Registry:
    """An upstream registry that has what a test says.

    Attributes:
        documents: by the path that they are asked for.
        answer: given instead, whatever is asked.
        media_type: of the documents.
        asked: every request.
    """

    documents: dict[str, Any] = field(
        factory=lambda: {"/rocket-skates": packument("rocket-skates"), "/@acme%2fanvil": packument("@acme/anvil", "2.0.0")}
    )
    answer: tuple[int, Mapping[str, str], bytes] | None = None
    media_type: str = WHOLE
    asked: list[Upstream] = field(factory=list)

    def __call__(self, asked: Upstream) -> tuple[int, Mapping[str, str], bytes]:
        self.asked.append(asked)
        if self.answer is not None:
            return self.answer
        found = self.documents.get(asked.url.removeprefix(REGISTRY))
        if found is None:
            return 404, {}, b"{}"
        return 200, {"content-type": self.media_type, "etag": '"1"'}, found if isinstance(found, bytes) else json.dumps(found).encode()


@define
class Client:
    """Asks a gateway before a registry."""

    registry: Registry
    gateway: Gateway
    now: datetime = START

    def get(self, path: str, method: str = "GET", **headers: str) -> Seen:
        lines = {"user-agent": NPM, **{name.replace("_", "-"): value for name, value in headers.items()}}
        url = f"https://{DOMAIN}/npm{path}"
        return simulate(self.gateway, method, url, headers=lines, upstream=self.registry, received_at=self.now)

    def document(self, path: str, **headers: str) -> Any:
        seen = self.get(path, **headers)
        assert seen.status == 200
        return json.loads(seen.body)


def load(*packages: Mapping[str, Any]) -> Gateway:
    given = packages or ({"name": "rocket-skates"}, {"name": "acme", "scopes": ["@acme"]})
    return gatewaycore.load({"packages": [{"type": "npm", "domain": DOMAIN, "registry": REGISTRY, **one} for one in given]})


@pytest.fixture
def client() -> Client:
    return Client(Registry(), load())


def fetched(document: Any, media_type: str = WHOLE, package: str = "rocket-skates") -> Fetched:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return Fetched(package, f"{REGISTRY}/{package}", media_type, None, body)


# --- paths ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["@acme/anvil", "@acme%2fanvil", "@acme%2Fanvil", "%40acme/anvil", "%40acme%2fanvil", "%40acme%2Fanvil", "@acme/anv%69l"]
)
def test_scoped_names_in_every_spelling(client: Client, name: str) -> None:
    page = client.get(f"/{name}")
    assert json.loads(page.body)["name"] == "@acme/anvil"
    assert page.events[0].variables == {"project": "@acme/anvil"}
    tarball = client.get(f"/{name}/-/anvil-2.0.0.tgz")
    assert tarball.location == "https://cdn.acme.example/anvil/2.0.0.tgz"
    assert client.document(f"/{name}/2.0.0")["version"] == "2.0.0"
    assert client.document(f"/-/package/{name}/dist-tags") == {"latest": "2.0.0"}
    # In one spelling, however it came, and once.
    assert [asked.url for asked in client.registry.asked] == [f"{REGISTRY}/@acme%2fanvil"]


def test_a_tarball_below_its_scope(client: Client) -> None:
    assert client.get("/@acme/anvil/-/@acme/anvil-2.0.0.tgz").location == "https://cdn.acme.example/anvil/2.0.0.tgz"


@pytest.mark.parametrize(
    "path",
    [
        *("", "/", "//", "/@", "/@acme", "/@acme/", "/@/anvil", "/@acme%252fanvil", "/.", "/..", "/-", "/-/", "/_%00", "/rocket%20skates"),
        *("/left-pad", "/left-pad/1.0.0", "/left-pad/-/left-pad-1.0.0.tgz", "/@other/anvil", "/-/package/left-pad/dist-tags"),
        *("/rocket-skates/-/a/b", "/rocket-skates/1.0.0/x", "/@acme/anvil/-/@other/anvil-2.0.0.tgz", "/-/package/", "/-/package"),
        *("/-/package/rocket-skates", "/-/npm/v1/attestations/rocket-skates", "/Rocket-Skates", "/" + "a" * 3000, "/-/unheard/of"),
        *("/-/package/rocket-skates/dist-tags/latest", "/-/npm/v1/attestations/left-pad@1.0.0", "/-rocket-skates", "/rocket-skates/x/-/y"),
    ],
)
def test_what_is_not_served_is_404_and_nobody_is_asked(client: Client, path: str) -> None:
    client.registry.documents["/left-pad"] = packument("left-pad")
    seen = client.get(path)
    assert (seen.status, seen.headers["content-type"], seen.events) == (404, WHOLE, [])
    assert json.loads(seen.body)["error"].startswith("this registry ")
    assert client.registry.asked == []


def test_a_path_beside_the_registry_is_not_its_own(client: Client) -> None:
    seen = simulate(client.gateway, "GET", f"https://{DOMAIN}/npmrc")
    assert (seen.status, seen.rule) == (404, None)


def test_a_catch_all_does_not_lead_to_another_registry() -> None:
    package = {"name": "rocket-skates", "type": "npm", "domain": DOMAIN, "registry": REGISTRY}
    rest = {"name": "rest", "type": "catch-all", "domain": DOMAIN, "redirect-target-domain": "other.example"}
    seen = simulate(gatewaycore.load({"packages": [package, rest]}), "GET", f"https://{DOMAIN}/npm/left-pad")
    assert (seen.status, seen.location) == (404, None)


# --- documents -----------------------------------------------------------------------------------------------------------


def test_tarballs_lead_to_the_gateway_and_nothing_else_changes(client: Client) -> None:
    shown = client.document("/rocket-skates")
    wanted = packument("rocket-skates")
    for version, entry in wanted["versions"].items():
        entry["dist"]["tarball"] = f"https://{DOMAIN}/npm/rocket-skates/-/rocket-skates-{version}.tgz"
    assert shown == wanted


def test_what_stands_in_a_document_stands_there_to_the_byte(client: Client) -> None:
    numbers = b'{"a":1.0,"b":1e3,"c":123456789012345678901234567890,"d":"\\u00e9\\/"}'
    text = json.dumps(packument("rocket-skates", "1.0.0", odd="ODD")).encode().replace(b'"ODD"', numbers)
    client.registry.documents["/rocket-skates"] = text
    assert numbers in client.get("/rocket-skates").body


def test_a_gateway_has_several_addresses(client: Client) -> None:
    one = simulate(client.gateway, "GET", f"https://{DOMAIN}/npm/rocket-skates", upstream=client.registry, received_at=START)
    other = simulate(client.gateway, "GET", f"http://{DOMAIN}:8080/npm/rocket-skates", upstream=client.registry, received_at=START)
    assert f'"http://{DOMAIN}:8080/npm/rocket-skates/-/rocket-skates-1.0.0.tgz"'.encode() in other.body
    assert one.headers["etag"] != other.headers["etag"]
    assert len(client.registry.asked) == 1


def test_forms_are_negotiated_and_kept_apart(client: Client) -> None:
    whole, short, again = client.get("/rocket-skates"), client.get("/rocket-skates", accept=AS_NPM), client.get("/rocket-skates")
    assert [seen.headers["content-type"] for seen in (whole, short, again)] == [WHOLE, ABBREVIATED, WHOLE]
    assert {seen.headers["vary"] for seen in (whole, short)} == {"Accept"}
    assert whole.body == again.body
    assert whole.headers["etag"] != short.headers["etag"]
    assert [asked.headers["accept"] for asked in client.registry.asked] == [WHOLE, f"{ABBREVIATED}, {WHOLE};q=0.8"]


def test_a_whole_document_is_abbreviated_here(client: Client) -> None:
    scripts: Sequence[Any] = ({"postinstall": "x"}, {"test": "x"}, "none")
    client.registry.documents["/rocket-skates"]["versions"] = {
        f"1.{number}.0": manifest("rocket-skates", f"1.{number}.0", scripts=one, engines={"node": ">=18"})
        for number, one in enumerate(scripts)
    }
    shown = client.document("/rocket-skates", accept=ABBREVIATED)
    assert set(shown) == {"name", "dist-tags", "versions", "modified"}
    assert [set(entry) - {"name", "version", "dist", "engines"} for entry in shown["versions"].values()] == [
        {"hasInstallScript"},
        set(),
        set(),
    ]
    assert shown["versions"]["1.0.0"]["dist"]["integrity"] == "sha512-cd=="


def test_an_abbreviated_document_is_passed_on(client: Client) -> None:
    client.registry.media_type = f"{ABBREVIATED}; charset=utf-8"
    client.registry.documents["/rocket-skates"]["extra"] = 1
    shown = client.document("/rocket-skates", accept=AS_NPM)
    assert (shown["extra"], shown["versions"]["1.0.0"]["readme"]) == (1, "long")
    # From which nothing whole can be made.
    whole = client.get("/rocket-skates")
    assert (whole.status, b"is abbreviated" in whole.body) == (502, True)


def test_without_a_time_there_is_no_date_of_change() -> None:
    document = packument("rocket-skates")
    del document["time"]
    assert b"modified" not in PackumentDialect().write(fetched(document), 1).pieces[0]


def test_a_package_without_versions_is_shown() -> None:
    for document in ({"name": "rocket-skates"}, {"name": "rocket-skates", "versions": {}, "dist-tags": {}, "time": {"unpublished": {}}}):
        (piece,) = PackumentDialect().write(fetched(document), 0).pieces
        assert json.loads(piece) == {"dist-tags": {}, "versions": {}, **document}


@pytest.mark.parametrize(
    "dist",
    [
        *(
            {"tarball": link}
            for link in ("ftp://cdn.example/x", "https://a:b@cdn.example/x", "https://127.0.0.1/x", "https://169.254.169.254/")
        ),
        *({"tarball": link} for link in ("https://localhost/x", "https:///x", "http://cdn.example/x")),
    ],
)
def test_a_tarball_where_nobody_is_sent_is_left_out(client: Client, dist: Mapping[str, str]) -> None:
    document = client.registry.documents["/rocket-skates"]
    document["versions"]["1.1.0"] = manifest("rocket-skates", "1.1.0", dist=dist)
    shown = client.document("/rocket-skates")
    assert (list(shown["versions"]), shown["dist-tags"]) == (["1.0.0"], {})
    assert client.get("/rocket-skates/-/rocket-skates-1.1.0.tgz").status == 404


def test_a_version_that_is_anothers_is_left_out(client: Client) -> None:
    versions = client.registry.documents["/rocket-skates"]["versions"]
    versions["1.2.0"] = manifest("rocket-boots", "1.2.0")
    versions["1.3.0"] = manifest("rocket-skates", "1.4.0")
    versions["../1"] = manifest("rocket-skates", "../1")
    versions["2.0.0"] = {"name": "rocket-skates", "version": "2.0.0"}
    versions["2.1.0"] = manifest("rocket-skates", "2.1.0", dist={"tarball": None})
    versions["2.2.0"] = {**manifest("rocket-skates", "2.2.0"), "dist": "gone"}
    versions["2.3.0"] = ["unpublished"]
    assert list(client.document("/rocket-skates")["versions"]) == ["1.0.0", "1.1.0"]


@pytest.mark.parametrize(
    ("document", "media_type", "said"),
    [
        (packument("rocket-boots"), WHOLE, "is another package's"),
        ({}, WHOLE, "is another package's"),
        (packument("rocket-skates"), "text/html", "is no JSON"),
        (b"[]", WHOLE, "is no JSON of the kind"),
        (b'{"name": "rocket-skates", "versions": []}', WHOLE, "is no JSON of the kind"),
        (b'{"name": "rocket-skates", "dist-tags": {"latest": 1}}', WHOLE, "is no JSON of the kind"),
        (b'{"name": "rocket-skates", "versions": {"1.0.0": {}}}', WHOLE, "lists no version"),
        (b'{"name": "rocket-skates"', WHOLE, "is no JSON of the kind"),
        (b'{"x": ' + b"[" * 100_000, WHOLE, "is no JSON of the kind"),
    ],
)
def test_a_page_that_is_none(document: Any, media_type: str, said: str) -> None:
    with pytest.raises(PageError, match=said):
        PackumentDialect().write(fetched(document, media_type), 0)


def test_what_was_read_is_not_trusted_to_be_readable_twice() -> None:
    assert (OneVersion("1.0.0")(b"{"), dist_tags(b"{")) == (None, None)


# --- parts ---------------------------------------------------------------------------------------------------------------


def test_one_version_by_number_and_by_tag(client: Client) -> None:
    by_number, by_tag = client.get("/rocket-skates/1.1.0", accept=AS_NPM), client.get("/rocket-skates/latest")
    assert by_number.body == by_tag.body
    shown = json.loads(by_tag.body)
    assert shown["dist"]["tarball"] == f"https://{DOMAIN}/npm/rocket-skates/-/rocket-skates-1.1.0.tgz"
    assert (shown["readme"], by_number.headers["content-type"]) == ("long", WHOLE)
    assert (by_number.events[0].version, by_tag.events[0].version) == ("1.1.0", None)
    assert by_tag.events[0].variables == {"project": "rocket-skates", "tag": "latest"}
    assert client.get("/rocket-skates/latest", if_none_match=by_tag.headers["etag"]).status == 304
    assert len(client.registry.asked) == 1


@pytest.mark.parametrize("wanted", ["9.9.9", "canary", "__proto__", "^1.0.0"])
def test_no_such_version(client: Client, wanted: str) -> None:
    seen = client.get(f"/rocket-skates/{wanted}")
    assert (seen.status, json.loads(seen.body)) == (404, {"error": "this project has no such version"})
    assert seen.events == [] or seen.events[0].status == 404


def test_the_tags(client: Client) -> None:
    seen = client.get("/-/package/rocket-skates/dist-tags")
    assert json.loads(seen.body) == {"latest": "1.1.0"}
    assert (seen.events[0].kind, seen.events[0].package) == ("metadata", "rocket-skates")


def test_keys_are_passed_on(client: Client) -> None:
    client.registry.documents["/-/npm/v1/keys"] = KEYS
    seen = client.get("/-/npm/v1/keys")
    assert (json.loads(seen.body), seen.events) == (KEYS, [])
    client.registry.documents["/-/npm/v1/keys"] = {"keys": [1]}
    client.now += timedelta(hours=1)
    # Those at hand, that is; nobody else's are made up.
    assert client.get("/-/npm/v1/keys").headers["warning"].startswith("110 ")


def test_keys_of_several_registries_are_nobodys(client: Client) -> None:
    client.gateway = load({"name": "a"}, {"name": "b", "registry": "https://other.example"})
    assert client.get("/-/npm/v1/keys").status == 404


def test_keys_that_are_no_json(client: Client) -> None:
    client.registry.media_type = "text/html"
    client.registry.documents["/-/npm/v1/keys"] = KEYS
    assert client.get("/-/npm/v1/keys").status == 502
    client.registry.answer = (404, {}, b"")
    client.now += timedelta(hours=1)
    assert client.get("/-/npm/v1/keys").status == 404


def test_attestations_are_where_the_document_says(client: Client) -> None:
    url = "https://registry.acme.example/-/npm/v1/attestations/@acme%2fanvil@2.0.0"
    versions = client.registry.documents["/@acme%2fanvil"]["versions"]
    versions["2.0.0"] = manifest("@acme/anvil", "2.0.0", dist={"attestations": {"url": url, "provenance": {"predicateType": "x"}}})
    versions["2.1.0"] = manifest("@acme/anvil", "2.1.0", dist={"attestations": {"url": "https://127.0.0.1/"}})
    seen = client.get("/-/npm/v1/attestations/@acme%2fanvil@2.0.0")
    assert (seen.location, seen.events[0].kind, seen.events[0].version) == (url, "metadata", "2.0.0")
    assert client.get("/-/npm/v1/attestations/@acme%2fanvil@2.1.0").status == 404
    client.registry.documents["/rocket-skates"]["versions"]["1.1.0"] = manifest("rocket-skates", "1.1.0", dist={"attestations": {}})
    client.now += timedelta(hours=1)
    assert "1.1.0" in client.document("/rocket-skates")["versions"]
    # What is not a tarball has no tarball's name.
    assert client.get("/@acme/anvil/-/attestations%2f2.0.0").status == 404


def test_below_a_mount_tarballs_lead_below_it_as_well(client: Client) -> None:
    """And it is another document there: a client that has the one does not have the other."""
    root = client.get("/rocket-skates")
    request = attrs.evolve(root.outcome.request, mount="/downloads", headers=Headers([("if-none-match", root.headers["etag"])]))
    decision = client.gateway.decide(request).decision
    assert isinstance(decision, Respond)
    assert decision.status == 200
    document = json.loads(decision.body)
    tarball = document["versions"]["1.1.0"]["dist"]["tarball"]
    assert tarball == f"https://{DOMAIN}/downloads/npm/rocket-skates/-/rocket-skates-1.1.0.tgz"


# --- tarballs ------------------------------------------------------------------------------------------------------------


def test_a_tarball_is_counted_and_leads_to_the_upstream(client: Client) -> None:
    seen = client.get("/rocket-skates/-/rocket-skates-1.0.0.tgz?from=docs")
    assert (seen.status, seen.location) == (302, "https://cdn.acme.example/rocket-skates/1.0.0.tgz?from=docs")
    (event,) = seen.events
    assert (event.kind, event.package, event.version, event.decision, event.target) == (
        "download",
        "rocket-skates",
        "1.0.0",
        "redirect",
        "cdn.acme.example",
    )
    assert (event.client, event.client_version, event.client_runtime, event.agent) == ("npm", "11.19.1", "node/v20.20.2", "ci")
    assert event.variables == {"project": "rocket-skates", "file": "rocket-skates-1.0.0.tgz", "from": "docs"}
    # What is asked of the upstream is the smaller of the two forms.
    assert client.registry.asked[0].headers["accept"].startswith(ABBREVIATED)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_head_is_told_apart(client: Client, method: str) -> None:
    for path in ("/rocket-skates", "/rocket-skates/-/rocket-skates-1.0.0.tgz"):
        assert [event.method for event in client.get(path, method).events] == [method]


def test_a_page_that_the_client_has_is_304(client: Client) -> None:
    tag = client.get("/rocket-skates", accept=AS_NPM).headers["etag"]
    seen = client.get("/rocket-skates", accept=AS_NPM, if_none_match=tag)
    assert (seen.status, seen.body, seen.events[0].status, seen.events[0].kind) == (304, b"", 304, "metadata")
    assert client.get("/rocket-skates", if_none_match=tag).status == 200


@pytest.mark.parametrize("name", ["rocket-skates-9.tgz", "evil.tgz", "https:%2f%2fevil.example%2fx.tgz", "..%2f..%2fx", "", "x" * 2000])
def test_a_tarball_that_no_document_lists(client: Client, name: str) -> None:
    seen = client.get(f"/rocket-skates/-/{name}")
    assert (seen.status, seen.location) == (404, None)


def test_a_packages_own_files_and_no_others(client: Client) -> None:
    assert client.get("/rocket-skates/-/anvil-2.0.0.tgz").status == 404


def test_an_address_in_a_name_is_neither_remembered_nor_told(client: Client) -> None:
    """Where a scope is served, anybody makes up names of its packages."""
    address = "198.51.100.7"
    for status in (404, 500):
        client.registry.answer = (status, {}, b"")
        for package, times in ((address, 2), (f"v{address}", 2), (f"anvils-{status}", 1)):
            client.registry.asked.clear()
            assert {client.get(f"/@acme/{package}").status for _ in range(2)} <= {404, 502}
            # What was remembered is not asked again at once.
            assert len(client.registry.asked) == times
    notes = []
    for name in (address, "anvils"):
        decision = client.gateway.decide(make_request("GET", f"https://{DOMAIN}/npm/@acme/{name}")).decision
        assert isinstance(decision, Proxy)
        conversation = decision.open()
        conversation.start()
        answered = conversation.receive(500, Headers())
        assert isinstance(answered, Respond)
        notes.append(answered.note)
    assert notes == [
        "the index registry.acme.example answers 500, asked for a name that looks like an address",
        "the index registry.acme.example answers 500, asked for '@acme/anvils'",
    ]


# --- outages -------------------------------------------------------------------------------------------------------------


def test_an_outage_shows_what_is_at_hand_and_says_so(client: Client) -> None:
    before = client.get("/rocket-skates")
    client.registry.answer = (500, {}, b"")
    client.now += timedelta(hours=1)
    # From a lock file: nobody has asked for the document meanwhile, and it is at hand in the other form.
    assert client.get("/rocket-skates/-/rocket-skates-1.0.0.tgz").location == "https://cdn.acme.example/rocket-skates/1.0.0.tgz"
    after = client.get("/rocket-skates")
    assert (after.status, after.body) == (200, before.body)
    assert after.headers["warning"] == '110 gatewaycore "Response is Stale"'
    assert after.headers["cache-status"].startswith("gatewaycore; hit; detail=stale-if-error")
    assert client.document("/rocket-skates/latest")["version"] == "1.1.0"
    client.now += timedelta(days=2)
    gone = client.get("/rocket-skates")
    assert (gone.status, list(json.loads(gone.body))) == (502, ["error"])


def test_a_package_that_is_gone_is_gone(client: Client) -> None:
    client.get("/rocket-skates")
    del client.registry.documents["/rocket-skates"]
    client.now += timedelta(hours=1)
    assert client.get("/rocket-skates").status == 404


def test_forgetting(client: Client) -> None:
    client.get("/rocket-skates")
    (route,) = client.gateway.router.apis()
    route.forget()  # type: ignore[attr-defined]
    client.get("/rocket-skates")
    assert len(client.registry.asked) == 2


# --- what a registry does beside ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "said"),
    [
        ("POST", "/-/npm/v1/security/advisories/bulk", "advisories"),
        ("POST", "/-/npm/v1/security/audits/quick", "advisories"),
        ("GET", "/-/v1/search?text=x", "searched"),
        ("GET", "/-/all", "searched"),
        ("GET", "/-/whoami", "accounts"),
        ("PUT", "/-/user/org.couchdb.user:wile", "accounts"),
        ("POST", "/-/v1/login", "accounts"),
        ("GET", "/-/npm/v1/user", "accounts"),
        ("GET", "/-/npm/v1/tokens", "accounts"),
        ("GET", "/-/org/acme/user", "accounts"),
    ],
)
def test_what_is_refused_says_why(client: Client, method: str, path: str, said: str) -> None:
    seen = client.get(path, method, authorization="Bearer npm_secret")
    assert (seen.status, seen.events) == (404, [])
    assert said in json.loads(seen.body)["error"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "/rocket-skates"),
        ("PUT", "/@acme%2fanvil"),
        ("PUT", "/left-pad"),
        ("PUT", "/-/package/rocket-skates/dist-tags/latest"),
        ("DELETE", "/rocket-skates/-/rocket-skates-1.0.0.tgz"),
        ("DELETE", "/rocket-skates/-rev/1-a"),
        ("DELETE", "/@acme%2fanvil/-/anvil-2.0.0.tgz/-rev/1-a"),
        ("POST", "/-/ping"),
    ],
)
def test_nobody_publishes_here(client: Client, method: str, path: str) -> None:
    seen = client.get(path, method)
    assert (seen.status, seen.headers["allow"], seen.events) == (405, "GET, HEAD", [])
    assert json.loads(seen.body) == {"error": "this registry is only read: nobody publishes to it"}


@pytest.mark.parametrize("path", ["/-/ping", "/-/ping?write=true", "/-/ping/"])
def test_ping(client: Client, path: str) -> None:
    seen = client.get(path)
    assert (seen.status, seen.body) == (200, b"{}")
    assert [(event.kind, event.package, event.package_type, event.rule) for event in seen.events] == [
        ("ping", None, "npm", f"{DOMAIN}/npm")
    ]


# --- settings ------------------------------------------------------------------------------------------------------------


def test_what_events_call_packages(client: Client) -> None:
    client.gateway = load({"name": "tools", "id": "pkg-1", "packages": ["rocket-skates"], "scopes": ["@acme"]})
    assert client.get("/rocket-skates").events[0].package == "pkg-1"
    assert client.get("/@acme/anvil").events[0].package == "@acme/anvil"
    assert client.get("/@acme/anvil").events[0].rule == f"{DOMAIN}/npm/@acme/*"
    # Not served: names are named, and the rule's own is none of them.
    assert client.get("/tools").status == 404


def test_a_package_that_is_named_is_not_its_scopes(client: Client) -> None:
    other = {"name": "@acme/anvil", "registry": "https://other.example", "redirect-status": 307}
    client.gateway = load({"name": "acme", "scopes": ["@acme"]}, other)
    client.get("/@acme/anvil")
    assert client.registry.asked[0].url == "https://other.example/@acme%2fanvil"


def test_priority_settles_whose_it_is(client: Client) -> None:
    client.gateway = load({"name": "rocket-skates"}, {"name": "rocket-skates", "registry": "https://other.example", "priority": 1})
    client.get("/rocket-skates")
    assert client.registry.asked[0].url == "https://other.example/rocket-skates"


def test_one_name_of_two_places_is_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        load({"name": "acme", "scopes": ["@acme"]}, {"name": "more", "scopes": ["@acme"], "registry": "https://other.example"})
    assert "@acme comes from registry.acme.example by another rule, and from other.example by this one" in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"name": "Rocket Skates"}, "'Rocket Skates' is not the name of an npm package"),
        ({"name": "x", "packages": ["ok", "@acme"]}, "packages[1]: '@acme' is not the name"),
        ({"name": "x", "scopes": ["acme"]}, "scopes[0]: 'acme' is not a scope"),
        ({"name": "x", "registry": "registry.example"}, "registry: 'registry.example' is not the URL"),
        ({"name": "x", "registry": "https://me:secret@registry.example"}, "a username or a password stands in the URL"),
        ({"name": "x", "domain": "a/b"}, "domain: not a host name"),
        ({"name": "x", "redirect_status": 200}, "200 is no redirect"),
    ],
)
def test_bad_settings(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        NpmRule(**{"domain": DOMAIN, "registry": REGISTRY, **settings}).compile()
    assert said in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_domain_may_be_a_wildcard_or_any() -> None:
    assert [NpmRule(name="x", domain=domain, registry=REGISTRY).compile()[0].domain for domain in ("*", "*.Acme.Example")] == [
        "*",
        "*.acme.example",
    ]


def test_outside_of_a_registry_a_route_answers_nothing(client: Client) -> None:
    (route,) = NpmRule(name="x", domain=DOMAIN, registry=REGISTRY).compile()
    request, match = client.get("/rocket-skates").outcome.request, client.get("/rocket-skates").outcome.match
    assert match is not None
    assert (route.decide(request, match).status, route.observe(request, match)) == (404, None)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("name", "good"),
    [
        *(
            (name, True)
            for name in ("a", "rocket-skates", "@acme/anvil", "JSONStream", "lodash.merge", "@a.b/c_d~e", "1x", "--", "x" * 214)
        ),
        *(
            (name, False)
            for name in ("", "-", ".a", "@acme", "@/a", "@a/", "a/b", "@a/b/c", "a b", "a%2fb", "x" * 215, "é", "a\n", "\u212a")
        ),
    ],
)
def test_names(name: str, good: bool) -> None:
    assert is_package_name(name) is good


def test_scopes() -> None:
    assert [is_scope(text) for text in ("@acme", "acme", "@", "@a/b", "@" + "a" * 214)] == [True, False, False, False, False]
