"""Cookies of the console: what they are called, and which are believed.

Over TLS their names begin so that browsers take them from this very host alone (RFC 6265bis §4.1.3): nobody else on the domain, and nobody
between, can put one there that is taken for ours.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal

from litestar.datastructures import Cookie

_LAX: Final[Literal["lax"]] = "lax"


def name_of(name: str, base: str, *, is_secure: bool) -> str:
    """Return what a cookie is called.

    Args:
        name: its own.
        base: the mount, without a slash at its end: below one, a browser asks less.
        is_secure: whether it is for TLS alone.
    """
    if not is_secure:
        return name
    return f"__Secure-{name}" if base else f"__Host-{name}"


def make_cookie(name: str, value: str, base: str, age_s: int, *, is_secure: bool) -> Cookie:
    """Return a cookie that no script can read, and that is for this mount alone."""
    written = name_of(name, base, is_secure=is_secure)
    return Cookie(key=written, value=value, path=f"{base}/", max_age=age_s, httponly=True, samesite=_LAX, secure=is_secure)


def read_cookie(headers: Iterable[tuple[bytes, bytes]], name: str, base: str, *, is_secure: bool) -> str | None:
    """Return the value of a cookie of ours, which is never quoted; whatever others of the same domain hold (RFC 6265 §5.4).

    Args:
        headers: of the request.
        name: its own.
        base: the mount.
        is_secure: whether the request has come over TLS: then one that may have come from elsewhere is none.
    """
    text = ";".join(value.decode("latin-1") for one, value in headers if one == b"cookie")
    pairs = [one.strip().partition("=") for one in text.split(";")]
    # A proxy that nobody has said is trusted may have ended TLS: the browser knows better.
    for wanted in (name_of(name, base, is_secure=True), *(() if is_secure else (name,))):
        found = next((value for one, equals, value in pairs if equals and one == wanted), None)
        if found is not None:
            return found if found.isascii() else None
    return None
