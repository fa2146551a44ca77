"""Addresses, as clients and stores may write them: to be sent in every spelling, and to be looked for in whatever is kept.

What is looked for is parsed and compared, and not guessed from how it was sent: this is another way than the one that takes it out.
"""

from __future__ import annotations

import gc
import logging
import re
import sys
from collections.abc import Collection, Iterable, Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address
from types import BuiltinFunctionType, FrameType, FunctionType, ModuleType
from typing import Any
from urllib.parse import quote, unquote_to_bytes

_TOKENS = re.compile(rb"[0-9a-f.:]{3,}")
# With what is around it: a longer row of numbers is a version.
_DOTTED = re.compile(rb"(?<![0-9])(?<![0-9]\.)[0-9]{1,3}(?:\.[0-9]{1,3}){3}(?!\.?[0-9])")
_COLONS = re.compile(rb"(?<![0-9a-f])[0-9a-f]{0,4}(?::[0-9a-f]{0,4}){2,7}(?:(?<=:)[0-9]{1,3}(?:\.[0-9]{1,3}){3})?")
_DIGITS = re.compile(rb"(?<![0-9.])[0-9]{8,39}(?![0-9.])")
_UNICODE = re.compile(rb"\\u00([0-7][0-9a-f])")


def spellings(address: str) -> list[str]:
    """Return ways to write an address, none of them escaped."""
    bare = address.partition("%")[0]
    parsed = ip_address(bare)
    found = [bare, bare.upper(), parsed.exploded]
    if isinstance(parsed, IPv6Address):
        found += [address, parsed.exploded.upper(), f"[{bare}]", f"[{bare}]:4711"]
        inner = parsed.ipv4_mapped
    else:
        found += [f"{bare}:4711"]
        inner = parsed
    if inner is not None:
        high, low = divmod(int(inner), 1 << 16)
        found += [
            f"::ffff:{inner}",
            f"::FFFF:{inner}",
            f"::ffff:{high:x}:{low:x}",
            f"0:0:0:0:0:ffff:{high:04x}:{low:04x}",
            f"[::ffff:{inner}]",
        ]
    return list(dict.fromkeys(found))


def escapes(text: str) -> list[str]:
    """Return ways to write a text in a path or a query."""
    every = "".join(f"%{ord(character):02X}" for character in text)
    return [quote(text, safe=":"), quote(text, safe=""), every, every.lower(), quote(every, safe=""), quote(text[:3], safe="") + every[9:]]


def packed(address: str) -> set[bytes]:
    """Return how an address may stand in something binary."""
    parsed = _plain(address.partition("%")[0])
    assert parsed is not None
    if isinstance(parsed, IPv6Address):
        return {parsed.packed, parsed.packed[::-1], parsed.packed.hex().encode(), parsed.packed.hex(":").encode()}
    # Four bytes are too few to tell them from others, so with what is before them in an IPv6 address; their digits are not.
    return {b"\xff\xff" + parsed.packed, parsed.packed.hex(":").encode(), b"ffff" + parsed.packed.hex().encode()}


def views(content: bytes) -> Iterator[bytes]:
    """Iterate over a text as those see it who look through escapes, of JSON and of URLs, and over one whose letters have two bytes."""
    for seen in {content.lower(), content.replace(b"\0", b"").lower()}:
        yield seen
        if b"\\u00" in seen:
            seen = _UNICODE.sub(lambda found: bytes([int(found[1], 16)]), seen).lower()
            yield seen
        for _ in range(4):
            if b"%" not in seen:
                break
            seen = unquote_to_bytes(seen).lower()
            yield seen


def found_in(content: bytes, addresses: Collection[str]) -> list[str]:
    """Return those of `addresses` that stand in `content` in any spelling, as text or in binary."""
    wanted: dict[IPv4Address | IPv6Address, str] = {}
    for address in addresses:
        parsed = _plain(address.partition("%")[0])
        assert parsed is not None
        wanted[parsed] = address
    numbers = {str(int(parsed)).encode(): address for parsed, address in wanted.items()}
    found = {address for address in addresses if any(form in content for form in packed(address))}
    for view in views(content):
        for token in set(_TOKENS.findall(view)):
            for text in (*_DOTTED.findall(token), *_COLONS.findall(token)) if token.count(b".") > 2 or token.count(b":") > 1 else ():
                found |= {wanted[parsed] for parsed in _read(text) if parsed in wanted}
        found |= {numbers[text] for text in _DIGITS.findall(view) if text in numbers}
    return sorted(found)


def stand_in(content: bytes, addresses: Collection[str]) -> list[str]:
    """Return those of `addresses` that stand in `content` as they are usually written; for the large files of a database."""
    lower = content.lower()
    found = []
    for address in addresses:
        bare = address.partition("%")[0]
        parsed = _plain(bare)
        assert parsed is not None
        if any(text.encode() in lower for text in {bare, str(parsed), parsed.exploded}) or any(form in content for form in packed(address)):
            found.append(address)
    return sorted(found)


def _read(text: bytes) -> Iterator[IPv4Address | IPv6Address]:
    # A colon may be of the sentence around it, and a port stand behind.
    for part in {text, text.strip(b":"), text.removeprefix(b":"), text.removesuffix(b":"), text.rpartition(b":")[0]}:
        parsed = _plain(part.decode())
        if parsed is not None:
            yield parsed


def _plain(text: str) -> IPv4Address | IPv6Address | None:
    try:
        parsed = ip_address(text)
    except ValueError:
        return None
    return getattr(parsed, "ipv4_mapped", None) or parsed


# --- what a process holds ------------------------------------------------------------------------------------------------


def held(*roots: object, package: str = "gatewaycore") -> bytes:
    """Return every text that is held by `roots`, or by the modules of `package`: their caches among them.

    What is not a part of them is left out: other modules, loggers, frames, and what functions find in their modules.
    """
    texts: list[bytes] = []
    left: list[Any] = [*roots]
    left += [vars(module) for name, module in list(sys.modules.items()) if name.partition(".")[0] == package]
    seen = {id(left)}
    while left:
        one = left.pop()
        if id(one) in seen or isinstance(one, ModuleType | logging.Logger | logging.Handler | FrameType | BuiltinFunctionType):
            continue
        seen.add(id(one))
        if isinstance(one, str):
            texts.append(one.encode("utf-8", "surrogatepass"))
        elif isinstance(one, bytes | bytearray):
            texts.append(bytes(one))
        elif isinstance(one, FunctionType):
            left += [one.__defaults__, one.__kwdefaults__, one.__closure__, vars(one)]
        elif not isinstance(one, type) or one.__module__.partition(".")[0] == package:
            left += gc.get_referents(one)
    return b"\n".join(texts)


def lines(parts: Iterable[bytes]) -> bytes:
    """Put pieces together, so that none goes on in the next one."""
    return b"\n".join(parts)
