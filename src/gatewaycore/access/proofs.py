"""Proofs: what whoever looks at the records of domains takes, and writes down; which domains are whose, for those who serve.

Several nodes may look: each domain is taken by one of them at a time. And one organisation alone holds a domain. Where the records prove it
another one's, and no more the one's that holds it, it has changed hands.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

import attrs
import sqlalchemy as sa
from attrs import frozen

from gatewaycore.access.database import Database
from gatewaycore.access.definitions import count_up, rules_version
from gatewaycore.access.domains import LEASE_S
from gatewaycore.access.records import Domain, Kind
from gatewaycore.access.tables import DOMAINS, HOLDINGS, ORGANISATIONS
from gatewaycore.access.trail import new_id, note
from gatewaycore.proving import Judgement, Look, Standing, VerificationSettings, judge, pause_s, plain, supplied
from gatewaycore.proving.judging import HELD, STATES

_WORDS: Final = 500
# Others want to write meanwhile, and all that are missing may be tens of thousands.
_SUPPLIED: Final = 250
_STILL: Final = "another organisation has proved that it is its own, and its TXT record is still there"
_GIVEN: Final = "it was given to another organisation by whoever runs the gateway"


@frozen
class HeldBack:
    """A definition that is not served, because its domain is not its organisation's.

    Attributes:
        kind, definition: which.
        domain: its.
        organisation: whose the definition is.
        is_named: whether that has named the domain, and has yet to prove it.
        is_anothers: whether another organisation holds the domain.
    """

    kind: Kind
    definition: Mapping[str, Any]
    domain: str
    organisation: str
    is_named: bool
    is_anothers: bool


@frozen
class Served:
    """What is to be served of what was made in the console.

    Attributes:
        version: grows with every change.
        definitions: packages and collections, but those on domains that are not their organisation's.
        names: domains that are somebody's.
        held_back: those others.
    """

    version: int
    definitions: list[tuple[Kind, Mapping[str, Any]]]
    names: frozenset[str]
    held_back: list[HeldBack]


class Proofs:
    """What is proved.

    Args:
        database: where it is.
        clock: says what time it is, UTC.
    """

    def __init__(self, database: Database, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._clock = clock
        self._supplied: tuple[str | int | None, ...] = ()

    def take_due(self, most: int) -> list[Domain]:
        """Return domains whose records are due to be looked at, those first that are so for longest. No other node takes them meanwhile."""
        now = self._clock()
        due = sa.or_(DOMAINS.c.next_at.is_(None), DOMAINS.c.next_at <= now)
        query = sa.select(DOMAINS).where(DOMAINS.c.proof == "records", due).order_by(DOMAINS.c.next_at.asc().nulls_first()).limit(most)
        with self._database.reading() as connection:
            if connection.execute(query.limit(1)).first() is None:
                return []
        with self._database.writing() as connection:
            found = [Domain(**row) for row in connection.execute(query).mappings()]
            lease = {"checked_at": now, "next_at": now + timedelta(seconds=LEASE_S)}
            return [one for one in found if connection.execute(DOMAINS.update().where(DOMAINS.c.id == one.id, due).values(lease)).rowcount]

    def states(self) -> dict[str, int]:
        """Return how many domains are in which state; each is there."""
        query = sa.select(DOMAINS.c.state, sa.func.count().label("many")).group_by(DOMAINS.c.state)
        with self._database.reading() as connection:
            found: dict[str, int] = {row.state: row.many for row in connection.execute(query)}
        return {state: found.get(state, 0) for state in STATES}

    def settle(self, domain: Domain, look: Look, settings: VerificationSettings) -> Domain | None:
        """Write down what a look has said.

        Args:
            domain: as it was when it was taken.
            look: what its records say.
            settings: say how long a proof is good for that has gone.

        Returns:
            how it stands now; None where it has been removed meanwhile.
        """
        now = self._clock()
        with self._database.writing() as connection:
            row = connection.execute(sa.select(DOMAINS).where(DOMAINS.c.id == domain.id)).mappings().first()
            if row is None or row["proof"] != "records":
                return None if row is None else Domain(**row)
            before = Domain(**row)
            judged = judge(Standing(state=before.state, failing_since=before.failing_since), look, settings.grace_s, now)
            if judged.state == "verified":
                judged = self._contested(connection, before, judged, look)
            made = attrs.evolve(
                before,
                state=judged.state,
                reason=judged.reason[:_WORDS],
                failing_since=judged.failing_since,
                seen=look.seen.shown(),
                checked_at=now,
                next_at=now + timedelta(seconds=pause_s(judged.state, judged.failing_since or before.created_at, settings, now)),
                verified_at=now if judged.state == "verified" and before.verified_at is None else before.verified_at,
            )
            self._write(connection, before, made)
        return made

    def _contested(self, connection: sa.Connection, domain: Domain, judged: Judgement, look: Look) -> Judgement:
        """Take a domain from whoever holds it and can prove it no more; leave it with whoever still can."""
        others = sa.and_(DOMAINS.c.name == domain.name, DOMAINS.c.id != domain.id, DOMAINS.c.state.in_(HELD))
        row = connection.execute(sa.select(DOMAINS).where(others)).mappings().first()
        if row is None:
            return judged
        holder = Domain(**row)
        if holder.proof != "records" or any(text.strip() == holder.challenge for text in look.seen.texts):
            return Judgement(state=domain.state, reason=_STILL if holder.proof == "records" else _GIVEN, failing_since=domain.failing_since)
        reason = "its records prove it another organisation's"
        self._write(connection, holder, attrs.evolve(holder, state="lost", reason=reason, failing_since=self._clock()))
        return judged

    def _write(self, connection: sa.Connection, before: Domain, made: Domain) -> None:
        values = attrs.asdict(made, filter=lambda one, _: one.name not in ("id", "organisation_id", "name", "challenge", "created_at"))
        connection.execute(DOMAINS.update().where(DOMAINS.c.id == made.id).values(values))
        if (made.state in HELD) != (before.state in HELD):
            count_up(connection)
        if made.state != before.state:
            told = {"state": made.state, "before": before.state, "reason": made.reason}
            note(connection, None, "domain.state", made.name, made.organisation_id, told)

    def supply(self, base: str | None, username: str | None) -> None:
        """Give organisations the domains that the gateway supplies, and take back those of another base; some, where there are many.

        Args:
            base: below which they are; none are given without.
            username: whose domains the file's own packages are on: they are nobody else's.
        """
        with self._database.reading() as connection:
            # Asked for every second: all of them are read only where there may be others.
            mark = (base, username, *self._numbers(connection))
            if mark == self._supplied:
                return
            wanted: dict[tuple[str, str], None] = {}
            for row in connection.execute(sa.select(ORGANISATIONS.c.id, ORGANISATIONS.c.name, ORGANISATIONS.c.is_home)):
                if base is not None and (row.is_home or row.name != username):
                    wanted.update(dict.fromkeys((name, row.id) for name in supplied(row.name, base)))
            query = sa.select(DOMAINS.c.name, DOMAINS.c.organisation_id).where(DOMAINS.c.proof == "supplied")
            there = {(name, organisation) for name, organisation in connection.execute(query)}
        if there == wanted.keys():
            self._supplied = mark
        else:
            self._supply(sorted(wanted.keys() - there)[:_SUPPLIED], sorted(there - wanted.keys())[:_SUPPLIED])

    @staticmethod
    def _numbers(connection: sa.Connection) -> tuple[int, str | None, int]:
        """Return what differs when organisations were made or removed (none ever changes its name), or their supplied domains were."""
        organisations = connection.execute(sa.select(sa.func.count(), sa.func.max(ORGANISATIONS.c.id))).one()
        query = sa.select(sa.func.count()).select_from(DOMAINS).where(DOMAINS.c.proof == "supplied")
        return organisations[0], organisations[1], connection.execute(query).scalar_one()

    def _supply(self, missing: Collection[tuple[str, str]], over: Collection[tuple[str, str]]) -> None:
        now = self._clock()
        with self._database.writing() as connection:
            count_up(connection)
            which = sa.tuple_(DOMAINS.c.name, DOMAINS.c.organisation_id)
            connection.execute(DOMAINS.delete().where(which.in_(over), DOMAINS.c.proof == "supplied"))
            if not missing:
                return
            # Whatever somebody has said of them: they lie below a name that is the gateway's.
            connection.execute(DOMAINS.delete().where(DOMAINS.c.name.in_([name for name, _ in missing])))
            connection.execute(DOMAINS.insert(), [attrs.asdict(_given(name, organisation, now)) for name, organisation in missing])
            for name, organisation in missing:
                note(connection, None, "domain.supply", name, organisation)

    def served(self, *, verify: bool = True, own: Collection[str] = ()) -> Served:
        """Return what is to be served now.

        A package is served on a domain that its organisation holds. Where nobody does, it is on a domain of the configuration file too, and
        the home organisation's on any: operators have made those, and their word goes. Not so where its organisation has named the domain,
        and could not prove it.

        Args:
            verify: whether domains have to be proved.
            own: the domains of the configuration file.
        """
        with self._database.reading() as connection:
            version = rules_version(connection)
            query = sa.select(DOMAINS.c.name, DOMAINS.c.organisation_id, DOMAINS.c.state)
            claims = {(name, organisation): state for name, organisation, state in connection.execute(query)}
            found = connection.execute(sa.select(ORGANISATIONS.c.id, ORGANISATIONS.c.name, ORGANISATIONS.c.is_home)).all()
            made = sa.select(HOLDINGS.c.kind, HOLDINGS.c.definition, HOLDINGS.c.organisation_id).where(HOLDINGS.c.definition.is_not(None))
            rows = [tuple(row) for row in connection.execute(made.order_by(HOLDINGS.c.id))]
        held = {name: organisation for (name, organisation), state in claims.items() if state in HELD}
        names, home = {one.id: one.name for one in found}, {one.id for one in found if one.is_home}

        def is_served(domain: str, organisation: str) -> bool:
            if not domain or not verify:
                return True
            if domain in held:
                return bool(held[domain] == organisation)
            return (organisation in home or domain in own) and (domain, organisation) not in claims

        served: list[tuple[Kind, Mapping[str, Any]]] = []
        held_back: list[HeldBack] = []
        for kind, definition, organisation in rows:
            domain = plain(str(definition.get("domain") or ""))
            if is_served(domain, organisation):
                served.append((kind, definition))
                continue
            is_anothers = held.get(domain, organisation) != organisation
            # One that was made since the names were read; it is looked at again.
            name = names.get(organisation, "")
            held_back.append(HeldBack(kind, definition, domain, name, (domain, organisation) in claims, is_anothers))
        return Served(version, served, frozenset(held), held_back)


def _given(name: str, organisation: str, at: datetime) -> Domain:
    return Domain(
        id=new_id(at),
        organisation_id=organisation,
        name=name,
        challenge="",
        state="verified",
        reason="",
        checked_at=None,
        verified_at=at,
        created_at=at,
        proof="supplied",
    )
