"""Trail: the audit log. Every change is written down in the transaction that makes it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from gatewaycore.access.database import Database
from gatewaycore.access.records import Entry, Principal
from gatewaycore.access.tables import AUDIT
from gatewaycore.ids import Ids

# Each counts up within a millisecond; the log's own clock may be another one than its callers'.
_ids, _entries = Ids(), Ids()


def new_id(at: datetime, ids: Ids = _ids) -> str:
    """Return a UUIDv7 of a moment; those of one millisecond are in the order in which they were made."""
    return ids.make(int(at.timestamp() * 1_000_000_000)).decode()


def note(
    connection: sa.Connection,
    by: Principal | None,
    action: str,
    subject: str,
    organisation_id: str | None = None,
    details: Mapping[str, Any] | None = None,
) -> None:
    """Write down who has changed what.

    Args:
        connection: of the transaction that changes it.
        by: who; None for the gateway itself.
        action: such as ``package.create``.
        subject: what was changed, by name.
        organisation_id: whose it is.
        details: no secrets and no addresses.
    """
    at = datetime.now(UTC)
    connection.execute(
        AUDIT.insert().values(
            id=new_id(at, _entries),
            at=at,
            actor=None if by is None else by.user.name,
            token_id=None if by is None else by.token_id,
            action=action,
            subject=subject[:500],
            organisation_id=organisation_id,
            details=dict(details or {}),
        )
    )


class Trail:
    """Reads the audit log.

    Args:
        database: where it is.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def entries(self, organisations: list[str] | None, before: str | None = None, limit: int = 50) -> list[Entry]:
        """Return lines, the latest first.

        Args:
            organisations: of these; None for all, those of the gateway as a whole among them.
            before: an id; only what is older.
            limit: how many.
        """
        query = sa.select(AUDIT).order_by(AUDIT.c.id.desc()).limit(limit)
        if organisations is not None:
            query = query.where(AUDIT.c.organisation_id.in_(organisations))
        if before is not None:
            query = query.where(AUDIT.c.id < before)
        with self._database.reading() as connection:
            return [Entry(**row) for row in connection.execute(query).mappings()]
