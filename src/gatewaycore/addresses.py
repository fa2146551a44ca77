"""Addresses: which of them this gateway connects to, and sends clients to, on the word of an upstream.

A gateway stands inside of a network that its upstreams cannot see. A name that an upstream, or whoever answers for its name, turns into an
address of that network would make the gateway ask there on a stranger's behalf (server-side request forgery).

The networks are written out from IANA's registries of special-purpose addresses (RFC 6890): what Python's `ipaddress` calls private has
changed from one patch release to the next.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

_LOCAL_NAT64 = IPv6Network("64:ff9b:1::/48")

# Networks that carry an IPv4 address inside of an IPv6 one, and how many bits stand behind it: a translator would take it from there.
_CARRIERS = (
    (IPv6Network("64:ff9b::/96"), 0),  # NAT64 (RFC 6052)
    (_LOCAL_NAT64, 0),  # NAT64, local use (RFC 8215)
    (IPv6Network("2002::/16"), 80),  # 6to4 (RFC 3056)
)

# Private use, shared by customers of a carrier, this machine, benchmarks; and unique-local and the former site-local ones.
_INSIDE = tuple(
    ip_network(text)
    for text in (
        *("10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "198.18.0.0/15"),
        *("::1/128", "fc00::/7", "fec0::/10"),
    )
)

# This network, link-local, protocol assignments, documentation, multicast and reserved. Of IPv6, all but what is global unicast.
_NEVER = tuple(
    ip_network(text)
    for text in (
        *("0.0.0.0/8", "169.254.0.0/16", "192.0.0.0/24", "192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/3"),
        *("::/3", "4000::/2", "8000::/1", "2001::/23", "2001:db8::/32", "3fff::/20"),
    )
)

# Where a cloud keeps a machine's secrets at an address that is not link-local, but looks like anybody's, or like one of a private network.
_SECRETS = frozenset(
    ip_address(text)
    for text in (
        "168.63.129.16",  # Azure
        "100.100.100.200",  # Alibaba Cloud
        "fd00:ec2::254",  # Amazon EC2
        "fd20:ce::254",  # Google Compute Engine
    )
)


def may_connect(text: str, *, private: bool) -> bool:
    """Tell whether an address may be connected to.

    Args:
        text: an IPv4 or IPv6 address, without brackets; anything else may not, nor one with a zone, which names an interface.
        private: whether those of private networks and of this machine may be. Link-local ones, where clouds keep their machines' secrets
            (169.254.169.254), never are, nor those of the same use elsewhere, nor multicast, unspecified and reserved ones.
    """
    try:
        address = ip_address(text)
    except ValueError:
        return False
    if "%" in text:
        return False
    inner = _carried(address)
    if inner is not None:
        return (private or address not in _LOCAL_NAT64) and may_connect(str(inner), private=private)
    if address in _SECRETS:
        return False
    if any(address in network for network in _INSIDE):
        return private
    return not any(address in network for network in _NEVER)


def is_address(host: str) -> bool:
    """Tell whether a URL's host is an address and no name, or might be.

    A client reads numbers without dots, and in other bases, as one too; and some decode what is escaped first (WHATWG URL §3.5), which no
    name needs.
    """
    bare = host.strip("[]").rstrip(".")
    last = bare.rpartition(".")[2].lower()
    return ":" in bare or "%" in bare or last.isdigit() or (last[:2] == "0x" and all(digit in "0123456789abcdef" for digit in last[2:]))


def _carried(address: IPv4Address | IPv6Address) -> IPv4Address | None:
    if isinstance(address, IPv4Address):
        return None
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return next((IPv4Address(int(address) >> shift & 0xFFFFFFFF) for network, shift in _CARRIERS if address in network), None)
