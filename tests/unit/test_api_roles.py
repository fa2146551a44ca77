"""Who may do what: every operation of the API, asked by everybody. The table is what is promised; an operation that is not in it fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

import pytest

from gatewaycore_asgi.console.api import document, write_key
from tests.databases import Postgres
from tests.offices import COLLECTION, Office

ASKERS = ("nobody", "stranger", "member", "admin", "owner", "operator", "reader", "writer", "expired", "elsewhere")
"""Without a token; with one, but no role; the three roles in `acme`, with tokens for everything; an operator of the gateway; an admin with
a token for reading alone, and one for writing; an owner whose token is over, and one whose token reaches `zebra` alone."""

# fmt: off
TABLE: Mapping[str, str] = {
    #                        nobody stranger member admin owner operator reader writer expired elsewhere
    "get_me":                "401 200 200 200 200 200 200 200 401 200",
    "list_users":            "401 403 403 403 403 200 403 403 401 403",
    "create_user":           "401 403 403 403 403 201 403 403 401 403",
    "disable_user":          "401 403 403 403 403 200 403 403 401 403",
    "list_tokens":           "401 200 200 200 200 200 200 200 401 200",
    "create_token":          "401 201 201 201 201 201 403 403 401 201",
    "revoke_token":          "401 404 404 404 404 204 404 404 401 404",
    "list_organisations":    "401 200 200 200 200 200 200 200 401 200",
    "create_organisation":   "401 403 403 403 403 201 403 403 401 403",
    "get_organisation":      "401 404 200 200 200 200 200 200 401 404",
    "rename_organisation":   "401 404 403 200 200 200 403 403 401 404",
    "delete_organisation":   "401 404 403 403 204 204 403 403 401 404",
    "list_members":          "401 404 200 200 200 200 200 200 401 404",
    "set_member":            "401 404 403 200 200 200 403 403 401 404",
    "set_member owner":      "401 404 403 403 200 200 403 403 401 404",
    "remove_member":         "401 404 403 204 204 204 403 403 401 404",
    "remove_member admin":   "401 404 403 403 204 204 403 403 401 404",
    "list_guests":           "401 404 200 200 200 200 200 200 401 404",
    "set_guest":             "401 404 403 200 200 200 403 403 401 404",
    "set_guest owner":       "401 404 403 403 200 200 403 403 401 404",
    "remove_guest":          "401 404 403 204 204 204 403 403 401 404",
    "list_packages":         "401 200 200 200 200 200 200 200 401 200",
    "create_package":        "401 404 403 201 201 201 403 201 401 404",
    "get_package":           "401 404 200 200 200 200 200 200 401 404",
    "get_package public":    "401 200 200 200 200 200 200 200 401 200",
    "replace_package":       "401 404 403 200 200 200 403 200 401 404",
    "replace_package public": "401 404 403 200 200 200 403 200 401 404",
    "delete_package":        "401 404 403 204 204 204 403 204 401 404",
    "share_package":         "401 404 403 200 200 200 403 200 401 404",
    "move_package":          "401 404 403 403 200 200 403 403 401 404",
    "list_routes":           "401 404 200 200 200 200 200 200 401 404",
    "list_collections":      "401 200 200 200 200 200 200 200 401 200",
    "create_collection":     "401 404 403 201 201 201 403 201 401 404",
    "get_collection":        "401 404 200 200 200 200 200 200 401 404",
    "replace_collection":    "401 404 403 200 200 200 403 200 401 404",
    "delete_collection":     "401 404 403 204 204 204 403 204 401 404",
    "move_collection":       "401 404 403 403 200 200 403 403 401 404",
    "list_pixels":           "401 200 200 200 200 200 200 200 401 200",
    "list_domains":          "401 200 200 200 200 200 200 200 401 200",
    "create_domain":         "401 404 403 201 201 201 403 201 401 404",
    "get_domain":            "401 404 200 200 200 200 200 200 401 404",
    "look_at_domain":        "401 404 403 409 409 409 403 409 401 404",
    "delete_domain":         "401 404 403 204 204 204 403 204 401 404",
    "get_totals":            "401 404 200 200 200 200 200 200 401 404",
    "get_totals all":        "401 404 200 200 200 200 200 200 401 200",
    "get_totals public":     "401 200 200 200 200 200 200 200 401 200",
    "get_series":            "401 404 200 200 200 200 200 200 401 404",
    "get_breakdown":         "401 404 200 200 200 200 200 200 401 404",
    "get_companies":         "401 404 200 200 200 200 200 200 401 404",
    "get_retention":         "401 404 200 200 200 200 200 200 401 404",
    "list_events":           "401 404 200 200 200 200 200 200 401 404",
    "export_events":         "401 404 200 200 200 200 200 200 401 404",
    "list_imports":          "401 200 200 200 200 200 200 200 401 200",
    "create_import":         "401 403 403 202 202 202 403 202 401 404",
    "get_import":            "401 404 404 404 404 200 404 404 401 404",
    "abort_import":          "401 404 404 404 404 409 404 404 401 404",
    "resume_import":         "401 404 404 404 404 409 404 404 401 404",
    "delete_import":         "401 404 404 404 404 204 404 404 401 404",
    "list_changes":          "401 403 403 200 200 200 200 200 401 200",
    "list_changes acme":     "401 404 403 200 200 200 200 200 401 404",
}
# fmt: on

Asked: TypeAlias = tuple[str, str, dict[str, Any]]
_IF: Mapping[str, str] = {"If-Match": "*"}
_LINE = b'{"$time":"2026-01-01T00:00:00Z","$package":"cli"}\n'


def definition(name: str) -> dict[str, Any]:
    return {"type": "file", "name": name, "domain": "made.acme.example", "incoming-path": f"/{name}/{{version}}"}


def collection(name: str) -> dict[str, Any]:
    return {"domain": "made.acme.example", "pattern": f"{name}/*", "backend": "ghcr.io"}


def made(office: Office, what: str, path: str, body: Mapping[str, Any]) -> Any:
    answer = office.ask("POST", path, json=dict(body))
    assert answer.status_code in (200, 201, 202), (what, answer.text)
    return answer.json()


def package(office: Office, name: str) -> str:
    made(office, "package", "/packages", {"organisation": "acme", "definition": definition(name)})
    return f"/packages/{name}"


def movable(office: Office, kind: str, name: str) -> str:
    """Make something on a domain that the other organisation has proved to be its own."""
    made_of = {**(definition(name) if kind == "package" else collection(name)), "domain": "get.zebra.example"}
    key = made(office, kind, f"/{kind}s", {"organisation": "acme", "definition": made_of})["key"]
    return f"/{kind}s/{write_key(key).replace(' ', '%20')}/organisation"


def public(office: Office, name: str) -> str:
    path = package(office, name)
    office.access.holdings.share(name, True, office.operator)
    return path


def images(office: Office, name: str) -> str:
    made(office, "collection", "/collections", {"organisation": "acme", "definition": collection(name)})
    return f"/collections/made.acme.example%20{name}~1*"


def domain(office: Office, name: str) -> str:
    made(office, "domain", "/domains", {"name": f"{name}.example", "organisation": "acme"})
    return f"/domains/{name}.example"


def vouched(office: Office, name: str) -> str:
    """Make a domain that has no records to look at: whoever may have it looked at is told so, and no server is asked."""
    path = domain(office, name)
    office.access.domains.vouch(f"{name}.example", "acme", office.operator)
    return path


def user(office: Office, name: str, role: str = "") -> str:
    office.access.people.create_user(name)
    if role:
        office.access.groups.set_role("acme", name, role, None)  # type: ignore[arg-type]
    return name


def token(office: Office, name: str) -> str:
    found = office.access.people.create_token(office.access.people.create_user(name), "another", ["read"])[0]
    return f"/tokens/{found.id}"


def guest(office: Office, name: str) -> str:
    path = package(office, name)
    office.access.holdings.set_role(name, user(office, f"guest-{name}"), "member", office.operator)
    return f"{path}/members/guest-{name}"


def organisation(office: Office, name: str, asker: str) -> str:
    """Return one in which `asker` has the role that they have in `acme`."""
    office.access.groups.create(name, by=office.operator)
    for who, role in (("mia", "member"), ("ada", "admin"), ("omar", "owner")):
        office.access.groups.set_role(name, who, role, None)  # type: ignore[arg-type]
    return f"/organisations/{name}"


def sent(office: Office) -> str:
    """Return an import of the operator's that is over."""
    answer = office.ask("POST", "/imports", content=_LINE, params={"dry_run": "true"}).json()
    office.wait(answer["id"])
    return f"/imports/{answer['id']}"


