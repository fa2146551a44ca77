"""Every enrichment keeps the contract of enrichments."""

from __future__ import annotations

from pathlib import Path

from gatewaycore.enrich import ENRICHMENTS, ClientEnrichment, CloudEnrichment, CompanyEnrichment, Enrichment, GeoEnrichment
from tests.contracts.enrichment import EnrichmentContract
from tests.networks import write_database

RECORD = {
    "country": {"iso_code": "AT"},
    "subdivisions": [{"iso_code": "9"}],
    "city": {"names": {"en": "Vienna"}},
    "traits": {"user_type": "business", "organization": "Acme", "domain": "acme.com", "autonomous_system_number": 24940},
}
NETWORKS = ("0.0.0.0/1", "2000::/3")


def database(folder: Path) -> str:
    return str(write_database(folder / "test.mmdb", dict.fromkeys(NETWORKS, RECORD)))


class TestClient(EnrichmentContract):
    def make(self, folder: Path) -> Enrichment:
        return ClientEnrichment()


class TestGeo(EnrichmentContract):
    def make(self, folder: Path) -> Enrichment:
        return GeoEnrichment(database=database(folder), city=True)


class TestCompany(EnrichmentContract):
    def make(self, folder: Path) -> Enrichment:
        return CompanyEnrichment(databases=(database(folder),))


class TestCloud(EnrichmentContract):
    def make(self, folder: Path) -> Enrichment:
        (folder / "ips").write_text("64.0.0.0/2\n2400::/12\n")
        return CloudEnrichment(databases=(database(folder),), ranges=(str(folder / "ips"),))


def test_the_whole_roster_is_held_to_the_contract(tmp_path: Path) -> None:
    assert {type(contract().make(tmp_path)) for contract in (TestClient, TestGeo, TestCompany, TestCloud)} == set(ENRICHMENTS.values())
