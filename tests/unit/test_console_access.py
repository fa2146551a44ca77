"""The console's pages for people: signing in, who sees what, and what may be changed by whom."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from contextlib import ExitStack
from html import unescape
from pathlib import Path
from typing import Any

import attrs
import pytest
import yaml

from gatewaycore.clientip import TrustedProxies
from gatewaycore.errors import ConfigError
from gatewaycore.importing.ledger import Ledger
from gatewaycore.rules import RULES
from gatewaycore.state import State
from gatewaycore.testing import simulate
from gatewaycore_asgi.console.api import document
from gatewaycore_asgi.console.doors import COOKIE, Throttle
from gatewaycore_asgi.console.forms import Form
from gatewaycore_asgi.console.recipes import RECIPES, definition_of, values_of
from gatewaycore_asgi.console.reference import chapters_of, paragraphs
from tests.consoles import HOST, NASTY, Browser, House
from tests.dns_server import DnsServer
from tests.events import make_event

FILE = {
    "type": "file",
    "organisation": "acme",
    "name": "rocket",
    "domain": "get.acme.example",
    "incoming-path": "/rocket/{version}",
    "outgoing-url": "https://cdn.acme.example/rocket/{version}",
}


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with ExitStack() as opened:
        yield House(tmp_path, opened)


@pytest.fixture(scope="module")
def unchanged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A house in which tests change nothing."""
    with ExitStack() as opened:
        yield House(tmp_path_factory.mktemp("house"), opened)


def secret_of(text: str) -> str:
    found = re.search(r'class="secret">([^<]+)</p>', text)
    assert found
    return unescape(found[1])


# --- signing in ------------------------------------------------------------------------------------------------------------


def test_nobody_sees_anything_before_they_sign_in(unchanged: House) -> None:
    browser = unchanged.browser()
    for path in (
        "/",
        "/package?name=cli",
        "/tokens",
        "/settings?name=acme",
        "/people",
        "/imports",
        "/sources",
        "/audit",
        "/new",
        "/configure?name=cli",
    ):
        answer = browser.get(path)
        assert answer.status_code == 303, path
        assert answer.headers["location"].startswith("/sign-in?next="), path
    # What there is and what there is not is answered alike.
    assert browser.get("/package?name=nothing").status_code == 303


def test_a_token_becomes_a_session_that_leads_back(house: House) -> None:
    browser = house.browser()
    answer = browser.sign_in(house.secrets["bob"], "/package?name=acme/app")
    assert answer.headers["location"] == "/package?name=acme/app"
    cookie = next(one for one in answer.headers.get_list("set-cookie") if one.startswith(f"__Host-{COOKIE}="))
    assert {"HttpOnly", "SameSite=lax", "Secure", "Path=/"} <= {part.strip() for part in cookie.split(";")}
    assert browser.get("/package?name=acme/app").status_code == 200
    assert house.secrets["bob"] not in cookie
    state = b"".join(path.read_bytes() for path in (house.service.data).glob("console.sqlite3*"))
    assert browser.cookies[f"__Host-{COOKIE}"].encode() not in state


def test_a_cookie_is_secure_where_the_connection_is(unchanged: House) -> None:
    browser = Browser(unchanged.console, host="http://console.acme.example")
    answer = browser.sign_in(unchanged.secrets["bob"])
    assert not any("Secure" in one or "__Host" in one for one in answer.headers.get_list("set-cookie"))
    assert browser.get("/").status_code == 200
    # TLS ends at a proxy that nobody has said is trusted.
    browser = Browser(unchanged.console, host="http://console.acme.example")
    form = {"csrf": browser.csrf("/sign-in"), "token": unchanged.secrets["bob"], "next": "/"}
    answer = browser.post("/sign-in", form, headers={"origin": "https://console.acme.example"})
    assert answer.status_code == 303
    session, _ = answer.headers.get_list("set-cookie")
    assert all("Secure" in one for one in answer.headers.get_list("set-cookie"))
    # The browser, which knows of TLS, sends it; nobody else's of a plain name goes before it.
    pair = session.partition(";")[0]
    for cookies in (pair, f"{COOKIE}=other; {pair}"):
        assert Browser(unchanged.console, host="http://console.acme.example").get("/", headers={"cookie": cookies}).status_code == 200


