"""The protocols of enrichment: a `Caller` goes in, columns of the event come out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, TypeAlias

from attrs import frozen

Column: TypeAlias = str | float | None

COLUMNS = frozenset(
    [
        "client",
        "client_version",
        "client_runtime",
        "os",
        "device",
        "agent",
        "agent_reason",
        "arch",
        "country",
        "region",
        "city",
        "company",
        "company_domain",
        "connection",
        "cloud",
        "confidence",
    ]
)
"""What an enricher may fill in. ``arch`` counts only where the rule knows none."""


@frozen
class Caller:
    """Who asks: everything of a request that does not change while the same client asks for one thing after another.

    Attributes:
        address: as text, "" when unknown. To be looked up, and left behind in no column.
        user_agent: as sent; None when it was not.
        domain: the host asked for.
    """

    address: str
    user_agent: str | None
    domain: str


class Enricher(Protocol):
    """Says what can be known of a caller. Total: never raises; what it cannot know is left out or None.

    It may have two more verbs. ``close()`` lets go of its files. ``refresh() -> Refreshed`` is called by whoever keeps house, about once a
    minute, and never at the same time by two: it looks whether files were replaced. See `gatewaycore.enrich.files`.
    """

    def columns(self, caller: Caller) -> Mapping[str, Column]:
        """Return columns of the event by name, out of `COLUMNS`."""
        ...


class Enrichment(Protocol):
    """Settings of an enricher. Frozen; its fields are the keys of the configuration."""

    def open(self) -> Enricher:
        """Make the enricher.

        Raises:
            ConfigError: a file it needs cannot be used.
        """
        ...
