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
from gatewaycore.console_limits import DEFAULT_CONSOLE_LIMITS, ConsoleLimits
from gatewaycore.errors import MissingExtraError

try:
    from gatewaycore.access.answers import Answers, Given
    from gatewaycore.access.database import Database
    from gatewaycore.access.definitions import Check
    from gatewaycore.access.domains import Domains
    from gatewaycore.access.groups import Groups
    from gatewaycore.access.holdings import Holdings
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
    from gatewaycore.access.sight import Seen
    from gatewaycore.access.trail import Trail
except ImportError as error:
    if (error.name or "").partition(".")[0] not in ("sqlalchemy", "alembic"):
        raise
    raise MissingExtraError.of("console", "console") from error

CONSOLE_STATE = "console.sqlite3"
"""Where, under the data-dir, it all lies unless it is in PostgreSQL."""


def _now() -> datetime:
    return datetime.now(UTC)


class Access:
    """Everything of the state database.

    Args:
        state: the path of a SQLite file, or the URL of PostgreSQL.
        home: the name of the organisation that packages of the configuration file belong to, when it is made.
        clock: says what time it is, UTC.
        limits: how much of everything there may be.

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

    def __init__(
        self,
        state: str | Path,
        home: str = "home",
        clock: Callable[[], datetime] = _now,
        limits: ConsoleLimits = DEFAULT_CONSOLE_LIMITS,
    ) -> None:
        self.database = Database(state)
        self.people = People(self.database, clock, limits)
        self.groups = Groups(self.database, clock, limits)
        self.holdings = Holdings(self.database, self.groups, clock, limits)
        self.domains = Domains(self.database, self.groups, clock, limits)
        self.proofs = Proofs(self.database, clock)
        self.trail = Trail(self.database)
        self.answers = Answers(self.database, clock)
        self.groups.home(home)

    def close(self) -> None:
        """Close the connections."""
        self.database.close()


__all__ = [
    "CONSOLE_STATE", "HIDDEN", "PREFIX", "ROLES", "SCOPES", "SESSION_S", "Access", "Answers", "Check", "Database", "Domain", "DomainState",
    "Domains", "Entry", "Given", "Groups", "Holding", "Holdings", "Kind", "Member", "Organisation", "People", "Principal", "Proof",
    "Proofs", "Role", "Scope", "Seen", "Served", "Session", "Token", "Trail", "User", "covers", "hidden", "may_change", "may_grant",
    "restored",
]  # fmt: skip