def test_over_tls_a_cookie_that_may_be_another_hosts_is_none(unchanged: House) -> None:
    begun = unchanged.access.people.sign_in(unchanged.secrets["bob"])
    assert begun is not None

    def status(name: str, base: str = "", host: str = HOST) -> int:
        return Browser(unchanged.console, base, host).get("/", headers={"cookie": f"{name}={begun[1]}"}).status_code

    assert [status(name) for name in (f"__Host-{COOKIE}", COOKIE, f"__Secure-{COOKIE}")] == [200, 303, 303]
    assert [status(name, "/c") for name in (f"__Host-{COOKIE}", COOKIE, f"__Secure-{COOKIE}")] == [303, 303, 200]
    assert status(COOKIE, host="http://127.0.0.1:8000") == 200
    below = Browser(unchanged.console, "/c")
    answer = below.post("/sign-in", {"csrf": below.csrf("/sign-in"), "token": unchanged.secrets["bob"], "next": "/"})
    session = answer.headers.get_list("set-cookie")[0]
    assert session.startswith(f"__Secure-{COOKIE}=")
    assert "Path=/c/" in session


def test_the_api_believes_the_same_cookies(unchanged: House) -> None:
    begun = unchanged.access.people.sign_in(unchanged.secrets["bob"])
    assert begun is not None
    found = [
        Browser(unchanged.console, host=host).get("/api/v1/me", headers={"cookie": f"{name}={begun[1]}"}).status_code
        for host, name in ((HOST, f"__Host-{COOKIE}"), (HOST, COOKIE), ("http://127.0.0.1", COOKIE))
    ]
    assert found == [200, 401, 200]


def test_whoever_signs_out_is_out(house: House) -> None:
    browser = house.browser("bob")
    kept = browser.cookies[f"__Host-{COOKIE}"]
    assert browser.send("/", "/sign-out").headers["location"] == "/sign-in"
    assert browser.get("/").status_code == 303
    browser.cookies.set(f"__Host-{COOKIE}", kept, domain="console.acme.example")
    assert browser.get("/").status_code == 303


def test_a_wrong_token_is_told_and_many_are_answered_in_short(house: House) -> None:
    browser = house.browser()
    for _ in range(10):
        answer = browser.sign_in("gwc_wrong")
        assert answer.status_code == 403
        assert "This is no token" in answer.text
    refused = browser.sign_in("gwc_wrong")
    assert (refused.status_code, 0 < int(refused.headers["retry-after"]) <= 300) == (429, True)
    # Whatever others do: who has a token gets in.
    assert browser.sign_in(house.secrets["bob"]).status_code == 303


