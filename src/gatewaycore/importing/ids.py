"""Ids of imported events: UUIDv7s that are the same each time the same event is imported. No clock and no randomness.

An id is made of what the event keeps, never of the address that the line had: an unkeyed hash of an address is reversed in minutes.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from hashlib import blake2b

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)
_MASK = (1 << 62) - 1
_HEX = frozenset("0123456789abcdefABCDEF-")
KEY_BYTES = 16


def content_key(*parts: bytes) -> bytes:
    """Return what is the same for events that keep the same: 16 bytes."""
    return blake2b(b"\0".join(parts), digest_size=KEY_BYTES, person=b"import content").digest()


def unique_key(package: str, unique_id: str) -> bytes:
    """Return what is the same for all events of a package with one ``$unique_id``: 16 bytes."""
    return blake2b(f"{package}\0{unique_id}".encode("utf-8", "replace"), digest_size=KEY_BYTES, person=b"import unique").digest()


def event_id(time: datetime, key: bytes, occurrence: int = 0) -> bytes:
    """Return the id of an event, as text (RFC 9562 §5.7, with a hash where randomness would be).

    Args:
        time: when it happened: ids sort by it.
        key: of its content, or of its ``$unique_id``.
        occurrence: how many events with this key came before it.
    """
    if occurrence:
        key = blake2b(key + occurrence.to_bytes(8, "big"), digest_size=KEY_BYTES).digest()
    # 12 and 62 bits of the hash, between version and variant.
    bits = int.from_bytes(key[:10], "big")
    text = f"{(time - _EPOCH) // _MS:012x}7{bits >> 68:03x}{0x8 << 60 | bits & _MASK:016x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}".encode()


def is_hash(text: str) -> bool:
    """Tell whether a text may be an identifier: 16 to 64 hexadecimal digits. An address is none, whoever calls it an identifier."""
    return 16 <= len(text) <= 64 and _HEX.issuperset(text)
