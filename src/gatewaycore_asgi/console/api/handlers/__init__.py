"""Handlers: what can be asked, one file for each kind of thing, and the roster of them all."""

from __future__ import annotations

from typing import Final

from litestar.handlers import HTTPRouteHandler

from gatewaycore_asgi.console.api.handlers import (
    audit,
    collections,
    domains,
    events,
    imports,
    members,
    organisations,
    packages,
    pixels,
    stats,
    tokens,
    users,
)

HANDLERS: Final[tuple[HTTPRouteHandler, ...]] = (
    *users.HANDLERS,
    *tokens.HANDLERS,
    *organisations.HANDLERS,
    *members.HANDLERS,
    *packages.HANDLERS,
    *collections.HANDLERS,
    *pixels.HANDLERS,
    *domains.HANDLERS,
    *stats.HANDLERS,
    *events.HANDLERS,
    *imports.HANDLERS,
    *audit.HANDLERS,
)
