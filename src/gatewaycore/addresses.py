"""Addresses: which of them this gateway connects to, and sends clients to, on the word of an upstream.

A gateway stands inside of a network that its upstreams cannot see. A name that an upstream, or whoever answers for its name, turns into an
address of that network would make the gateway ask there on a stranger's behalf (server-side request forgery).
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

# Networks that carry an IPv4 address inside of an IPv6 one, and how many bits stand behind it: a translator would take it from there.
_CARRIERS = (
    (IPv6Network("64:ff9b::/96"), 0),  # NAT64 (RFC 6052)
    (IPv6Network("64:ff9b:1::/48"), 0),  # NAT64, local use (RFC 8215)
    (IPv6Network("2002::/16"), 80),  # 6to4 (RFC 3056)
)
_SHARED = IPv4Network("100.64.0.0/10")


def may_connect(text: str, *, private: bool) -> bool:
    """Tell whether an address may be connected to.

    Args:
        text: an IPv4 or IPv6 address, without brackets; anything else may not.
        private: whether those of private networks and of this machine may be. Link-local ones, where clouds keep their machines' secrets
            (169.254.169.254), never are, nor multicast, unspecified and reserved ones.
    """
    try:
        # A zone ("fe80::1%eth0") names an interface: link-local, whatever stands before it.
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return False
    inner = _carried(address)
    if inner is not None:
        address = inner
    if address.is_link_local or address.is_multicast or address.is_unspecified:
        return False
    inside = address in _SHARED if isinstance(address, IPv4Address) else address.is_site_local
    if inside or address.is_private or address.is_loopback:
        return private and not (isinstance(address, IPv4Address) and address.is_reserved)
    return address.is_global and not address.is_reserved


def is_address(host: str) -> bool:
    """Tell whether a URL's host is an address and no name; a client reads numbers without dots, and in other bases, as one too."""
    bare = host.strip("[]").rstrip(".")
    last = bare.rpartition(".")[2].lower()
    return ":" in bare or last.isdigit() or (last[:2] == "0x" and all(digit in "0123456789abcdef" for digit in last[2:]))


def _carried(address: IPv4Address | IPv6Address) -> IPv4Address | None:
    if isinstance(address, IPv4Address):
        return None
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return next((IPv4Address(int(address) >> shift & 0xFFFFFFFF) for network, shift in _CARRIERS if address in network), None)
