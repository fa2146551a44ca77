"""Proofs: whose domains are, over time and between organisations and nodes; and what is served by them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import attrs
import pytest

from gatewaycore.access import Access, Domain, Principal
from gatewaycore.access.domains import MOST_UNPROVED
from gatewaycore.errors import AccessError, ConfigError, ConflictError, GatewayError, TooSoonError, UnknownError
from gatewaycore.proving import Look, Seen, VerificationSettings
from tests.databases import Postgres

SETTINGS = VerificationSettings(grace_s=3600)
ABSENT = Look(verdict="absent", reason="there is no TXT record")
NAME = "get.acme.test"


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 3, 1, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def go_on(self, **more: float) -> None:
        self.now += timedelta(**more)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["sqlite", "postgresql"])
def state(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return str(tmp_path / "console.sqlite3")
    postgres: Postgres = request.getfixturevalue("postgres")
    return postgres.create()


@pytest.fixture
def access(state: str, clock: Clock) -> Iterator[Access]:
    opened = Access(state, "acme", clock)
    yield opened
    opened.close()


@pytest.fixture
def boss(access: Access) -> Principal:
    user = access.people.create_user("boss", is_operator=True)
    access.groups.create("labs", by=Principal(user=user))
    return Principal(user=user)


@pytest.fixture
def plain(tmp_path: Path, clock: Clock) -> Iterator[Access]:
    opened = Access(tmp_path / "console.sqlite3", "acme", clock)
    yield opened
    opened.close()


def proving(*domains: Domain) -> Look:
    """Return a look that has seen these domains' texts."""
    return Look(verdict="proved", seen=Seen(texts=[one.challenge for one in domains]))


def settle(access: Access, domain: Domain, look: Look) -> Domain:
    found = access.proofs.settle(domain, look, SETTINGS)
    assert found is not None
    return found


def states(access: Access) -> dict[str, str]:
    names = access.groups.names()
    return {f"{names[one.organisation_id]} {one.name}": one.state for one in access.domains.all()}


def test_a_domain_over_time(access: Access, boss: Principal, clock: Clock) -> None:
    made = access.domains.create(NAME, "acme", boss)
    version = access.holdings.rules_version()
    first = settle(access, made, ABSENT)
    assert (first.state, first.reason, first.checked_at, first.next_at) == (
        "pending", ABSENT.reason, clock.now, clock.now + timedelta(seconds=5),
    )  # fmt: skip
    # Nothing has changed for those who serve.
    assert access.holdings.rules_version() == version
    held = settle(access, made, proving(made))
    assert (held.state, held.reason, held.verified_at, held.seen["txt"]) == ("verified", "", clock.now, [made.challenge])
    assert access.holdings.rules_version() == version + 1
    clock.go_on(hours=1)
    failing = settle(access, made, ABSENT)
    assert (failing.state, failing.failing_since) == ("failing", clock.now)
    assert access.holdings.rules_version() == version + 1
    clock.go_on(minutes=59)
    assert settle(access, made, ABSENT).state == "failing"
    clock.go_on(minutes=1)
    lost = settle(access, made, ABSENT)
    assert (lost.state, access.holdings.rules_version()) == ("lost", version + 2)
    again = settle(access, made, proving(made))
    assert (again.state, again.failing_since, again.verified_at) == ("verified", None, held.verified_at)
    entries = access.trail.entries([made.organisation_id])
    told = [one.details["state"] for one in entries if one.action == "domain.state"]
    assert told == ["verified", "lost", "failing", "verified"]
    assert {one.actor for one in entries if one.action == "domain.state"} == {None}
    assert access.domains.look(NAME, boss) == again
    access.domains.delete(NAME, boss)
    assert access.proofs.settle(made, ABSENT, SETTINGS) is None


