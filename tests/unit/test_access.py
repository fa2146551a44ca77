"""Who may see and do what, in SQLite and in PostgreSQL alike."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from gatewaycore.access import (
    HIDDEN,
    PREFIX,
    ROLES,
    SCOPES,
    Access,
    Given,
    Kind,
    Principal,
    Role,
    Scope,
    covers,
    hidden,
    may_change,
    may_grant,
)
from gatewaycore.access.roles import greatest, includes
from gatewaycore.access.tables import METADATA
from gatewaycore.errors import AccessError, ConfigError, ConflictError, GatewayError, UnknownError
from tests.databases import Postgres


class Clock:
    """Says what it was told."""

    def __init__(self) -> None:
        self.now = datetime(2026, 3, 1, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def go_on(self, **by: int) -> None:
        self.now += timedelta(**by)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["sqlite", "postgresql"])
def access(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> Iterator[Access]:
    place: str | Path = tmp_path / "console.sqlite3"
    if request.param == "postgresql":
        server: Postgres = request.getfixturevalue("postgres")
        place = server.create()
    opened = Access(place, "acme", clock)
    yield opened
    opened.close()


def join(access: Access, name: str, *, operator: bool = False, scopes: tuple[Scope, ...] = ("admin",), **more: Any) -> Principal:
    user = access.people.find_user(name) or access.people.create_user(name, is_operator=operator)
    _, secret = access.people.create_token(user, "for tests", scopes, **more)
    found = access.people.authenticate(secret)
    assert found is not None
    return found


def proved(access: Access, name: str, organisation: str, by: Principal) -> None:
    """Have a domain that is an organisation's, as its records say."""
    access.domains.note_state(access.domains.create(name, organisation, by), "verified")


def anything(_: list[tuple[Kind, Mapping[str, Any]]]) -> None:
    """Find nothing wrong."""


def test_tables_are_what_migrations_make(access: Access) -> None:
    with access.database.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), METADATA) == []


