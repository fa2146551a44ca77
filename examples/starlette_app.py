"""A Starlette app with a gateway beside its own routes: below a path, and under the gateway's own domains.

Run it: ``uvicorn starlette_app:app``, then ``curl -i localhost:8000/download/linux/1.1.0/rocket-skates.tgz``
and ``curl -i -H "Host: py.acme.example" localhost:8000/simple/``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Host, Mount, Route

from gatewaycore_asgi import GatewayApp

gateway = GatewayApp.from_file(Path(__file__).with_name("gateway.yaml"))


async def home(request: Request) -> PlainTextResponse:
    return PlainTextResponse("Acme\n")


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    yield
    # No lifespan reaches a mounted app: whoever mounts it closes it.
    await gateway.aclose()


app = Starlette(
    routes=[
        # By host: docker.acme.example, get.acme.example and the others are the gateway's altogether.
        *(Host(domain, gateway) for domain in gateway.service.gateway.router.domains),
        Route("/", home),
        # By path: requests for any other host are answered as the config's default-domain says.
        Mount("/download", gateway),
    ],
    lifespan=lifespan,
)
