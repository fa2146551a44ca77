"""Leading: where an upstream's answer sends whoever reads it, and what nobody is sent to on its word."""

from __future__ import annotations

import re
from urllib.parse import urljoin, urlsplit

from gatewaycore.addresses import is_address, may_connect

_UNSAFE = re.compile(rb"[^\x21-\x7e]|\\")


def origin(scheme: str, authority: str) -> str:
    """Return what is common to the URLs of one server (RFC 6454 §4): neither case nor a default port tells any apart."""
    return f"{scheme}://{authority.lower().removesuffix(':443' if scheme == 'https' else ':80')}"


def locate(base: str, value: bytes) -> str | None:
    """Return a reference as an absolute URL, or None where it is no http(s) one (RFC 9110 §10.2.2).

    Args:
        base: the URL of the answer that it stands in.
        value: as it came.
    """
    text = _UNSAFE.sub(_escape, value).decode("ascii")
    try:
        # Not joined where it is absolute: "http:///x" would take the base's own host.
        resolved = text if text.lower().startswith(("http://", "https://")) else urljoin(base, text)
        target = urlsplit(resolved)
        # Readers disagree on whose host it is that stands behind an "@" or a backslash.
        if target.scheme not in ("http", "https") or not target.hostname or target.port == 0 or "@" in target.netloc:
            return None
    except ValueError:
        return None
    return resolved


def loses_tls(here: str, there: str) -> bool:
    """Tell whether a way leads from https to http, where whoever stands between may change what comes, and read what is asked for."""
    return here[:6].lower() == "https:" and there[:6].lower() != "https:"


def leads_inside(host: str, *, private: bool) -> bool:
    """Tell whether a URL's host is inside of a network: clients stand in networks of their own, and follow where they are led.

    Args:
        host: without a port.
        private: whether private networks and this machine are permitted.
    """
    bare = host.rstrip(".").lower()
    if bare == "localhost" or bare.endswith(".localhost"):
        return not private
    return is_address(bare) and not may_connect(bare, private=private)


def _escape(found: re.Match[bytes]) -> bytes:
    return b"%%%02X" % ord(found[0])
