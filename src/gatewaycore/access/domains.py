"""Domains that organisations say are theirs, and what their records have to hold for that."""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

import attrs
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from gatewaycore.access.bounds import check_room
from gatewaycore.access.database import Database
from gatewaycore.access.definitions import count_up
from gatewaycore.access.groups import Groups
from gatewaycore.access.records import Domain, DomainState, Principal
from gatewaycore.access.roles import Scope
from gatewaycore.access.standing import require, require_operator, role_in
from gatewaycore.access.tables import DOMAINS
from gatewaycore.access.trail import new_id, note
from gatewaycore.console_limits import DEFAULT_CONSOLE_LIMITS, ConsoleLimits
from gatewaycore.errors import ConflictError, TooSoonError, UnknownError
from gatewaycore.proving import plain, read_domain
from gatewaycore.proving.judging import HELD

MOST_UNPROVED: Final = 100
"""Domains that an organisation may name without having proved them: each is looked at again and again."""

_APART_S: Final = 3.0
LEASE_S: Final = 60.0
"""How long whoever has taken a domain to look at it has for that, before another takes it."""


class Domains:
    """Domains of organisations.

    Args:
        database: where they are.
        groups: know who has which role.
        clock: says what time it is, UTC.
        limits: how many there may be.
    """

    def __init__(
        self, database: Database, groups: Groups, clock: Callable[[], datetime], limits: ConsoleLimits = DEFAULT_CONSOLE_LIMITS
    ) -> None:
        self._database = database
        self._groups = groups
        self._clock = clock
        self._limits = limits

    def create(self, name: str, organisation: str, by: Principal) -> Domain:
        """Say that a domain is an organisation's. It is `pending` until its records prove it.

        Others may say the same, also of one that is proved: domains change hands, and whose records are there will be seen.

        Raises:
            ConfigError: it is no domain.
            UnknownError, AccessError: `by` may not.
            ConflictError: the organisation has said so already, or has as many as may be, or too many that are not proved.
        """
        at = self._clock()
        checked = read_domain(name)
        with self._database.writing() as connection:
            found = self._groups.held(connection, organisation, by, "write")
            # Those that the gateway supplies are not of its making.
            mine = sa.and_(DOMAINS.c.organisation_id == found.id, DOMAINS.c.proof != "supplied")
            check_room(connection, mine, self._limits.domains, "domains", by)
            unproved = sa.and_(DOMAINS.c.organisation_id == found.id, DOMAINS.c.state.not_in(HELD))
            if (connection.execute(sa.select(sa.func.count()).select_from(DOMAINS).where(unproved)).scalar() or 0) >= MOST_UNPROVED:
                raise ConflictError(f"{found.name} has {MOST_UNPROVED} domains that are not proved: remove some first")
            made = Domain(
                id=new_id(at),
                organisation_id=found.id,
                name=checked,
                challenge=secrets.token_urlsafe(24),
                state="pending",
                reason="",
                checked_at=None,
                verified_at=None,
                created_at=at,
                next_at=at,
            )
            try:
                connection.execute(DOMAINS.insert().values(attrs.asdict(made)))
            except IntegrityError:
                raise ConflictError(f"{found.name} has {checked} already") from None
            note(connection, by, "domain.create", checked, found.id)
        return made

    def seen_by(self, by: Principal, organisation_ids: list[str]) -> list[Domain]:
        """Return the domains of organisations, by name.

        Args:
            by: needs a token for reading.
            organisation_ids: as `Groups.organisations` has found them for `by`.

        Raises:
            AccessError: their token is not for that.
        """
        require(by, "member", "read", "domain")
        query = sa.select(DOMAINS).where(DOMAINS.c.organisation_id.in_(organisation_ids)).order_by(DOMAINS.c.name, DOMAINS.c.id)
        with self._database.reading() as connection:
            return [Domain(**row) for row in connection.execute(query).mappings()]

    def look(self, name: str, by: Principal) -> Domain:
        """Return a domain, as the organisation has it in which somebody may see it.

        Raises:
            UnknownError, AccessError: it is not there, or `by` may not see it.
        """
        with self._database.reading() as connection:
            return self._held(connection, name, by, "read")

    def delete(self, name: str, by: Principal) -> None:
        """Say no more that a domain is an organisation's.

        Raises:
            UnknownError, AccessError: `by` may not.
        """
        with self._database.writing() as connection:
            found = self._held(connection, name, by, "write")
            if found.proof == "supplied":
                raise ConflictError(f"{found.name} is one that the gateway supplies")
            connection.execute(DOMAINS.delete().where(DOMAINS.c.id == found.id))
            count_up(connection)
            note(connection, by, "domain.delete", found.name, found.organisation_id)

    def begin_look(self, name: str, by: Principal) -> Domain:
        """Take a domain, for somebody who wants its records looked at now, and return it.

        Raises:
            UnknownError, AccessError: `by` may not.
            TooSoonError: it was looked at a moment ago, by whichever process of whichever node.
        """
        now = self._clock()
        with self._database.writing() as connection:
            found = self._held(connection, name, by, "write")
            if found.proof != "records":
                raise ConflictError(
                    f"{found.name} needs no records: it is the {'operator' if found.proof == 'operator' else 'gateway'}'s word"
                )
            before = sa.or_(DOMAINS.c.checked_at.is_(None), DOMAINS.c.checked_at <= now - timedelta(seconds=_APART_S))
            taken = DOMAINS.update().where(DOMAINS.c.id == found.id, before)
            if not connection.execute(taken.values(checked_at=now, next_at=now + timedelta(seconds=LEASE_S))).rowcount:
                past_s = 0.0 if found.checked_at is None else (now - found.checked_at).total_seconds()
                wait_s = max(1, math.ceil(_APART_S - past_s))
                raise TooSoonError(f"{found.name} was looked at a moment ago: again in {wait_s} s", wait_s)
            note(connection, by, "domain.look", found.name, found.organisation_id)
        return found

    def all(self) -> list[Domain]:
        """Return every domain, by name: for whoever looks at their records."""
        with self._database.reading() as connection:
            return [Domain(**row) for row in connection.execute(sa.select(DOMAINS).order_by(DOMAINS.c.name, DOMAINS.c.id)).mappings()]

    def vouch(self, name: str, organisation: str, by: Principal) -> Domain:
        """Take a domain for proved, whatever its records say: operators know whom they gave which.

        Raises:
            AccessError: `by` is no operator.
            UnknownError: the organisation has no such domain.
            ConflictError: another one has proved it.
        """
        require_operator(by)
        with self._database.writing() as connection:
            found = self._groups.held(connection, organisation, by, "admin")
            of_it = sa.and_(DOMAINS.c.name == plain(name), DOMAINS.c.organisation_id == found.id)
            row = connection.execute(sa.select(DOMAINS).where(of_it)).mappings().first()
            if row is None:
                raise UnknownError(f"{found.name} has no domain {name[:80]!r}")
            made = attrs.evolve(self._set(connection, Domain(**row), "verified", ""), proof="operator")
            connection.execute(DOMAINS.update().where(DOMAINS.c.id == made.id).values(proof="operator"))
            note(connection, by, "domain.vouch", made.name, found.id)
        return made

    def note_state(self, domain: Domain, state: DomainState, reason: str = "") -> Domain:
        """Write down what a look at a domain's records has said.

        Args:
            domain: as it was when they were looked at.
            state: what they say.
            reason: why it is not verified.

        Raises:
            ConflictError: another organisation has proved it.
        """
        with self._database.writing() as connection:
            made = attrs.evolve(self._set(connection, domain, state, reason[:500]), checked_at=self._clock())
            connection.execute(DOMAINS.update().where(DOMAINS.c.id == made.id).values(checked_at=made.checked_at))
            if state != domain.state:
                note(connection, None, "domain.state", made.name, made.organisation_id, {"state": state, "before": domain.state})
        return made

    def _set(self, connection: sa.Connection, domain: Domain, state: DomainState, reason: str) -> Domain:
        if state == "verified":
            self._keep_apart(connection, domain.name, domain.organisation_id)
        first = self._clock() if state == "verified" and domain.verified_at is None else domain.verified_at
        made = attrs.evolve(domain, state=state, reason=reason, verified_at=first)
        values = {"state": made.state, "reason": made.reason, "verified_at": made.verified_at}
        connection.execute(DOMAINS.update().where(DOMAINS.c.id == domain.id).values(values))
        count_up(connection)
        return made

    def _keep_apart(self, connection: sa.Connection, name: str, organisation_id: str) -> None:
        """Refuse a domain that another organisation has proved to be its own."""
        others = sa.and_(DOMAINS.c.name == name, DOMAINS.c.organisation_id != organisation_id, DOMAINS.c.state.in_(HELD))
        if connection.execute(sa.select(DOMAINS.c.id).where(others)).first() is not None:
            raise ConflictError(f"another organisation has proved that {name} is its own")

    def _held(self, connection: sa.Connection, name: str, by: Principal, scope: Scope) -> Domain:
        query = sa.select(DOMAINS).where(DOMAINS.c.name == plain(name)).order_by(DOMAINS.c.id)
        for row in connection.execute(query).mappings().all():
            role = role_in(connection, by, row["organisation_id"])
            if role is not None:
                require(by, role, scope, "domain")
                return Domain(**row)
        raise UnknownError(f"there is no domain {name[:80]!r} that you may see")