def test_nobody_keeps_others_from_signing_in(unchanged: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.consoles.CLIENT", ("192.0.2.1", 1))
    for number in range(250):
        monkeypatch.setattr("tests.consoles.CLIENT", (f"192.0.2.{number}", 1))
        Browser(unchanged.console).post("/sign-in", {"csrf": "x", "token": "gwc_wrong"}, headers={"cookie": "__Host-gatewaycore_before=x"})
    assert unchanged.browser("bob").get("/").status_code == 200


def test_a_throttle_forgets_and_is_bounded() -> None:
    clock = [0.0]
    throttle = Throttle(most=2, window_s=10, kept=3, clock=lambda: clock[0])
    assert [throttle.note("192.0.2.1") for _ in range(3)] == [0, 0, 10]
    assert throttle.note("192.0.2.2") == 0
    assert "192.0.2" not in repr(throttle)
    clock[0] = 4.5
    assert throttle.note("192.0.2.1") == 6
    # Of more callers than are known, the first are forgotten.
    for number in range(2):
        assert throttle.note(f"192.0.2.{number + 10}") == 0
    assert throttle.note("192.0.2.1") == 0
    clock[0] = 11
    assert [throttle.note("192.0.2.11") for _ in range(2)] == [0, 4]
    clock[0] = 15
    assert throttle.note("192.0.2.11") == 0


@pytest.mark.parametrize(
    ("fields", "origin", "status"),
    [
        ({}, "https://inside.example:8443", 303),
        ({}, "https://console.acme.example", 403),
        ({"x-forwarded-host": "console.acme.example", "x-forwarded-proto": "https"}, "https://console.acme.example", 303),
        ({"x-forwarded-host": "console.acme.example:443", "x-forwarded-proto": "https"}, "https://console.acme.example", 303),
        ({"forwarded": "for=192.0.2.9;host=console.acme.example;proto=https"}, "https://console.acme.example", 303),
        ({"x-forwarded-host": "console.acme.example", "x-forwarded-proto": "https"}, "https://inside.example:8443", 403),
        ({"x-forwarded-host": "console.acme.example", "x-forwarded-proto": "https"}, "http://console.acme.example", 403),
        ({"x-forwarded-host": "console.acme.example:x", "x-forwarded-proto": "https"}, "https://console.acme.example", 403),
        ({}, "ftp://inside.example:8443", 403),
    ],
)
@pytest.mark.parametrize("trusts", [True, False])
def test_which_site_is_ours_is_what_a_trusted_proxy_says(
    house: House, fields: dict[str, str], origin: str, status: int, trusts: bool
) -> None:
    house.service.trusted = TrustedProxies.parse(("127.0.0.1/32",) if trusts else ())
    if not trusts and fields:
        # A stranger's word is none: ours is the host that was asked.
        status = 303 if origin == "https://inside.example:8443" else 403
    begun = house.access.people.sign_in(house.secrets["bob"])
    assert begun is not None
    browser = Browser(house.console, host="http://inside.example:8443")
    headers = {**fields, "origin": origin, "cookie": f"__Host-{COOKIE}={begun[1]}"}
    answer = browser.post("/sign-out", {"csrf": begun[0].csrf}, headers=headers)
    assert answer.status_code == status


@pytest.mark.parametrize(
    "headers", [{"origin": "https://evil.example"}, {"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"}, {"origin": "null"}]
)
def test_a_form_of_another_site_is_not_taken(unchanged: House, headers: dict[str, str]) -> None:
    browser = unchanged.browser("bob")
    data = {"csrf": browser.csrf("/"), "name": "mine", "scope": "read"}
    assert browser.post("/tokens", data, headers=headers).status_code == 403
    assert len(unchanged.access.people.tokens(unchanged.principal("bob").user)) == 1


@pytest.mark.parametrize(
    "path",
    [
        "/sign-in", "/sign-out", "/tokens", "/tokens/revoke", "/settings/member", "/settings/member/remove", "/settings/domain",
        "/settings/domain/remove", "/people", "/people/disable", "/people/organisation", "/new", "/configure", "/configure/delete",
        "/configure/share", "/configure/member", "/configure/member/remove",
    ],
)  # fmt: skip
def test_a_form_without_its_secret_is_not_taken(unchanged: House, path: str) -> None:
    browser = unchanged.browser("ada")
    for csrf in ("", "wrong", "ä"):
        assert browser.post(path, {"csrf": csrf, "name": "acme", "key": "cli", "user": "bob"}).status_code == 403, path


def test_a_form_is_bounded(unchanged: House) -> None:
    browser = unchanged.browser("bob")
    assert browser.post("/tokens", {"name": "x" * 300_000}).status_code == 400
    assert browser.post("/tokens", {f"n{number}": "" for number in range(1_100)}).status_code == 400


# --- who sees what ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("who", "packages"), [("ada", {"cli", "acme/app", NASTY}), ("bob", {"acme/app"}), ("cy", {"acme/app"}), ("dan", set())]
)
def test_everybody_sees_their_own_packages(unchanged: House, who: str, packages: set[str]) -> None:
    browser = unchanged.browser(who)
    text = browser.get("/").text
    for name in ("cli", "acme/app", NASTY):
        there = browser.get(f"/package?name={Form({}).one('x')}" if not name else "/package", params={"name": name}).status_code == 200
        assert there == (name in packages), name
    assert ("There are no packages for you yet" in text) == (who == "dan")
    assert ("Unique sources" in text) == (who != "dan")


