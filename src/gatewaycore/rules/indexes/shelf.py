"""Shelf: the pages that one domain has at hand, bounded, and lost with its process.

Not settings: a gateway without it decides the same, and asks once more. Time comes in with each request.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from hashlib import sha256
from typing import TypeAlias

from attrs import frozen

from gatewaycore.decision import Respond
from gatewaycore.headers import Headers
from gatewaycore.rules.indexes.dialect import Written
from gatewaycore.rules.recent import Recent

SHELF_BYTES = 128 * 1024 * 1024
PARTS_BYTES = 4 * 1024 * 1024
_TROUBLES = 1024
# What Python needs to hold one entry of a mapping, its two texts beside their letters.
_FILE_BYTES = 200

Key: TypeAlias = tuple[str, int, bool, frozenset[str]]
"""A page's URL at its upstream, and the number of the form in which it is kept: two forms of a page are two pages. And where it may lead,
and its upstream: a page that other settings let in is another one."""

Part: TypeAlias = Callable[[bytes], bytes | None]
"""Takes a page as clients see it; returns what of it is wanted, or None where it has no such part. Two that want the same are equal."""


@frozen
class Kept:
    """A page at hand.

    Attributes:
        written: as clients see it.
        digest: of its pieces, in hex: the same on every node that has the same page.
        etag: of the page that it was made of, as the upstream said, or None.
        last_modified: the same of its date.
        checked_at: when the upstream was last asked, and said that it is so.
        head: of the answer that said so: whoever waited for the same answer knows it by that.
        weight: about how many bytes it takes.
        rests_until: when the upstream, which failed, may be asked again; None where it did not fail.
    """

    written: Written
    digest: str
    etag: str | None
    last_modified: str | None
    checked_at: datetime
    head: Headers
    weight: int
    rests_until: datetime | None = None

    @classmethod
    def make(cls, written: Written, head: Headers, now: datetime) -> Kept:
        """Make it of a page that was just fetched."""
        digest = sha256()
        for piece in written.pieces:
            # The length too: the same bytes in other pieces are another page.
            digest.update(len(piece).to_bytes(8, "big"))
            digest.update(piece)
        files = sum(len(name) + len(url) + _FILE_BYTES for name, url in written.files.items())
        weight = sum(map(len, written.pieces)) + files + _FILE_BYTES
        return cls(written, digest.hexdigest(), head.get("etag"), head.get("last-modified"), now, head, weight)


@frozen
class Trouble:
    """Why there is no page, for a while.

    Attributes:
        answer: what those are told who ask for it.
        until: when the upstream may be asked again.
        head: of the answer that it comes from, or None.
    """

    answer: Respond
    until: datetime
    head: Headers | None


class Shelf:
    """The pages at hand, parts of them that were asked for, and what is wrong with some that are not.

    Args:
        size: how many bytes all of its pages may take.
    """

    __slots__ = ("_pages", "_parts", "_size", "_troubles")

    def __init__(self, size: int = SHELF_BYTES) -> None:
        self._size = size
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self._pages: Recent[Key, Kept] = Recent(self._size)
        self._parts: Recent[tuple[str, Part], bytes] = Recent(PARTS_BYTES)
        self._troubles: Recent[Key, Trouble] = Recent(_TROUBLES)

    def inherit(self, older: Shelf) -> None:
        """Go on with the pages of another shelf, and not with its troubles: they may be what somebody has just mended."""
        self._pages, self._parts = older._pages, older._parts

    def page(self, key: Key) -> Kept | None:
        """Return a page, however old, or None."""
        return self._pages.get(key)

    def keep(self, key: Key, kept: Kept) -> None:
        """Keep a page, and let go of those that were not asked for in the longest time."""
        self._pages.put(key, kept, kept.weight)
        self._troubles.drop(key)

    def part(self, digest: str, part: Part) -> bytes | None:
        """Return what of the page with this digest is wanted, where somebody has found it already, or None."""
        return self._parts.get((digest, part))

    def keep_part(self, digest: str, part: Part, found: bytes) -> None:
        """Keep a part of a page: to look for it takes as long as the page is long."""
        self._parts.put((digest, part), found, len(found) + len(digest) + 2 * _FILE_BYTES)

    def trouble(self, key: Key, now: datetime) -> Trouble | None:
        """Return what is wrong with a page, as long as its upstream is not to be asked again."""
        found = self._troubles.get(key)
        return None if found is None or now >= found.until else found

    def note(self, key: Key, trouble: Trouble) -> None:
        """Take note of what is wrong."""
        self._troubles.put(key, trouble)

    def drop(self, key: Key) -> None:
        """Let go of a page that is no more."""
        self._pages.drop(key)

    def taken(self, key: Key, head: Headers) -> Kept | Trouble | None:
        """Return what somebody else made of the very answer that has this head, or None."""
        kept, trouble = self._pages.get(key), self._troubles.get(key)
        if kept is not None and kept.head is head:
            return kept
        return trouble if trouble is not None and trouble.head is head else None
