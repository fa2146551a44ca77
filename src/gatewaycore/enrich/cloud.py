"""Enrichment `cloud`: which cloud provider's machine is calling, by the providers' own lists of networks and by autonomous system."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attrs import frozen

from gatewaycore.enrich.caller import Caller, Column
from gatewaycore.enrich.databases import GeoDatabase, refresh_databases, watch_databases
from gatewaycore.enrich.files import Refreshed, Watched
from gatewaycore.enrich.providers import SYSTEMS
from gatewaycore.enrich.ranges import Ranges, read_ranges
from gatewaycore.errors import ConfigError, Problem

__all__ = ["CloudEnricher", "CloudEnrichment"]


@frozen(kw_only=True)
class CloudEnrichment:
    """Settings of the `cloud` enrichment. One of the two must be there.

    Attributes:
        ranges: the paths of lists of networks, as providers publish them; the narrowest network counts.
        databases: the paths of ``.mmdb`` files with autonomous systems, asked where no list has the address.
    """

    ranges: tuple[str, ...] = ()
    databases: tuple[str, ...] = ()

    def open(self) -> CloudEnricher:
        """Read the lists and open the databases.

        Raises:
            ConfigError: there is neither, or one cannot be used.
        """
        if not self.ranges and not self.databases:
            raise ConfigError([Problem("ranges", "names no file", "lists of networks, or databases: with autonomous systems")])
        ranges = Watched.open({f"ranges[{position}]": path for position, path in enumerate(self.ranges)}, read_ranges)
        return CloudEnricher(ranges, watch_databases(self.databases))


class CloudEnricher:
    """Fills in cloud, and connection where it does.

    Args:
        ranges: the providers' lists.
        databases: where autonomous systems are looked up.
    """

    __slots__ = ("_databases", "_ranges")

    def __init__(self, ranges: Watched[Ranges], databases: Sequence[Watched[GeoDatabase]]) -> None:
        self._ranges = ranges
        self._databases = tuple(databases)

    def columns(self, caller: Caller) -> Mapping[str, Column]:
        """Return the provider whose machine has the caller's address."""
        provider = (self._ranges.value.find(caller.address) or self._by_system(caller.address)) if caller.address else None
        return {} if provider is None else {"cloud": provider, "connection": "hosting"}

    def refresh(self) -> Refreshed:
        """Read the files that have replaced others."""
        lists, databases = self._ranges.refresh(), refresh_databases(self._databases)
        return Refreshed(lists.swapped or databases.swapped, lists.problems + databases.problems, databases.damaged, databases.notes)

    def close(self) -> None:
        """Close the databases."""
        for watched in self._databases:
            watched.value.close()

    def _by_system(self, address: str) -> str | None:
        for watched in self._databases:
            place = watched.value.lookup(address)
            provider = None if place is None or place.asn is None else SYSTEMS.get(place.asn)
            if provider is not None:
                return provider
        return None
