"""Whose machine is calling: lists of networks in every published format, and autonomous systems."""

from __future__ import annotations

import json
from collections.abc import Sequence
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewaycore.enrich import Caller, CloudEnrichment
from gatewaycore.enrich import ranges as room
from gatewaycore.enrich.providers import PROVIDERS, SYSTEMS, named_in
from gatewaycore.enrich.ranges import Ranges, read_ranges
from gatewaycore.errors import ConfigError
from tests.networks import replace, write_database

AWS = {
    "syncToken": "1",
    "prefixes": [{"ip_prefix": "192.0.2.0/24", "service": "AMAZON"}, {"ip_prefix": "192.0.2.0/28", "service": "EC2"}],
    "ipv6_prefixes": [{"ipv6_prefix": "2001:db8:1::/48"}],
}
GCP = {"prefixes": [{"ipv4Prefix": "198.51.100.0/25", "service": "Google Cloud"}, {"ipv6Prefix": "2001:db8:2::/48"}]}
AZURE = {"cloud": "Public", "values": [{"name": "AzureCloud", "properties": {"addressPrefixes": ["203.0.113.0/26", "2001:db8:3::/48"]}}, 5]}
ORACLE = {"regions": [{"region": "uk-london-1", "cidrs": [{"cidr": "203.0.113.64/26", "tags": ["OCI"]}]}]}
FILES: dict[str, Any] = {
    "ip-ranges.json": AWS,
    "cloud.json": GCP,
    "ServiceTags_Public.json": AZURE,
    "public_ip_ranges.json": ORACLE,
    "google.csv": "# geofeed\n203.0.113.128/26,NL,NL-NH,Amsterdam,1105\n2001:db8:4::/48,NL,,,\n",
    "list.csv": "203.0.113.224/28,NL,NL-NH,Amsterdam,1105\n",
    "ips-v4": "198.51.100.128/25\n\n2001:db8:5::/48\n",
    "linode-geofeed.csv": "203.0.113.240/28,DE,,,\n",
}


def write(folder: Path, *names: str) -> list[str]:
    made = []
    for name in names:
        content = FILES[name]
        made.append(str(replace(folder / name, content if isinstance(content, str) else json.dumps(content))))
    return made


@pytest.mark.parametrize(
    ("address", "provider"),
    [
        ("192.0.2.1", "aws"), ("192.0.2.255", "aws"), ("192.0.3.0", None), ("192.0.1.255", None), ("2001:db8:1::1", "aws"),
        ("198.51.100.1", "gcp"), ("2001:db8:2::1", "gcp"), ("203.0.113.1", "azure"), ("2001:db8:3:ffff::", "azure"),
        ("203.0.113.65", "oracle"), ("203.0.113.225", "digitalocean"), ("198.51.100.200", "cloudflare"), ("2001:db8:5::", "cloudflare"),
        ("203.0.113.241", "linode"), ("::ffff:192.0.2.1", "aws"), ("0.0.0.0", None), ("255.255.255.255", None), ("::", None),
        ("testclient", None), ("fe80::1%eth0", None),
    ],
)  # fmt: skip
def test_every_published_format(tmp_path: Path, address: str, provider: str | None) -> None:
    assert read_ranges(write(tmp_path, *FILES)).find(address) == provider


def test_the_narrowest_network_counts_and_of_equal_ones_the_first(tmp_path: Path) -> None:
    replace(tmp_path / "vultr.txt", "192.0.2.0/25\n10.0.0.0/8\n")
    replace(tmp_path / "ovh.txt", "192.0.2.64/26\n10.0.0.0/8\n192.0.2.127/32\n")
    found = read_ranges([*write(tmp_path, "ip-ranges.json"), str(tmp_path / "vultr.txt"), str(tmp_path / "ovh.txt")])
    asked = ("192.0.2.1", "192.0.2.16", "192.0.2.63", "192.0.2.64", "192.0.2.127", "192.0.2.128", "10.1.2.3", "11.0.0.0")
    assert [found.find(one) for one in asked] == ["aws", "vultr", "vultr", "ovh", "ovh", "aws", "vultr", None]


networks = st.one_of(
    st.tuples(st.integers(0, 255), st.integers(24, 32)).map(lambda pair: ip_network((0xC0000200 + pair[0], pair[1]), strict=False)),
    st.tuples(st.integers(0, 255), st.integers(120, 128)).map(lambda pair: ip_network((0x20010DB8 << 96 | pair[0], pair[1]), strict=False)),
    st.sampled_from([ip_network("0.0.0.0/0"), ip_network("::/0"), ip_network("255.255.255.255/32")]),
)


@given(found=st.lists(st.tuples(networks, st.integers(0, 3)), max_size=12), offset=st.integers(0, 255))
def test_a_search_finds_what_looking_through_all_of_them_finds(found: Sequence[tuple[Any, int]], offset: int) -> None:
    ranges = Ranges(
        (int(network.network_address), network.max_prefixlen - network.prefixlen, network.max_prefixlen, owner) for network, owner in found
    )
    for address in (ip_address(0xC0000200 + offset), ip_address(0x20010DB8 << 96 | offset), ip_address("255.255.255.255")):
        inside = [(network.prefixlen, -order, owner) for order, (network, owner) in enumerate(found) if address in network]
        assert ranges.find(str(address)) == (PROVIDERS[max(inside)[2]] if inside else None)


