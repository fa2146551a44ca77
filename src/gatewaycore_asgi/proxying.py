"""Performing a `Proxy`: the conversation says what to ask, httpx asks, and the answer streams through."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import httpx

from gatewaycore.decision import Conversation, Proxy, Relay, Respond, Upstream, shown, wire_headers, without_body
from gatewaycore.gateway import Outcome
from gatewaycore.recorder import Recorder, Sent
from gatewaycore.upstreams import LIMITS, MOST_TURNS, TIMEOUT, UNANSWERED, Failure, UpstreamBrokenError, asked, failure, received
from gatewaycore_asgi.types import Receive, Send

_log = logging.getLogger("gatewaycore.asgi")


class ProxyClient:
    """Talks to upstreams for one app. Connections are kept and shared; the client is made with the first request, in its event loop."""

    def __init__(self) -> None:
        self._client: httpx.AsyncClient | None = None

    async def perform(self, outcome: Outcome, decision: Proxy, recorder: Recorder, receive: Receive, send: Send) -> None:
        """Hold the conversation and pass its answer on, chunk by chunk, no faster than the client takes it.

        Raises:
            UpstreamBrokenError: the answer's end is missing.
        """
        broke: UpstreamBrokenError | None = None
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_watch, receive, tasks.cancel_scope)
            try:
                await self._converse(outcome, decision.open(), recorder, send)
            except UpstreamBrokenError as error:
                # Kept out of the task group, which would wrap it in an ExceptionGroup.
                broke = error
            except OSError:
                # What `send` raises for a client that has gone away (ASGI 3 §"Disconnected client", spec version 2.4): its event is there.
                _log.debug("a client went away in the middle of its answer")
            tasks.cancel_scope.cancel()
        if broke is not None:
            raise broke

    async def _converse(self, outcome: Outcome, conversation: Conversation, recorder: Recorder, send: Send) -> None:
        step: Upstream | Relay | Respond = conversation.start()
        last = ""
        for _ in range(MOST_TURNS):
            if not isinstance(step, Upstream):
                break
            last = step.url
            async with self._ask(step) as answer:
                if isinstance(answer, httpx.Response):
                    step = conversation.receive(answer.status_code, received(answer))
                    if isinstance(step, Relay):
                        await _relay(outcome, step, answer, recorder, send)
                        return
                else:
                    step = conversation.fail(answer)
        final = step if isinstance(step, Respond) else Respond(502)
        body = shown(final, outcome.request.method)
        recorder.record(outcome, Sent(final.status, len(body), last))
        await send({"type": "http.response.start", "status": final.status, "headers": wire_headers(final)})
        await send({"type": "http.response.body", "body": body})

    @asynccontextmanager
    async def _ask(self, upstream: Upstream) -> AsyncIterator[httpx.Response | Failure]:
        if self._client is None:
            # No redirects, cookies or proxies of the environment: what is asked is what the conversation says, and nothing else.
            self._client = httpx.AsyncClient(timeout=TIMEOUT, limits=LIMITS, follow_redirects=False, trust_env=False)
        try:
            response = await self._client.send(asked(upstream), stream=True)
        except UNANSWERED as error:
            _log.warning("an upstream gave no answer: %s", type(error).__name__)
            yield failure(error)
            return
        try:
            yield response
        finally:
            with anyio.CancelScope(shield=True):
                await response.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None


async def _watch(receive: Receive, scope: anyio.CancelScope) -> None:
    """Stop fetching for a client that has gone away."""
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()


async def _relay(outcome: Outcome, relay: Relay, answer: httpx.Response, recorder: Recorder, send: Send) -> None:
    """Stream an answer. Each chunk is held until the next is there, so that the event is appended before the last one leaves."""
    url, sent, held = str(answer.request.url), 0, b""
    # A client has an answer without a body whole as soon as it has its head, which servers send at once.
    recorded = empty = without_body(relay.status, outcome.request.method) or relay.headers.first(b"content-length") == b"0"
    if empty:
        recorder.record(outcome, Sent(relay.status, 0, url))
    try:
        await send({"type": "http.response.start", "status": relay.status, "headers": relay.headers.raw})
        if not empty:
            async for chunk in answer.aiter_raw():
                if held:
                    await send({"type": "http.response.body", "body": held, "more_body": True})
                    sent += len(held)
                held = chunk
            recorded = True
            recorder.record(outcome, Sent(relay.status, sent + len(held), url))
        await send({"type": "http.response.body", "body": held})
    except httpx.HTTPError as error:
        _log.warning("an upstream ended in the middle of its answer: %s", type(error).__name__)
        raise UpstreamBrokenError from None
    finally:
        if not recorded:
            recorder.record(outcome, Sent(relay.status, sent, url))
