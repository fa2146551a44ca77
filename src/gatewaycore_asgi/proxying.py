"""Performing a `Proxy`: the conversation says what to ask, httpx asks, and the answer streams through."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import httpx

from gatewaycore.decision import MOST_TURNS, Conversation, Proxy, Relay, Respond, Upstream, shown, wire_headers, without_body
from gatewaycore.gateway import Outcome
from gatewaycore.headers import length
from gatewaycore.recorder import Recorder, Sent
from gatewaycore.upstreams import LIMITS, TIMEOUT, UNANSWERED, Attempt, Failure, Measure, UpstreamBrokenError, failure, tell
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
                step = tell(conversation, answer)
                if isinstance(step, Relay) and isinstance(answer, httpx.Response):
                    await _relay(outcome, step, answer, recorder, send)
                    return
        final = step if isinstance(step, Respond) else Respond(502)
        body = shown(final, outcome.request.method)
        recorder.record(outcome, Sent(final.status, len(body), last))
        await send({"type": "http.response.start", "status": final.status, "headers": wire_headers(final)})
        await send({"type": "http.response.body", "body": body})

    @asynccontextmanager
    async def _ask(self, upstream: Upstream) -> AsyncIterator[httpx.Response | Failure]:
        answer = await self._send(upstream)
        try:
            yield answer
        finally:
            if isinstance(answer, httpx.Response):
                with anyio.CancelScope(shield=True):
                    await answer.aclose()

    async def _send(self, upstream: Upstream) -> httpx.Response | Failure:
        if self._client is None:
            # No redirects, cookies or proxies of the environment: what is asked is what the conversation says, and nothing else.
            self._client = httpx.AsyncClient(timeout=TIMEOUT, limits=LIMITS, follow_redirects=False, trust_env=False)
        attempt = Attempt(upstream)

        async def trace(event: str, info: object) -> None:
            attempt.note(event, info)

        while True:
            try:
                return await self._client.send(attempt.request(trace), stream=True)
            except UNANSWERED as error:
                if attempt.again(error):
                    continue
                _log.warning("an upstream gave no answer: %s", type(error).__name__)
                return failure(error)

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
    url, sent, held, measure = str(answer.request.url), 0, b"", Measure(relay.headers)
    # A client has an answer without a body whole as soon as it has its head, which servers send at once.
    recorded = empty = without_body(relay.status, outcome.request.method) or length(relay.headers.first(b"content-length") or b"-") == 0
    if empty:
        recorder.record(outcome, Sent(relay.status, 0, url))
    try:
        await send({"type": "http.response.start", "status": relay.status, "headers": relay.headers.raw})
        if not empty:
            async for chunk in answer.aiter_raw():
                measure.add(chunk)
                if held:
                    await send({"type": "http.response.body", "body": held, "more_body": True})
                    sent += len(held)
                held = chunk
            measure.end()
            recorded = True
            recorder.record(outcome, Sent(relay.status, sent + len(held), url))
        await send({"type": "http.response.body", "body": held})
    except (httpx.HTTPError, UpstreamBrokenError) as error:
        _log.warning("an upstream ended in the middle of its answer: %s", type(error).__name__)
        raise UpstreamBrokenError from None
    finally:
        if not recorded:
            recorder.record(outcome, Sent(relay.status, sent, url))