def test_numbers_of_others_are_in_no_sum(unchanged: House) -> None:
    text = unchanged.browser("cy").get("/").text
    assert re.findall(r"<li><span>(\w+)</span><b>([\d,]+)</b>", text)[0] == ("Pulls", "30")
    answer = unchanged.browser("cy").get("/?format=csv&table=package")
    assert answer.text.splitlines()[1].startswith("acme/app,")
    assert len(answer.text.splitlines()) == 2
    assert unchanged.browser("cy").get("/company?name=acme.example").status_code == 200
    assert unchanged.browser("dan").get("/company?name=acme.example").status_code == 404


def test_what_is_public_everybody_sees(house: House) -> None:
    house.browser("bob").send("/configure?name=acme/app", "/configure/share", key="acme/app", public="yes")
    assert house.browser().get("/package?name=acme/app").status_code == 200
    assert house.browser("dan").get("/package?name=acme/app").status_code == 200
    assert house.browser().get("/package?name=cli").status_code == 303
    house.browser("bob").send("/configure?name=acme/app", "/configure/share", key="acme/app", public="no")
    assert house.browser().get("/package?name=acme/app").status_code == 303


def test_a_role_for_one_package_is_a_way_in(house: House) -> None:
    house.browser("bob").send("/configure?name=acme/app", "/configure/member", key="acme/app", user="dan", role="member")
    assert house.browser("dan").get("/package?name=acme/app").status_code == 200
    house.browser("bob").send("/configure?name=acme/app", "/configure/member/remove", key="acme/app", user="dan")
    assert house.browser("dan").get("/package?name=acme/app").status_code == 404


def test_images_of_a_collection_are_on_the_page_of_its_organisation(house: House) -> None:
    ada, bob = house.principal("ada"), house.principal("bob")
    house.access.domains.note_state(house.access.domains.create("docker.acme.example", "acme", ada), "verified")
    made = {"domain": "docker.acme.example", "pattern": "labs/*", "backend": "ghcr.io"}
    house.access.holdings.create("collection", "docker.acme.example labs/*", "acme", made, house.made.check, bob)
    state = State(house.service.data / "state.sqlite3")
    state.save("for tests", b"", [make_event(package=image, kind="pull") for image in ("labs/app", "other/app")])
    state.close()
    page = house.browser("cy").get("/organisation?name=acme").text
    assert ("labs/app" in page, "other/app" in page) == (True, False)
    assert "labs/app" in house.browser("cy").get("/").text
    assert "labs/app" not in house.browser("ada").get("/organisation?name=home").text
    assert house.browser("dan").get("/package?name=labs/app").status_code == 404
    assert house.browser("bob").get("/package?name=nothing").status_code == 404


def test_an_organisation_has_its_page(unchanged: House) -> None:
    assert "acme/app" in unchanged.browser("cy").get("/organisation?name=acme").text
    assert unchanged.browser("dan").get("/organisation?name=acme").status_code == 404
    assert unchanged.browser("ada").get("/organisation?name=home").status_code == 200


# --- what may be changed ---------------------------------------------------------------------------------------------------


