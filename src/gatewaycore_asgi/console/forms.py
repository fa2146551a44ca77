"""Handlers, and forms: what a browser sends with a button. One that another site's page has made is not taken."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, TypeAlias
from urllib.parse import parse_qsl, urlsplit

from anyio import to_thread
from attrs import frozen
from litestar import Request, Response, get, post
from litestar.exceptions import ClientException, PermissionDeniedException
from litestar.handlers import HTTPRouteHandler

from gatewaycore_asgi.console.requests import Caller, caller_in

Asking: TypeAlias = Request[Any, Any, Any]

_MOST_BYTES: Final = 256 * 1024
_MOST_FIELDS: Final = 1_000
_OURS: Final = ("same-origin", "none")
_PORTS: Final = {"http": 80, "https": 443}


@frozen
class Form:
    """What was sent.

    Attributes:
        fields: names to values.
    """

    fields: Mapping[str, Sequence[str]]

    def one(self, name: str) -> str:
        """Return the last value of a name; empty where there is none."""
        values = self.fields.get(name, ())
        return values[-1] if values else ""

    def all(self, name: str) -> tuple[str, ...]:
        """Return all values of a name."""
        return tuple(self.fields.get(name, ()))


def showing(path: str, act: Callable[[Asking], Response[Any]]) -> HTTPRouteHandler:
    """Return the handler that shows a page.

    Args:
        path: where.
        act: answers; in a thread, for it asks a store or a database.
    """

    # Not by Litestar's `sync_to_thread`: a handler whose path has another one for forms is wrapped twice there.
    @get(path, name=f"show {path}")
    async def show(request: Asking) -> Response[Any]:
        return await to_thread.run_sync(partial(act, request))

    return show


def taking(path: str, act: Callable[[Asking, Form], Response[Any]]) -> HTTPRouteHandler:
    """Return the handler that takes a form.

    Args:
        path: where.
        act: answers; in a thread, for it asks a database.
    """

    @post(path, status_code=200, name=f"take {path}")
    async def take(request: Asking) -> Response[Any]:
        _check_origin(request)
        body = await _body(request)
        try:
            pairs = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=_MOST_FIELDS)
        except ValueError as error:
            raise ClientException("this is no form") from error
        fields: dict[str, list[str]] = {}
        for name, value in pairs:
            fields.setdefault(name, []).append(value)
        return await to_thread.run_sync(partial(act, request, Form(fields)))

    return take


async def _body(request: Asking) -> bytes:
    found = b""
    async for chunk in request.stream():
        found += chunk
        if len(found) > _MOST_BYTES:
            raise ClientException("this form is too large")
    return found


def _check_origin(request: Asking) -> None:
    """Refuse what another site's page has sent (Fetch Metadata; RFC 6454 §7), whatever cookies came with it.

    Which site is ours is what the browser has asked: a proxy in front may call us otherwise, and says so, where it is trusted to.
    """
    site, origin, caller = request.headers.get("sec-fetch-site"), request.headers.get("origin"), caller_in(request)
    if site is not None and site not in _OURS:
        raise PermissionDeniedException("another site has sent this")
    if origin is not None and not _is_ours(origin, caller):
        raise PermissionDeniedException("another site has sent this")


def _is_ours(origin: str, caller: Caller) -> bool:
    try:
        parts, host = urlsplit(origin.lower()), urlsplit(f"//{caller.host}")
        # Of TLS that a proxy has ended which is not trusted, we know nothing. Where we know of it, a page without it is another site's.
        if parts.scheme not in ("https", *(() if caller.is_secure else ("http",))):
            return False
        usual = _PORTS[parts.scheme]
        return (parts.hostname, parts.port or usual) == (host.hostname, host.port or usual) and bool(host.hostname)
    except ValueError:
        return False
