"""GatewayApp: one WSGI application, to be served by itself or mounted beside others."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Self, assert_never

from gatewaycore.decision import TEXT, Collect, Proxy, Redirect, Respond, shown, wire_headers
from gatewaycore.errors import RequestError
from gatewaycore.gateway import Outcome
from gatewaycore.recorder import Sent
from gatewaycore.service import Service
from gatewaycore.upstreams import report
from gatewaycore_wsgi.answering import begin
from gatewaycore_wsgi.proxying import ProxyClient
from gatewaycore_wsgi.reading import ClientGoneError, LengthUnknownError, read_body, read_request
from gatewaycore_wsgi.types import Environ, StartResponse

_CUT_SHORT = Respond(400, TEXT, b"the body ended before its length\n")
_NO_LENGTH = Respond(411, TEXT, b"this server takes a body with a Content-Length only\n")


class GatewayApp:
    """Serves a gateway over WSGI (PEP 3333), from any number of threads.

    Args:
        service: what to serve. It is started with the first request, so that every worker a server forks starts its own. WSGI knows no
            shutdown: who wants sinks to be up to date at once calls `close`; what was answered is in the journal either way.
    """

    def __init__(self, service: Service) -> None:
        self.service = service
        self._proxy = ProxyClient(service.watch)
        self._started = False
        self._lock = threading.Lock()

    @classmethod
    def from_file(cls, path: str | Path) -> Self:
        """Make an app of a gateway.yaml.

        Raises:
            ConfigError: with every problem found.
        """
        return cls(Service.from_file(path))

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        service = self.service
        if not self._started:
            self._start()
        try:
            request = read_request(environ, service.trusted)
        except RequestError as error:
            service.recorder.refused(error.status)
            answer = Respond(error.status, TEXT, b"the Host field names no host\n")
            return _respond(answer, environ["REQUEST_METHOD"].upper(), start_response)
        tracer = service.tracer
        outcome = service.gateway.decide(request) if tracer is None else tracer.decide(service.gateway, request)
        decision = outcome.decision
        if isinstance(decision, Redirect):
            # Nothing leaves before the body is handed over, the head neither (PEP 3333 §"The start_response() Callable").
            if outcome.settled is not None:
                service.recorder.record_settled(outcome, outcome.settled)
            else:
                service.recorder.record(outcome, Sent(decision.status))
            begin(start_response, decision.status, decision.lines)
            return [b""]
        if isinstance(decision, Respond):
            return self._answer(outcome, decision, Sent(decision.status), start_response)
        if isinstance(decision, Collect):
            return self._collect(outcome, decision, environ, start_response)
        if isinstance(decision, Proxy):
            return self._proxy.perform(outcome, decision, service.recorder, start_response)
        assert_never(decision)

    def _answer(self, outcome: Outcome, answer: Redirect | Respond, sent: Sent, start_response: StartResponse) -> Iterable[bytes]:
        report(answer)
        body = shown(answer, outcome.request.method)
        sent.body_bytes = len(body)
        self.service.recorder.record(outcome, sent)
        begin(start_response, answer.status, wire_headers(answer))
        return [body]

    def _collect(self, outcome: Outcome, decision: Collect, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        method = outcome.request.method
        try:
            body = read_body(environ, decision.limit)
        except ClientGoneError:
            # Nobody is there to read it; a server must be answered all the same.
            return _respond(_CUT_SHORT, method, start_response)
        except LengthUnknownError:
            self.service.recorder.refused(_NO_LENGTH.status)
            return _respond(_NO_LENGTH, method, start_response)
        if body is None:
            self.service.recorder.refused(decision.too_large.status)
            return _respond(decision.too_large, method, start_response)
        reception = decision.receive(body)
        answer = reception.decision
        if isinstance(answer, Proxy):
            return self._proxy.perform(outcome, answer, self.service.recorder, start_response)
        redirected = answer if isinstance(answer, Redirect) else None
        return self._answer(outcome, answer, Sent(answer.status, 0, "", reception.entries, redirected), start_response)

    def _start(self) -> None:
        with self._lock:
            if not self._started:
                self.service.start()
                self._started = True

    def close(self) -> None:
        """Close upstream connections and the service."""
        self._proxy.close()
        self.service.close()


def _respond(answer: Respond, method: str, start_response: StartResponse) -> Iterable[bytes]:
    begin(start_response, answer.status, wire_headers(answer))
    return [shown(answer, method)]