def test_a_token_is_shown_once_and_revoked(house: House) -> None:
    browser = house.browser("bob")
    answer = browser.send("/tokens", "/tokens", name="for CI", scope="read", days="30", organisation="acme")
    secret = secret_of(answer.text)
    assert answer.headers["cache-control"] == "no-store"
    page = browser.get("/tokens").text
    assert secret not in page
    assert "for CI" in page
    principal = house.access.people.authenticate(secret)
    assert principal is not None
    assert principal.scopes == ("read",)
    assert principal.organisation_id is not None
    browser.send("/tokens", "/tokens/revoke", id=principal.token_id)
    assert house.access.people.authenticate(secret) is None
    assert "there is no such token" in browser.send("/tokens", "/tokens/revoke", id="x").text


def test_what_is_wrong_with_a_token_is_told(unchanged: House) -> None:
    answer = unchanged.browser("bob").send("/tokens", "/tokens", name="", scope="everything")
    assert answer.status_code == 400
    assert "everything" in answer.text


def test_members_come_and_go_as_roles_allow(house: House) -> None:
    bob = house.browser("bob")
    assert bob.send("/settings?name=acme", "/settings/member", name="acme", user="dan", role="admin").status_code == 303
    # Admins remove members, and no admins.
    refused = bob.send("/settings?name=acme", "/settings/member/remove", name="acme", user="dan")
    assert (refused.status_code, "you do not remove dan" in refused.text) == (403, True)
    assert bob.send("/settings?name=acme", "/settings/member/remove", name="acme", user="cy").status_code == 303
    assert bob.send("/settings?name=acme", "/settings/member", name="acme", user="eve", role="member").status_code == 404
    cy = house.browser("cy")
    assert cy.get("/settings?name=acme").status_code == 404


def test_a_member_reads(unchanged: House) -> None:
    cy = unchanged.browser("cy")
    page = cy.get("/settings?name=acme").text
    assert "Give the role" not in page
    assert cy.send("/settings?name=acme", "/settings/member", name="acme", user="dan", role="member").status_code == 403
    assert cy.send("/", "/configure/share", key="acme/app", public="yes").status_code == 403


def test_domains_say_how_they_are_proved(house: House) -> None:
    bob = house.browser("bob")
    assert bob.send("/settings?name=acme", "/settings/domain", name="acme", domain="get.acme.example").status_code == 303
    domain = house.access.domains.all()[0]
    page = bob.get("/settings?name=acme").text
    assert domain.challenge in page
    assert "pending" in page
    assert bob.send("/settings?name=acme", "/settings/domain", name="acme", domain="no domain").status_code == 400
    with DnsServer() as server:
        settings = house.service.config.gateway
        verification = attrs.evolve(settings.verification, resolvers=(server.address,), addresses=("203.0.113.7",))
        house.service.config = attrs.evolve(house.service.config, gateway=attrs.evolve(settings, verification=verification))
        server.set("_gatewaycore-challenge.get.acme.example", "TXT", NASTY, domain.challenge)
        look = {"name": "acme", "domain": "get.acme.example"}
        assert bob.send("/settings?name=acme", "/settings/domain/look", **look).status_code == 303
        page = bob.get("/settings?name=acme").text
        assert "get.acme.example has no address; it should lead to 203.0.113.7" in unescape(page)
        assert "or, where no CNAME can stand" in page
        assert NASTY not in page
        again = bob.send("/settings?name=acme", "/settings/domain/look", **look)
        assert (again.status_code, "looked at a moment ago" in again.text) == (429, True)
        house.access.domains.vouch("get.acme.example", "acme", house.principal("ada"))
        assert "none: whoever runs the gateway has said so" in bob.get("/settings?name=acme").text
    bob.send("/settings?name=acme", "/settings/domain/remove", name="acme", domain="get.acme.example")
    assert house.access.domains.all() == []


