"""Addresses: which may be connected to, whatever the version of Python calls them."""

from __future__ import annotations

import pytest

from gatewaycore.addresses import is_address, may_connect

ANYBODYS = [
    "1.1.1.1", "8.8.8.8", "11.0.0.1", "100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.1", "172.15.255.255", "172.32.0.0",
    "192.167.255.255", "192.169.0.0",
    "198.17.255.255", "198.20.0.0", "192.0.1.1", "223.255.255.255", "168.63.129.15",
    "2606:4700::1111", "2a00:1450:4001::1", "2001:4860:4860::8888", "2001:200::1",
    "::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "64:ff9b::808:808", "2002:808:808::1",
]  # fmt: skip

INSIDE = [
    "10.0.0.0", "10.255.255.255", "127.0.0.1", "127.255.255.254", "172.16.0.1", "172.31.255.255", "192.168.0.1", "100.64.0.1",
    "100.127.255.255", "198.18.0.1", "198.19.255.255",
    "::1", "0:0:0:0:0:0:0:1", "fc00::1", "fd12:3456:789a::1", "fec0::1", "feff::1",
    "::ffff:10.0.0.1", "::ffff:127.0.0.1", "::FFFF:7F00:1", "64:ff9b::10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::1", "2002:c0a8:1::",
    "64:ff9b:1::8.8.8.8", "64:ff9b:1:ffff::10.0.0.1",
]  # fmt: skip

NOBODYS = [
    "169.254.169.254", "169.254.0.1", "fe80::1", "febf::1", "fe80::1%eth0", "fe80::1%1", "::ffff:169.254.169.254",
    "64:ff9b::169.254.169.254", "64:ff9b:1::a9fe:a9fe",
    "2002:a9fe:a9fe::",
    "168.63.129.16", "100.100.100.200", "fd00:ec2::254", "fd20:ce::254", "::ffff:100.100.100.200",
    "0.0.0.0", "0.1.2.3", "::", "::ffff:0.0.0.0", "64:ff9b::", "64:ff9b:1::",
    "224.0.0.1", "239.255.255.255", "ff02::1", "ff0e::1", "::ffff:224.0.0.1",
    "240.0.0.1", "255.255.255.255", "::ffff:255.255.255.255",
    "192.0.0.1", "192.0.0.192", "192.0.2.1", "198.51.100.1", "203.0.113.1", "2001:db8::1", "3fff::1",
    "100::1", "2001::1", "2001:0:a9fe:a9fe::", "5f00::1", "4000::1", "8000::1", "fe00::1", "::7f00:1", "::169.254.169.254",
    "::ffff:0:127.0.0.1",
]  # fmt: skip

NO_ADDRESSES = [
    "", " ", "localhost", "example.com", "1", "127.1", "2130706433", "0x7f.0.0.1", "0x7f000001", "0177.0.0.1", "127.0.0.01", "127.0.0.1 ",
    " 127.0.0.1", "127.0.0.1.", "127.0.0.1:80", "[::1]", "::1]", ":::1", "1.1.1.1/32", "1.1.1.1%eth0", "::1%lo", "2606:4700::1111%1",
    "fe80::1%", "１.1.1.1", "1.1.1.256",
]  # fmt: skip


@pytest.mark.parametrize("private", [False, True])
@pytest.mark.parametrize("address", ANYBODYS)
def test_anybodys(address: str, private: bool) -> None:
    assert may_connect(address, private=private)


@pytest.mark.parametrize("address", INSIDE)
def test_inside_of_a_network(address: str) -> None:
    assert not may_connect(address, private=False)
    assert may_connect(address, private=True)


@pytest.mark.parametrize("private", [False, True])
@pytest.mark.parametrize("address", NOBODYS + NO_ADDRESSES)
def test_never(address: str, private: bool) -> None:
    assert not may_connect(address, private=private)


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "127.0.0.1.", "127.1", "1", "2130706433", "0177.0.0.1", "0x7f000001", "0X7F.1", "127.0.0.0x1", "0x", "1.2.3.4.5"),
        *("::1", "[::1]", "fe80::1%25eth0", "[::ffff:127.0.0.1]"),
        # Decoded by a browser before it looks: digits, dots, and digits of full width.
        *("169.254.169.%32%35%34", "127%2E0%2E0%2E1", "%EF%BC%91%E3%80%820"),
    ],
)
def test_hosts_that_are_addresses(host: str) -> None:
    assert is_address(host)


@pytest.mark.parametrize(
    "host", ["", "localhost", "ghcr.io", "ghcr.io.", "1.example", "127.0.0.1.nip.io", "x1", "0xg", "a.0xyz", "xn--p1ai"]
)
def test_hosts_that_are_names(host: str) -> None:
    assert not is_address(host)
