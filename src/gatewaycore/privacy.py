"""Privacy: who asked not to be counted, and identifiers that cannot be turned back into an address.

This room knows no clock and no randomness: keys come in as arguments.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from ipaddress import IPv4Address, IPv6Address
from string import hexdigits
from typing import TypeAlias

from gatewaycore.headers import Headers

REDACTED = "[address]"

_ESCAPE = re.compile("%([0-9A-Fa-f]{2})")
# Escapes are seen through as often as this: links are put into links, and each time what they hold is escaped once more.
_LAYERS = 4
_RUN = re.compile("[0-9A-Fa-f.:]+")
_DIGIT_BEFORE = re.compile(r"[0-9]\.?\Z")
_DIGIT_AFTER = re.compile(r"\.?[0-9]")
_LOWER = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}
_COLON = "%(?:25)*3[Aa]"
_SEEMS_IPV6 = re.compile(f"(?::|{_COLON})[0-9A-Fa-f]{{0,4}}(?::|{_COLON})".encode())
_ESCAPED_PART = re.compile(rb"%(?:25)*(?:2[Ee]|3[0-9Aa]|[46][1-6])")
_LONGEST_IPV6 = 45
REACH = 512
"""Characters behind a cut in which an address may end: the longest, each character escaped as often as is seen through, has 405."""
_FOUR = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}")
_LIKE_IPV4 = re.compile(r"\d\.\d{1,3}\.\d{1,3}\.\d")
# An IPv4 address inside an IPv6 one (RFC 4291 §2.5.5.2), whose last part may be in hexadecimal digits.
_MAPPED = ":ffff:"
_MAPPED_BYTES = _MAPPED.encode()


def opted_out(headers: Headers) -> bool:
    """Tell whether the client asked not to be tracked.

    ``Sec-GPC`` counts when at least one line is exactly "1" (Global Privacy Control §3.2); ``DNT`` when a line begins with "1"
    (Tracking Preference Expression §5.2: extensions behind the first character are ignored). Lines that somebody on the way has joined with
    a comma, as WSGI does (RFC 9110 §5.3), count as the lines they were. The request is still served.
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


def redact(text: str, address: str, most: int | None = None) -> str:
    """Return `text` without the client's own `address`, should it have been sent in a path, a query or a field.

    It is found with any of its characters percent-escaped, once or more; an IPv6 address also with capitals, with its zeros, as the IPv4
    address inside it, and an IPv4 address also inside an IPv6 one. What merely holds it is another address, or a version, and stays:
    "1.2.3.45" and "1.2.3.4.5" are not "1.2.3.4".

    Args:
        text: a path, a query or a field.
        address: the client's.
        most: characters that are wanted of the text. An address through which that would cut is found whole, for which callers hold `REACH`
            more.
    """
    if most is not None:
        text = text[: most + REACH]
    bare = _bare(address)
    if not bare or (":" not in bare and "%" not in text and bare not in text and _MAPPED not in text.lower()):
        return text[:most]
    own = _ipv6(bare) or _inside_ipv6(bare)
    views = list(_views(text))
    spans = []
    for depth, (view, places) in enumerate(views):
        for start, end in _occurrences(view, bare, own):
            span = places[start], places[end]
            # "1.2.3.4%35" is "1.2.3.45" to whoever looks through the escape.
            if not any(_goes_on(*deeper, span, view[start:end]) for deeper in views[depth:]):
                spans.append(span)
    return _without(text, spans, len(text) if most is None else most)[:most]


_View: TypeAlias = tuple[str, Sequence[int]]
"""A text seen through escapes, and for each of its characters, and its end, where in the original that begins."""


def _views(text: str) -> Iterator[_View]:
    places: Sequence[int] = range(len(text) + 1)
    yield text, places
    for _ in range(_LAYERS):
        parts: list[str] = []
        begins: list[int] = []
        at = 0
        for found in _ESCAPE.finditer(text):
            parts += text[at : found.start()], chr(int(found[1], 16))
            begins += places[at : found.start() + 1]
            at = found.end()
        if not at:
            return
        text, places = "".join(parts) + text[at:], begins + list(places[at:])
        yield text, places


def _occurrences(view: str, bare: str, own: IPv6Address | None) -> Iterator[tuple[int, int]]:
    if own is None:
        yield from _everywhere(view, bare)
        return
    if own.ipv4_mapped is not None:
        yield from _everywhere(view, str(own.ipv4_mapped))
    yield from _everywhere(view.translate(_LOWER), bare.lower())
    for found in _RUN.finditer(view):
        for first, last in _inside_run(found[0]):
            if _ipv6(found[0][first:last]) == own:
                yield found.start() + first, found.start() + last


