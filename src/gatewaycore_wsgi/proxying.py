"""Performing a `Proxy`: the conversation says what to ask, httpx asks, and the answer streams through."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing

import httpx

from gatewaycore.decision import Proxy, Relay, Respond, Upstream, shown, wire_headers, without_body
from gatewaycore.gateway import Outcome
from gatewaycore.recorder import Recorder, Sent
from gatewaycore.upstreams import LIMITS, MOST_TURNS, TIMEOUT, UNANSWERED, Failure, UpstreamBrokenError, asked, failure, received
from gatewaycore_wsgi.answering import begin
from gatewaycore_wsgi.types import StartResponse

_log = logging.getLogger("gatewaycore.wsgi")


class ProxyClient:
    """Talks to upstreams for one app, from any thread. Connections are kept and shared; the client is made with the first request.

    Servers fork before that: no two processes share a connection.
    """

    def __init__(self) -> None:
        self._client: httpx.Client | None = None
        self._lock = threading.Lock()

    def perform(self, outcome: Outcome, decision: Proxy, recorder: Recorder, start_response: StartResponse) -> Iterator[bytes]:
        """Hold the conversation and return its answer, chunk by chunk, fetched no faster than the server takes it.

        The iterator has the ``close()`` of PEP 3333, and raises `UpstreamBrokenError` where the answer's end is missing.
        """
        conversation = decision.open()
        step: Upstream | Relay | Respond = conversation.start()
        last = ""
        for _ in range(MOST_TURNS):
            if not isinstance(step, Upstream):
                break
            last = step.url
            answer = self._ask(step)
            if not isinstance(answer, httpx.Response):
                step = conversation.fail(answer)
                continue
            with ExitStack() as left:
                left.enter_context(closing(answer))
                step = conversation.receive(answer.status_code, received(answer))
                if isinstance(step, Relay):
                    begin(start_response, step.status, step.headers.raw)
                    body = _relay(outcome, step, answer, recorder)
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
        try:
            return self._connected().send(asked(upstream), stream=True)
        except UNANSWERED as error:
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


def _relay(outcome: Outcome, relay: Relay, answer: httpx.Response, recorder: Recorder) -> Iterator[bytes]:
    """Stream an answer. Each chunk is held until the next is there, so that the event is appended before the last one leaves.

    Yields b"" once, to stand inside of its ``try`` before the server has it.
    """
    url, sent, held = str(answer.request.url), 0, b""
    recorded = False
    try:
        yield b""
        if not without_body(relay.status, outcome.request.method):
            for chunk in answer.iter_raw():
                if held:
                    yield held
                    sent += len(held)
                held = chunk
        recorded = True
        recorder.record(outcome, Sent(relay.status, sent + len(held), url))
        if held:
            yield held
    except httpx.HTTPError as error:
        _log.warning("an upstream ended in the middle of its answer: %s", type(error).__name__)
        raise UpstreamBrokenError from None
    finally:
        if not recorded:
            recorder.record(outcome, Sent(relay.status, sent, url))
        answer.close()
