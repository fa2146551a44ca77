"""One served application, in a process of its own: ``python -m benchmarks.server bare|starlette|gateway FD DATA``.

The same server for all: uvicorn with uvloop and httptools, one worker, no access log, the garbage collector told to leave alone what was
there before the first request. At its end it writes to ``DATA/answered.json`` how many requests it has answered.
"""

from __future__ import annotations

import json
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any, TypeAlias

import uvicorn

from benchmarks import rules
from benchmarks.room import settle

Message: TypeAlias = MutableMapping[str, Any]
App: TypeAlias = Callable[[Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]]

_PATH = "/{platform}/{version}/rocket-skates.tgz"
_LOCATION = "https://cdn.acme.com/{version}/rocket-skates-{platform}.tgz"
_FIXED = [(b"location", b"https://cdn.acme.com/1.2.3/rocket-skates-linux.tgz"), (b"content-length", b"0")]


async def bare(scope: Message, _receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]) -> None:
    """Answer everything with the same redirect: what the server costs, and nothing else."""
    if scope["type"] != "http":
        raise NotImplementedError
    await send({"type": "http.response.start", "status": 302, "headers": _FIXED})
    await send({"type": "http.response.body"})


def starlette() -> App:
    """Make a Starlette application that redirects, and records nothing."""
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import RedirectResponse
    from starlette.routing import Route

    async def redirect(request: Request) -> RedirectResponse:
        return RedirectResponse(_LOCATION.format(**request.path_params), 302)

    return Starlette(routes=[Route(_PATH, redirect)])


def gateway(data: Path) -> App:
    """Make a gateway of a hundred rules, everything recorded."""
    from gatewaycore import Service
    from gatewaycore.config import read_config
    from gatewaycore_asgi import GatewayApp

    wanted = {"name": "rocket-skates", "type": "file", "domain": rules.DOMAIN, "incoming-path": _PATH, "outgoing-url": _LOCATION}
    others = [{**package, "domain": rules.DOMAIN} for package in rules.packages(99)]
    # The journal alone: shipping from it into a lake is measured by itself.
    return GatewayApp(Service.open(read_config({"packages": [wanted, *others], "sinks": []}), data))


def main(name: str, listener: int, data: Path) -> None:
    """Serve until SIGTERM."""
    app = bare if name == "bare" else starlette() if name == "starlette" else gateway(data)
    config = uvicorn.Config(app, loop="uvloop", http="httptools", ws="none", access_log=False, log_level="warning", proxy_headers=False)
    server = uvicorn.Server(config)
    settle()
    # uvicorn raises the signal that ended it again: that is the end, and what follows is still to be written.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        server.run([socket.socket(fileno=listener)])
    finally:
        (data / "answered.json").write_text(json.dumps(server.server_state.total_requests))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
