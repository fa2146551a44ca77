"""Performing a `Proxy`: the conversation says what to ask, httpx asks, and the answer streams through."""

from __future__ import annotations

import logging
import os
import threading
import time
import weakref
from collections.abc import Hashable, Iterator
from contextlib import ExitStack, suppress
from itertools import chain

import httpx

from gatewaycore.connecting import Deadline as Limit
from gatewaycore.connecting import open_client
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
from gatewaycore_wsgi.answering import begin
from gatewaycore_wsgi.types import StartResponse

_log = logging.getLogger("gatewaycore.wsgi")
_CUT_SHORT = (httpx.HTTPError, UpstreamBrokenError)


class _Flight:
    """A lookup under way, for all who wait for it; its answer is None when whoever made it was interrupted."""

    __slots__ = ("answer", "done")

    def __init__(self) -> None:
        self.answer: Landed | None = None
        self.done = threading.Event()


class ProxyClient:
    """Talks to upstreams for one app, from any thread. Connections are kept and shared; a client is made with the first request.

    Servers fork before that, as a rule; a child that is forked later begins without any: no two processes share a connection.

    Args:
        watch: is told of each request to an upstream.
    """

    def __init__(self, watch: Watch = unwatched) -> None:
        self._watch = watch
        self._begin()
        ours = weakref.ref(self)
        os.register_at_fork(after_in_child=lambda: _begin_anew(ours))

    def _begin(self) -> None:
        self._clients: dict[bool, httpx.Client] = {}
        self._flights: dict[Hashable, _Flight] = {}
        self._lock = threading.Lock()
        self._limit = Limit()

    def perform(self, outcome: Outcome, decision: Proxy, recorder: Recorder, start_response: StartResponse) -> Iterator[bytes]:
        """Hold the conversation and return its answer, chunk by chunk, fetched no faster than the server takes it.

        The iterator has the ``close()`` of PEP 3333, and raises `UpstreamBrokenError` where the answer's end is missing. One that ends too
        soon for its first chunk to leave is no answer: a server keeps the head back until then, and would make a 500 of it.
        """
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
                step = self._look_up(outcome, asked, conversation, deadline)
                continue
            answer = self._ask(outcome, asked, deadline)
            with ExitStack() as left:
                if isinstance(answer, httpx.Response):
                    left.callback(_leave, answer)
                step = tell(conversation, hear(answer))
                if not isinstance(answer, httpx.Response):
                    continue
                if isinstance(step, Read):
                    step = resume(conversation, step, _read(step, answer, deadline))
                if not isinstance(step, Relay):
                    continue
                pieces = _pieces(outcome, step, answer)
                try:
                    first = next(pieces)
                except _CUT_SHORT as error:
                    _log.warning("an upstream ended before anything of its answer could be passed on: %s", type(error).__name__)
                    step = conversation.fail(failure(error))
                    continue
                begin(start_response, step.status, step.headers.raw)
                body = _relay(outcome, step, answer, chain([first], pieces), recorder)
                # Up to its first yield: from there on, close() leaves the upstream and records, even when no chunk was ever asked for.
                next(body)
                left.pop_all()
                return body
        final = conclude(step)
        text = shown(final, outcome.request.method)
        begin(start_response, final.status, wire_headers(final))
        recorder.record(outcome, Sent.concluding(final, len(text), last))
        return iter([text])

    def _look_up(
        self, outcome: Outcome, upstream: Upstream, conversation: Conversation, deadline: Deadline
    ) -> Upstream | Respond | Redirect:
        """Ask once for everybody who wants to know meanwhile."""
        key = likeness(upstream)
        while True:
            with self._lock:
                flight = self._flights.get(key)
                mine = flight is None
                if flight is None:
                    flight = self._flights[key] = _Flight()
            if mine:
                return self._fly(key, outcome, upstream, flight, conversation, deadline)
            flight.done.wait()
            if flight.answer is not None:
                return flight.answer.tell(conversation)

    def _fly(
        self, key: Hashable, outcome: Outcome, upstream: Upstream, flight: _Flight, conversation: Conversation, deadline: Deadline
    ) -> Upstream | Respond | Redirect:
        try:
            answer = self._ask(outcome, upstream, deadline)
            with ExitStack() as left:
                if isinstance(answer, httpx.Response):
                    left.callback(_leave, answer)
                heard, body = hear(answer), None
                step = tell(conversation, heard)
                if isinstance(step, Read) and isinstance(answer, httpx.Response):
                    body = _read(step, answer, deadline)
                    step = resume(conversation, step, body)
            flight.answer = Landed(heard, body)
            return onward(step)
        finally:
            with self._lock:
                del self._flights[key]
            flight.done.set()

    def _ask(self, outcome: Outcome, upstream: Upstream, deadline: Deadline) -> httpx.Response | Failure:
        began_ns = time.time_ns()
        answer = self._answer(upstream, deadline)
        self._watch(outcome, upstream, began_ns, answer)
        return answer

    def _answer(self, upstream: Upstream, deadline: Deadline) -> httpx.Response | Failure:
        attempt = Attempt(upstream)
        while True:
            try:
                if deadline.left is not None:
                    self._limit.begin(deadline.left)
                answer = self._client(upstream.private).send(attempt.request(attempt.note), stream=True)
            except UNANSWERED as error:
                if attempt.again(error):
                    continue
                _log.warning("an upstream gave no answer: %s", type(error).__name__)
                return failure(error)
            finally:
                self._limit.end()
            attempt.answered()
            return answer

    def _client(self, private: bool) -> httpx.Client:
        with self._lock:
            client = self._clients.get(private)
            if client is None:
                client = self._clients[private] = open_client(private=private, deadline=self._limit)
            return client

    def close(self) -> None:
        """Close the connections."""
        with self._lock:
            clients = list(self._clients.values())
            self._clients.clear()
        for client in clients:
            client.close()


