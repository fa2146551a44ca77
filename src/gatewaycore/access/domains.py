"""Domains that organisations say are theirs, and what their records have to hold for that."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import datetime

import attrs
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from gatewaycore.access.database import Database
from gatewaycore.access.groups import Groups
from gatewaycore.access.records import Domain, DomainState, Principal
from gatewaycore.access.roles import Scope
from gatewaycore.access.standing import require, require_operator, role_in
from gatewaycore.access.tables import DOMAINS
from gatewaycore.access.trail import new_id, note
from gatewaycore.addresses import is_address
from gatewaycore.errors import ConfigError, ConflictError, Problem, RequestError, UnknownError
from gatewaycore.request import normalise_host


class Domains:
    """Domains of organisations.

    Args:
        database: where they are.
        groups: know who has which role.
        clock: says what time it is, UTC.
    """

    def __init__(self, database: Database, groups: Groups, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._groups = groups
        self._clock = clock

    def create(self, name: str, organisation: str, by: Principal) -> Domain:
        """Say that a domain is an organisation's. It is `pending` until its records prove it.

        Raises:
            ConfigError: it is no domain.
            UnknownError, AccessError: `by` may not.
            ConflictError: somebody has said so already.
        """
        at = self._clock()
        checked = _check(name)
        with self._database.writing() as connection:
            found = self._groups.held(connection, organisation, by, "write")
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
            )
            try:
                connection.execute(DOMAINS.insert().values(attrs.asdict(made)))
            except IntegrityError:
                raise ConflictError(f"{checked} is somebody's already") from None
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
        query = sa.select(DOMAINS).where(DOMAINS.c.organisation_id.in_(organisation_ids)).order_by(DOMAINS.c.name)
        with self._database.reading() as connection:
            return [Domain(**row) for row in connection.execute(query).mappings()]

    def look(self, name: str, by: Principal) -> Domain:
        """Return a domain.

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
            connection.execute(DOMAINS.delete().where(DOMAINS.c.id == found.id))
            note(connection, by, "domain.delete", found.name, found.organisation_id)

    def all(self) -> list[Domain]:
        """Return every domain, by name: for whoever looks at their records."""
        with self._database.reading() as connection:
            return [Domain(**row) for row in connection.execute(sa.select(DOMAINS).order_by(DOMAINS.c.name)).mappings()]

    def vouch(self, name: str, by: Principal) -> Domain:
        """Take a domain for proved, whatever its records say: operators know whom they gave which.

        Raises:
            AccessError: `by` is no operator.
            UnknownError: there is no such domain.
        """
        require_operator(by)
        with self._database.writing() as connection:
            found = self._held(connection, name, by, "admin")
            at = self._clock()
            made = attrs.evolve(found, state="verified", reason="", verified_at=found.verified_at or at)
            values = {"state": made.state, "reason": "", "verified_at": made.verified_at}
            connection.execute(DOMAINS.update().where(DOMAINS.c.id == found.id).values(values))
            note(connection, by, "domain.vouch", found.name, found.organisation_id)
        return made

    def note_state(self, name: str, state: DomainState, reason: str = "") -> None:
        """Write down what a look at a domain's records has said."""
        at = self._clock()
        with self._database.writing() as connection:
            row = connection.execute(sa.select(DOMAINS).where(DOMAINS.c.name == name)).mappings().first()
            if row is None:
                return
            values = {"state": state, "reason": reason[:500], "checked_at": at}
            if state == "verified":
                values["verified_at"] = row["verified_at"] or at
            connection.execute(DOMAINS.update().where(DOMAINS.c.id == row["id"]).values(values))
            if state != row["state"]:
                note(connection, None, "domain.state", name, row["organisation_id"], {"state": state, "before": row["state"]})

    def _held(self, connection: sa.Connection, name: str, by: Principal, scope: Scope) -> Domain:
        row = connection.execute(sa.select(DOMAINS).where(DOMAINS.c.name == name.strip().lower().rstrip("."))).mappings().first()
        if row is None:
            raise UnknownError(f"there is no domain {name[:80]!r} that you may see")
        found = Domain(**row)
        require(by, role_in(connection, by, found.organisation_id), scope, "domain")
        return found


def _check(name: str) -> str:
    try:
        host = normalise_host(name.strip())
    except RequestError:
        host = ""
    if "." not in host or ":" in name or is_address(host) or len(host) > 253:
        raise ConfigError([Problem("name", f"{name[:80]!r} is no domain", "write a name such as get.acme.com")])
    return host
