"""Privacy: who asked not to be counted, and identifiers that cannot be turned back into an address.

This room knows no clock and no randomness: keys come in as arguments.
"""

from __future__ import annotations

from hashlib import blake2b

from gatewaycore.headers import Headers

REDACTED = "[address]"


def opted_out(headers: Headers) -> bool:
    """Tell whether the client asked not to be tracked.

    ``Sec-GPC`` counts when at least one line is exactly "1" (Global Privacy Control §3.2); ``DNT`` when a line begins with "1"
    (Tracking Preference Expression §5.2: extensions behind the first character are ignored). The request is still served.
    """
    # Both fields are rare: one lookup each, and lines are looked at one by one only where the field is there.
    if headers.first(b"sec-gpc") is not None and any(line.strip(" \t") == "1" for line in headers.get_all("sec-gpc")):
        return True
    return headers.first(b"dnt") is not None and any(line.strip(" \t")[:1] == "1" for line in headers.get_all("dnt"))


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
    """Return `text` without the client's own `address`, should it have been sent in a path, a query or a field."""
    return text.replace(address, REDACTED) if address and address in text else text
