"""GatewayApp: one ASGI 3 application, to be served by itself or mounted beside others."""

from __future__ import annotations

from pathlib import Path
from typing import Self, assert_never

from gatewaycore.decision import TEXT, Collect, Proxy, Redirect, Respond, shown, wire_headers
from gatewaycore.errors import RequestError
from gatewaycore.gateway import Outcome
from gatewaycore.headers import length
from gatewaycore.recorder import Sent
from gatewaycore.service import Service
from gatewaycore.upstreams import report
from gatewaycore_asgi.proxying import ProxyClient
from gatewaycore_asgi.reading import read_request
from gatewaycore_asgi.types import Message, Receive, Scope, Send

_END: Message = {"type": "http.response.body"}


class ClientGoneError(Exception):
    """The client has gone away while its body was being read."""


class GatewayApp:
    """Serves a gateway over ASGI.

    Args:
        service: what to serve. It is started with the first request, or with the server's lifespan where that reaches this app, and closed
            at the lifespan's end; where no lifespan reaches a mounted app, its owner closes it.
    """

    def __init__(self, service: Service) -> None:
        self.service = service
        self._proxy = ProxyClient(service.watch)
        self._started = False

    @classmethod
    def from_file(cls, path: str | Path) -> Self:
        """Make an app of a gateway.yaml.

        Raises:
            ConfigError: with every problem found.
        """
        return cls(Service.from_file(path))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request (ASGI 3 §HTTP), or take part in the lifespan; refuse a websocket."""
        if scope["type"] != "http":
            await self._other(scope, receive, send)
            return
        service = self.service
        if not self._started:
            self._start()
        try:
            request = read_request(scope, service.trusted)
        except RequestError as error:
            service.recorder.refused(error.status)
            await _respond(Respond(error.status, TEXT, b"the Host field names no host\n"), scope["method"], send)
            return
        tracer = service.tracer
        outcome = service.gateway.decide(request) if tracer is None else tracer.decide(service.gateway, request)
        decision = outcome.decision
        if isinstance(decision, Redirect):
            # Before the head, which servers send at once: a redirect has no body, and the client has it whole with its head.
            if outcome.settled is not None:
                service.recorder.record_settled(outcome, outcome.settled)
            else:
                service.recorder.record(outcome, Sent(decision.status))
            await send({"type": "http.response.start", "status": decision.status, "headers": list(decision.lines)})
            await send(_END)
        elif isinstance(decision, Respond):
            await self._answer(outcome, decision, Sent(decision.status), send)
        elif isinstance(decision, Collect):
            await self._collect(outcome, decision, receive, send)
        elif isinstance(decision, Proxy):
            await self._proxy.perform(outcome, decision, service.recorder, receive, send)
        else:
            assert_never(decision)

    async def _answer(self, outcome: Outcome, answer: Redirect | Respond, sent: Sent, send: Send) -> None:
        report(answer)
        body = shown(answer, outcome.request.method)
        sent.body_bytes = len(body)
        self.service.recorder.record(outcome, sent)
        await send({"type": "http.response.start", "status": answer.status, "headers": wire_headers(answer)})
        await send({"type": "http.response.body", "body": body})

    async def _collect(self, outcome: Outcome, decision: Collect, receive: Receive, send: Send) -> None:
        try:
            body = await _read_body(receive, decision.limit, outcome.request.headers.first(b"content-length"))
        except ClientGoneError:
            return
        if body is None:
            self.service.recorder.refused(decision.too_large.status)
            await _respond(decision.too_large, outcome.request.method, send)
            return
        reception = decision.receive(body)
        answer = reception.decision
        if isinstance(answer, Proxy):
            await self._proxy.perform(outcome, answer, self.service.recorder, receive, send)
            return
        redirected = answer if isinstance(answer, Redirect) else None
        await self._answer(outcome, answer, Sent(answer.status, 0, "", reception.entries, redirected), send)

    async def _other(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "websocket":
            # Refused before it is accepted: the server answers the handshake with 403 (ASGI 3 §WebSocket, "Close").
            await receive()
            await send({"type": "websocket.close", "code": 1000, "reason": "no websocket is served here"})
        else:
            raise ValueError(f"unknown ASGI scope type {scope['type']!r}")

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                self._start()
                await send({"type": "lifespan.startup.complete"})
            elif message["type"] == "lifespan.shutdown":
                await self.aclose()
                await send({"type": "lifespan.shutdown.complete"})
                return

    def drain(self) -> int:
        """Say from now on that this process is about to end; see `Service.drain`."""
        return self.service.drain()

    def _start(self) -> None:
        self._started = True
        self.service.start()

    async def aclose(self) -> None:
        """Close upstream connections and the service."""
        await self._proxy.aclose()
        self.service.close()


async def _respond(answer: Respond, method: str, send: Send) -> None:
    await send({"type": "http.response.start", "status": answer.status, "headers": wire_headers(answer)})
    await send({"type": "http.response.body", "body": shown(answer, method)})


async def _read_body(receive: Receive, limit: int, announced: bytes | None) -> bytes | None:
    """Return the body, or None when it is larger than `limit`; a length announced too large is not read at all."""
    if announced is not None and (length(announced) or 0) > limit:
        return None
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > limit:
            return None
        chunks.append(chunk)
        if not message.get("more_body", False):
            return b"".join(chunks)
