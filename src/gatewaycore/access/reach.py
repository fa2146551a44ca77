"""Reach: what a definition of somebody who does not run the gateway may touch, and under which key its events may be counted.

Whoever makes a package decides where requests for a domain lead, and sees what was counted under its key. So neither may be another
organisation's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import sqlalchemy as sa

from gatewaycore.access.records import Organisation, Principal
from gatewaycore.access.tables import AUDIT, DOMAINS, HOLDINGS, ORGANISATIONS
from gatewaycore.errors import AccessError, ConfigError, ConflictError
from gatewaycore.rules.container import ImagePattern

# They let a gateway reach into its own network, hand credentials to others, or hold bodies in memory that have no bounds.
_OPERATORS = frozenset({"allow-private-backends", "allowed-realms", "limits"})


def check_reach(connection: sa.Connection, definition: Mapping[str, Any], organisation_id: str, by: Principal) -> None:
    """Refuse what only operators may say, and domains that the organisation has not proved to be its own.

    Without a domain a package is on the one that the gateway gives, which is the home organisation's.

    Raises:
        AccessError: so it is.
    """
    if by.runs_the_gateway:
        return
    for key in sorted(_OPERATORS & definition.keys()):
        raise AccessError(f"only operators of the gateway may say {key}")
    if definition.get("type") == "install" or "scopes" in definition:
        # Their events are called by whatever is reported or asked for, which may be what another organisation's are called.
        raise AccessError("only operators of the gateway make packages that name others")
    name = str(definition.get("domain") or "").strip().lower().rstrip(".")
    if not name:
        home = sa.and_(ORGANISATIONS.c.id == organisation_id, ORGANISATIONS.c.is_home)
        if connection.execute(sa.select(ORGANISATIONS.c.id).where(home)).first() is None:
            raise AccessError("say on which verified domain of this organisation: the gateway's own is the home organisation's")
        return
    known = sa.and_(DOMAINS.c.name == name, DOMAINS.c.organisation_id == organisation_id, DOMAINS.c.state == "verified")
    if connection.execute(sa.select(DOMAINS.c.id).where(known)).first() is None:
        raise AccessError(f"{name[:80]} is no verified domain of this organisation")


def check_key(connection: sa.Connection, key: str, of: Organisation, counted: bool) -> None:
    """Refuse a key under which another organisation's events were counted, or will be: whoever has the key sees the numbers.

    Args:
        connection: of the database.
        key: of a package that is to be made.
        of: the organisation that makes it.
        counted: whether there are events of the key already.

    Raises:
        ConflictError: so it is.
    """
    former = formers(connection, [key]).get(key)
    if former not in (None, of.id):
        raise ConflictError(f"{key[:80]!r} was another organisation's, and its numbers still are")
    made = sa.select(HOLDINGS.c.id).where(HOLDINGS.c.kind == "package", HOLDINGS.c.key == key)
    if counted and former is None and not of.is_home and connection.execute(made).first() is None:
        # What is nobody's is the home organisation's: reports of installs, packages of whole scopes, what a file had once.
        raise ConflictError(f"there are numbers of {key[:80]!r} already, which are not this organisation's: an operator may make it")
    others = sa.and_(HOLDINGS.c.kind == "collection", HOLDINGS.c.organisation_id != of.id)
    for one in connection.execute(sa.select(HOLDINGS.c.key).where(others)).scalars():
        if _admits(one, key):
            raise ConflictError(f"{key[:80]!r} fits a collection of another organisation: events call its image so")


def formers(connection: sa.Connection, keys: Iterable[str] | None = None) -> dict[str, str]:
    """Return whose packages were that have been deleted, by key: their numbers stay, and stay theirs.

    Args:
        connection: of the database.
        keys: of these alone.
    """
    query = sa.select(AUDIT.c.subject, AUDIT.c.organisation_id).where(AUDIT.c.action == "package.delete")
    if keys is not None:
        query = query.where(AUDIT.c.subject.in_(list(keys)))
    return {row.subject: row.organisation_id for row in connection.execute(query.order_by(AUDIT.c.id))}


def _admits(collection: str, image: str) -> bool:
    """Tell whether a collection, by its key, admits an image."""
    domain, _, pattern = collection.partition(" ")
    # One on the domain that the gateway gives has none in its key.
    text = collection if not pattern or "/" in domain or "{" in domain else pattern
    try:
        return ImagePattern.parse(text).match(image)
    except ConfigError:
        # An older version took it.
        return False