def test_whoever_runs_the_gateway_lets_people_in(house: House) -> None:
    ada = house.browser("ada")
    secret = secret_of(ada.send("/people", "/people", user="eve").text)
    eve = house.browser()
    assert eve.sign_in(secret).status_code == 303
    assert eve.get("/people").status_code == 404
    assert ada.send("/people", "/people", user="eve").status_code == 409
    assert ada.send("/people", "/people", user="no name").status_code == 400
    ada.send("/people", "/people/disable", user="eve")
    assert eve.get("/").status_code == 303
    assert ada.send("/people", "/people/disable", user="ada").status_code == 409
    assert ada.send("/people", "/people/organisation", organisation="labs", title="Labs").status_code == 303
    assert ada.send("/people", "/people/organisation", organisation="labs", title="Labs").status_code == 409
    assert "Labs" in ada.get("/people").text


def test_sources_are_listed_for_whoever_runs_the_gateway(house: House) -> None:
    page = house.browser("ada").get("/sources")
    assert page.status_code == 200
    for text in ("Where they come from", "gateway.yaml", "served", "console"):
        assert text in page.text
    assert house.browser("bob").get("/sources").status_code == 404
    # What is not served before its domain is proved says so there, and on its own page.
    ada = house.principal("ada")
    house.access.groups.create("labs", by=ada)
    house.access.domains.create("get.labs.example", "labs", ada)
    made = {"name": "held", "type": "pixel", "domain": "get.labs.example"}
    house.access.holdings.create("package", "held", "labs", made, house.made.check, ada)
    assert house.made.look()
    for path in ("/sources", "/configure?kind=package&name=held"):
        text = html.unescape(house.browser("ada").get(path).text)
        assert "get.labs.example is not proved to be labs's" in text, path
        assert "gatewaycore domains instructions FILE get.labs.example tells the records to set" in text


def test_imports_are_listed_for_whoever_runs_the_gateway(house: House) -> None:
    ada = house.browser("ada")
    page = ada.get("/imports").text
    assert "Nothing has been imported yet" in page
    # What it tells to do is what the command line takes.
    assert "<code>gatewaycore import -c gateway.yaml FILE</code>" in page
    ledger = Ledger(house.service.data)
    assert ledger.acquire()
    ledger.close()
    assert house.browser("bob").get("/imports").status_code == 404
    # They are of all organisations: a token of one alone does not reach them.
    organisation = house.access.groups.organisation("acme", house.principal("ada"))[0]
    _, secret = house.access.people.create_token(house.principal("ada").user, "narrow", ("admin",), None, organisation.id)
    narrow = house.browser()
    narrow.sign_in(secret)
    assert (narrow.get("/tokens").status_code, narrow.get("/imports").status_code) == (200, 404)


def test_the_audit_log_tells_what_was_done_and_to_whom_it_is_told(house: House) -> None:
    bob = house.browser("bob")
    bob.send("/configure?name=acme/app", "/configure/share", key="acme/app", public="yes")
    page = bob.get("/audit").text
    assert "package.share" in page
    assert "Nothing older" in bob.get("/audit?before=0").text
    assert "user.create" in house.browser("ada").get("/audit").text
    assert "user.create" not in page
    assert house.browser("cy").get("/audit").status_code == 404


# --- packages that are made here -------------------------------------------------------------------------------------------


def test_a_package_is_made_served_changed_and_deleted(house: House) -> None:
    ada = house.browser("ada")
    # It is seen at once all the same.
    assert ada.get("/package?name=rocket").status_code == 404
    answer = ada.send("/new", "/new", **FILE, more="redirect-status: 307")
    assert answer.status_code == 303, answer.text
    seen = simulate(house.service.gateway, "GET", "https://get.acme.example/rocket/1.2")
    assert (seen.location, seen.status) == ("https://cdn.acme.example/rocket/1.2", 307)
    assert "There are no events of this package yet" in ada.get("/package?name=rocket").text
    page = "/configure?name=rocket"
    version = re.findall(r'name="version" value="(\d+)"', ada.get(page).text)[0]
    fields = {**FILE, "key": "rocket", "kind": "package", "outgoing-url": "https://new.acme.example/{version}", "more": ""}
    assert ada.send(page, "/configure", **fields, version=version).status_code == 303
    assert simulate(house.service.gateway, "GET", "https://get.acme.example/rocket/1.2").location == "https://new.acme.example/1.2"
    stale = ada.send(page, "/configure", **fields, version=version)
    assert (stale.status_code, "somebody has changed this" in stale.text) == (409, True)
    renamed = ada.send(page, "/configure", **{**fields, "name": "other"}, version="")
    assert renamed.status_code == 400
    assert ada.send(page, "/configure/delete", key="rocket", kind="package").status_code == 303
    assert simulate(house.service.gateway, "GET", "https://get.acme.example/rocket/1.2").status == 404


