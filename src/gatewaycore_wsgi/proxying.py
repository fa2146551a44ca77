"""Performing a `Proxy`: the conversation says what to ask, httpx asks, and the answer streams through."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing
from itertools import chain

import httpx

from gatewaycore.decision import MOST_TURNS, Proxy, Relay, Respond, Upstream, shown, wire_headers, without_body
from gatewaycore.gateway import Outcome
from gatewaycore.recorder import Recorder, Sent
from gatewaycore.upstreams import LIMITS, TIMEOUT, UNANSWERED, Attempt, Failure, Measure, UpstreamBrokenError, failure, tell
from gatewaycore_wsgi.answering import begin
from gatewaycore_wsgi.types import StartResponse

_log = logging.getLogger("gatewaycore.wsgi")
_CUT_SHORT = (httpx.HTTPError, UpstreamBrokenError)


class ProxyClient:
    """Talks to upstreams for one app, from any thread. Connections are kept and shared; the client is made with the first request.

    Servers fork before that: no two processes share a connection.
    """

    def __init__(self) -> None:
        self._client: httpx.Client | None = None
        self._lock = threading.Lock()

    def perform(self, outcome: Outcome, decision: Proxy, recorder: Recorder, start_response: StartResponse) -> Iterator[bytes]:
        """Hold the conversation and return its answer, chunk by chunk, fetched no faster than the server takes it.

        The iterator has the ``close()`` of PEP 3333, and raises `UpstreamBrokenError` where the answer's end is missing. One that ends too
        soon for its first chunk to leave is no answer: a server keeps the head back until then, and would make a 500 of it.
        """
        conversation = decision.open()
        step: Upstream | Relay | Respond = conversation.start()
        last = ""
        for _ in range(MOST_TURNS):
            if not isinstance(step, Upstream):
                break
            last = step.url
            answer = self._ask(step)
            with ExitStack() as left:
                if isinstance(answer, httpx.Response):
                    left.enter_context(closing(answer))
                step = tell(conversation, answer)
                if not (isinstance(step, Relay) and isinstance(answer, httpx.Response)):
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
        final = step if isinstance(step, Respond) else Respond(502)
        text = shown(final, outcome.request.method)
        begin(start_response, final.status, wire_headers(final))
        recorder.record(outcome, Sent(final.status, len(text), last))
        return iter([text])

    def _ask(self, upstream: Upstream) -> httpx.Response | Failure:
        attempt = Attempt(upstream)
        while True:
            try:
                return self._connected().send(attempt.request(attempt.note), stream=True)
            except UNANSWERED as error:
                if attempt.again(error):
                    continue
                _log.warning("an upstream gave no answer: %s", type(error).__name__)
                return failure(error)

    def _connected(self) -> httpx.Client:
        with self._lock:
            if self._client is None:
                # No redirects, cookies or proxies of the environment: what is asked is what the conversation says, and nothing else.
                self._client = httpx.Client(timeout=TIMEOUT, limits=LIMITS, follow_redirects=False, trust_env=False)
            return self._client

    def close(self) -> None:
        """Close the connections."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()


def _pieces(outcome: Outcome, relay: Relay, answer: httpx.Response) -> Iterator[tuple[bytes, bool]]:
    """Iterate over the body, each piece with whether it is the last: held until the next is there, or there is none."""
    held, measure = b"", Measure(relay.headers)
    if not without_body(relay.status, outcome.request.method):
        for chunk in answer.iter_raw():
            measure.add(chunk)
            if held:
                yield held, False
            held = chunk
        measure.end()
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
                recorder.record(outcome, Sent(relay.status, sent + len(piece), url))
            if piece:
                yield piece
                sent += len(piece)
    except _CUT_SHORT as error:
        _log.warning("an upstream ended in the middle of its answer: %s", type(error).__name__)
        raise UpstreamBrokenError from None
    finally:
        if not recorded:
            recorder.record(outcome, Sent(relay.status, sent, url))
        answer.close()
