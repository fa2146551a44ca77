"""Access: who may see and do what. Users, organisations, roles, tokens, packages that were made in the console, domains, and an audit log.

Everything lies in the state database: a SQLite file in the data-dir, or PostgreSQL, which several nodes share. Every change asks `standing`
first whether somebody may make it, and is written down in the same transaction. Nothing here knows a request.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from gatewaycore.access.roles import ROLES, SCOPES, Role, Scope, covers, may_change, may_grant
from gatewaycore.access.secrets import HIDDEN, hidden, restored
from gatewaycore.errors import MissingExtraError

try:
    from gatewaycore.access.answers import Answers, Given
    from gatewaycore.access.database import Database
    from gatewaycore.access.domains import Domains
    from gatewaycore.access.groups import Groups
    from gatewaycore.access.holdings import Check, Holdings, Seen
    from gatewaycore.access.people import PREFIX, SESSION_S, People
    from gatewaycore.access.proofs import Proofs, Served
    from gatewaycore.access.records import (
        Domain,
        DomainState,
        Entry,
        Holding,
        Kind,
        Member,
        Organisation,
        Principal,
        Proof,
        Session,
        Token,
        User,
    )
    from gatewaycore.access.trail import Trail
except ImportError as error:
    if (error.name or "").partition(".")[0] not in ("sqlalchemy", "alembic"):
        raise
    raise MissingExtraError.of("console", "console") from error

STATE = "console.sqlite3"
"""Where, under the data-dir, it all lies unless it is in PostgreSQL."""


def _now() -> datetime:
    return datetime.now(UTC)


class Access:
    """Everything of the state database.

    Args:
        state: the path of a SQLite file, or the URL of PostgreSQL.
        home: the name of the organisation that packages of the configuration file belong to, when it is made.
        clock: says what time it is, UTC.

    Attributes:
        people: users, tokens and sessions.
        groups: organisations and roles.
        holdings: packages and collections.
        domains: those of organisations.
        proofs: of domains, for whoever looks at their records, and for those who serve.
        trail: the audit log.
        answers: to requests with an idempotency key.

    Raises:
        ConfigError: it cannot be reached or used.
    """

    def __init__(self, state: str | Path, home: str = "home", clock: Callable[[], datetime] = _now) -> None:
        self.database = Database(state)
        self.people = People(self.database, clock)
        self.groups = Groups(self.database, clock)
        self.holdings = Holdings(self.database, self.groups, clock)
        self.domains = Domains(self.database, self.groups, clock)
        self.proofs = Proofs(self.database, self.holdings, clock)
        self.trail = Trail(self.database)
        self.answers = Answers(self.database, clock)
        self.groups.home(home)

    def close(self) -> None:
        """Close the connections."""
        self.database.close()


__all__ = [
    "HIDDEN", "PREFIX", "ROLES", "SCOPES", "SESSION_S", "STATE", "Access", "Answers", "Check", "Database", "Domain", "DomainState",
    "Domains", "Entry", "Given", "Groups", "Holding", "Holdings", "Kind", "Member", "Organisation", "People", "Principal", "Proof",
    "Proofs", "Role", "Scope", "Seen", "Served", "Session", "Token", "Trail", "User", "covers", "hidden", "may_change", "may_grant",
    "restored",
]  # fmt: skip
