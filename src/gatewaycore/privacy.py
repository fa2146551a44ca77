"""Privacy: who asked not to be counted, and identifiers that cannot be turned back into an address.

This room knows no clock and no randomness: keys come in as arguments.
"""

from __future__ import annotations

import re
from hashlib import blake2b
from ipaddress import IPv6Address

from gatewaycore.headers import Headers

REDACTED = "[address]"

# An IPv6 address is written in many ways, and with escaped colons in a URL. Every character is looked at once: an expression for the
# address itself would go back and forth in a text made to hurt. The digits of another escape before it ("%20", "%5B") are not its own.
_COLON = "%(?:25)*3[Aa]"
_ESCAPED_COLON = re.compile(_COLON)
_RUN = re.compile(f"(?<!%)(?<!%[0-9A-Fa-f])(?:[0-9A-Fa-f.:]|{_COLON})+")
_SEEMS_IPV6 = re.compile(f"(?::|{_COLON})[0-9A-Fa-f]{{0,4}}(?::|{_COLON})".encode())
_LONGEST_IPV6 = 45


def opted_out(headers: Headers) -> bool:
    """Tell whether the client asked not to be tracked.

    ``Sec-GPC`` counts when at least one line is exactly "1" (Global Privacy Control §3.2); ``DNT`` when a line begins with "1"
    (Tracking Preference Expression §5.2: extensions behind the first character are ignored). Lines that somebody on the way has joined with a
    comma, as WSGI does (RFC 9110 §5.3), count as the lines they were. The request is still served.
    """
    # Both fields are rare: one lookup each, and lines are looked at one by one only where the field is there.
    if headers.first(b"sec-gpc") is not None and "1" in _members(headers, "sec-gpc"):
        return True
    return headers.first(b"dnt") is not None and any(member[:1] == "1" for member in _members(headers, "dnt"))


def _members(headers: Headers, name: str) -> list[str]:
    return [member.strip(" \t") for line in headers.get_all(name) for member in line.split(",")]


def origin_id(key: bytes, address: str, user_agent: str, domain: str) -> str:
    """Return 32 hex digits that stand for address, user agent and domain as long as `key` lives (an upper estimate of people)."""
    return _hash(key, b"origin", address, user_agent, domain)


def endpoint_id(key: bytes, address: str, domain: str) -> str:
    """Return 32 hex digits that stand for address and domain as long as `key` lives."""
    return _hash(key, b"endpoint", address, domain)


def _hash(key: bytes, person: bytes, *parts: str) -> str:
    # A keyed hash with a secret, short-lived key: an unsalted or static hash of an address is reversed in minutes, for there are only 2^32.
    text = "\0".join(parts).encode("utf-8", "replace")
    return blake2b(text, digest_size=16, key=key, person=person).hexdigest()


def redact(text: str, address: str) -> str:
    """Return `text` without the client's own `address`, should it have been sent in a path, a query or a field.

    An IPv6 address is found however it is written: with capitals, with its zeros, as the IPv4 address inside it, with escaped colons.
    """
    bare = _bare(address)
    if bare:
        text = text.replace(bare, REDACTED)
    own = _ipv6(bare)
    if own is None:
        return text
    if own.ipv4_mapped is not None:
        text = text.replace(str(own.ipv4_mapped), REDACTED)
    return _RUN.sub(lambda found: REDACTED if _ipv6(_unescaped(found[0])) == own else found[0], text)


def needle(address: str) -> str:
    """Return what stands in a text that holds `address` as it is most often written: of an IPv4 address inside an IPv6 one, the former."""
    own = _ipv6(_bare(address))
    return _bare(address) if own is None or own.ipv4_mapped is None else str(own.ipv4_mapped)


def seems_to_hold_ipv6(text: bytes) -> bool:
    """Tell whether any IPv6 address may stand in `text`, in whatever spelling."""
    return _SEEMS_IPV6.search(text) is not None


def _ipv6(text: str) -> IPv6Address | None:
    if text.count(":") < 2 or len(text) > _LONGEST_IPV6:
        return None
    try:
        return IPv6Address(text)
    except ValueError:
        return None


def _bare(address: str) -> str:
    # The zone ("%eth0") says where the server met it, and is no part of what others write.
    return address.partition("%")[0]


def _unescaped(text: str) -> str:
    return _ESCAPED_COLON.sub(":", text).strip(".")