def test_errors_name_the_field(unchanged: House) -> None:
    ada = unchanged.browser("ada")
    answer = ada.send("/new", "/new", **{**FILE, "incoming-path": "/{version", "outgoing-url": ""})
    assert answer.status_code == 400
    assert 'id="w-incoming-path"' in answer.text
    assert 'value="rocket"' in answer.text
    answer = ada.send("/new", "/new", **{**FILE, "name": "", "more": "a: [1"})
    assert 'id="w-name"' in answer.text
    assert 'id="w-more"' in answer.text
    assert 'id="w-domain"' in ada.send("/new", "/new", **{**FILE, "domain": "no domain"}).text


def test_a_collection_is_made(house: House) -> None:
    ada = house.browser("ada")
    fields = {"type": "collection", "organisation": "home", "pattern": "acme/*", "domain": "docker.acme.example", "backend": "ghcr.io"}
    answer = ada.send("/new?type=collection", "/new", **fields)
    assert answer.status_code == 303, answer.text
    assert "ghcr.io" in ada.get(answer.headers["location"]).text
    assert "docker.acme.example acme/*" in ada.get("/settings?name=home").text


def test_what_stands_in_the_file_is_shown_and_stays(house: House) -> None:
    ada = house.browser("ada")
    page = ada.get("/configure?name=cli").text
    assert "It stands in the configuration file" in page
    assert "incoming-path: /0/{version}" in unescape(page)
    assert "Change it" not in page
    assert ada.send("/configure?name=cli", "/configure/delete", key="cli", kind="package").status_code == 409
    assert ada.send("/new", "/new", **{**FILE, "name": "cli"}).status_code in (400, 409)


def test_who_may_make_packages(unchanged: House) -> None:
    assert unchanged.browser("cy").get("/new").status_code == 404
    bob = unchanged.browser("bob")
    refused = bob.send("/new", "/new", **FILE)
    assert (refused.status_code, "no verified domain" in refused.text) == (403, True)
    assert bob.get("/new?type=nothing").status_code == 404
    assert bob.send("/new", "/new", type="nothing").status_code == 404
    assert bob.get("/configure?name=cli").status_code == 404
    assert unchanged.browser("dan").get("/configure?name=nothing").status_code == 404


def test_every_page_of_everybody_is_there(unchanged: House) -> None:
    for who in ("ada", "bob", "cy"):
        browser = unchanged.browser(who)
        for path in ("/", "/tokens", "/settings?name=acme", "/configure?name=acme/app", "/organisation?name=acme"):
            answer = browser.get(path)
            assert answer.status_code == 200, (who, path)
            assert "style=" not in answer.text


def test_no_two_parts_of_a_page_have_one_name(house: House) -> None:
    house.access.domains.create("get.bob.example", "acme", house.principal("bob"))
    browser = house.browser("ada")
    for path in ("/", "/tokens", "/people", "/settings?name=acme", "/configure?name=acme/app", "/package?name=acme/app"):
        text = browser.get(path).text
        headings = {of: re.sub(r"<[^>]+>", "", inner).strip() for of, inner in re.findall(r'<h2 id="([^"]+)"[^>]*>(.*?)</h2>', text)}
        names = [headings[of] for of in re.findall(r'<section [^>]*aria-labelledby="([^"]+)"', text)]
        names += re.findall(r'role="region" aria-label="([^"]+)"', text)
        assert len(names) == len(set(names)), path


