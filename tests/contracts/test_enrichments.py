"""Every enrichment keeps the contract of enrichments."""

from __future__ import annotations

from pathlib import Path

from mmdb_writer import MMDBWriter
from netaddr import IPSet  # type: ignore[import-untyped,unused-ignore]

from gatewaycore.enrich import ENRICHMENTS, ClientEnrichment, Enrichment, GeoEnrichment
from tests.contracts.enrichment import EnrichmentContract

RECORD = {
    "country": {"iso_code": "AT"},
    "subdivisions": [{"iso_code": "9"}],
    "city": {"names": {"en": "Vienna"}},
    "traits": {"user_type": "business"},
}


class TestClient(EnrichmentContract):
    def make(self, folder: Path) -> Enrichment:
        return ClientEnrichment()


class TestGeo(EnrichmentContract):
    def make(self, folder: Path) -> Enrichment:
        writer = MMDBWriter(ip_version=6, database_type="Test", ipv4_compatible=True)
        writer.insert_network(IPSet(["0.0.0.0/1", "2000::/3"]), RECORD)
        path = folder / "test.mmdb"
        writer.to_db_file(str(path))
        return GeoEnrichment(database=str(path), city=True)


def test_the_whole_roster_is_held_to_the_contract(tmp_path: Path) -> None:
    assert {type(contract().make(tmp_path)) for contract in (TestClient, TestGeo)} == set(ENRICHMENTS.values())
