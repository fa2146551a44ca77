"""Beside: a gateway, and other applications on domains of their own, behind one server."""

from __future__ import annotations

from collections.abc import Callable

from gatewaycore.errors import RequestError
from gatewaycore_asgi.app import GatewayApp
from gatewaycore_asgi.reading import read_request
from gatewaycore_asgi.types import App, Message, Receive, Scope, Send


class Beside:
    """Serves a gateway, and another application on one domain. A package on that domain would never be reached.

    Args:
        gateway: answers for all other hosts, and takes part in the server's lifespan.
        other: answers for the domain. It takes no part in the lifespan.
        domain: lower-case, without port; whoever is trusted to say so may have forwarded it.
        closed: called when the gateway has been closed.
    """

    def __init__(self, gateway: GatewayApp, other: App, domain: str, closed: Callable[[], None] = lambda: None) -> None:
        self._gateway = gateway
        self._other = other
        self._domain = domain
        self._needle = domain.encode()
        self._closed = closed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or take part in the lifespan."""
        if scope["type"] == "lifespan":
            await self._gateway(scope, receive, self._closing(send))
        # A look at the bytes first: nearly all requests are the gateway's, which reads them itself.
        elif scope["type"] == "http" and any(self._needle in value.lower() for _, value in scope["headers"]) and self._is_others(scope):
            await self._other(scope, receive, send)
        else:
            await self._gateway(scope, receive, send)

    def drain(self) -> int:
        """Say from now on that this process is about to end; see `Service.drain`."""
        return self._gateway.drain()

    def _is_others(self, scope: Scope) -> bool:
        try:
            request = read_request(scope, self._gateway.service.trusted)
        except RequestError:
            return False
        if request.host != self._domain:
            return False
        # By it the other one tells whether its cookies are for TLS alone.
        scope["scheme"] = request.scheme
        return True

    def _closing(self, send: Send) -> Send:
        async def tell(message: Message) -> None:
            if message["type"] == "lifespan.shutdown.complete":
                self._closed()
            await send(message)

        return tell
