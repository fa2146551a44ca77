"""Ids of events: UUIDv7s, made by each process for itself."""

from __future__ import annotations

import os
import weakref
from binascii import hexlify
from functools import cache


class Ids:
    """Makes UUIDv7s (RFC 9562 §5.7): milliseconds, then 74 random bits; the lower 48 count up within a millisecond (§6.2, method 2)."""

    __slots__ = ("__weakref__", "_count", "_ms", "_prefix")

    def __init__(self) -> None:
        self._ms = -1
        self._prefix = b""
        self._count = 0
        _makers().add(self)

    def make(self, now_ns: int) -> bytes:
        """Return the next id, as text."""
        ms = now_ns // 1_000_000
        if ms != self._ms:
            self._begin(ms)
        count = self._count = self._count + 1
        return self._prefix + hexlify((count & 0xFFFFFFFFFFFF).to_bytes(6, "big"))

    def _begin(self, ms: int) -> None:
        bits = int.from_bytes(os.urandom(10), "big")
        time_part = f"{ms:012x}"
        self._prefix = f"{time_part[:8]}-{time_part[8:]}-7{bits >> 68:03x}-{0x8000 | (bits >> 48) & 0x3FFF:04x}-".encode()
        self._count = bits & 0x7FFFFFFFFFFF
        self._ms = ms

    def forget(self) -> None:
        """Begin anew with the next id."""
        self._ms = -1


@cache
def _makers() -> weakref.WeakSet[Ids]:
    """Return all of this process: in a forked child each begins anew, for two children of one parent would otherwise make the same ids.

    One hook serves them all, because a hook cannot be taken back: whoever simulates makes a recorder for every request.
    """
    makers: weakref.WeakSet[Ids] = weakref.WeakSet()

    def begin_anew() -> None:
        for maker in makers:
            maker.forget()

    os.register_at_fork(after_in_child=begin_anew)
    return makers
