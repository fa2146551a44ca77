"""Who really called, through trusted proxies; by default nobody is trusted.

``Forwarded`` (RFC 7239) and the ``X-Forwarded-*`` fields are read only when the peer itself is in one of the trusted networks, from the
right, past every hop that is trusted too: the first that is not, is the client. Where both are there and disagree, neither is believed.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import TypeAlias

from attrs import field, frozen

from gatewaycore.headers import Headers
from gatewaycore.marks import Mark

_FORWARDED_PAIR = re.compile(r'\s*([!#$%&\'*+.^_`|~0-9A-Za-z-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;,"]*))\s*')

_KNOWN = 4096

Hops: TypeAlias = list[tuple[str, str | None, str | None]]
"""Address, host and scheme, as each proxy on the way saw them, the nearest last."""


@frozen
class Origin:
    """Where a request came from, as far as trusted proxies tell.

    Attributes:
        address: without a port; "" when unknown.
        host: the host the client asked for, or None when no trusted proxy says so.
        scheme: "http" or "https", or None.
    """

    address: str
    host: str | None = None
    scheme: str | None = None


@frozen
class TrustedProxies:
    """Networks whose word about the client counts.

    Attributes:
        networks: of the proxies.
        marks: the lower-case name of the field in which they mark requests, see `mark`; b"" where they do not.
    """

    networks: tuple[IPv4Network | IPv6Network, ...] = ()
    marks: bytes = b""
    # By the hash of an address, which Python keys anew in each process: addresses themselves are not held.
    _known: dict[int, bool] = field(factory=dict, init=False, eq=False, repr=False)

    @classmethod
    def parse(cls, texts: tuple[str, ...], marks: str | None = None) -> TrustedProxies:
        """Make it from CIDR texts.

        Args:
            texts: the networks.
            marks: the name of a field, in any case.

        Raises:
            ValueError: one of them is no network.
        """
        return cls(tuple(ip_network(text, strict=False) for text in texts), (marks or "").lower().encode("latin-1", "replace"))

    def __bool__(self) -> bool:
        return bool(self.networks)

    def trusts(self, address: str) -> bool:
        """Tell whether `address` lies in one of the networks."""
        known, mark = self._known, hash(address)
        found = known.get(mark)
        if found is None:
            found = _is_inside(self.networks, address)
            if len(known) >= _KNOWN:
                known.clear()
            known[mark] = found
        return found

    def mark(self, peer: str, headers: Headers) -> Mark | None:
        """Return the mark of a request; None where it has none, or `peer` is not trusted.

        Where it stands twice, a proxy has added its own to what a client sent: nobody can tell which is which.
        """
        if not self.marks or not self.trusts(peer):
            return None
        value = headers.first(self.marks)
        if value is None or sum([name == self.marks for name, _ in headers.raw]) > 1:
            return None
        return Mark.parse(value.strip())

    def origin(self, peer: str, headers: Headers) -> Origin:
        """Return where the request came from.

        Args:
            peer: the address of the connection, without a port; "" when unknown.
            headers: the request's field lines.
        """
        if not self.networks or not self.trusts(peer):
            return Origin(peer)
        hops = _forwarded(headers)
        if not hops:
            hops = _x_forwarded(headers)
        elif headers.first(b"x-forwarded-for") is not None and not _agree(hops, _x_forwarded(headers)):
            # A proxy writes one of the two and passes the other on as the client sent it: nobody can tell which.
            return Origin(peer)
        address, host, scheme = peer, None, None
        for hop_address, hop_host, hop_scheme in reversed(hops):
            # Each hop was written by the proxy to its right, which is trusted: so is what it says of host and scheme.
            host, scheme = hop_host or host, hop_scheme or scheme
            if not hop_address:
                break
            address = hop_address
            if not self.trusts(address):
                break
        return Origin(address, host, scheme)


def _is_inside(networks: tuple[IPv4Network | IPv6Network, ...], address: str) -> bool:
    try:
        parsed = ip_address(address)
    except ValueError:
        # A Unix socket has no address: only a process of this machine can be behind it.
        return address == ""
    mapped = getattr(parsed, "ipv4_mapped", None)
    return any((mapped or parsed) in network or parsed in network for network in networks)


def _agree(one: Hops, other: Hops) -> bool:
    return all(mine[0] == theirs[0] for mine, theirs in zip(reversed(one), reversed(other), strict=False))


def _forwarded(headers: Headers) -> Hops:
    hops = []
    for element in ",".join(headers.get_all("forwarded")).split(","):
        found = {}
        for pair in element.split(";"):
            match = _FORWARDED_PAIR.fullmatch(pair)
            if match:
                found[match[1].lower()] = match[2] if match[2] is not None else match[3]
        if element.strip():
            # One that says nothing stands for a hop all the same: it must not lend its place, and its trust, to the one before it.
            hops.append((_address(found.get("for", "")), found.get("host"), _scheme(found.get("proto"))))
    return hops


def _x_forwarded(headers: Headers) -> Hops:
    addresses = [_address(part) for line in headers.get_all("x-forwarded-for") for part in line.split(",")]
    host = _last(headers, "x-forwarded-host")
    scheme = _scheme(_last(headers, "x-forwarded-proto"))
    hops: Hops = [(address, None, None) for address in addresses] or [("", None, None)]
    hops[-1] = (hops[-1][0], host, scheme)
    return hops


def _last(headers: Headers, name: str) -> str | None:
    # The last entry was written by the proxy next to us; those before it may be anybody's.
    parts = [part.strip() for line in headers.get_all(name) for part in line.split(",")]
    return parts[-1] if parts and parts[-1] else None


def _scheme(text: str | None) -> str | None:
    return text.lower() if text and text.lower() in ("http", "https") else None


def _address(text: str) -> str:
    """Return the address of a node (RFC 7239 §6), without port and brackets; "" when it names none."""
    text = text.strip().strip('"')
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        return str(ip_address(text))
    except ValueError:
        return ""