def _begin_anew(client: weakref.ref[ProxyClient]) -> None:
    """Let a forked child connect for itself, and wait for no thread that has stayed with its parent."""
    inherited = client()
    if inherited is not None:
        inherited._begin()


def _leave(answer: httpx.Response) -> None:
    """Close an answer; its connection is kept where nothing of it was left unread."""
    if ends_with_head(answer) and not answer.is_stream_consumed:
        with suppress(httpx.HTTPError):
            next(answer.iter_raw(), None)
    answer.close()


def _read(read: Read, answer: httpx.Response, deadline: Deadline) -> Body | Failure:
    body = Body(read)
    deadline.hold(answer)
    try:
        for chunk in answer.iter_raw():
            if deadline.is_over:
                return "timeout"
            if not body.add(chunk):
                break
    except httpx.HTTPError as error:
        _log.warning("an upstream ended in the middle of its answer: %s", type(error).__name__)
        return failure(error)
    return body


def _pieces(outcome: Outcome, relay: Relay, answer: httpx.Response) -> Iterator[tuple[bytes, bool]]:
    """Iterate over the body, each piece with whether it is the last: held until the next is there, or there is none."""
    held, measure, copy = b"", Measure(relay.headers), Copy(relay)
    if not without_body(relay.status, outcome.request.method):
        for chunk in answer.iter_raw():
            measure.add(chunk)
            copy.add(chunk)
            if held:
                yield held, False
            held = chunk
        measure.end()
        copy.end()
    yield held, True


def _relay(
    outcome: Outcome, relay: Relay, answer: httpx.Response, pieces: Iterator[tuple[bytes, bool]], recorder: Recorder
) -> Iterator[bytes]:
    """Stream an answer; its event is appended before the last piece leaves.

    Yields b"" once, to stand inside of its ``try`` before the server has it.
    """
    url, sent, recorded = str(answer.request.url), 0, False
    try:
        yield b""
        for piece, last in pieces:
            if last:
                recorded = True
                recorder.record(outcome, Sent(relay.status, sent + len(piece), url, variables=relay.variables))
            if piece:
                yield piece
                sent += len(piece)
    except _CUT_SHORT as error:
        _log.warning("an upstream ended in the middle of its answer: %s", type(error).__name__)
        recorder.broken()
        raise UpstreamBrokenError from None
    finally:
        if not recorded:
            recorder.record(outcome, Sent(relay.status, sent, url, variables=relay.variables))
        _leave(answer)