def test_the_api_is_described_for_people(unchanged: House) -> None:
    browser = unchanged.browser("ada")
    text = unescape(browser.get("/api").text)
    for path, item in document()["paths"].items():
        assert f"<code>{path}</code>" in text
        for operation in item.values():
            assert f'id="{operation["operationId"]}"' in text
    # Parameters, what they may be, what is sent and what is answered.
    assert "before, year, none" in text
    assert '"incoming-path": "/cli/{version}"' in text
    assert 'href="/api/v1/openapi.json"' in text
    assert "style=" not in text
    assert 'href="/api"' in browser.get("/").text


def test_below_the_prefix_everything_is_answered_as_the_api_does(unchanged: House) -> None:
    browser = unchanged.browser("ada")
    for path in ("/api/v1", "/api/v1/", "/api/v1/nothing"):
        answer = browser.get(path)
        assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")


def test_a_reference_takes_what_has_no_tag_and_no_example() -> None:
    odd = {
        "tags": [{"name": "a", "description": "Of a."}],
        "paths": {
            "/a": {"get": {"operationId": "a", "responses": {"200": {"content": {"text/csv": {"schema": {}}}}, "418": {}}}},
            "/b": {"parameters": [], "put": {"operationId": "b", "responses": {}, "parameters": [{"name": "x", "in": "query"}]}},
        },
    }
    (others,) = chapters_of(odd, frozenset({"418"}))
    assert (others.name, [one.method for one in others.ways], others.ways[0].statuses) == ("others", ["GET", "PUT"], (("200", ""),))
    assert (others.ways[0].answer, others.ways[1].takes[0].kind) == ("", "")
    assert paragraphs("A.\n\n- **B**: `c`\n- **D** e") == [("", "A."), ("B", ": c"), ("D", " e")]


def test_a_page_asks_once_who_looks(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    browser = house.browser("ada")
    asked: list[str] = []
    session = house.access.people.session

    def counted(cookie: str) -> Any:
        asked.append(cookie)
        return session(cookie)

    monkeypatch.setattr(house.access.people, "session", counted)
    for path in ("/", "/tokens", "/package?name=acme/app"):
        asked.clear()
        assert browser.get(path).status_code == 200
        assert len(asked) == 1


def test_there_is_a_form_for_every_type() -> None:
    assert set(RULES) <= set(RECIPES)


@pytest.mark.parametrize(
    ("tag", "more"),
    [("file", "incoming-regex: /v.*"), ("file", "routes: [{incoming-path: /a}]"), ("event", "routes: []"), ("python", "index: https://x")],
)
def test_what_stands_among_the_other_settings_need_not_stand_in_its_field(tag: str, more: str) -> None:
    recipe = RECIPES[tag]
    assert definition_of(recipe, Form({"name": ["a"], "more": [more]})) == {**yaml.safe_load(more), "type": tag, "name": "a"}
    with pytest.raises(ConfigError, match="is missing"):
        definition_of(recipe, Form({"name": ["a"]}))


@pytest.mark.parametrize("tag", RECIPES)
def test_what_a_form_holds_is_what_it_was_made_of(tag: str) -> None:
    recipe = RECIPES[tag]
    fields: dict[str, Any] = {one.key: [f"value of {one.key}"] for one in recipe.fields}
    made = definition_of(recipe, Form({**fields, "more": ["redirect-status: 307\npublic: true\nmirrors: [a, b]\nid: x-1"]}))
    assert (made["redirect-status"], made["public"], made["mirrors"]) == (307, True, ["a", "b"])
    again = values_of(recipe, made)
    assert definition_of(recipe, Form({key: [value] for key, value in again.items()})) == made