def _inside_run(run: str) -> Iterator[tuple[int, int]]:
    """Iterate over where in a run of digits, full stops and colons an IPv6 address may begin and end."""
    colon, last_colon = run.find(":"), run.rfind(":")
    if colon == last_colon:
        return
    # A full stop and a colon may be those of the sentence around it. Numbers of a version may stand before and behind it, and a port.
    tail = _FOUR.match(run, last_colon + 1)
    stop = run.find(".", last_colon)
    ends = {len(run), len(run) - (run[-1] in ".:"), last_colon, *([stop] if stop > 0 else ()), *([tail.end()] if tail else ())}
    for first in {0, int(run[0] in ".:"), run.rfind(".", 0, colon) + 1}:
        for last in ends:
            yield first, last


def _everywhere(text: str, wanted: str) -> Iterator[tuple[int, int]]:
    at = text.find(wanted)
    while at >= 0:
        yield at, at + len(wanted)
        at = text.find(wanted, at + 1)


def _goes_on(view: str, places: Sequence[int], span: tuple[int, int], found: str) -> bool:
    """Tell whether what was `found` at `span` of the original is, in this view, but a part of another address or of a version."""
    start, end = bisect_left(places, span[0]), bisect_left(places, span[1])
    if view[start:end] != found:
        return False
    if ":" in found:
        return _is_inside_ipv6(view, start, end)
    if not found[0].isdigit():
        return False
    before, after = view[max(start - 2, 0) : start], view[end : end + 2]
    return _DIGIT_BEFORE.search(before) is not None or _DIGIT_AFTER.match(after) is not None


def _is_inside_ipv6(view: str, start: int, end: int) -> bool:
    # "2001:db8::7:8080" is taken for the address and a port, though it might be another address: better one too many than one too few.
    if not (_is_hex(view[start - 1 : start]) or _is_hex(view[end : end + 1])):
        return False
    first, last = start, end
    while first and start - first <= _LONGEST_IPV6 and _RUN.match(view[first - 1]):
        first -= 1
    while last < len(view) and last - end <= _LONGEST_IPV6 and _RUN.match(view[last]):
        last += 1
    return _ipv6(view[first:last].strip(".")) is not None


def _is_hex(text: str) -> bool:
    return text != "" and text in hexdigits


def _without(text: str, spans: list[tuple[int, int]], most: int) -> str:
    parts: list[str] = []
    at = 0
    for start, end in sorted(spans):
        if start >= most:
            break
        if start >= at:
            parts += text[at:start], REDACTED
        at = max(at, end)
    return "".join(parts) + text[at:most]


def seems_to_hold_address(text: str) -> bool:
    """Tell whether any address may stand in `text`, or what looks like one."""
    return text.count(":") > 1 or (text.count(".") > 2 and _LIKE_IPV4.search(text) is not None)


def may_hold(text: bytes, address: str) -> bool:
    """Tell whether `redact` may find `address` in `text`, which is JSON: a quick look, because it nearly never does."""
    # An address that is not known is nowhere to be found: no text of JSON holds a line break.
    if ":" in address:
        return needle(address).encode() in text or seems_to_hold_ipv6(text) or (b"%" in text and may_hide_address(text))
    return (_bare(address).encode() or b"\n") in text or (b"%" in text and may_hide_address(text)) or _MAPPED_BYTES in text.lower()


def needle(address: str) -> str:
    """Return what stands in a text that holds `address` as it is most often written: of an IPv4 address inside an IPv6 one, the former."""
    own = _ipv6(_bare(address))
    return _bare(address) if own is None or own.ipv4_mapped is None else str(own.ipv4_mapped)


def seems_to_hold_ipv6(text: bytes) -> bool:
    """Tell whether any IPv6 address may stand in `text`, in whatever spelling."""
    return _SEEMS_IPV6.search(text) is not None


def may_hide_address(text: bytes) -> bool:
    """Tell whether any address may stand in `text` with a character of it percent-escaped, however often."""
    return _ESCAPED_PART.search(text) is not None


def _ipv6(text: str) -> IPv6Address | None:
    if text.count(":") < 2 or len(text) > _LONGEST_IPV6:
        return None
    try:
        return IPv6Address(text)
    except ValueError:
        return None


def _inside_ipv6(text: str) -> IPv6Address | None:
    try:
        return IPv6Address(f"::ffff:{IPv4Address(text)}")
    except ValueError:
        return None


def _bare(address: str) -> str:
    # The zone ("%eth0") says where the server met it, and is no part of what others write.
    return address.partition("%")[0]