def test_a_domain_changes_hands(access: Access, boss: Principal) -> None:
    ours, theirs = access.domains.create(NAME, "acme", boss), access.domains.create(NAME, "labs", boss)
    settle(access, ours, proving(ours))
    # Both texts are there: it stays with whoever has it.
    both = settle(access, theirs, proving(ours, theirs))
    assert (both.state, both.reason[:41]) == ("pending", "another organisation has proved that it i")
    # Only the new one's: at once, and without a grace period.
    assert settle(access, theirs, proving(theirs)).state == "verified"
    assert states(access) == {f"acme {NAME}": "lost", f"labs {NAME}": "verified"}
    # The old one comes back only when the new one has gone.
    assert settle(access, ours, ABSENT).state == "lost"
    assert settle(access, ours, proving(ours)).state == "verified"
    assert states(access) == {f"acme {NAME}": "verified", f"labs {NAME}": "lost"}


def test_an_operators_word_is_not_looked_at(access: Access, boss: Principal, clock: Clock) -> None:
    ours, theirs = access.domains.create(NAME, "acme", boss), access.domains.create(NAME, "labs", boss)
    given = access.domains.vouch(NAME, "acme", boss)
    assert (given.proof, given.state) == ("operator", "verified")
    assert settle(access, ours, ABSENT).state == "verified"
    assert settle(access, theirs, proving(theirs)).reason == "it was given to another organisation by whoever runs the gateway"
    clock.go_on(seconds=5)
    assert [one.organisation_id for one in access.proofs.take_due(9)] == [theirs.organisation_id]
    with pytest.raises(ConflictError, match="needs no records: it is the operator's word"):
        access.domains.begin_look(NAME, attrs.evolve(boss, organisation_id=ours.organisation_id))


def test_two_nodes_take_each_domain_once(access: Access, state: str, boss: Principal, clock: Clock) -> None:
    other = Access(state, "acme", clock)
    names = [f"d{number}.acme.test" for number in range(6)]
    for name in names:
        access.domains.create(name, "acme", boss)
    taken = [one.name for one in access.proofs.take_due(4)] + [one.name for one in other.proofs.take_due(4)]
    assert sorted(taken) == names
    assert (access.proofs.take_due(4), other.proofs.take_due(4)) == ([], [])
    # Whoever has taken them has died.
    clock.go_on(seconds=61)
    assert len(other.proofs.take_due(9)) == 6
    other.close()


def test_a_look_that_somebody_wants(access: Access, boss: Principal, clock: Clock) -> None:
    access.domains.create(NAME, "acme", boss)
    assert access.domains.begin_look(NAME, boss).name == NAME
    clock.go_on(seconds=1)
    with pytest.raises(TooSoonError, match=r"was looked at a moment ago: again in 2 s") as caught:
        access.domains.begin_look(NAME, boss)
    assert caught.value.wait_s == 2
    clock.go_on(seconds=2)
    access.domains.begin_look(NAME, boss)
    with pytest.raises(UnknownError):
        access.domains.begin_look("other.acme.test", boss)
    mia = Principal(user=access.people.create_user("mia"))
    access.groups.set_role("acme", "mia", "member", boss)
    with pytest.raises(AccessError, match="takes the role admin"):
        access.domains.begin_look(NAME, mia)


def test_an_organisation_names_only_so_many(plain: Access) -> None:
    boss = Principal(user=plain.people.create_user("boss", is_operator=True))
    for number in range(MOST_UNPROVED):
        made = plain.domains.create(f"d{number}.acme.test", "acme", boss)
    with pytest.raises(ConflictError, match="that are not proved: remove some first"):
        plain.domains.create(NAME, "acme", boss)
    settle(plain, made, proving(made))
    assert plain.domains.create(NAME, "acme", boss).state == "pending"
    with pytest.raises(ConfigError):
        plain.domains.create("*.com", "acme", boss)


def test_two_owners_cannot_be(access: Access, boss: Principal) -> None:
    import sqlalchemy as sa

    from gatewaycore.access.tables import DOMAINS

    ours = access.domains.create(NAME, "acme", boss)
    access.domains.create(NAME, "labs", boss)
    settle(access, ours, proving(ours))
    with pytest.raises(GatewayError, match=r"IntegrityError|UniqueViolation"), access.database.writing() as connection:
        connection.execute(sa.update(DOMAINS).values(state="verified"))


