"""Certificates: whether one may be had for a name, for the proxy in front that gets them on demand (Caddy's ``ask``).

The question comes in the middle of a client's handshake, and anybody can bring it about with any name: the answer comes from memory, and
what is remembered has an end. It is given to this machine and to trusted proxies alone, and not where it was passed on for somebody else.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable
from ipaddress import ip_address
from typing import Final
from urllib.parse import parse_qsl

from gatewaycore.addresses import is_address
from gatewaycore.errors import RequestError
from gatewaycore.request import normalise_host
from gatewaycore.service import Service
from gatewaycore_asgi.types import App, Receive, Scope, Send

PATH: Final = "/_gatewaycore/ask"

_log = logging.getLogger("gatewaycore.certificates")
# Fields by whose beginning it is seen that a request was passed on.
_PASSED_ON: Final = b"forwarded", b"via", b"x-forwarded-", b"x-real-ip"
_MOST: Final = 4096
_LONGEST: Final = 512
_HEADERS: Final = [(b"content-type", b"text/plain; charset=utf-8"), (b"cache-control", b"no-store")]


class Certificates:
    """Knows the names that certificates may be had for: those that are served, by name, and those that organisations hold.

    Names that only a wildcard stands for are not among them: anybody could have any number of certificates made.

    Args:
        service: what is served.
        held: the domains that organisations hold, now.
    """

    def __init__(self, service: Service, held: Callable[[], frozenset[str]]) -> None:
        self._service = service
        self._held = held
        self._refused: OrderedDict[str, None] = OrderedDict()

    def admits(self, text: str) -> bool:
        """Tell whether a certificate may be had for a name. One that is refused is logged, and not again as long as it is remembered."""
        try:
            name = normalise_host(text) if len(text) <= _LONGEST else ""
        except RequestError:
            name = ""
        if self._is_ours(name):
            self._refused.pop(name, None)
            return True
        # What nobody could have a certificate for is no name worth a place, and no line; and it may be a client's address.
        if "." in name and not is_address(name):
            self._remember(name)
        return False

    def _is_ours(self, name: str) -> bool:
        config = self._service.config
        if "." not in name:
            return False
        console = config.console is not None and config.console.domain == name
        return console or name in self._held() or self._service.gateway.router.names(name)

    def _remember(self, name: str) -> None:
        if name in self._refused:
            self._refused.move_to_end(name)
            return
        self._refused[name] = None
        if len(self._refused) > _MOST:
            self._refused.popitem(last=False)
        _log.debug("no certificate for %s: it is neither served nor verified", name)

    @property
    def refused(self) -> tuple[str, ...]:
        """Names that were refused, the latest last."""
        return tuple(self._refused)


class CertificateAsk:
    """Answers whether a certificate may be had; everything else is another application's.

    Args:
        app: the other one.
        service: what is served.
        held: the domains that organisations hold, now.
    """

    def __init__(self, app: App, service: Service, held: Callable[[], frozenset[str]] = frozenset) -> None:
        self._app = app
        self._service = service
        self.certificates = Certificates(service, held)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or take part in the lifespan."""
        if scope["type"] != "http" or scope["path"] != PATH or not self._is_trusted(scope):
            await self._app(scope, receive, send)
            return
        status, body = self._answer(scope)
        length = (b"content-length", str(len(body)).encode())
        await send({"type": "http.response.start", "status": status, "headers": [*_HEADERS, length]})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    def drain(self) -> int:
        """Say from now on that this process is about to end; see `Service.drain`."""
        drain = getattr(self._app, "drain", None)
        return 0 if drain is None else int(drain())

    def _answer(self, scope: Scope) -> tuple[int, bytes]:
        try:
            asked = dict(parse_qsl(scope["query_string"].decode("ascii"), max_num_fields=8))
        except ValueError:
            asked = {}
        if "domain" not in asked:
            return 400, b"ask with ?domain=\n"
        return (200, b"yes\n") if self.certificates.admits(asked["domain"]) else (403, b"no\n")

    def _is_trusted(self, scope: Scope) -> bool:
        """Tell whether it is the proxy itself that asks: what it passes on comes from the same address, and says for whom."""
        client = scope.get("client")
        if client is None or any(name.lower().startswith(_PASSED_ON) for name, _ in scope["headers"]):
            return False
        try:
            is_here = ip_address(client[0]).is_loopback
        except ValueError:
            return False
        return is_here or self._service.trusted.trusts(client[0])
