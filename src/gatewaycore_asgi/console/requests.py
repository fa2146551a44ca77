"""Requests: what pages want to know of one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from attrs import frozen
from litestar import Request

from gatewaycore.clientip import TrustedProxies
from gatewaycore.headers import Headers

Asking: TypeAlias = Request[Any, Any, Any]


@frozen
class Caller:
    """Where a request has come from, as far as whoever is trusted says so.

    Attributes:
        address: of who asks.
        host: that they have asked, with its port where it has one.
        is_secure: whether they came over TLS.
    """

    address: str
    host: str
    is_secure: bool


def caller_of(scope: Mapping[str, Any], trusted: TrustedProxies) -> Caller:
    """Return where a request has come from: what a stranger says in a field for proxies is nothing."""
    client = scope.get("client")
    headers = Headers.from_raw(list(scope["headers"]))
    origin = trusted.origin(client[0] if client else "", headers)
    host = origin.host or next(iter(headers.get_all("host")), "")
    return Caller(origin.address, host.strip().lower(), (origin.scheme or scope.get("scheme", "http")) == "https")


def caller_in(request: Asking) -> Caller:
    """Return where a request of a page has come from."""
    found: Caller = request.scope["state"]["caller"]
    return found


def is_head(request: Asking) -> bool:
    """Tell whether only the head of an answer is wanted: whoever answers need not do the work."""
    found: bool = request.scope["state"]["is_head"]
    return found


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