def test_every_organisation_is_supplied_with_two(access: Access, boss: Principal) -> None:
    access.domains.create("labs.gateway.gw.test", "acme", boss)
    access.proofs.supply("gw.test", "acme")
    assert states(access) == {
        "acme acme.docker.gw.test": "verified",
        "acme acme.gateway.gw.test": "verified",
        "labs labs.docker.gw.test": "verified",
        "labs labs.gateway.gw.test": "verified",
    }
    version = access.holdings.rules_version()
    access.proofs.supply("gw.test", "acme")
    assert access.holdings.rules_version() == version
    with pytest.raises(ConflictError, match="one that the gateway supplies"):
        access.domains.delete("labs.gateway.gw.test", boss)
    with pytest.raises(ConflictError, match="it is the gateway's word"):
        access.domains.begin_look("labs.gateway.gw.test", boss)
    assert access.proofs.take_due(9) == []
    # Another one's packages of the file live on those that are called like this one.
    access.proofs.supply("gw.test", "labs")
    assert set(states(access)) == {"acme acme.docker.gw.test", "acme acme.gateway.gw.test"}
    access.proofs.supply(None, None)
    assert states(access) == {}


def test_many_organisations_are_supplied_some_at_a_time(access: Access, boss: Principal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gatewaycore.access.proofs._SUPPLIED", 3)
    for name in ("one", "two", "three"):
        access.groups.create(name, by=boss)
    version = access.holdings.rules_version()
    for count in (3, 6, 9, 10, 10):
        access.proofs.supply("gw.test", None)
        assert len(states(access)) == count
    # Four times there was something to do.
    assert access.holdings.rules_version() == version + 4
    # One that was made since is seen, and so is that somebody has taken one away.
    access.groups.create("four", by=boss)
    access.proofs.supply("gw.test", None)
    assert {"four four.docker.gw.test", "four four.gateway.gw.test"} <= states(access).keys()
    access.proofs.supply("other.test", None)
    assert len(states(access)) == 12
    for _ in range(4):
        access.proofs.supply("other.test", None)
    assert {name.partition(".")[2].partition(".")[2] for name in states(access)} == {"other.test"}


def test_what_is_served(access: Access, boss: Principal, clock: Clock) -> None:
    def make(domain: str, organisation: str) -> None:
        definition = {"type": "pixel", "name": f"{organisation} {domain}", **({"domain": domain} if domain else {})}
        access.holdings.create("package", definition["name"], organisation, definition, lambda _: None, boss)

    def served(**more: Any) -> set[str]:
        return {str(one["name"]) for _, one in access.proofs.served(**more).definitions}

    ours, theirs = access.domains.create("Get.Acme.test", "acme", boss), access.domains.create("get.labs.test", "labs", boss)
    for domain, organisation in ((NAME, "acme"), ("get.labs.test", "labs"), ("px.test", "acme"), ("px.test", "labs"), ("", "acme")):
        make(domain, organisation)
    assert served() == {"acme px.test", "acme "}
    assert (len(access.proofs.served().held_back), access.proofs.served().names) == (3, frozenset())
    assert served(own={"px.test", NAME}) == {"acme px.test", "labs px.test", "acme "}
    assert len(served(verify=False)) == 5
    settle(access, ours, proving(ours))
    settle(access, theirs, proving(theirs))
    assert served() == {f"acme {NAME}", "labs get.labs.test", "acme px.test", "acme "}
    assert access.proofs.served().names == {NAME, "get.labs.test"}
    # It goes on in the grace period, and not after it; and not by removing what could not be proved.
    settle(access, theirs, ABSENT)
    assert "labs get.labs.test" in served()
    clock.go_on(hours=2)
    settle(access, theirs, ABSENT)
    assert "labs get.labs.test" not in served()
    access.domains.delete("get.labs.test", boss)
    assert "labs get.labs.test" not in served()
    # What another organisation proves is served for that one alone.
    new = access.domains.create(NAME, "labs", boss)
    settle(access, new, proving(new))
    assert f"acme {NAME}" not in served()
