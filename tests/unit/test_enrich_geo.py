"""Looking addresses up in database files of every usual make, and in broken ones."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mmdb_writer import MMDBWriter
from netaddr import IPSet  # type: ignore[import-untyped,unused-ignore]

from gatewaycore.enrich import Caller, CloudEnrichment, CompanyEnrichment, Enrichment, Refreshed
from gatewaycore.enrich.geo import GeoDatabase, GeoEnrichment, Place
from gatewaycore.errors import ConfigError
from tests.networks import proving_here, replace, write_database

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a database of networks and their records; return its path."""

    def to_file(records: dict[str, Any], ip_version: int = 6, name: str = "Test") -> Path:
        writer = MMDBWriter(ip_version=ip_version, database_type=name, ipv4_compatible=ip_version == 6)
        for network, record in records.items():
            writer.insert_network(IPSet([network]), record)
        path = tmp_path / f"{name}.mmdb"
        writer.to_db_file(str(path))
        return path

    return to_file


CITY = {
    "city": {"geoname_id": 1, "names": {"de": "Boxfurt", "en": "Boxford"}},
    "country": {"iso_code": "GB", "names": {"en": "United Kingdom"}},
    "registered_country": {"iso_code": "FR"},
    "subdivisions": [{"iso_code": "ENG", "names": {"en": "England"}}, {"iso_code": "WBK"}],
}


@pytest.mark.parametrize(
    ("record", "place"),
    [
        # MaxMind
        (CITY, Place(country="GB", region="ENG", city="Boxford")),
        ({"country": {"iso_code": "jp"}}, Place(country="JP")),
        ({"autonomous_system_number": 15169, "autonomous_system_organization": "Google"}, Place(asn=15169, organization="Google")),
        ({"autonomous_system_number": 174}, Place(asn=174)),
        ({"isp": "Telstra Internet", "organization": "Telstra", "autonomous_system_organization": "T"}, Place(organization="Telstra")),
        ({"isp": "Wifi"}, Place(organization="Wifi")),
        ({"domain": "acme.com"}, Place(domain="acme.com")),
        ({"connection_type": "Cable/DSL"}, Place(connection="isp")),
        ({"connection_type": "Corporate"}, Place(connection="business")),
        ({"is_anonymous": True, "is_hosting_provider": True}, Place(connection="hosting")),
        (
            {
                "country": {"iso_code": "SE"},
                "traits": {"autonomous_system_number": 22, "domain": "a.se", "user_type": "college", "connection_type": "Cellular"},
            },
            Place(country="SE", asn=22, domain="a.se", connection="education"),
        ),
        ({"traits": {"user_type": "consumer_privacy_network"}}, Place(connection="unknown")),
        # DB-IP: names without codes
        (
            {"city": {"names": {"fr": "Genève"}}, "country": {"iso_code": "CH"}, "subdivisions": [{"names": {"en": "Geneva"}}]},
            Place(country="CH", region="Geneva", city="Genève"),
        ),
        # IPinfo, its older and its newer files
        (
            {"city": "Berlin", "region": "Land Berlin", "region_code": "BE", "country": "DE", "lat": "52.5"},
            Place(country="DE", region="BE", city="Berlin"),
        ),
        (
            {"country": "United States", "country_code": "US", "asn": "AS123", "as_name": "Acme, Inc.", "as_domain": "acme.com"},
            Place(country="US", asn=123, organization="Acme, Inc.", domain="acme.com"),
        ),
        (
            {"asn": "AS64500", "name": "Acme University", "as_name": "NREN", "domain": "acme.edu", "type": "education"},
            Place(asn=64500, organization="Acme University", domain="acme.edu", connection="education"),
        ),
        ({"hosting": "true", "vpn": "false"}, Place(connection="hosting")),
        # ip-location-db
        ({"country_code": "NZ", "state1": "Otago", "city": "Dunedin"}, Place(country="NZ", region="Otago", city="Dunedin")),
    ],
)
def test_every_usual_record_is_understood(write: Write, record: dict[str, Any], place: Place) -> None:
    database = GeoDatabase.open(write({"203.0.113.0/24": record}))
    assert database.lookup("203.0.113.7") == place
    assert database.lookup("198.51.100.1") is None
    database.close()


@pytest.mark.parametrize(
    "record",
    [
        {},
        {"ip": "203.0.113.1"},
        {"continent": {"code": "EU"}},
        {"country": {"names": {"en": "Somewhere"}}},
        {"country": "Somewhere", "asn": "none", "city": " ", "domain": ""},
        {"country": ["x"], "subdivisions": [], "traits": "x", "city": {"names": []}, "autonomous_system_number": True, "asn": "AS0"},
        {"subdivisions": ["x"], "city": 5, "is_hosting_provider": False, "connection_type": "Carrier pigeon"},
        "text",
        [1, 2],
    ],
)
def test_records_that_say_nothing_say_nothing(write: Write, record: Any) -> None:
    assert GeoDatabase.open(write({"203.0.113.0/24": record})).lookup("203.0.113.7") is None


@pytest.mark.parametrize(
    "text",
    ["", "not an ip", "1.2.3", "256.1.1.1", "::g", "1.2.3.4\0", "\ud800", "203.0.113.07", " 203.0.113.7", "203.0.113.7:80", "9" * 99],
)
def test_what_is_no_address_is_nowhere(write: Write, text: str) -> None:
    assert GeoDatabase.open(write({"203.0.113.0/24": CITY})).lookup(text) is None


