"""Marks: by what a proxy in front tells one request from all others, the same each time that it sends it.

A proxy whose gateway has died in the middle asks another one. Both may have recorded the request; by its mark, both records are one event.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Final

from attrs import frozen

NEAR_MS: Final = 300_000
"""How far the time of a mark may be from the node's own: one that says another is no proxy's, or its clock is wrong.

What takes longer to be answered is sent to no second gateway: its head has left long before."""

_LONGEST: Final = 64
# Unix time in milliseconds, or in seconds with three decimals, before a UUID with dashes or without; or a UUID that has its time in it.
_FORM: Final = re.compile(rb"(?:(\d{10})\.?(\d{3})-)?([0-9a-f]{8}-?[0-9a-f]{4}-?([0-9a-f])[0-9a-f]{3}-?[0-9a-f]{4}-?[0-9a-f]{12})")
_KEY_BYTES: Final = 10
_BITS: Final = (1 << 62) - 1


@frozen
class Mark:
    """A mark, as far as it is kept: when the request came in, and a hash of the rest.

    Attributes:
        ms: milliseconds since the epoch, by the proxy's clock.
        key: of 10 bytes.
    """

    ms: int
    key: bytes

    @classmethod
    def parse(cls, value: bytes) -> Mark | None:
        """Read what a field says; None where it is neither ``<unix time>-<uuid>`` nor a UUIDv7.

        Nothing of what was sent is kept but the time and a hash: whatever else somebody may have written into it.
        """
        found = _FORM.fullmatch(value.lower()) if len(value) <= _LONGEST else None
        if found is None:
            return None
        seconds, thousandths, uuid, version = found.groups()
        uuid = uuid.replace(b"-", b"")
        if seconds is None and version != b"7":
            return None
        ms = int(uuid[:12], 16) if seconds is None else int(seconds + thousandths)
        return cls(ms, blake2b(uuid, digest_size=_KEY_BYTES, person=b"request mark").digest())

    def is_near(self, now_ns: int) -> bool:
        """Tell whether it says about the time that it is."""
        return abs(now_ns // 1_000_000 - self.ms) <= NEAR_MS

    @property
    def time(self) -> datetime:
        """When the request came in, UTC."""
        return datetime.fromtimestamp(self.ms / 1000, UTC)

    def event_id(self, number: int = 0) -> bytes:
        """Return the id of an event of the request, as text: a UUIDv7 (RFC 9562 §5.7) with a hash where randomness would be.

        Args:
            number: how many events the request had before it.
        """
        key = self.key if not number else blake2b(number.to_bytes(8, "big"), key=self.key, digest_size=_KEY_BYTES).digest()
        # 12 and 62 bits of the hash, between version and variant.
        bits = int.from_bytes(key, "big")
        text = b"%012x7%03x%016x" % (self.ms, bits >> 68, 0x8 << 60 | bits & _BITS)
        return b"%b-%b-%b-%b-%b" % (text[:8], text[8:12], text[12:16], text[16:20], text[20:])
