"""The networks of cloud providers, as they publish them: read, told apart by what the files hold, and searched.

AWS `ip-ranges.json`, Google `cloud.json` and `goog.json`, Azure `ServiceTags_*.json`, Oracle `public_ip_ranges.json`; lists of networks,
one a line, alone (Cloudflare) or with more columns behind it (DigitalOcean, and geofeeds, RFC 8805).
"""

from __future__ import annotations

import json
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from ipaddress import ip_network
from typing import Any, Final

from gatewaycore.enrich.databases import parse_address
from gatewaycore.enrich.files import read_text
from gatewaycore.enrich.providers import PROVIDERS, named_in
from gatewaycore.errors import ConfigError, Problem

__all__ = ["MOST_NETWORKS", "Ranges", "read_ranges"]

MOST_NETWORKS: Final = 1_000_000
"""How many networks are read, in all files together: what they say is held in memory."""

_HINT: Final = "the file as the provider publishes it; a list of networks may be called after its provider: linode.csv"
_NOBODY: Final = 255
_V6: Final = 128


class Ranges:
    """Networks and whose they are. Immutable; a search costs as little among a hundred thousand as among ten.

    Networks that lie in each other are cut into pieces that do not, and neighbours of one provider joined: of each piece its first address
    and its provider are kept.

    Args:
        networks: of each the first address, the number of bits behind its prefix, the bits of an address, and the index of the provider in
            `PROVIDERS`; of two that are the same, the first counts.
    """

    __slots__ = ("_begins4", "_begins6", "_owners4", "_owners6")

    def __init__(self, networks: Iterable[tuple[int, int, int, int]]) -> None:
        four: list[tuple[int, int, int, int]] = []
        six: list[tuple[int, int, int, int]] = []
        for order, (first, free, bits, owner) in enumerate(networks):
            # The widest of those that begin together first, and of equal ones the last: whatever comes later lies inside.
            (six if bits == _V6 else four).append((first, -free, -order, owner))
        begins4, self._owners4 = _flattened(sorted(four))
        self._begins4: Sequence[int] = array("Q", begins4)
        # An array has no room for 128 bits.
        self._begins6, self._owners6 = _flattened(sorted(six))

    def find(self, ip: str) -> str | None:
        """Return the provider of the narrowest network that an address lies in. Total: None for what is no address."""
        try:
            address = parse_address(ip)
        except ValueError:
            return None
        begins, owners = (self._begins6, self._owners6) if address.version == 6 else (self._begins4, self._owners4)
        at = bisect_right(begins, int(address)) - 1
        return None if at < 0 or owners[at] == _NOBODY else PROVIDERS[owners[at]]


def read_ranges(paths: Sequence[str]) -> Ranges:
    """Read files.

    Raises:
        ConfigError: one cannot be read, or is of no known kind, or there is too much in them.
    """
    found: list[tuple[int, int, int, int]] = []
    for path in paths:
        before = len(found)
        provider, networks = _read(path)
        owner = PROVIDERS.index(provider)
        try:
            for text in networks:
                network = ip_network(text.strip(), strict=False)
                found.append((int(network.network_address), network.max_prefixlen - network.prefixlen, network.max_prefixlen, owner))
                if len(found) > MOST_NETWORKS:
                    raise ConfigError([Problem(path, "holds too many networks", f"at most {MOST_NETWORKS:,} in all files together")])
        except (ValueError, AttributeError) as error:
            raise ConfigError([Problem(path, f"holds what is no network: {str(text)[:60]!r}", _HINT)]) from error
        if len(found) == before:
            raise ConfigError([Problem(path, "holds no network", _HINT)])
    return Ranges(found)


def _flattened(networks: Iterable[tuple[int, int, int, int]]) -> tuple[list[int], array[int]]:
    begins: list[int] = []
    owners = array("B")

    def begin(at: int, owner: int) -> None:
        if begins and begins[-1] == at:
            begins.pop()
            owners.pop()
        if not owners or owners[-1] != owner:
            begins.append(at)
            owners.append(owner)

    # Those that the place is in, the narrowest last: where each ends, and whose it is.
    around: list[tuple[int, int]] = []

    def leave(until: int | None) -> None:
        while around and (until is None or around[-1][0] <= until):
            end, _ = around.pop()
            begin(end, around[-1][1] if around else _NOBODY)

    for first, free, _, owner in networks:
        leave(first)
        begin(first, owner)
        around.append((first + (1 << -free), owner))
    leave(None)
    return begins, owners


def _read(path: str) -> tuple[str, Iterator[Any]]:
    """Return whose networks a file holds, and them."""
    text = read_text(path)
    if not text.lstrip().startswith(("{", "[")):
        return _listed(path, text)
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError([Problem(path, "is no JSON, or is cut short", "download it again")]) from error
    found = _published(data) if isinstance(data, dict) else None
    if found is None:
        raise ConfigError([Problem(path, "is no list of networks that is known here", _HINT)])
    return found


def _published(data: dict[str, Any]) -> tuple[str, Iterator[Any]] | None:
    prefixes = _dicts(data.get("prefixes"))
    if any("ip_prefix" in one for one in prefixes) or "ipv6_prefixes" in data:
        return "aws", _values((*prefixes, *_dicts(data.get("ipv6_prefixes"))), "ip_prefix", "ipv6_prefix")
    if any("ipv4Prefix" in one or "ipv6Prefix" in one for one in prefixes):
        return "gcp", _values(prefixes, "ipv4Prefix", "ipv6Prefix")
    if "values" in data:
        tags = [tag.get("properties") for tag in _dicts(data["values"])]
        return "azure", (prefix for tag in _dicts(tags) for prefix in _list(tag.get("addressPrefixes")))
    if "regions" in data:
        return "oracle", _values([one for region in _dicts(data["regions"]) for one in _dicts(region.get("cidrs"))], "cidr")
    return None


def _listed(path: str, text: str) -> tuple[str, Iterator[Any]]:
    lines = [line for line in map(str.strip, text.splitlines()) if line and not line.startswith("#")]
    # Neither says whose it is: the file's name may, and without one it is who is known to publish such.
    otherwise = "digitalocean" if lines and "," in lines[0] else "cloudflare"
    return named_in(path) or otherwise, (line.partition(",")[0] for line in lines)


def _values(entries: Iterable[dict[str, Any]], *keys: str) -> Iterator[Any]:
    return (entry[key] for entry in entries for key in keys if key in entry)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [one for one in _list(value) if isinstance(one, dict)]
