"""Performing a `Proxy`: the conversation says what to ask, httpx asks, and the answer streams through."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager, suppress

import anyio
import anyio.to_thread
import httpx

from gatewaycore.connecting import open_async_client
from gatewaycore.decision import (
    MOST_TURNS,
    Conversation,
    Failure,
    Proxy,
    Read,
    Redirect,
    Relay,
    Respond,
    Step,
    Upstream,
    onward,
    shown,
    wire_headers,
    without_body,
)
from gatewaycore.gateway import Outcome
from gatewaycore.headers import length
from gatewaycore.recorder import Recorder, Sent
from gatewaycore.upstreams import (
    UNANSWERED,
    Attempt,
    Body,
    Copy,
    Deadline,
    Landed,
    Measure,
    UpstreamBrokenError,
    Watch,
    conclude,
    ends_with_head,
    failure,
    hear,
    likeness,
    resume,
    tell,
    unwatched,
)
from gatewaycore_asgi.types import Message, Receive, Send

_log = logging.getLogger("gatewaycore.asgi")
_LARGE_BYTES = 64 * 1024


class _ClientGoneError(Exception):
    """The client has gone away in the middle of its answer."""


class _Flight:
    """A lookup under way, for all who wait for it; its answer is None when whoever made it was interrupted."""

    __slots__ = ("answer", "done")

    def __init__(self) -> None:
        self.answer: Landed | None = None
        self.done = anyio.Event()


class ProxyClient:
    """Talks to upstreams for one app. Connections are kept and shared; a client is made with the first request, in its event loop.

    Args:
        watch: is told of each request to an upstream.
    """

    def __init__(self, watch: Watch = unwatched) -> None:
        self._watch = watch
        self._clients: dict[bool, httpx.AsyncClient] = {}
        self._flights: dict[Hashable, _Flight] = {}

    async def perform(self, outcome: Outcome, decision: Proxy, recorder: Recorder, receive: Receive, send: Send) -> None:
        """Hold the conversation and pass its answer on, chunk by chunk, no faster than the client takes it.

        Raises:
            UpstreamBrokenError: the answer's end is missing.
        """

        async def send_on(message: Message) -> None:
            try:
                await send(message)
            except OSError as error:
                # What `send` raises for a client that has gone away (ASGI 3 §"Disconnected client", spec version 2.4).
                raise _ClientGoneError from error

        failed: Exception | None = None
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_watch, receive, tasks.cancel_scope)
            try:
                await self._converse(outcome, decision, recorder, send_on)
            except _ClientGoneError:
                # Its event is there.
                _log.debug("a client went away in the middle of its answer")
            except Exception as error:  # noqa: BLE001 - raised as it is, outside of the task group, which would wrap it in an ExceptionGroup
                failed = error
            tasks.cancel_scope.cancel()
        if failed is not None:
            raise failed

    async def _converse(self, outcome: Outcome, decision: Proxy, recorder: Recorder, send: Send) -> None:
        conversation, deadline = decision.open(), Deadline(decision)
        step: Step = conversation.start()
        last = ""
        for _ in range(MOST_TURNS):
            if not isinstance(step, Upstream):
                break
            asked = deadline.share(step)
            if asked is None:
                step = onward(conversation.fail("timeout"))
                continue
            last = asked.url
            if asked.shared:
                step = await self._look_up(outcome, asked, conversation, deadline)
                continue
            async with self._ask(outcome, asked, deadline) as answer:
                step = tell(conversation, hear(answer))
                if isinstance(answer, httpx.Response):
                    if isinstance(step, Read):
                        step = await _take(conversation, step, await _read(step, answer, deadline))
                    if isinstance(step, Relay):
                        await _relay(outcome, step, answer, recorder, send)
                        return
        final = conclude(step)
        body = shown(final, outcome.request.method)
        recorder.record(outcome, Sent.concluding(final, len(body), last))
        await send({"type": "http.response.start", "status": final.status, "headers": wire_headers(final)})
        await send({"type": "http.response.body", "body": body})

    async def _look_up(
        self, outcome: Outcome, upstream: Upstream, conversation: Conversation, deadline: Deadline
    ) -> Upstream | Respond | Redirect:
        """Ask once for everybody who wants to know meanwhile."""
        key = likeness(upstream)
        while True:
            flight = self._flights.get(key)
            if flight is None:
                return await self._fly(key, outcome, upstream, conversation, deadline)
            await flight.done.wait()
            if flight.answer is not None:
                return flight.answer.tell(conversation)

    async def _fly(
        self, key: Hashable, outcome: Outcome, upstream: Upstream, conversation: Conversation, deadline: Deadline
    ) -> Upstream | Respond | Redirect:
        flight = self._flights[key] = _Flight()
        try:
            async with self._ask(outcome, upstream, deadline) as answer:
                heard, body = hear(answer), None
                step = tell(conversation, heard)
                if isinstance(step, Read) and isinstance(answer, httpx.Response):
                    body = await _read(step, answer, deadline)
                    step = await _take(conversation, step, body)
            flight.answer = Landed(heard, body)
            return onward(step)
        finally:
            del self._flights[key]
            flight.done.set()

    @asynccontextmanager
    async def _ask(self, outcome: Outcome, upstream: Upstream, deadline: Deadline) -> AsyncIterator[httpx.Response | Failure]:
        answer: httpx.Response | Failure = "timeout"
        began_ns = time.time_ns()
        with anyio.move_on_after(deadline.left) as limit:
            answer = await self._send(upstream)
        if limit.cancelled_caught:
            _log.warning("an upstream gave no answer: its head takes too long")
        self._watch(outcome, upstream, began_ns, answer)
        try:
            yield answer
        finally:
            if isinstance(answer, httpx.Response):
                with anyio.CancelScope(shield=True):
                    await _leave(answer)

    async def _send(self, upstream: Upstream) -> httpx.Response | Failure:
        client = self._clients.get(upstream.private)
        if client is None:
            client = self._clients[upstream.private] = open_async_client(private=upstream.private)
        attempt = Attempt(upstream)

        async def trace(event: str, info: object) -> None:
            attempt.note(event, info)

        while True:
            try:
                answer = await client.send(attempt.request(trace), stream=True)
            except UNANSWERED as error:
                if attempt.again(error):
                    continue
                _log.warning("an upstream gave no answer: %s", type(error).__name__)
                return failure(error)
            attempt.answered()
            return answer

    async def aclose(self) -> None:
        """Close the connections."""
        while self._clients:
            await self._clients.popitem()[1].aclose()


async def _watch(receive: Receive, scope: anyio.CancelScope) -> None:
    """Stop fetching for a client that has gone away."""
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()


async def _leave(answer: httpx.Response) -> None:
    """Close an answer; its connection is kept where nothing of it was left unread."""
    if ends_with_head(answer) and not answer.is_stream_consumed:
        with suppress(httpx.HTTPError):
            await anext(answer.aiter_raw(), None)
    await answer.aclose()


async def _read(read: Read, answer: httpx.Response, deadline: Deadline) -> Body | Failure:
    body = Body(read)
    deadline.hold(answer)
    try:
        async for chunk in answer.aiter_raw():
            if deadline.is_over:
                return "timeout"
            if not body.add(chunk):
                break
    except httpx.HTTPError as error:
        _log.warning("an upstream ended in the middle of its answer: %s", type(error).__name__)
        return failure(error)
    return body


async def _take(conversation: Conversation, read: Read, body: Body | Failure) -> Upstream | Respond | Redirect:
    """Hand a body over; a large one in a thread, for others are to be answered while it is made sense of."""
    if isinstance(body, Body) and len(body) > _LARGE_BYTES:
        return await anyio.to_thread.run_sync(resume, conversation, read, body)
    return resume(conversation, read, body)


async def _relay(outcome: Outcome, relay: Relay, answer: httpx.Response, recorder: Recorder, send: Send) -> None:
    """Stream an answer. Each chunk is held until the next is there, so that the event is appended before the last one leaves."""
    url, sent, held, measure, copy = str(answer.request.url), 0, b"", Measure(relay.headers), Copy(relay)
    # A client has an answer without a body whole as soon as it has its head, which servers send at once.
    bodiless = without_body(relay.status, outcome.request.method)
    recorded = bodiless or length(relay.headers.first(b"content-length") or b"-") == 0
    if recorded:
        recorder.record(outcome, Sent(relay.status, 0, url, variables=relay.variables))
    try:
        await send({"type": "http.response.start", "status": relay.status, "headers": relay.headers.raw})
        if not bodiless:
            async for chunk in answer.aiter_raw():
                measure.add(chunk)
                copy.add(chunk)
                if held:
                    await send({"type": "http.response.body", "body": held, "more_body": True})
                    sent += len(held)
                held = chunk
            measure.end()
            copy.end()
        if not recorded:
            recorded = True
            recorder.record(outcome, Sent(relay.status, sent + len(held), url, variables=relay.variables))
        await send({"type": "http.response.body", "body": held})
    except (httpx.HTTPError, UpstreamBrokenError) as error:
        _log.warning("an upstream ended in the middle of its answer: %s", type(error).__name__)
        recorder.broken()
        raise UpstreamBrokenError from None
    finally:
        if not recorded:
            recorder.record(outcome, Sent(relay.status, sent, url, variables=relay.variables))
