"""Tables of the state database, for SQLite and PostgreSQL alike. `migrations/` makes them; a test holds the two to each other."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.types import TypeDecorator

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}


class Utc(TypeDecorator[datetime]):
    """A moment, UTC, also where a database knows no zones."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        """Write it in UTC."""
        if value is None:
            return None
        moment = value.astimezone(UTC)
        return moment.replace(tzinfo=None) if dialect.name == "sqlite" else moment

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        """Read it as UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


METADATA = sa.MetaData(naming_convention=NAMING)


def _id() -> sa.Column[str]:
    return sa.Column("id", sa.String(36), primary_key=True)


def _of(name: str, table: str, **more: Any) -> sa.Column[Any]:
    return sa.Column(name, sa.String(36), sa.ForeignKey(f"{table}.id", ondelete="CASCADE"), **more)


USERS = sa.Table(
    "users",
    METADATA,
    _id(),
    sa.Column("name", sa.String(64), nullable=False, unique=True),
    sa.Column("is_operator", sa.Boolean(), nullable=False),
    sa.Column("created_at", Utc(), nullable=False),
    sa.Column("disabled_at", Utc()),
)
ORGANISATIONS = sa.Table(
    "organisations",
    METADATA,
    _id(),
    sa.Column("name", sa.String(64), nullable=False, unique=True),
    sa.Column("title", sa.String(200), nullable=False),
    sa.Column("is_home", sa.Boolean(), nullable=False),
    sa.Column("created_at", Utc(), nullable=False),
)
TOKENS = sa.Table(
    "tokens",
    METADATA,
    _id(),
    _of("user_id", "users", nullable=False, index=True),
    _of("organisation_id", "organisations"),
    sa.Column("name", sa.String(200), nullable=False),
    sa.Column("hash", sa.String(80), nullable=False, unique=True),
    sa.Column("hint", sa.String(8), nullable=False),
    sa.Column("scopes", sa.String(64), nullable=False),
    sa.Column("created_at", Utc(), nullable=False),
    sa.Column("expires_at", Utc()),
    sa.Column("used_on", Utc()),
    sa.Column("revoked_at", Utc()),
)
SESSIONS = sa.Table(
    "sessions",
    METADATA,
    sa.Column("hash", sa.String(80), primary_key=True),
    _of("token_id", "tokens", nullable=False, index=True),
    sa.Column("csrf", sa.String(64), nullable=False),
    sa.Column("created_at", Utc(), nullable=False),
    sa.Column("expires_at", Utc(), nullable=False, index=True),
)
HOLDINGS = sa.Table(
    "holdings",
    METADATA,
    _id(),
    _of("organisation_id", "organisations", nullable=False, index=True),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("key", sa.String(500), nullable=False),
    sa.Column("definition", sa.JSON(none_as_null=True)),
    sa.Column("is_public", sa.Boolean(), nullable=False),
    sa.Column("version", sa.Integer(), nullable=False),
    sa.Column("created_at", Utc(), nullable=False),
    sa.Column("updated_at", Utc(), nullable=False),
    sa.UniqueConstraint("kind", "key"),
)
MEMBERS = sa.Table(
    "members",
    METADATA,
    _of("organisation_id", "organisations", primary_key=True),
    _of("user_id", "users", primary_key=True, index=True),
    sa.Column("role", sa.String(16), nullable=False),
    sa.Column("since", Utc(), nullable=False),
)
GRANTS = sa.Table(
    "grants",
    METADATA,
    _of("holding_id", "holdings", primary_key=True),
    _of("user_id", "users", primary_key=True, index=True),
    sa.Column("role", sa.String(16), nullable=False),
    sa.Column("since", Utc(), nullable=False),
)
DOMAINS = sa.Table(
    "domains",
    METADATA,
    _id(),
    _of("organisation_id", "organisations", nullable=False, index=True),
    sa.Column("name", sa.String(253), nullable=False),
    sa.Column("challenge", sa.String(64), nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("reason", sa.String(500), nullable=False),
    sa.Column("checked_at", Utc()),
    sa.Column("verified_at", Utc()),
    sa.Column("created_at", Utc(), nullable=False),
    sa.Column("proof", sa.String(16), nullable=False, server_default="records"),
    sa.Column("seen", sa.JSON(), nullable=False, server_default="{}"),
    sa.Column("next_at", Utc(), index=True),
    sa.Column("failing_since", Utc()),
    # Anybody may say that a domain is theirs; one proves it.
    sa.UniqueConstraint("name", "organisation_id"),
)
_HELD = sa.text("state IN ('verified', 'failing')")
# Two nodes that look at once must not find two owners.
sa.Index("ix_domains_held", DOMAINS.c.name, unique=True, sqlite_where=_HELD, postgresql_where=_HELD)
AUDIT = sa.Table(
    "audit",
    METADATA,
    _id(),
    sa.Column("at", Utc(), nullable=False),
    sa.Column("actor", sa.String(64)),
    sa.Column("token_id", sa.String(36)),
    sa.Column("action", sa.String(64), nullable=False),
    sa.Column("subject", sa.String(500), nullable=False),
    # Not a reference: what was done to an organisation is remembered when it is gone.
    sa.Column("organisation_id", sa.String(36), index=True),
    sa.Column("details", sa.JSON(), nullable=False),
)
ANSWERS = sa.Table(
    "answers",
    METADATA,
    sa.Column("key", sa.String(80), primary_key=True),
    sa.Column("request", sa.String(80), nullable=False),
    sa.Column("status", sa.Integer()),
    sa.Column("headers", sa.JSON()),
    sa.Column("body", sa.LargeBinary()),
    sa.Column("at", Utc(), nullable=False, index=True),
)
COUNTERS = sa.Table(
    "counters",
    METADATA,
    sa.Column("name", sa.String(32), primary_key=True),
    sa.Column("value", sa.Integer(), nullable=False),
)
