"""Percent-escapes: the one form of a path in which two spellings of the same path are equal, and the way back to text.

Knows RFC 3986 §2 and §6.2.2; knows nothing of templates.
"""

from __future__ import annotations

import re
from functools import lru_cache
from urllib.parse import unquote

__all__ = ["escape", "form_decode", "inside_escape", "normalise", "share", "unescape"]

_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")  # RFC 3986 §2.3

# Characters that stand in a path as they are (RFC 3986 §3.3), and what has to be looked at: escapes and all the others.
# "[" and "]" are let through: clients send them bare, and RFC 6570 §2.1 counts them among the literals.
_settled = re.compile(r"[!$&-;=@A-Z\[\]_a-z~]*").fullmatch
_UNSETTLED = re.compile(r"%[0-9A-Fa-f]{2}|[^!$&-;=@A-Z\[\]_a-z~]")

# What RFC 6570 §3.1 wants encoded in a literal: everything but reserved, unreserved and well-formed escapes.
_UNFIT = re.compile(r"%(?![0-9A-Fa-f]{2})|[^!#$%&-;=?-Z\[\]_a-z~]")


def _encode(character: str) -> str:
    # surrogatepass: a lone surrogate must not raise here; its bytes decode to U+FFFD later on
    return "".join(f"%{byte:02X}" for byte in character.encode("utf-8", "surrogatepass"))


def _settle(found: re.Match[str]) -> str:
    text = found.group()
    if len(text) == 1:
        return _encode(text)
    character = chr(int(text[1:], 16))
    return character if character in _UNRESERVED else text.upper()


def normalise(path: str) -> str:
    """Bring a path into the form in which equivalent paths are equal (RFC 3986 §6.2.2).

    Escapes of unreserved characters are decoded, other escapes get upper-case digits; characters that may not stand
    in a path, a stray "%" among them, are encoded as UTF-8. Reserved characters keep the spelling they have: "/" and
    "%2F" differ. Idempotent.

    Args:
        path: as it came over the wire, or as written in a template; without a query.
    """
    return path if _settled(path) else _UNSETTLED.sub(_settle, path)


def escape(url: str) -> str:
    """Percent-encode what may stand nowhere in a URL, and leave the rest as it is (RFC 6570 §3.1). Idempotent."""
    return _UNFIT.sub(lambda found: _encode(found.group()), url) if _UNFIT.search(url) else url


def unescape(text: str) -> str:
    """Decode percent-escapes as UTF-8; what is not UTF-8 becomes U+FFFD, so that the result can always be encoded again."""
    return unquote(text, errors="replace") if "%" in text else text


def form_decode(text: str) -> str:
    """Decode a name or value of a query: as `unescape`, and "+" is a space (application/x-www-form-urlencoded)."""
    return unescape(text.replace("+", " ") if "+" in text else text)


def inside_escape(text: str, at: int) -> bool:
    """Tell whether `at` is the second or third character of a percent-escape in a normalised path."""
    return "%" in text[max(at - 2, 0) : at]


@lru_cache(maxsize=16_384)
def share(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return one object for equal tuples: a million rules name the same few variables."""
    return names
