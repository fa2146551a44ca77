"""A Litestar app with a gateway below one of its paths.

Run it: ``uvicorn litestar_app:app``, then ``curl -i localhost:8000/download/linux/1.1.0/rocket-skates.tgz``.
"""

from __future__ import annotations

from pathlib import Path
from typing import cast

from litestar import Litestar, asgi, get
from litestar.types import Receive, Scope, Send

from gatewaycore_asgi import GatewayApp
from gatewaycore_asgi import types as plain

gateway = GatewayApp.from_file(Path(__file__).with_name("gateway.yaml"))


@get("/versions")
async def versions() -> list[str]:
    return ["1.1.0"]


# Requests for the host of this app are answered as the config's default-domain says. Litestar has types of its own for what ASGI calls a
# dictionary: hence the casts.
@asgi("/download", is_mount=True, copy_scope=True)
async def download(scope: Scope, receive: Receive, send: Send) -> None:
    await gateway(cast(plain.Scope, scope), cast(plain.Receive, receive), cast(plain.Send, send))


app = Litestar([versions, download], on_shutdown=[gateway.aclose])
