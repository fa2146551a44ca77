"""Enrichment: whatever a database or an enricher holds, an event holds little of it, and never the address that was looked up."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tests import strategies
from tests.examples import many
from tests.networks import proving_here, write_database
from tests.served import environment

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


@pytest.fixture(autouse=True, scope="module")
def _proving_here() -> Iterator[None]:
    with proving_here():
        yield


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


# Asks one database after another, in a process of its own: were it to end, the test would tell by which.
ASKING = """
import sys
from gatewaycore.enrich import Caller, CompanyEnrichment, GeoEnrichment
from gatewaycore.errors import ConfigError
from tests.networks import proving_here
with proving_here():
    for line in sys.stdin:
        path, *addresses = line.split()
        answers = []
        for enrichment in (GeoEnrichment(database=path), CompanyEnrichment(databases=(path,))):
            try:
                enricher = enrichment.open()
            except ConfigError:
                answers.append("refused")
                continue
            for address in addresses:
                enricher.columns(Caller(address, None, "x.example"))
            enricher.refresh()
            enricher.close()
            answers.append("asked")
        print(*answers, flush=True)
"""


class Asked:
    """A process that asks databases; there is always one."""

    def __init__(self) -> None:
        self._process = self._started()

    def _started(self) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", ASKING]
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=with_tests())

    def ask(self, path: Path, *addresses: str) -> str:
        """Return what became of it: nothing when the process has ended."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(" ".join([str(path), *addresses]) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline().strip()
        if not answer:
            self.close()
            self._process = self._started()
        return answer

    def close(self) -> None:
        """End it."""
        self._process.communicate()


def with_tests() -> dict[str, str]:
    found = environment()
    return {**found, "PYTHONPATH": f"{Path(__file__).parent.parent.parent}:{found['PYTHONPATH']}"}


@pytest.fixture(scope="module")
def asked() -> Iterator[Asked]:
    process = Asked()
    yield process
    process.close()


@thorough
@given(at=st.integers(0, 837), damage=st.binary(min_size=1, max_size=4), address=strategies.addresses)
# A number and a pointer in the place of a key: the reader in C follows both to where there is nothing.
@example(at=633, damage=b"\x0d", address="192.0.2.1")
@example(at=598, damage=b"\xc3", address="192.0.2.1")
def test_a_damaged_database_costs_columns_only(asked: Asked, at: int, damage: bytes, address: str) -> None:
    with TemporaryDirectory() as folder:
        record = {"organization": "Acme", "isp": "x", "country": "AT", "asn": "AS24940"}
        path = write_database(Path(folder) / "x.mmdb", {"0.0.0.0/1": record, "128.0.0.0/1": record, "2000::/3": record})
        whole = path.read_bytes()
        at %= len(whole)
        path.write_bytes(whole[:at] + damage + whole[at + 1 :])
        answer = asked.ask(path, address, "1.2.3.4", "200.1.2.3", "2001:db8::1")
        assert set(answer.split()) in ({"asked"}, {"refused"}), "the process that asked has ended"
