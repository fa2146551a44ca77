"""Requests: what pages want to know of one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from litestar import Request

Asking: TypeAlias = Request[Any, Any, Any]


def query_of(request: Asking) -> Mapping[str, Sequence[str]]:
    """Return the query: names to values."""
    return request.query_params.dict()


def last(request: Asking, name: str) -> str:
    """Return the last value of a name in the query; empty where there is none."""
    values = query_of(request).get(name, ())
    return values[-1] if values else ""


def base_of(request: Asking) -> str:
    """Return the mount, without a slash at its end."""
    base: str = request.scope["state"]["base"]
    return base


def local(text: str) -> str:
    """Return a path below the mount with its query, of what a form says; the home page where it is none: nobody is sent elsewhere."""
    if not text.startswith("/") or text.startswith(("//", "/\\")) or not text.isprintable():
        return "/"
    parts = urlsplit(text)
    return "/" if parts.scheme or parts.netloc else text
