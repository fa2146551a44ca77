"""A FastAPI app with a gateway below one of its paths.

Run it: ``uvicorn fastapi_app:app``, then ``curl -i localhost:8000/download/linux/1.1.0/rocket-skates.tgz``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI

from gatewaycore_asgi import GatewayApp

gateway = GatewayApp.from_file(Path(__file__).with_name("gateway.yaml"))


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    yield
    # No lifespan reaches a mounted app: whoever mounts it closes it.
    await gateway.aclose()


app = FastAPI(lifespan=lifespan)


@app.get("/versions")
async def versions() -> list[str]:
    return ["1.1.0"]


# Requests for the host of this app are answered as the config's default-domain says.
app.mount("/download", gateway)