OPERATIONS: Mapping[str, Callable[[Office, str, str], Asked]] = {
    "get_me": lambda o, n, a: ("GET", "/me", {}),
    "list_users": lambda o, n, a: ("GET", "/users", {}),
    "create_user": lambda o, n, a: ("POST", "/users", {"json": {"name": n}}),
    "disable_user": lambda o, n, a: ("DELETE", f"/users/{user(o, n)}", {}),
    "list_tokens": lambda o, n, a: ("GET", "/tokens", {}),
    "create_token": lambda o, n, a: ("POST", "/tokens", {"json": {"name": n, "scopes": ["read"]}}),
    "revoke_token": lambda o, n, a: ("DELETE", token(o, n), {}),
    "list_organisations": lambda o, n, a: ("GET", "/organisations", {}),
    "create_organisation": lambda o, n, a: ("POST", "/organisations", {"json": {"name": n}}),
    "get_organisation": lambda o, n, a: ("GET", "/organisations/acme", {}),
    "rename_organisation": lambda o, n, a: ("PUT", "/organisations/acme", {"json": {"title": "Acme"}}),
    "delete_organisation": lambda o, n, a: ("DELETE", organisation(o, n, a), {}),
    "list_members": lambda o, n, a: ("GET", "/organisations/acme/members", {}),
    "set_member": lambda o, n, a: ("PUT", f"/organisations/acme/members/{user(o, n)}", {"json": {"role": "admin"}}),
    "set_member owner": lambda o, n, a: ("PUT", f"/organisations/acme/members/{user(o, n)}", {"json": {"role": "owner"}}),
    "remove_member": lambda o, n, a: ("DELETE", f"/organisations/acme/members/{user(o, n, 'member')}", {}),
    "remove_member admin": lambda o, n, a: ("DELETE", f"/organisations/acme/members/{user(o, n, 'admin')}", {}),
    "list_guests": lambda o, n, a: ("GET", f"{package(o, n)}/members", {}),
    "set_guest": lambda o, n, a: ("PUT", f"{package(o, n)}/members/{user(o, n)}", {"json": {"role": "member"}}),
    "set_guest owner": lambda o, n, a: ("PUT", f"{package(o, n)}/members/{user(o, n)}", {"json": {"role": "owner"}}),
    "remove_guest": lambda o, n, a: ("DELETE", guest(o, n), {}),
    "list_packages": lambda o, n, a: ("GET", "/packages", {}),
    "create_package": lambda o, n, a: ("POST", "/packages", {"json": {"organisation": "acme", "definition": definition(n)}}),
    "get_package": lambda o, n, a: ("GET", package(o, n), {}),
    "get_package public": lambda o, n, a: ("GET", public(o, n), {}),
    "replace_package": lambda o, n, a: ("PUT", package(o, n), {"json": {"definition": definition(n)}, "headers": _IF}),
    "replace_package public": lambda o, n, a: ("PUT", public(o, n), {"json": {"definition": definition(n)}, "headers": _IF}),
    "delete_package": lambda o, n, a: ("DELETE", package(o, n), {}),
    "share_package": lambda o, n, a: ("PUT", f"{package(o, n)}/sharing", {"json": {"is_public": True}}),
    "move_package": lambda o, n, a: ("PUT", movable(o, "package", n), {"json": {"organisation": "zebra"}}),
    "list_routes": lambda o, n, a: ("GET", "/packages/acme~1rocket-skates/routes", {}),
    "list_collections": lambda o, n, a: ("GET", "/collections", {}),
    "create_collection": lambda o, n, a: ("POST", "/collections", {"json": {"organisation": "acme", "definition": collection(n)}}),
    "get_collection": lambda o, n, a: ("GET", f"/collections/{COLLECTION.replace(' ', '%20').replace('/', '%2F')}", {}),
    "replace_collection": lambda o, n, a: ("PUT", images(o, n), {"json": {"definition": collection(n)}, "headers": _IF}),
    "delete_collection": lambda o, n, a: ("DELETE", images(o, n), {}),
    "move_collection": lambda o, n, a: ("PUT", movable(o, "collection", n), {"json": {"organisation": "zebra"}}),
    "list_pixels": lambda o, n, a: ("GET", "/pixels", {}),
    "list_domains": lambda o, n, a: ("GET", "/domains", {}),
    "create_domain": lambda o, n, a: ("POST", "/domains", {"json": {"name": f"{n}.example", "organisation": "acme"}}),
    "get_domain": lambda o, n, a: ("GET", domain(o, n), {}),
    "look_at_domain": lambda o, n, a: ("POST", f"{vouched(o, n)}/look", {}),
    "delete_domain": lambda o, n, a: ("DELETE", domain(o, n), {}),
    "get_totals": lambda o, n, a: ("GET", "/stats/totals?package=cli", {}),
    "get_totals all": lambda o, n, a: ("GET", "/stats/totals", {}),
    "get_totals public": lambda o, n, a: ("GET", f"/stats/totals?package={public(o, n).rpartition('/')[2]}", {}),
    "get_series": lambda o, n, a: ("GET", "/stats/series?package=cli", {}),
    "get_breakdown": lambda o, n, a: ("GET", "/stats/breakdown?package=cli&by=country", {}),
    "get_companies": lambda o, n, a: ("GET", "/stats/companies?package=cli", {}),
    "get_retention": lambda o, n, a: ("GET", "/stats/retention?package=cli", {}),
    "list_events": lambda o, n, a: ("GET", "/events?package=cli", {}),
    "export_events": lambda o, n, a: ("GET", "/exports?package=cli", {}),
    "list_imports": lambda o, n, a: ("GET", "/imports", {}),
    "create_import": lambda o, n, a: ("POST", "/imports?package=cli&dry_run=true", {"content": _LINE}),
    "get_import": lambda o, n, a: ("GET", sent(o), {}),
    "abort_import": lambda o, n, a: ("POST", f"{sent(o)}/abort", {}),
    "resume_import": lambda o, n, a: ("POST", f"{sent(o)}/resume", {}),
    "delete_import": lambda o, n, a: ("DELETE", sent(o), {}),
    "list_changes": lambda o, n, a: ("GET", "/audit", {}),
    "list_changes acme": lambda o, n, a: ("GET", "/audit?organisation=acme", {}),
}


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def office(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    server: Postgres | None = request.getfixturevalue("postgres") if request.param == "postgresql" else None
    with Office(tmp_path_factory.mktemp("office"), server.create() if server else None) as opened:
        opened.prove("made.acme.example", "acme")
        secrets = opened.secrets
        secrets |= {"stranger": secrets["nobody"], "member": secrets["mia"], "admin": secrets["ada"], "owner": secrets["omar"]}
        secrets["operator"] = secrets["root"]
        opened.token("reader", "ada", ["read"])
        opened.token("writer", "ada", ["write"])
        opened.token("expired", "omar", ["admin"], is_over=True)
        opened.access.groups.set_role("zebra", "omar", "owner", None)
        opened.token("elsewhere", "omar", ["admin"], "zebra")
        made(
            opened,
            "package",
            "/packages",
            {"organisation": "zebra", "definition": {**definition("stripes"), "domain": "get.zebra.example"}},
        )
        yield opened


def test_every_operation_is_in_the_table() -> None:
    known = {
        operation["operationId"] for path in document()["paths"].values() for operation in path.values() if isinstance(operation, dict)
    }
    assert {name.partition(" ")[0] for name in TABLE} == known
    assert TABLE.keys() == OPERATIONS.keys()


@pytest.mark.parametrize("name", TABLE)
def test_who_may(office: Office, name: str) -> None:
    expected = dict(zip(ASKERS, map(int, TABLE[name].split()), strict=True))
    found = {}
    for number, asker in enumerate(ASKERS):
        at = f"{name.replace('_', '-').replace(' ', '-')}-{number}"
        method, path, more = OPERATIONS[name](office, at, asker)
        found[asker] = office.ask(method, path, None if asker == "nobody" else asker, **more).status_code
    assert found == expected