def test_processes_that_begin_at_once_make_it_once(postgres: Postgres) -> None:
    url, opened = postgres.create(), []
    threads = [threading.Thread(target=lambda: opened.append(Access(url, "acme"))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    boss = join(opened[0], "boss", operator=True)
    assert [[one.name for one, _ in each.groups.organisations(boss)] for each in opened] == [["acme"]] * 4
    for each in opened:
        each.close()


# --- tokens and sessions ---------------------------------------------------------------------------------------------------


def test_a_token_lets_in_whose_it_is(access: Access, clock: Clock) -> None:
    user = access.people.create_user("Ada", is_operator=True)
    token, secret = access.people.create_token(user, "laptop", ["write"], clock.now + timedelta(days=1))
    assert (secret.startswith(PREFIX), secret.endswith(token.hint)) == (True, True)
    found = access.people.authenticate(secret)
    assert found == Principal(user=user, token_id=token.id, scopes=("write",))
    assert (found.holds("read"), found.holds("write"), found.holds("admin")) == (True, True, False)
    for wrong in (secret + "x", "", secret.removeprefix(PREFIX), PREFIX * 100):
        assert access.people.authenticate(wrong) is None
    assert [one.used_on for one in access.people.tokens(user)] == [datetime(2026, 3, 1, tzinfo=UTC)]
    clock.go_on(days=1)
    assert access.people.authenticate(secret) is None


def test_a_token_that_was_taken_back_ends_its_sessions(access: Access) -> None:
    user = access.people.create_user("ada")
    token, secret = access.people.create_token(user, "laptop", ["admin"])
    begun = access.people.sign_in(secret)
    assert begun is not None
    session, cookie = begun
    assert access.people.session(cookie) == session
    assert session.principal.user == user
    access.people.revoke_token(token.id, session.principal)
    assert (access.people.session(cookie), access.people.authenticate(secret), access.people.sign_in(secret)) == (None, None, None)
    assert access.people.tokens(user) == []


def test_a_session_ends(access: Access, clock: Clock) -> None:
    user = access.people.create_user("ada")
    _, secret = access.people.create_token(user, "laptop", ["read"])
    first, second = access.people.sign_in(secret, 60), access.people.sign_in(secret, 600)
    assert first is not None
    assert second is not None
    access.people.sign_out(second[1])
    assert access.people.session(second[1]) is None
    clock.go_on(seconds=60)
    assert access.people.session(first[1]) is None


def test_no_secret_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "console.sqlite3"
    access = Access(path)
    user = access.people.create_user("ada")
    _, secret = access.people.create_token(user, "laptop", ["read"])
    begun = access.people.sign_in(secret)
    assert begun is not None
    access.close()
    held = b"".join(one.read_bytes() for one in tmp_path.iterdir())
    assert b"laptop" in held
    assert [one for one in (secret, begun[1]) if one.encode() in held] == []
    assert path.stat().st_mode & 0o077 == 0


def test_what_a_token_may_not_be(access: Access, clock: Clock) -> None:
    user = access.people.create_user("ada")
    for name, scopes, expires_at, what in (
        (" ", ["read"], None, "name: is missing"),
        ("x" * 201, ["read"], None, "name: is missing, or longer"),
        ("x", [], None, "scopes: there is none"),
        ("x", ["all"], None, "scopes: 'all' is no scope"),
        ("x", ["read"], clock.now, "expires_at: is over already"),
    ):
        with pytest.raises(ConfigError, match=what):
            access.people.create_token(user, name, scopes, expires_at)  # type: ignore[arg-type]


def test_tokens_are_made_by_those_whose_they_are(access: Access) -> None:
    ada, bob = join(access, "ada"), join(access, "bob", operator=True)
    reader = join(access, "ada", scopes=("read",))
    home = access.groups.home()
    narrow = join(access, "ada", organisation_id=home.id)
    for by, why in ((bob, "made by those whose"), (reader, "scope admin"), (narrow, "reaches further")):
        with pytest.raises(AccessError, match=why):
            access.people.create_token(ada.user, "another", ["read"], by=by)
    assert access.people.create_token(ada.user, "another", ["read"], by=ada)[0].name == "another"
    for token in access.people.tokens(ada.user):
        assert token.name in ("another", "for tests")
        if token.id == reader.token_id:
            # A token that was found may be taken out of the world by itself.
            access.people.revoke_token(token.id, reader)
    with pytest.raises(UnknownError):
        access.people.revoke_token(bob.token_id or "", ada)
    with pytest.raises(AccessError, match="scope admin"):
        access.people.revoke_token(ada.token_id or "", join(access, "ada", scopes=("write",)))
    with pytest.raises(UnknownError):
        access.people.revoke_token(ada.token_id or "", join(access, "bob", organisation_id=home.id))
    access.people.revoke_token(ada.token_id or "", bob)
    assert narrow.token_id in {one.id for one in access.people.tokens(ada.user)}


def test_a_token_tells_of_others_no_more_than_it_is_for(access: Access) -> None:
    ada, boss = access.people.create_user("ada"), join(access, "boss", operator=True)
    labs = access.groups.create("labs", by=boss)
    made = {}
    wide: list[tuple[str, Scope, str | None]] = [("all", "admin", None), ("read", "read", None), ("labs", "admin", labs.id)]
    for name, scope, place in (*wide, ("labs write", "write", labs.id)):
        token, secret = access.people.create_token(ada, name, [scope], organisation_id=place)
        made[name] = token.id, access.people.authenticate(secret)

    def seen(name: str) -> list[str]:
        return sorted(one.name for one in access.people.tokens(ada, made[name][1]))

    assert seen("all") == ["all", "labs", "labs write", "read"]
    assert seen("labs") == ["labs", "labs write"]
    assert (seen("read"), seen("labs write")) == (["read"], ["labs write"])
    narrow = made["labs"][1]
    assert narrow is not None
    for hidden_one in ("all", "read"):
        with pytest.raises(UnknownError):
            access.people.revoke_token(made[hidden_one][0], narrow)
    access.people.revoke_token(made["labs write"][0], narrow)
    assert seen("all") == ["all", "labs", "read"]
    assert len(access.people.tokens(ada)) == 3


def test_however_often_somebody_signs_in_the_oldest_sessions_end(access: Access, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gatewaycore.access.people._MOST_SESSIONS", 3)
    _, secret = access.people.create_token(access.people.create_user("ada"), "laptop", ["read"])
    cookies = []
    for _ in range(5):
        begun = access.people.sign_in(secret)
        assert begun is not None
        cookies.append(begun[1])
        clock.go_on(seconds=1)
    assert [access.people.session(cookie) is not None for cookie in cookies] == [False, False, True, True, True]


# --- users -----------------------------------------------------------------------------------------------------------------


def test_operators_make_users_and_let_them_in_no_more(access: Access) -> None:
    assert access.people.is_empty()
    boss = join(access, "boss", operator=True)
    assert not access.people.is_empty()
    ada = join(access, "ada")
    made = access.people.create_user("bob", by=boss)
    assert [one.name for one in access.people.users(boss)] == ["ada", "bob", "boss"]
    for call in (
        lambda: access.people.create_user("eve", by=ada),
        lambda: access.people.users(ada),
        lambda: access.people.disable_user("bob", ada),
    ):
        with pytest.raises(AccessError, match="only operators"):
            call()
    with pytest.raises(AccessError, match="scope admin"):
        access.people.create_user("eve", by=join(access, "boss", scopes=("read",)))
    with pytest.raises(ConflictError, match="there is a user 'bob' already"):
        access.people.create_user("Bob", by=boss)
    with pytest.raises(ConfigError, match="name: 'b b' is no name"):
        access.people.create_user("b b")
    with pytest.raises(UnknownError):
        access.people.disable_user("nobody", boss)
    with pytest.raises(ConflictError, match="boss is the last operator"):
        access.people.disable_user("boss", boss)
    _, secret = access.people.create_token(made, "x", ["read"])
    begun = access.people.sign_in(secret)
    assert begun is not None
    assert access.people.disable_user("bob", boss).disabled_at is not None
    assert (access.people.authenticate(secret), access.people.session(begun[1])) == (None, None)


# --- roles -----------------------------------------------------------------------------------------------------------------


def test_what_roles_may() -> None:
    assert [greatest([None, role, "member"]) for role in ROLES] == list(ROLES)
    assert greatest([None]) is None
    assert [[covers(role, needed) for needed in ROLES] for role in ROLES] == [[True, False, False], [True, True, False], [True] * 3]
    assert not covers(None, "member")
    assert [[includes([scope], needed) for needed in SCOPES] for scope in SCOPES] == [[True, False, False], [True, True, False], [True] * 3]
    assert [[may_grant(actor, role) for role in ROLES] for actor in ROLES] == [[False] * 3, [True, True, False], [True] * 3]
    assert [[may_change("admin", now, role) for role in (None, *ROLES)] for now in ROLES] == [
        [True, True, True, False],
        [False] * 4,
        [False] * 4,
    ]
    assert all(may_change("owner", now, role) for now in ROLES for role in (None, *ROLES))
    assert not any(may_change(actor, "member", None) for actor in (None, "member"))


@pytest.mark.parametrize("actor", [None, *ROLES])
@pytest.mark.parametrize("place", ["organisation", "package"])
def test_who_may_give_and_take_which_role(access: Access, actor: Role | None, place: str) -> None:
    access.holdings.adopt([("package", "rockets")])
    boss, by = join(access, "boss", operator=True), join(access, "by")
    access.groups.set_role("acme", "boss", "owner", None)

    def give(name: str, role: Role | None, who: Principal) -> None:
        if place == "organisation":
            access.groups.remove("acme", name, who) if role is None else access.groups.set_role("acme", name, role, who)
        else:
            access.holdings.remove("rockets", name, who) if role is None else access.holdings.set_role("rockets", name, role, who)

    if actor is not None:
        give("by", actor, boss)
    for now in (None, *ROLES):
        for role in (None, *ROLES):
            name = f"from-{now}-to-{role}".lower()
            access.people.create_user(name)
            if now is not None:
                give(name, now, boss)
            if role is None:
                allowed = now is not None and may_change(actor, now, None)
            else:
                allowed = may_grant(actor, role) if now is None else may_change(actor, now, role)
            if not allowed:
                with pytest.raises(UnknownError if actor is None else AccessError):
                    give(name, role, by)
                continue
            give(name, role, by)
            members = access.groups.members("acme", boss) if place == "organisation" else access.holdings.members("rockets", boss)
            assert {one.user.name: one.role for one in members}.get(name) == role
            last = access.trail.entries(None, limit=1)[0]
            if role != now:
                told = (last.actor, last.action, last.details["user"], last.details["before"])
                assert told == ("by", "member.remove" if role is None else "member.set", name, now)


def test_the_last_owner_stays(access: Access) -> None:
    access.people.create_user("ada")
    access.people.create_user("bob")
    access.groups.set_role("acme", "ada", "owner", None)
    ada = join(access, "ada")
    for call in (lambda: access.groups.remove("acme", "ada", ada), lambda: access.groups.set_role("acme", "ada", "admin", ada)):
        with pytest.raises(ConflictError, match="the last owner"):
            call()
    access.groups.set_role("acme", "bob", "owner", ada)
    # One who is let in no more can make nobody an owner.
    access.people.create_user("eve")
    access.groups.set_role("acme", "eve", "owner", ada)
    access.groups.remove("acme", "bob", ada)
    access.people.disable_user("eve", join(access, "boss", operator=True))
    with pytest.raises(ConflictError, match="the last owner"):
        access.groups.remove("acme", "ada", ada)
    access.groups.set_role("acme", "bob", "owner", ada)
    access.groups.remove("acme", "ada", ada)
    with pytest.raises(UnknownError):
        access.groups.organisation("acme", ada)


def test_everybody_may_leave(access: Access) -> None:
    ada = join(access, "ada")
    access.groups.set_role("acme", "ada", "member", None)
    with pytest.raises(AccessError, match="scope admin"):
        access.groups.remove("acme", "ada", join(access, "ada", scopes=("read",)))
    access.groups.remove("acme", "ada", ada)
    assert access.groups.organisations(ada) == []
    with pytest.raises(UnknownError):
        access.groups.remove("acme", "ada", ada)


def test_roles_and_users_that_are_none(access: Access) -> None:
    boss = join(access, "boss", operator=True)
    with pytest.raises(ConfigError, match="role: 'king' is no role"):
        access.groups.set_role("acme", "boss", "king", boss)  # type: ignore[arg-type]
    with pytest.raises(UnknownError, match="no user 'eve'"):
        access.groups.set_role("acme", "eve", "member", boss)
    with pytest.raises(UnknownError, match="boss has no role here"):
        access.groups.remove("acme", "boss", boss)
    for by in (boss, None):
        with pytest.raises(UnknownError, match="there is no organisation"):
            access.groups.set_role("nasa", "boss", "member", by)


# --- organisations ---------------------------------------------------------------------------------------------------------


def test_organisations(access: Access) -> None:
    boss, ada = join(access, "boss", operator=True), join(access, "ada")
    assert access.groups.create("Labs", "Acme  Labs", by=boss).title == "Acme Labs"
    access.groups.set_role("labs", "ada", "owner", boss)
    assert [(one.name, role) for one, role in access.groups.organisations(ada)] == [("labs", "owner")]
    assert [(one.name, role) for one, role in access.groups.organisations(boss)] == [("acme", "owner"), ("labs", "owner")]
    assert access.groups.organisation("labs", ada)[1] == "owner"
    assert access.groups.rename("labs", "", ada).title == "labs"
    with pytest.raises(ConfigError, match="title: is longer"):
        access.groups.rename("labs", "x" * 201, ada)
    with pytest.raises(ConflictError, match="'labs' already"):
        access.groups.create("labs", by=boss)
    with pytest.raises(AccessError, match="only operators"):
        access.groups.create("mine", by=ada)
    with pytest.raises(UnknownError):
        access.groups.organisation("acme", ada)
    access.holdings.create("package", "rockets", "labs", {"name": "rockets"}, anything, boss)
    with pytest.raises(ConflictError, match="holds packages"):
        access.groups.delete("labs", ada)
    access.holdings.delete("package", "rockets", ada)
    access.groups.delete("labs", ada)
    with pytest.raises(ConflictError, match="configuration file"):
        access.groups.delete("acme", boss)
    assert [one.action for one in access.trail.entries(None, limit=3)] == ["organisation.delete", "package.delete", "package.create"]


def test_a_token_of_one_organisation_reaches_no_other(access: Access) -> None:
    boss = join(access, "boss", operator=True)
    labs = access.groups.create("labs", by=boss)
    narrow = join(access, "boss", organisation_id=labs.id)
    access.holdings.adopt([("package", "rockets")])
    assert [one.name for one, _ in access.groups.organisations(narrow)] == ["labs"]
    assert access.holdings.seen_by(narrow) == []
    # Whatever its user may do otherwise.
    with pytest.raises(AccessError, match="only operators of the gateway may say allow-private-backends"):
        access.holdings.create("package", "a", "labs", {"name": "a", "allow-private-backends": True}, anything, narrow)
    with pytest.raises(UnknownError):
        access.holdings.look("rockets", narrow)
    with pytest.raises(UnknownError):
        access.groups.organisation("acme", narrow)
    with pytest.raises(AccessError, match="only operators"):
        access.people.users(narrow)


# --- packages --------------------------------------------------------------------------------------------------------------


def test_packages_of_the_file_are_the_home_organisations(access: Access) -> None:
    boss, ada = join(access, "boss", operator=True), join(access, "ada")
    access.holdings.adopt([("package", "rockets"), ("package", "rockets"), ("collection", "docker.acme.com acme/*")])
    access.holdings.adopt([("package", "rockets"), ("package", "skates")])
    assert [(one.holding.key, one.role) for one in access.holdings.seen_by(boss)] == [("rockets", "owner"), ("skates", "owner")]
    assert [one.holding.key for one in access.holdings.seen_by(boss, "collection")] == ["docker.acme.com acme/*"]
    assert access.holdings.seen_by(ada) == []
    access.holdings.set_role("rockets", "ada", "member", boss)
    assert [(one.holding.key, one.role) for one in access.holdings.seen_by(ada)] == [("rockets", "member")]
    with pytest.raises(UnknownError):
        access.holdings.look("skates", ada)
    for call in (
        lambda: access.holdings.change("package", "rockets", {}, anything, boss),
        lambda: access.holdings.delete("package", "rockets", boss),
    ):
        with pytest.raises(ConflictError, match="configuration file"):
            call()


def test_an_image_of_a_collection_is_the_home_organisations(access: Access) -> None:
    boss, ada = join(access, "boss", operator=True), join(access, "ada")
    assert access.holdings.look("acme/x", boss).role == "owner"
    with pytest.raises(UnknownError):
        access.holdings.look("acme/x", ada)
    access.groups.set_role("acme", "ada", "member", boss)
    assert access.holdings.look("acme/x", ada).role == "member"


def test_a_key_opens_no_numbers_of_another_organisation(access: Access) -> None:
    boss, zoe, mia = join(access, "boss", operator=True), join(access, "zoe"), join(access, "mia")
    for name in ("labs", "zebra"):
        access.groups.create(name, by=boss)
    access.groups.set_role("acme", "mia", "member", boss)
    access.groups.set_role("zebra", "zoe", "owner", boss)
    for key in ("docker.acme.com acme/*", "b/{c, d}"):
        access.holdings.adopt([("collection", key)])
    proved(access, "get.zebra.com", "zebra", boss)
    for image in ("acme/secret", "b/d"):
        with pytest.raises(ConflictError, match="fits a collection of another organisation"):
            access.holdings.create("package", image, "zebra", {"name": image, "domain": "get.zebra.com"}, anything, zoe)
    access.holdings.create("package", "rockets", "labs", {"name": "rockets"}, anything, boss)
    access.holdings.delete("package", "rockets", boss)
    with pytest.raises(ConflictError, match="its numbers still are"):
        access.holdings.create("package", "rockets", "zebra", {"name": "rockets", "domain": "get.zebra.com"}, anything, zoe)
    # What was another organisation's is not the home organisation's now.
    with pytest.raises(UnknownError):
        access.holdings.look("rockets", mia)
    assert access.holdings.numbers_seen_by(mia, ["rockets", "acme/secret"]) == ("acme/secret",)
    assert access.holdings.look("rockets", boss).role == "owner"
    # Nor is what events call so already, which is the home organisation's.
    with pytest.raises(ConflictError, match="there are numbers of 'left-pad' already"):
        access.holdings.create("package", "left-pad", "zebra", {"domain": "get.zebra.com"}, anything, zoe, lambda key: key == "left-pad")
    access.holdings.create("package", "left-pad", "zebra", {"domain": "get.zebra.com"}, anything, boss, lambda _: True)
    with pytest.raises(ConflictError, match="there is a package 'left-pad' already"):
        access.holdings.create("package", "left-pad", "zebra", {"domain": "get.zebra.com"}, anything, zoe, lambda _: True)
    # One's own may be made anew; and so may a name that is nobody's.
    for counted in ([], ["stripes"]):
        made = {"name": "stripes", "domain": "get.zebra.com"}
        access.holdings.create("package", "stripes", "zebra", made, anything, zoe, counted.__contains__)
        access.holdings.delete("package", "stripes", zoe)
    with pytest.raises(UnknownError):
        access.holdings.look("stripes", zoe)


def test_the_gateways_own_domain_is_the_home_organisations(access: Access) -> None:
    boss, ada = join(access, "boss", operator=True), join(access, "ada")
    access.groups.create("labs", by=boss)
    for name in ("acme", "labs"):
        access.groups.set_role(name, "ada", "admin", boss)
    nothing: list[dict[str, Any]] = [{}, {"domain": None}, {"domain": ""}]
    for without in nothing:
        with pytest.raises(AccessError, match="say on which verified domain"):
            access.holdings.create("package", "a", "labs", {"name": "a", **without}, anything, ada)
    access.holdings.create("package", "a", "acme", {"name": "a"}, anything, ada)
    access.holdings.create("package", "b", "labs", {"name": "b"}, anything, boss)
    with pytest.raises(AccessError, match="say on which verified domain"):
        access.holdings.change("package", "b", {"name": "b", "priority": 9}, anything, ada)


def test_a_collection_of_another_organisation_that_cannot_be_read_admits_nothing(access: Access) -> None:
    boss, zoe = join(access, "boss", operator=True), join(access, "zoe")
    access.groups.create("zebra", by=boss)
    access.groups.set_role("zebra", "zoe", "owner", boss)
    access.holdings.adopt([("collection", "docker.acme.com acme/{a")])
    proved(access, "get.zebra.com", "zebra", boss)
    assert access.holdings.create("package", "acme/a", "zebra", {"domain": "get.zebra.com"}, anything, zoe).key == "acme/a"


def test_a_package_that_is_made_is_checked_with_all_others(access: Access) -> None:
    boss = join(access, "boss", operator=True)
    seen: list[Any] = []
    before = access.holdings.rules_version()
    made = access.holdings.create("package", "a", "acme", {"name": "a"}, seen.append, boss)
    access.holdings.create("collection", "b", "acme", {"pattern": "b/*"}, seen.append, boss)
    changed = access.holdings.change("package", "a", {"name": "a", "type": "file"}, seen.append, boss, made.version)
    assert changed.version == made.version + 1
    assert seen[1:] == [
        [("package", {"name": "a"}), ("collection", {"pattern": "b/*"})],
        [("collection", {"pattern": "b/*"}), ("package", {"name": "a", "type": "file"})],
    ]
    with pytest.raises(ConflictError, match="is version 2 now"):
        access.holdings.change("package", "a", {"name": "a"}, anything, boss, 1)
    with pytest.raises(ConflictError, match="there is a package 'a' already"):
        access.holdings.create("package", "a", "acme", {}, anything, boss)

    def refuse(_: object) -> None:
        raise ConfigError([])

    with pytest.raises(ConfigError):
        access.holdings.change("package", "a", {"name": "c"}, refuse, boss)
    assert access.holdings.definitions() == (
        before + 3,
        [("package", {"name": "a", "type": "file"}), ("collection", {"pattern": "b/*"})],
    )
    access.holdings.delete("package", "a", boss)
    assert access.holdings.definitions() == (before + 4, [("collection", {"pattern": "b/*"})])
    for call in (
        lambda: access.holdings.delete("package", "a", boss),
        lambda: access.holdings.create("package", "a", "nasa", {}, anything, boss),
    ):
        with pytest.raises(UnknownError):
            call()


def test_changes_are_checked_one_after_another(access: Access) -> None:
    boss = join(access, "boss", operator=True)
    access.holdings.create("package", "first", "acme", {"name": "first"}, anything, boss)
    seen: list[int] = []

    def check(definitions: list[Any]) -> None:
        seen.append(len(definitions))

    def make(name: str) -> None:
        access.holdings.create("package", name, "acme", {"name": name}, check, boss)

    threads = [threading.Thread(target=make, args=(name,)) for name in ("a", "b", "c")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # Each has seen those before it.
    assert sorted(seen) == [2, 3, 4]


def test_a_password_is_in_no_log_and_stays_with_its_registry(access: Access) -> None:
    boss = join(access, "boss", operator=True)
    made = {"name": "a", "backend": "ghcr.io/a/b", "credentials": {"username": "gw", "password": "hunter2"}}
    access.holdings.create("package", "a", "acme", made, anything, boss)
    shown = hidden(made)
    assert shown["credentials"] == {"username": "gw", "password": HIDDEN}
    changed = access.holdings.change("package", "a", {**shown, "public": True}, anything, boss)
    assert changed.definition == {**made, "public": True}
    for other in ({"backend": "registry.evil.example/a/b"}, {"backend-scheme": "http"}):
        with pytest.raises(ConfigError, match=r"credentials\.password: is hidden, and the backend is another one"):
            access.holdings.change("package", "a", {**shown, **other}, anything, boss)
    access.holdings.delete("package", "a", boss)
    assert "hunter2" not in repr(access.trail.entries(None))
    assert hidden({"name": "a"}) == {"name": "a"}


def test_a_public_package_is_everybodys_to_see(access: Access) -> None:
    boss, ada = join(access, "boss", operator=True), join(access, "ada")
    access.holdings.adopt([("package", "rockets")])
    for by in (ada, None):
        with pytest.raises(UnknownError):
            access.holdings.look("rockets", by)
    assert access.holdings.share("rockets", True, boss).is_public
    assert access.holdings.share("rockets", True, boss).version == 2
    assert [access.holdings.look("rockets", by).role for by in (ada, None)] == [None, None]
    with pytest.raises(UnknownError):
        access.holdings.share("rockets", False, ada)
    assert not access.holdings.share("rockets", False, boss).is_public
    with pytest.raises(UnknownError):
        access.holdings.look("rockets", None)


def test_a_package_is_given_to_another_organisation(access: Access) -> None:
    boss, ada = join(access, "boss", operator=True), join(access, "ada")
    access.groups.create("labs", by=boss)
    access.holdings.adopt([("package", "rockets")])
    access.groups.set_role("labs", "ada", "owner", boss)
    with pytest.raises(UnknownError):
        access.holdings.move("rockets", "labs", ada)
    access.holdings.set_role("rockets", "ada", "admin", boss)
    with pytest.raises(AccessError, match="takes the role owner"):
        access.holdings.move("rockets", "labs", ada)
    with pytest.raises(UnknownError):
        access.holdings.move("rockets", "nasa", boss)
    access.holdings.move("rockets", "labs", boss)
    assert access.holdings.look("rockets", ada).role == "owner"


@pytest.mark.parametrize(("role", "scope", "may"), [("member", "admin", False), ("admin", "read", False), ("admin", "write", True)])
def test_changing_takes_the_role_and_the_scope(access: Access, role: Role, scope: Scope, may: bool) -> None:
    by = join(access, "ada", scopes=(scope,))
    access.groups.set_role("acme", "ada", role, None)
    access.holdings.adopt([("package", "rockets")])
    if may:
        assert access.holdings.share("rockets", True, by).is_public
        return
    with pytest.raises(AccessError, match="takes the role admin" if role == "member" else "scope write"):
        access.holdings.share("rockets", True, by)
    assert access.holdings.look("rockets", by).role == role


# --- domains ---------------------------------------------------------------------------------------------------------------


def test_what_is_not_theirs_is_told_as_what_is_not_there(access: Access) -> None:
    boss, ada = join(access, "boss", operator=True), join(access, "ada")
    access.groups.create("labs", by=boss)
    access.holdings.adopt([("package", "rockets")])
    ways: list[tuple[str, Callable[[str], object]]] = [
        ("rockets", lambda key: access.holdings.share(key, True, ada)),
        ("rockets", lambda key: access.holdings.members(key, ada)),
        ("labs", lambda name: access.groups.members(name, ada)),
        ("labs", lambda name: access.domains.create("get.labs.com", name, ada)),
    ]
    for there, ask in ways:
        told = set()
        for name in (there, "nothing"):
            with pytest.raises(UnknownError) as caught:
                ask(name)
            told.add(str(caught.value))
        assert len(told) == 1


def test_domains(access: Access, clock: Clock) -> None:
    boss, ada = join(access, "boss", operator=True), join(access, "ada")
    made = access.domains.create("Get.Acme.com.", "acme", boss)
    assert (made.name, made.state, len(made.challenge)) == ("get.acme.com", "pending", 32)
    with pytest.raises(ConflictError, match=r"acme has get\.acme\.com already"):
        access.domains.create("get.acme.com", "acme", boss)
    for name in ("", "com", "a b.com", "127.0.0.1", "get.acme.com:443", "[::1]", "x." * 130 + "com"):
        with pytest.raises(ConfigError, match="is no domain"):
            access.domains.create(name, "acme", boss)
    with pytest.raises(UnknownError):
        access.domains.look("get.acme.com", ada)
    clock.go_on(seconds=1)
    failing = access.domains.note_state(made, "failing", "there is no TXT record")
    assert (failing.state, failing.reason, failing.verified_at) == ("failing", "there is no TXT record", None)
    access.domains.note_state(failing, "verified")
    found = access.domains.look("get.acme.com", boss)
    assert (found.state, found.reason, found.checked_at, found.verified_at) == ("verified", "", clock.now, clock.now)
    clock.go_on(seconds=1)
    assert access.domains.note_state(found, "verified").verified_at == found.verified_at
    assert [one.name for one in access.domains.all()] == ["get.acme.com"]
    assert [one.name for one in access.domains.seen_by(boss, [found.organisation_id])] == ["get.acme.com"]
    assert access.domains.seen_by(boss, []) == []
    access.domains.delete("get.acme.com", boss)
    with pytest.raises(UnknownError):
        access.domains.delete("get.acme.com", boss)
    assert [one.actor for one in access.trail.entries([found.organisation_id]) if one.action == "domain.state"] == [None, None]


def test_a_domain_is_whose_who_proves_it(access: Access) -> None:
    boss, ada = join(access, "boss", operator=True), join(access, "ada")
    access.groups.create("labs", by=boss)
    access.groups.set_role("labs", "ada", "owner", boss)
    ours, theirs = access.domains.create("get.acme.com", "acme", boss), access.domains.create("get.acme.com", "labs", ada)
    assert ours.challenge != theirs.challenge
    assert access.domains.look("get.acme.com", ada) == theirs
    with pytest.raises(AccessError, match="only operators"):
        access.domains.vouch("get.acme.com", "labs", ada)
    assert access.domains.vouch("get.acme.com", "acme", boss).state == "verified"
    with pytest.raises(ConflictError, match=r"another organisation has proved that get\.acme\.com is its own"):
        access.domains.vouch("get.acme.com", "labs", boss)
    with pytest.raises(ConflictError, match="another organisation has proved"):
        access.domains.note_state(theirs, "verified")
    access.domains.delete("get.acme.com", ada)
    with pytest.raises(UnknownError, match="labs has no domain"):
        access.domains.vouch("get.acme.com", "labs", boss)


# --- the audit log, and answers ----------------------------------------------------------------------------------------------


def test_the_audit_log_is_read_a_page_at_a_time(access: Access) -> None:
    boss = join(access, "boss", operator=True)
    labs = access.groups.create("labs", by=boss)
    for number in range(5):
        access.groups.rename("labs", f"Labs {number}", boss)
    first = access.trail.entries([labs.id], limit=4)
    rest = access.trail.entries([labs.id], first[-1].id)
    assert [one.details.get("title") for one in (*first, *rest)] == ["Labs 4", "Labs 3", "Labs 2", "Labs 1", "Labs 0", None]
    assert {one.actor for one in (*first, *rest)} == {"boss"}


def test_a_request_is_done_once_for_its_key(access: Access, clock: Clock) -> None:
    assert access.answers.begin("token", "key", b"POST /") is None
    for request, why in ((b"POST /", "is being answered"), (b"POST /other", "used for another request")):
        with pytest.raises(ConflictError, match=why):
            access.answers.begin("token", "key", request)
    assert access.answers.begin("other token", "key", b"POST /") is None
    given = Given(201, {"location": "/x"}, b"{}")
    access.answers.end("token", "key", given)
    assert access.answers.begin("token", "key", b"POST /") == given
    access.answers.forget("other token", "key")
    assert access.answers.begin("other token", "key", b"POST /") is None
    # It was cut off, and is done anew.
    clock.go_on(seconds=301)
    assert access.answers.begin("other token", "key", b"POST /") is None
    clock.go_on(days=1, seconds=1)
    assert access.answers.begin("token", "key", b"POST /") is None


# --- databases that cannot be used -------------------------------------------------------------------------------------------


def test_what_is_no_state_database(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("This is no database at all, and is long enough to be sure of that.\n" * 20)
    for place, what in (
        (tmp_path, "cannot be opened: Is a directory"),
        (tmp_path / "text", "cannot be used: DatabaseError"),
        ("mysql://a:hunter2@host/x", "is no URL of PostgreSQL"),
        ("postgresql://", "cannot be used: OperationalError"),
        ("postgresql://gw:hunter2@127.0.0.1:1/x", "cannot be used: OperationalError: .*Connection refused"),
        ("://", "is no URL"),
    ):
        with pytest.raises(ConfigError, match=what) as caught:
            Access(place)
        assert "hunter2" not in str(caught.value)


def test_a_database_that_breaks_is_told_without_its_words(tmp_path: Path) -> None:
    access = Access(tmp_path / "console.sqlite3")
    with sqlite3.connect(tmp_path / "console.sqlite3") as other:
        other.execute("DROP TABLE sessions")
    other.close()
    with pytest.raises(GatewayError, match=r"\Athe state database: OperationalError\Z"):
        access.people.session("cookie")
    access.close()


def test_processes_write_one_after_another(tmp_path: Path) -> None:
    place = tmp_path / "console.sqlite3"
    opened = [Access(place) for _ in range(3)]
    boss = join(opened[0], "boss", operator=True)

    def work(which: Access, number: int) -> None:
        for step in range(10):
            which.holdings.create("package", f"{number}-{step}", "home", {"name": "x"}, anything, boss)

    threads = [threading.Thread(target=work, args=(each, number)) for number, each in enumerate(opened)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert opened[0].holdings.definitions()[0] == 30
    with opened[1].database.reading() as connection:
        assert connection.execute(sa.text("SELECT count(*) FROM holdings")).scalar() == 30
    for each in opened:
        each.close()
