"""One file for each enrichment, and the roster of them all: what can be known of a caller.

An enrichment is settings with one verb, ``open() -> Enricher``; files and heavy imports belong there. What an enricher says depends on
nothing but the caller, so that it is asked once for each caller in a while, and not once for each request.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from gatewaycore.enrich.agent import ClientEnrichment
from gatewaycore.enrich.caller import COLUMNS, Caller, Column, Enricher, Enrichment
from gatewaycore.enrich.cloud import CloudEnrichment
from gatewaycore.enrich.company import CompanyEnrichment
from gatewaycore.enrich.files import Refreshed
from gatewaycore.enrich.geo import GeoEnrichment

ENRICHMENTS: Mapping[str, type[Enrichment]] = MappingProxyType(
    {
        "client": ClientEnrichment,
        "geo": GeoEnrichment,
        "company": CompanyEnrichment,
        "cloud": CloudEnrichment,
    }
)

__all__ = [
    "COLUMNS",
    "ENRICHMENTS",
    "Caller",
    "ClientEnrichment",
    "CloudEnrichment",
    "Column",
    "CompanyEnrichment",
    "Enricher",
    "Enrichment",
    "GeoEnrichment",
    "Refreshed",
]