def test_many_networks_take_little_room() -> None:
    ranges = Ranges((number << 8, 8, 32, 0) for number in range(100_000))
    assert len(ranges._begins4) == 2
    alternating = Ranges((number << 8, 8, 32, number % 2) for number in range(100_000))
    assert (len(alternating._begins4), len(alternating._owners4)) == (100_001, 100_001)
    assert alternating.find("0.0.1.1") == PROVIDERS[1]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is no JSON, or is cut short"),
        ("[" * 100_000, "is no JSON, or is cut short"),
        ("[]", "no list of networks that is known here"),
        ("{}", "no list of networks that is known here"),
        ('{"prefixes": [5]}', "no list of networks that is known here"),
        ('{"prefixes": [{"ip_prefix": "x"}]}', "holds what is no network: 'x'"),
        ('{"prefixes": [{"ip_prefix": 5}]}', "holds what is no network"),
        ('{"values": [{"properties": 5}]}', "holds no network"),
        ('{"regions": 5}', "holds no network"),
        ('{"ipv6_prefixes": 5}', "holds no network"),
        ("", "holds no network"),
        ("# nothing\n", "holds no network"),
        ("<html>\n", "holds what is no network: '<html>'"),
        ("10.0.0.0/33", "holds what is no network"),
    ],
)
def test_files_of_no_known_kind(tmp_path: Path, content: str, message: str) -> None:
    path = replace(tmp_path / "list", content)
    with pytest.raises(ConfigError, match=message) as caught:
        CloudEnrichment(ranges=(str(path),)).open()
    assert caught.value.problems[0].where == "ranges[0]"


def test_what_is_read_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "MOST_NETWORKS", 3)
    paths = write(tmp_path, "ip-ranges.json", "cloud.json")
    read_ranges(paths[:1])
    with pytest.raises(ConfigError, match=r"^ranges\[1\]: .*cloud.json holds too many networks \(at most 3 in all"):
        CloudEnrichment(ranges=tuple(paths)).open()


def test_autonomous_systems(tmp_path: Path) -> None:
    first = write_database(tmp_path / "a.mmdb", {"203.0.113.0/24": {"country": "AT"}, "198.51.100.0/24": {"asn": "AS64500"}})
    second = write_database(
        tmp_path / "b.mmdb", {"203.0.113.0/24": {"autonomous_system_number": 24940}, "192.0.2.0/24": {"asn": "AS16509"}}
    )
    enricher = CloudEnrichment(ranges=tuple(write(tmp_path, "ServiceTags_Public.json")), databases=(str(first), str(second))).open()
    for address, provider in (("203.0.113.1", "azure"), ("203.0.113.200", "hetzner"), ("192.0.2.1", "aws")):
        assert enricher.columns(Caller(address, None, "x")) == {"cloud": provider, "connection": "hosting"}
    for address in ("198.51.100.1", "10.0.0.1", "", "x"):
        assert enricher.columns(Caller(address, None, "x")) == {}
    enricher.close()


def test_lists_and_databases_that_were_replaced_are_asked(tmp_path: Path) -> None:
    database = write_database(tmp_path / "a.mmdb", {"203.0.113.0/24": {"asn": "AS24940"}})
    (listed,) = write(tmp_path, "ips-v4")
    enricher = CloudEnrichment(ranges=(listed,), databases=(str(database),)).open()

    def cloud(address: str) -> Any:
        return enricher.columns(Caller(address, None, "x")).get("cloud")

    assert not enricher.refresh().swapped
    replace(Path(listed), "203.0.113.0/25\n")
    write_database(database, {"203.0.113.0/24": {"asn": "AS16276"}})
    assert enricher.refresh().swapped
    assert (cloud("203.0.113.1"), cloud("203.0.113.129"), cloud("198.51.100.129")) == ("cloudflare", "ovh", None)
    replace(Path(listed), "203.0.113.0/25\nhalf a li")
    replace(database, b"x")
    told = enricher.refresh()
    assert (told.swapped, [problem.where for problem in told.problems]) == (False, [listed, str(database)])
    assert (cloud("203.0.113.1"), cloud("203.0.113.129")) == ("cloudflare", "ovh")
    enricher.close()


def test_something_must_be_asked() -> None:
    with pytest.raises(ConfigError, match="names no file"):
        CloudEnrichment().open()


@pytest.mark.parametrize(
    ("file", "provider"),
    [
        ("/srv/linode.csv", "linode"), ("digitalocean-google.csv", "digitalocean"), ("C:\\ranges\\Hetzner_v4.txt", "hetzner"),
        ("ips-v6.txt", None),
        ("equinix-metal.txt", "equinix-metal"), ("cloudflareips", "cloudflare"), ("amazon-v4.txt", "aws"), ("google.csv", None),
        ("flyers.txt", None),
        ("list.csv", None), ("/aws/list.txt", None),
    ],
)  # fmt: skip
def test_files_are_called_after_providers(file: str, provider: str | None) -> None:
    assert named_in(file) == provider


def test_a_system_is_one_providers() -> None:
    assert set(SYSTEMS.values()) == set(PROVIDERS)
    assert len(PROVIDERS) < 255