def test_both_families_and_their_mixture(write: Write) -> None:
    both = GeoDatabase.open(write({"203.0.113.0/24": CITY, "2001:db8::/32": {"country": "JP"}}))
    assert both.lookup("2001:db8::1") == Place(country="JP")
    assert both.lookup("fe80::1%eth0") is None
    four = GeoDatabase.open(write({"203.0.113.0/24": {"country": "JP"}}, ip_version=4, name="Four"))
    assert four.lookup("2001:db8::1") is None
    assert both.lookup("::ffff:203.0.113.7") == Place("GB", "ENG", "Boxford")
    assert four.lookup("::ffff:203.0.113.7") == Place(country="JP")


def test_a_closed_database_knows_nothing(write: Write) -> None:
    database = GeoDatabase.open(write({"203.0.113.0/24": CITY}))
    database.close()
    assert database.lookup("203.0.113.7") is None


def test_files_that_are_no_database_are_refused_by_name(tmp_path: Path, write: Write) -> None:
    whole = write({"203.0.113.0/24": CITY}).read_bytes()
    broken = {
        "empty": b"",
        "text": b"not a database" * 100,
        "gzip": b"\x1f\x8b\x08" + bytes(100),
        "marker": b"\xab\xcd\xefMaxMind.com",
        "tail": whole[-60:],
        "head": whole[:200],
    }
    for name, content in broken.items():
        path = tmp_path / f"{name}.mmdb"
        path.write_bytes(content)
        with pytest.raises(ConfigError) as caught:
            GeoDatabase.open(path)
        (problem,) = caught.value.problems
        assert problem.where == str(path)
        assert problem.hint
    with pytest.raises(ConfigError, match="cannot be read"):
        GeoDatabase.open(tmp_path / "missing.mmdb")
    with pytest.raises(ConfigError):
        GeoDatabase.open(tmp_path)


def test_damage_is_found_when_a_file_is_opened_or_costs_the_answer_and_is_counted(tmp_path: Path, write: Write) -> None:
    whole = write({f"203.0.{number}.0/24": {**CITY, "n": number} for number in range(64)}).read_bytes()
    # One byte after another, from the end of the search tree up to the metadata: pointers, types and lengths are all hit.
    data = range(whole.rindex(b"\0" * 16) + 16, whole.rindex(b"\xab\xcd\xefMaxMind.com"), 7)
    refused = []
    for position in data:
        path = replace(tmp_path / "damaged.mmdb", whole[:position] + b"\xff" + whole[position + 1 :])
        try:
            with proving_here():
                database = GeoDatabase.open(path)
        except ConfigError as error:
            # Other damage makes another text of a text, and nobody can tell.
            refused += error.problems
            continue
        for address in ("203.0.0.7", "203.0.63.7", "2001:db8::1"):
            found = database.lookup(address)
            assert found is None or isinstance(found, Place)
        assert not database.unreadable
        database.close()
    assert {problem.where for problem in refused} == {str(path)}
    assert {problem.what.partition(":")[0] for problem in refused} == {"is damaged"}


def with_a_hidden_fault(path: Path) -> Path:
    """Write a database in which one network cannot be read, behind so many others that nobody looks at it beforehand."""
    records: dict[str, Any] = {f"1.{number // 200}.{number % 200}.1/32": {"country": {"iso_code": "JP"}} for number in range(1100)}
    write_database(path, {**records, "203.0.113.0/24": {"country": "GB", "mark": "here it is"}}, ip_version=4)
    content = path.read_bytes()
    mark = content.index(b"here it is")
    return replace(path, content[: mark - 1] + b"\xff" + content[mark:])


@pytest.mark.parametrize("kind", ["geo", "company", "cloud"])
def test_damage_that_shows_later_is_told_ever_more_rarely(tmp_path: Path, kind: str) -> None:
    path = str(with_a_hidden_fault(tmp_path / "x.mmdb"))
    settings: dict[str, Enrichment] = {
        "geo": GeoEnrichment(database=path),
        "company": CompanyEnrichment(databases=(path,)),
        "cloud": CloudEnrichment(databases=(path,)),
    }
    with pytest.MonkeyPatch.context() as patched:
        # Nobody could find out beforehand.
        patched.setattr(sys, "executable", "")
        enricher: Any = settings[kind].open()
    (note,) = enricher.refresh().notes
    assert str(note).startswith(f"{path}: is read by a slower reader: there is no interpreter that could check it")
    assert enricher.refresh() == Refreshed()
    told = []
    for _ in range(40):
        assert enricher.columns(caller("203.0.113.7")) == {}
        enricher.columns(caller("1.0.0.1"))
        told += enricher.refresh().damaged
    assert [problem.what for problem in told] == [f"is damaged: {count} look-ups have failed" for count in (1, 2, 4, 8, 16, 32)]
    assert {problem.where for problem in told} == {path}
    write_database(tmp_path / "x.mmdb", {"203.0.113.0/24": {"country": "GB"}})
    assert enricher.refresh() == Refreshed(swapped=True)
    enricher.close()


def caller(address: str) -> Caller:
    return Caller(address, None, "get.acme.example")


def test_columns_and_cities_only_when_wanted(write: Write) -> None:
    path = str(write({"203.0.113.0/24": {**CITY, "traits": {"user_type": "business", "organization": "Acme"}}}))
    for city, expected in ((False, None), (True, "Boxford")):
        enricher = GeoEnrichment(database=path, city=city).open()
        # An organisation is not yet a company: there is no such column.
        assert enricher.columns(caller("203.0.113.7")) == {"country": "GB", "region": "ENG", "city": expected, "connection": "business"}
        for unknown in ("", "198.51.100.1", "nobody"):
            assert enricher.columns(caller(unknown)) == {}
        enricher.close()


def test_a_missing_database_is_said_when_the_service_starts(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        GeoEnrichment(database=str(tmp_path / "none.mmdb")).open()
