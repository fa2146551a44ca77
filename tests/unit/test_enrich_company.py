"""Which company is behind an address: databases of every usual kind, weighed; providers are none."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from gatewaycore.enrich import Caller, Column, CompanyEnrichment, GeoEnrichment
from gatewaycore.enrich.organizations import NAME_CHARS, agrees, clean_domain, clean_name, trade_of_domain, trade_of_name
from gatewaycore.errors import ConfigError
from tests.networks import replace, write_database

NET = "203.0.113.0/24"
V4 = "203.0.113.7"
Told = Mapping[str, Column]
Ask = Callable[..., Told]


@pytest.fixture
def ask(tmp_path: Path) -> Ask:
    """Ask databases, one for each record, of one address."""

    def columns(*records: Any) -> Told:
        paths = [str(write_database(tmp_path / f"{number}.mmdb", {NET: record})) for number, record in enumerate(records)]
        enricher = CompanyEnrichment(databases=tuple(paths)).open()
        told = enricher.columns(Caller(V4, None, "x"))
        assert enricher.columns(Caller("198.51.100.1", None, "x")) == {}
        assert enricher.columns(Caller("", None, "x")) == {}
        enricher.close()
        return told

    return columns


ASN = {"autonomous_system_number": 64500, "autonomous_system_organization": "Acme Rockets Inc."}
CARRIER = {"autonomous_system_number": 1221, "autonomous_system_organization": "Telstra Pty Ltd"}


def told(company: str | None, domain: str | None, connection: str, confidence: float) -> Told:
    return {"company": company, "company_domain": domain, "connection": connection, "confidence": confidence}


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        # What names who runs the network: MaxMind, DB-IP and ip-location-db publish such.
        ([ASN], told("Acme Rockets Inc.", None, "unknown", 0.5)),
        ([CARRIER], {"connection": "isp"}),
        ([{"autonomous_system_number": 1, "autonomous_system_organization": "Hetzner Online GmbH"}], {"connection": "hosting"}),
        ([{"autonomous_system_organization": "University of Vienna"}], told("University of Vienna", None, "education", 0.5)),
        # MaxMind's ISP files
        ([{**CARRIER, "isp": "Telstra Internet", "organization": "Acme Rockets"}], told("Acme Rockets", None, "isp", 0.7)),
        ([{"isp": "Acme Rockets", "organization": "Acme Rockets"}], told("Acme Rockets", None, "unknown", 0.5)),
        ([{**CARRIER, "isp": "Telstra Internet", "organization": "Telstra Internet"}], {"connection": "isp"}),
        # Enterprise
        (
            [{"country": {}, "traits": {"organization": "Bevtec", "isp": "Telia", "domain": "bevtec.se", "user_type": "business"}}],
            told("Bevtec", "bevtec.se", "business", 1.0),
        ),
        ([{"traits": {"organization": "Bevtec", "isp": "x", "user_type": "residential"}}], {"connection": "isp"}),
        ([{"traits": {"organization": "Acme", "isp": "Acme", "user_type": "business"}}], told("Acme", None, "business", 0.6)),
        # IPinfo: company, ASN and hosting files
        (
            [{"name": "Acme Ltd", "domain": "acme.com", "type": "business", "as_name": "Telia", "as_domain": "telia.com"}],
            told("Acme Ltd", "acme.com", "business", 1.0),
        ),
        ([{"asn": "AS1", "name": "Acme Ltd", "domain": "acme.com", "type": "business"}], told("Acme Ltd", "acme.com", "business", 0.7)),
        ([{"asn": "AS1", "name": "Carrier", "domain": "carrier.example", "type": "isp"}], {"connection": "isp"}),
        ([{"as_name": "Acme", "as_domain": "other.example"}], told("Acme", "other.example", "unknown", 0.5)),
        ([{"org": "AS64500 Acme Rockets"}], told("Acme Rockets", None, "unknown", 0.5)),
        ([{"hosting": "true"}, ASN], {"connection": "hosting"}),
        # Domain, alone and with others
        ([{"domain": "acme-rockets.com"}], told(None, "acme-rockets.com", "unknown", 0.3)),
        ([{"domain": "Comcast.NET"}], {"connection": "isp"}),
        ([{"domain": "acme.com"}, CARRIER], told(None, "acme.com", "isp", 0.3)),
        ([{"domain": "acme.com"}, {"autonomous_system_organization": "OVH SAS"}], {"connection": "hosting"}),
        ([{"domain": "acmerockets.com"}, ASN], told("Acme Rockets Inc.", "acmerockets.com", "unknown", 0.6)),
        ([{"domain": "cs.univie.ac.at"}], told(None, "cs.univie.ac.at", "education", 0.3)),
        # Connection-Type
        ([{"connection_type": "Cable/DSL"}], {"connection": "isp"}),
        ([{"connection_type": "Corporate"}, ASN], told("Acme Rockets Inc.", None, "business", 0.5)),
        ([{"connection_type": "Cable/DSL"}, {"organization": "Acme Rockets", "isp": "y"}], told("Acme Rockets", None, "isp", 0.7)),
        # The best source wins, and of equal ones the first.
        ([ASN, {"organization": "Other", "isp": "y"}], told("Other", None, "business", 0.7)),
        ([ASN, {"autonomous_system_organization": "Other"}], told("Acme Rockets Inc.", None, "unknown", 0.5)),
        # What says nothing
        ([{}], {"connection": None}),
        ([{"traits": {"user_type": "consumer_privacy_network"}}], {"connection": "unknown"}),
        ([{"organization": "12 34", "domain": "203.0.113.7", "isp": 5}], {"connection": None}),
    ],
)  # fmt: skip
def test_databases_are_weighed(ask: Ask, records: list[Any], expected: Told) -> None:
    assert ask(*records) == expected


def test_what_a_database_holds_is_bounded(ask: Ask) -> None:
    found = ask({"organization": "A\n\t\x00cme " + "x" * 5000, "isp": "y", "domain": "a." * 3000 + "com"})
    company = found["company"]
    assert isinstance(company, str)
    assert company.startswith("A cme xxx")
    assert len(company) == NAME_CHARS
    assert found["company_domain"] is None


def test_files_are_named_in_what_is_wrong(tmp_path: Path) -> None:
    good = str(write_database(tmp_path / "good.mmdb", {NET: ASN}))
    with pytest.raises(ConfigError, match=r"^databases\[1\]: .*none.mmdb cannot be read"):
        CompanyEnrichment(databases=(good, str(tmp_path / "none.mmdb"))).open()
    with pytest.raises(ConfigError, match="names no file"):
        CompanyEnrichment(databases=()).open()


@pytest.mark.parametrize("kind", ["company", "geo"])
def test_a_database_that_was_replaced_is_asked(tmp_path: Path, kind: str) -> None:
    path = write_database(tmp_path / "x.mmdb", {NET: {**ASN, "country": "AT"}})
    enricher = CompanyEnrichment(databases=(str(path),)).open() if kind == "company" else GeoEnrichment(database=str(path)).open()
    column = "company" if kind == "company" else "country"
    caller = Caller(V4, None, "x")
    first = enricher.columns(caller)[column]
    assert not enricher.refresh().swapped
    write_database(path, {NET: {"autonomous_system_organization": "Other", "country": "CH"}})
    assert enricher.refresh().swapped
    second = enricher.columns(caller)[column]
    assert {first, second} in ({"Acme Rockets Inc.", "Other"}, {"AT", "CH"})
    replace(path, b"no database")
    refused = enricher.refresh()
    assert not refused.swapped
    assert str(refused.problems[0]).startswith(f"{path}: is not a MaxMind DB file")
    assert enricher.refresh().problems == ()
    assert enricher.columns(caller)[column] == second
    enricher.close()


# --- names and domains ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "trade"),
    [
        ("Google LLC", "hosting"), ("GOOGLE-CLOUD-PLATFORM", "hosting"), ("Amazon.com, Inc.", "hosting"), ("AMAZON-02", "hosting"),
        ("Microsoft Corporation", "hosting"), ("OVH SAS", "hosting"), ("Cloudflare, Inc.", "hosting"), ("Acme Webhosting GmbH", "hosting"),
        ("Deutsche Telekom AG", "isp"), ("Comcast Cable Communications, LLC", "isp"), ("AT&T Services", "isp"), ("T-Mobile USA", "isp"),
        ("Orange", "isp"), ("Acme Broadband", "isp"), ("Kabel Acme", "isp"), ("Stadtnetz Breitband", "isp"), ("O2", "isp"),
        ("University of Vienna", "education"), ("Universität Wien", "education"), ("Orange County Schools", "education"),
        ("ETH Zurich", "education"), ("Fachhochschule Acme", "education"),
        ("Acme Rockets", None), ("Uber Technologies", None), ("Skyscanner Ltd", None), ("Internet Archive", None),
        ("Zoom Video Communications, Inc", None), ("The Company Ltd", None), ("Hewlett-Packard Company", None), ("?", None),
    ],
)  # fmt: skip
def test_names(name: str, trade: str | None) -> None:
    assert trade_of_name(name) == trade


@pytest.mark.parametrize(
    ("domain", "trade"),
    [
        ("comcast.net", "isp"), ("c-1-2-3-4.hsd1.ca.comcast.net", "isp"), ("acmetelecom.example", "isp"), ("dsl.acme.example", "isp"),
        ("ec2.eu-west-1.amazonaws.com", "hosting"), ("acme-hosting.example", "hosting"), ("google.com", "hosting"),
        ("mit.edu", "education"), ("unimelb.edu.au", "education"), ("ox.ac.uk", "education"), ("uni-koeln.de", "education"),
        ("lausd.k12.ca.us", "education"), ("acme.com", None), ("education.com", None), ("united.com", None), ("ac.me", None),
    ],
)  # fmt: skip
def test_domains(domain: str, trade: str | None) -> None:
    assert trade_of_domain(domain) == trade


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        (None, None), ("", None), (" \n ", None), ("12.34", None), ("AS64500", "AS64500"), ("AS64500  Acme\r\nRockets ", "Acme Rockets"),
        ("x" * 500, "x" * NAME_CHARS),
    ],
)  # fmt: skip
def test_clean_names(text: str | None, clean: str | None) -> None:
    assert clean_name(text) == clean


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        (None, None), ("", None), ("acme", None), ("Acme.COM.", "acme.com"), ("203.0.113.7", None), ("a b.com", None),
        ("2001:db8::7", None),
        ("xn--bcher-kva.xn--p1ai", "xn--bcher-kva.xn--p1ai"), ("a." * 200 + "com", None), ("-a.com", None),
    ],
)  # fmt: skip
def test_clean_domains(text: str | None, clean: str | None) -> None:
    assert clean_domain(text) == clean


@pytest.mark.parametrize(
    ("name", "domain", "same"),
    [
        ("Acme Rockets Inc.", "acme-rockets.co.uk", True),
        ("Acme Rockets Inc.", "rockets.example", True),
        ("Acme Rockets Inc.", "acme.example", True),
        ("Acme Rockets Inc.", "other.example", False),
        ("AB Acme", "ab.example", False),
    ],
)
def test_agreement(name: str, domain: str, same: bool) -> None:
    assert agrees(name, domain) is same
