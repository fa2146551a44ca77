"""Headers: a case-insensitive multimap that keeps repeated field lines apart.

Repeated lines matter: docker sends one ``Accept`` line for each media type, and a registry answers 404 when they are dropped.
This room knows field names and values (RFC 9110 §5), and which of them concern one connection only; it does not know what any other means.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TypeAlias

RawHeaders: TypeAlias = list[tuple[bytes, bytes]]


class Headers:
    """The field lines of one message, in order.

    Held as ASGI holds them, ``(lower-case name, value)`` in latin-1 bytes, so that a server's own list is taken as it is and
    a lookup costs one dictionary access. Nobody mutates it.

    Args:
        lines: pairs of name and value as text, or a mapping; names in any case. Values lose surrounding white space (RFC 9110 §5.5).
    """

    __slots__ = ("_first", "raw")

    raw: RawHeaders
    """The lines as ``(lower-case name, value)`` in bytes."""

    def __init__(self, lines: Iterable[tuple[str, str]] | dict[str, str] = ()) -> None:
        pairs = lines.items() if isinstance(lines, dict) else lines
        self.raw = [(name.lower().encode("latin-1", "replace"), _field_value(value)) for name, value in pairs]
        self._first: dict[bytes, bytes] | None = None

    @classmethod
    def from_raw(cls, raw: RawHeaders) -> Headers:
        """Take a server's own list: names already lower-case, as ASGI 3 demands."""
        headers = cls.__new__(cls)
        headers.raw = raw
        headers._first = None
        return headers

    def first(self, name: bytes) -> bytes | None:
        """Return the first line of the lower-case `name` as bytes, or None: the form for the hot path."""
        index = self._first
        if index is None:
            index = self._first = dict(self.raw)
            if len(index) != len(self.raw):
                # dict() keeps the last of two equal keys: built from the end, the first.
                index = self._first = dict(reversed(self.raw))
        return index.get(name)

    def get(self, name: str) -> str | None:
        """Return the first line of `name`, in any case, or None."""
        value = self.first(name.lower().encode("latin-1", "replace"))
        return None if value is None else value.decode("latin-1")

    def get_all(self, name: str) -> list[str]:
        """Return every line of `name`, in order."""
        wanted = name.lower().encode("latin-1", "replace")
        return [value.decode("latin-1") for key, value in self.raw if key == wanted]

    def without(self, names: frozenset[bytes]) -> Headers:
        """Return the lines whose lower-case name is not in `names`."""
        return Headers.from_raw([line for line in self.raw if line[0] not in names])

    def items(self) -> Iterator[tuple[str, str]]:
        """Iterate over the lines as text, repeated ones apart."""
        return ((name.decode("latin-1"), value.decode("latin-1")) for name, value in self.raw)

    def __iter__(self) -> Iterator[str]:
        return (name.decode("latin-1") for name, _ in self.raw)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.get(name) is not None

    def __getitem__(self, name: str) -> str:
        value = self.get(name)
        if value is None:
            raise KeyError(name)
        return value

    def __len__(self) -> int:
        return len(self.raw)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Headers) and self.raw == other.raw

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Headers({list(self.items())!r})"


def _field_value(value: str) -> bytes:
    return value.strip(" \t").encode("latin-1", "replace")


HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"http2-settings",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
"""Fields that concern one connection only (RFC 9110 §7.6.1)."""


def end_to_end(headers: Headers) -> Headers:
    """Return the lines that may be forwarded: neither hop-by-hop nor named by ``Connection`` (RFC 9110 §7.6.1).

    Nor a name with "_": a server of WSGI or CGI cannot tell it from the one with "-", so that ``X_Real_IP`` could pass for ``X-Real-IP``. A
    ``Content-Length`` beside a ``Transfer-Encoding`` is not the body's length, and goes with it (RFC 9112 §6.3).
    """
    named = {option.strip().lower().encode("latin-1", "replace") for line in headers.get_all("connection") for option in line.split(",")}
    if "transfer-encoding" in headers:
        named.add(b"content-length")
    left_out = HOP_BY_HOP | named
    # "proxy-" begins the names of fields between a client and its proxy, also of those that nobody has registered.
    return Headers.from_raw(
        [line for line in headers.raw if line[0] not in left_out and not line[0].startswith(b"proxy-") and b"_" not in line[0]]
    )


_ENTITY_TAG = re.compile(r'"[^"]*"')


def holds(headers: Headers, tag: str) -> bool:
    """Tell whether a client has the representation with this strong entity tag already (RFC 9110 §13.1.2)."""
    if headers.first(b"if-none-match") is None:
        return False
    held = ",".join(headers.get_all("if-none-match"))
    # Weak comparison, as the RFC demands here: a "W/" before a tag makes no difference.
    return held.strip() == "*" or any(found == tag for found in _ENTITY_TAG.findall(held))


_MOST_DIGITS = 20
"""More than any body has bytes."""


def length(value: bytes) -> int | None:
    """Return the number of bytes that a ``Content-Length`` announces, or None where it is no number (RFC 9110 §8.6).

    Leading zeros count for nothing, and of the other digits the first 20 do: more announce what is too large anyway, and ``int`` refuses
    digits without end.
    """
    return int(value.lstrip(b"0")[:_MOST_DIGITS] or b"0") if value.isdigit() else None
