"""Enrichment: whatever a database or an enricher holds, an event holds little of it, and never the address that was looked up."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests import strategies
from tests.examples import many
from tests.networks import write_database

from gatewaycore.enrich import COLUMNS, Caller, CloudEnrichment, CompanyEnrichment, Enricher, Enrichment, GeoEnrichment
from gatewaycore.errors import ConfigError
from gatewaycore.gateway import Gateway
from gatewaycore.headers import Headers
from gatewaycore.recorder import Recorder, Sent, decode
from gatewaycore.request import Request
from gatewaycore.rules import FileRule
from gatewaycore.salts import Salts

GATEWAY = Gateway.compile(FileRule(name="cli", domain="x.example", incoming_path="/a", outgoing_url="https://cdn.acme.example/a").compile())
ADDRESS = "@"
"""Stands for the address that is looked up."""
LINE_BYTES = 10_000

thorough = settings(deadline=None, max_examples=many(150), suppress_health_check=[HealthCheck.too_slow])
keys = st.sampled_from(
    """country city subdivisions traits organization isp name domain as_name as_domain as_type type user_type connection_type
    autonomous_system_number autonomous_system_organization asn org company hosting is_hosting_provider iso_code names en region
    country_code""".split()  # noqa: SIM905 - a table
)
texts = st.one_of(
    st.sampled_from(
        [
            ADDRESS,
            f"Acme {ADDRESS} Ltd",
            f"{ADDRESS}.acme.com",
            "Acme",
            "acme.com",
            "business",
            "Cable/DSL",
            "AS24940",
            "x" * 60_000,
            "\0",
            "true",
        ]
    ),
    st.text(max_size=20),
)
scalars = st.one_of(texts, st.booleans(), st.integers(0, 2**32 - 1), st.floats(allow_nan=True))
values = st.recursive(
    scalars, lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(keys, inner, max_size=4)), max_leaves=10
)
records = st.dictionaries(keys, values, max_size=8)


def with_address(value: Any, address: str) -> Any:
    if isinstance(value, str):
        return value.replace(ADDRESS, address)
    if isinstance(value, list):
        return [with_address(one, address) for one in value]
    if isinstance(value, dict):
        return {key: with_address(one, address) for key, one in value.items()}
    return value


def recorded(address: str, *enrichers: Enricher) -> bytes:
    lines: list[bytes] = []

    def append(line: bytes) -> bool:
        lines.append(line)
        return True

    recorder = Recorder(append, enrichers, Salts(None))
    recorder.record(GATEWAY.decide(Request("GET", "x.example", "/a", "", Headers(), address)), Sent(302))
    (line,) = lines
    decode(line)
    return line


@thorough
@given(record=records, address=strategies.addresses)
def test_no_address_and_no_endless_text_of_a_database_reaches_an_event(record: dict[str, Any], address: str) -> None:
    bits = ip_address(address).max_prefixlen
    with TemporaryDirectory() as folder:
        path = str(write_database(Path(folder) / "x.mmdb", {f"{address}/{bits}": with_address(record, address)}))
        every: list[Enrichment] = [
            GeoEnrichment(database=path, city=True),
            CompanyEnrichment(databases=(path, path)),
            CloudEnrichment(databases=(path,)),
        ]
        for enrichment in every:
            line = recorded(address, enrichment.open())
            assert address.encode() not in line
            assert len(line) < LINE_BYTES


class Says:
    """An enricher of somebody's."""

    def __init__(self, found: Any) -> None:
        self._found = found

    def columns(self, caller: Caller) -> Mapping[str, Any]:
        if isinstance(self._found, Exception):
            raise self._found
        found: Mapping[str, Any] = self._found
        return found


said = st.one_of(
    st.dictionaries(st.one_of(st.sampled_from(sorted(COLUMNS)), st.text(max_size=9)), values, max_size=8),
    values,
    st.sampled_from([ValueError("x"), OSError(5, "x"), RecursionError()]),
)


@thorough
@given(found=said, address=strategies.addresses)
def test_whatever_an_enricher_does_there_is_an_event(found: Any, address: str) -> None:
    line = recorded(address, Says(with_address(found, address)))
    assert address.encode() not in line
    assert len(line) < LINE_BYTES


@thorough
@given(content=st.one_of(st.binary(max_size=300), values.map(str).map(str.encode)), address=strategies.addresses)
def test_whatever_a_file_holds_it_is_used_or_refused(content: bytes, address: str) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "list"
        path.write_bytes(content)
        every: list[Enrichment] = [CloudEnrichment(ranges=(str(path),)), CompanyEnrichment(databases=(str(path),))]
        for enrichment in every:
            try:
                enricher = enrichment.open()
            except ConfigError:
                continue
            recorded(address, enricher)


@thorough
@given(data=st.data(), address=strategies.addresses)
def test_a_damaged_database_costs_columns_only(data: st.DataObject, address: str) -> None:
    with TemporaryDirectory() as folder:
        record = {"organization": "Acme", "isp": "x", "country": "AT", "asn": "AS24940"}
        path = write_database(Path(folder) / "x.mmdb", {"0.0.0.0/1": record, "128.0.0.0/1": record, "2000::/3": record})
        whole = path.read_bytes()
        at = data.draw(st.integers(0, len(whole) - 1))
        path.unlink()
        path.write_bytes(whole[:at] + data.draw(st.binary(min_size=1, max_size=4)) + whole[at + 1 :])
        for enrichment in (GeoEnrichment(database=str(path)), CompanyEnrichment(databases=(str(path),))):
            try:
                enricher: Enricher = enrichment.open()
            except ConfigError:
                continue
            recorded(address, enricher)
