"""Addresses of stores, as far as they can be looked at before anybody is connected to."""

from __future__ import annotations

from urllib.parse import urlsplit


def is_url(text: str, *schemes: str) -> bool:
    """Tell whether `text` is a URL of a server, with one of these schemes."""
    try:
        parts = urlsplit(text)
        return parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
