"""Owning: what is known of a key, and whose it is where nobody has made a package of it.

Of such keys there are images that collections admit: they are of the organisation that the collection is of. What is left is the home
organisation's: what a file had once, what is reported by its name.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import attrs
import sqlalchemy as sa

from gatewaycore.access.records import Holding, Kind, Organisation
from gatewaycore.access.tables import AUDIT, HOLDINGS, ORGANISATIONS
from gatewaycore.errors import ConfigError
from gatewaycore.rules.container import ImagePattern


def holding_of(row: Any) -> Holding:
    """Return a row as what it stands for."""
    return Holding(**{one.name: row[one.name] for one in attrs.fields(Holding)})


def find(connection: sa.Connection, kind: Kind, key: str) -> Holding | None:
    """Return a package or a collection; None when there is none."""
    row = connection.execute(sa.select(HOLDINGS).where(HOLDINGS.c.kind == kind, HOLDINGS.c.key == key)).mappings().first()
    return None if row is None else holding_of(row)


def formers(connection: sa.Connection, kind: Kind, keys: Iterable[str] | None = None) -> dict[str, str]:
    """Return whose packages or collections were that have been deleted, by key: their numbers stay, and stay theirs.

    Args:
        connection: of the database.
        kind: which of the two.
        keys: of these alone.
    """
    query = sa.select(AUDIT.c.subject, AUDIT.c.organisation_id).where(AUDIT.c.action == f"{kind}.delete")
    if keys is not None:
        query = query.where(AUDIT.c.subject.in_(list(keys)))
    return {row.subject: row.organisation_id for row in connection.execute(query.order_by(AUDIT.c.id))}


def pattern_of(collection: str) -> ImagePattern | None:
    """Return the pattern of a collection, by its key; None where it is none: an older version took it, and it admits nothing."""
    domain, _, pattern = collection.partition(" ")
    # One on the domain that the gateway gives has none in its key.
    text = collection if not pattern or "/" in domain or "{" in domain else pattern
    try:
        return ImagePattern.parse(text)
    except ConfigError:
        return None


class Owners:
    """Says whose a key is that nobody has made a package of.

    Args:
        connection: of the database.
        keys: which may be asked about; any without.

    Attributes:
        home: the organisation that what is nobody's belongs to.
    """

    def __init__(self, connection: sa.Connection, keys: Iterable[str] | None = None) -> None:
        self.home = Organisation(**connection.execute(sa.select(ORGANISATIONS).where(ORGANISATIONS.c.is_home)).mappings().one())
        self._formers = formers(connection, "package", keys)
        query = sa.select(HOLDINGS.c.key, HOLDINGS.c.organisation_id).where(HOLDINGS.c.kind == "collection").order_by(HOLDINGS.c.id)
        self._collections = _patterns((row.key, row.organisation_id) for row in connection.execute(query))
        self._gone = _patterns(formers(connection, "collection").items())

    def image_of(self, key: str) -> str | None:
        """Return the organisation whose collection admits an image; None where there is none.

        Of several, it is that of the most specific one, and of the first of those: only operators make them beside each other.
        """
        return next((owner for pattern, owner in self._collections if pattern.match(key)), None)

    def of(self, key: str) -> str | None:
        """Return the organisation that a key is of; None where it was one's that has given it up, and is for operators to see."""
        former = self._formers.get(key)
        if former is not None:
            return self._or_none(former)
        found = self.image_of(key)
        if found is not None:
            return found
        return self._or_none(next((owner for pattern, owner in self._gone if pattern.match(key)), self.home.id))

    def _or_none(self, owner: str) -> str | None:
        return owner if owner == self.home.id else None


def _patterns(collections: Iterable[tuple[str, str]]) -> list[tuple[ImagePattern, str]]:
    """Return the patterns of collections with their owners, the most specific first."""
    found = [(pattern, owner) for key, owner in collections if (pattern := pattern_of(key)) is not None]
    return sorted(found, key=lambda pair: pair[0].specificity, reverse=True)


def unmade(key: str, organisation_id: str, home: Organisation) -> Holding:
    """Return what is known of a package that nobody has made."""
    return Holding(
        id="",
        kind="package",
        key=key,
        organisation_id=organisation_id,
        definition=None,
        is_public=False,
        version=0,
        created_at=home.created_at,
        updated_at=home.created_at,
    )
