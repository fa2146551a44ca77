"""Applications that servers of other makers are given; the environment says which gateway.yaml they serve."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import gatewaycore_asgi
import gatewaycore_wsgi

if TYPE_CHECKING:
    from starlette.applications import Starlette

CONFIG = "E2E_CONFIG"
PREFIX = "/packages/python"


def mounted() -> Starlette:
    """Return a site with the gateway under `PREFIX`."""
    from starlette.applications import Starlette
    from starlette.routing import Mount

    gateway = gatewaycore_asgi.GatewayApp.from_file(os.environ[CONFIG])

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        await gateway.aclose()

    return Starlette(routes=[Mount(PREFIX, app=gateway)], lifespan=lifespan)


def wsgi() -> gatewaycore_wsgi.GatewayApp:
    """Return the gateway as a WSGI application."""
    return gatewaycore_wsgi.GatewayApp.from_file(os.environ[CONFIG])
