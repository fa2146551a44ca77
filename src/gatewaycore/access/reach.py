"""Reach: what a definition of somebody who does not run the gateway may touch, and under which key its events may be counted.

Whoever makes a package decides where requests for a domain lead, and sees what was counted under its key. So neither may be another
organisation's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import sqlalchemy as sa

from gatewaycore.access.owning import Owners, formers, pattern_of
from gatewaycore.access.records import Kind, Organisation, Principal
from gatewaycore.access.tables import DOMAINS, HOLDINGS, ORGANISATIONS
from gatewaycore.errors import AccessError, ConflictError
from gatewaycore.proving import plain
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
    check_domain(connection, definition, organisation_id, by)


def check_domain(connection: sa.Connection, definition: Mapping[str, Any], organisation_id: str, by: Principal) -> None:
    """Refuse a domain that the organisation has not proved to be its own.

    Raises:
        AccessError: so it is.
    """
    if by.runs_the_gateway:
        return
    name = plain(str(definition.get("domain") or ""))
    if not name:
        home = sa.and_(ORGANISATIONS.c.id == organisation_id, ORGANISATIONS.c.is_home)
        if connection.execute(sa.select(ORGANISATIONS.c.id).where(home)).first() is None:
            raise AccessError("say on which verified domain of this organisation: the gateway's own is the home organisation's")
        return
    known = sa.and_(DOMAINS.c.name == name, DOMAINS.c.organisation_id == organisation_id, DOMAINS.c.state == "verified")
    if connection.execute(sa.select(DOMAINS.c.id).where(known)).first() is None:
        raise AccessError(f"{name[:80]} is no verified domain of this organisation")


def check_key(connection: sa.Connection, key: str, of: Organisation, counted: Iterable[str]) -> None:
    """Refuse a key under which another organisation's events were counted, or will be: whoever has the key sees the numbers.

    Args:
        connection: of the database.
        key: of a package that is to be made.
        of: the organisation that makes it.
        counted: the key, if there are events of it already.

    Raises:
        ConflictError: so it is.
    """
    former = formers(connection, "package", [key]).get(key)
    if former not in (None, of.id):
        raise ConflictError(f"{key[:80]!r} was another organisation's, and its numbers still are")
    if _of_others(connection, "collection", of, lambda one: _admits(one, key)):
        raise ConflictError(f"{key[:80]!r} fits a collection of another organisation: events call its image so")
    made = sa.select(HOLDINGS.c.id).where(HOLDINGS.c.kind == "package", HOLDINGS.c.key == key)
    if former is not None or key not in counted or connection.execute(made).first() is not None:
        return
    if Owners(connection, [key]).of(key) != of.id:
        # What is nobody's is the home organisation's: reports of installs, packages of whole scopes, what a file had once.
        raise ConflictError(f"there are numbers of {key[:80]!r} already, which are not this organisation's: an operator may make it")


def check_pattern(connection: sa.Connection, key: str, of: Organisation, counted: Iterable[str]) -> None:
    """Refuse a collection that would admit what events call another organisation's package: whoever has it sees the numbers of its images.

    Args:
        connection: of the database.
        key: of the collection that is to be made.
        of: the organisation that makes it.
        counted: keys of which there are events already.

    Raises:
        ConflictError: so it is.
    """
    pattern = pattern_of(key)
    if pattern is None:
        # What is wrong with it is told by whoever checks definitions.
        return
    if _of_others(connection, "package", of, pattern.match):
        raise ConflictError(f"{str(pattern)[:80]!r} fits a package of another organisation: events call it as they would an image")
    if _of_others(connection, "collection", of, lambda one: _meets(one, pattern)):
        raise ConflictError(f"{str(pattern)[:80]!r} fits images of a collection of another organisation: an operator may make it")
    known = set(connection.execute(sa.select(HOLDINGS.c.key).where(HOLDINGS.c.kind == "package")).scalars())
    owners = Owners(connection)
    if any(owners.of(one) != of.id for one in counted if one not in known and pattern.match(one)):
        raise ConflictError(f"there are numbers of what fits {str(pattern)[:80]!r} already, which are not this organisation's")


def _of_others(connection: sa.Connection, kind: Kind, of: Organisation, fits: Callable[[str], bool]) -> bool:
    """Tell whether something fits among the keys that are another organisation's, or were."""
    others = sa.select(HOLDINGS.c.key).where(HOLDINGS.c.kind == kind, HOLDINGS.c.organisation_id != of.id)
    if any(map(fits, connection.execute(others).scalars())):
        return True
    return any(owner != of.id and fits(key) for key, owner in formers(connection, kind).items())


def _admits(collection: str, image: str) -> bool:
    pattern = pattern_of(collection)
    return pattern is not None and pattern.match(image)


def _meets(collection: str, other: ImagePattern) -> bool:
    pattern = pattern_of(collection)
    return pattern is not None and pattern.meets(other)
