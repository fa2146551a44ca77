"""Enrichment `geo`: where an address is and what kind of network it is in, from the operator's own database file.

`databases` opens and asks the file, `records` knows what its records say.
"""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen

from gatewaycore.enrich.caller import Caller, Column
from gatewaycore.enrich.databases import GeoDatabase, open_database, refresh_databases
from gatewaycore.enrich.files import Refreshed, Watched
from gatewaycore.enrich.records import Place

# The database and what it knows are for others to use, too.
__all__ = ["GeoDatabase", "GeoEnricher", "GeoEnrichment", "Place"]


@frozen(kw_only=True)
class GeoEnrichment:
    """Settings of the `geo` enrichment. Several may stand side by side, one for each database: each fills what the others leave empty.

    Attributes:
        database: the path of an ``.mmdb`` file.
        city: whether cities are kept. Off unless asked for: with a small town and a time, few people are left.
    """

    database: str
    city: bool = False

    def open(self) -> GeoEnricher:
        """Open the database.

        Raises:
            ConfigError: it cannot be used.
        """
        return GeoEnricher(Watched.open({"database": self.database}, open_database), city=self.city)


class GeoEnricher:
    """Fills in country, region, connection and, if wanted, city.

    Args:
        database: where addresses are looked up.
        city: whether cities are kept.
    """

    __slots__ = ("_city", "_database")

    def __init__(self, database: Watched[GeoDatabase], *, city: bool = False) -> None:
        self._database = database
        self._city = city

    def columns(self, caller: Caller) -> Mapping[str, Column]:
        """Return what the database knows of the caller's address."""
        place = self._database.value.lookup(caller.address) if caller.address else None
        if place is None:
            return {}
        city = place.city if self._city else None
        return {"country": place.country, "region": place.region, "city": city, "connection": place.connection}

    def refresh(self) -> Refreshed:
        """Open the file that has replaced the database, if one has."""
        return refresh_databases([self._database])

    def close(self) -> None:
        """Close the database."""
        self._database.value.close()
