"""Tracing: some requests as spans, sent to a collector: the request, what was decided, and each request to an upstream.

A span says what the configuration says of a request: its rule, package, type and domain. It holds no address, no path, no query and no
header; those who opted out are not traced.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from attrs import define

from gatewaycore._version import __version__
from gatewaycore.decision import Failure, Upstream
from gatewaycore.errors import MissingExtraError
from gatewaycore.gateway import Gateway, Outcome, Settled, decision_name
from gatewaycore.operations.around import Around
from gatewaycore.operations.metering import NOTHING, type_of
from gatewaycore.operations.settings import TracesSettings
from gatewaycore.owntraffic import OwnTraffic
from gatewaycore.privacy import opted_out
from gatewaycore.recorder import Recorder, Sent
from gatewaycore.request import Request

if TYPE_CHECKING:
    import httpx
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"})
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CLOSE_MS: Final = 5_000


@define(slots=True)
class _Trace:
    """The span of one request, as long as it is open."""

    span: Span | None


def open_tracer(settings: TracesSettings) -> Tracer:
    """Return what traces.

    Raises:
        MissingExtraError: the libraries are not installed.
    """
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ModuleNotFoundError as error:
        raise MissingExtraError.of("traces", "otel") from error

    def begin() -> TracerProvider:
        # Neither the environment nor the machine is asked: its name is nobody's business.
        provider = TracerProvider(
            resource=Resource({"service.name": settings.service, "service.version": __version__}), shutdown_on_exit=False
        )
        headers = dict(settings.headers)
        exporter = OTLPSpanExporter(endpoint=settings.endpoint, headers=headers, timeout=settings.timeout_s)
        provider.add_span_processor(BatchSpanProcessor(exporter))
        return provider

    return Tracer(settings, begin)


class Tracer:
    """Traces some requests. Whether one is traced is decided here, and costs the others nothing but that.

    Args:
        settings: which ones.
        begin: makes what sends spans, with threads of its own: when the first one is made, after servers have forked.
    """

    def __init__(self, settings: TracesSettings, begin: Callable[[], TracerProvider]) -> None:
        self._share = settings.share
        self._listens = settings.traceparent
        self._begin = begin
        self._provider: TracerProvider | None = None

    def decide(self, gateway: Gateway, request: Request) -> Outcome:
        """Let a gateway decide; begin the span of the request, if it is to be traced."""
        headers = request.headers
        parent = self._parent(request) if self._listens else None
        is_wanted = _is_sampled(parent) if parent is not None else random.random() < self._share  # noqa: S311 - nobody guesses it
        if not is_wanted or opted_out(headers):
            return gateway.decide(request)
        began_ns = time.time_ns()
        outcome = gateway.decide(request)
        ended_ns = time.time_ns()
        span = self._start("request", _ns(request.received_at) or began_ns, parent, kind="server")
        self._start("decide", began_ns, _within(span)).end(ended_ns)
        outcome.trace = _Trace(span)
        return outcome

    def _start(self, name: str, start_ns: int, parent: Context | None, kind: str = "internal") -> Span:
        from opentelemetry.context import Context
        from opentelemetry.trace import SpanKind

        provider = self._provider
        if provider is None:
            provider = self._provider = self._begin()
        # An empty context, and never the one that an application around this may have.
        context = Context() if parent is None else parent
        return provider.get_tracer("gatewaycore", __version__).start_span(name, context, SpanKind[kind.upper()], start_time=start_ns)

    @staticmethod
    def _parent(request: Request) -> Context | None:
        from opentelemetry.context import Context
        from opentelemetry.trace import get_current_span
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        said = request.headers.get("traceparent")
        if said is None:
            return None
        # What else it carries (`tracestate`) is the client's, and is not passed on.
        context = TraceContextTextMapPropagator().extract({"traceparent": said}, Context())
        return context if get_current_span(context).get_span_context().is_valid else None

    def asked(self, outcome: Outcome, upstream: Upstream, began_ns: int, answer: httpx.Response | Failure) -> None:
        """Make the span of a request to an upstream, whose answer's head is there."""
        trace = outcome.trace
        if not isinstance(trace, _Trace) or trace.span is None:
            return
        span = self._start("upstream", began_ns, _within(trace.span), kind="client")
        said: dict[str, Any] = {"http.request.method": upstream.method, "server.address": urlsplit(upstream.url).hostname or ""}
        if isinstance(answer, str):
            said["error.type"] = answer
            _fail(span)
        else:
            said["http.response.status_code"] = answer.status_code
        span.set_attributes(said)
        span.end()

    def end(self, outcome: Outcome, decision: str, status: int) -> None:
        """End the span of a request."""
        trace = outcome.trace
        if not isinstance(trace, _Trace) or trace.span is None:
            return
        # Once: a body of events may be recorded together with what it led to.
        span, trace.span = trace.span, None
        route = None if outcome.match is None else outcome.match.route
        method = outcome.request.method
        said: dict[str, Any] = {
            "http.request.method": method if method in _METHODS else "_OTHER",
            "http.response.status_code": status,
            "gatewaycore.decision": decision,
            "gatewaycore.type": NOTHING if route is None else type_of(route),
        }
        if route is not None:
            said |= {"http.route": route.label, "server.address": route.domain, "gatewaycore.package": route.package or ""}
        span.set_attributes(said)
        if status >= 500:
            _fail(span)
        span.end()

    def close(self) -> None:
        """Send what is left, as long as that does not take long."""
        if self._provider is not None:
            self._provider.force_flush(_CLOSE_MS)
            self._provider.shutdown()
            self._provider = None


class TracedRecorder(Around):
    """Ends the spans of requests, and lets another recorder record.

    Args:
        inner: records.
        tracer: has begun them.
    """

    def __init__(self, inner: Recorder, tracer: Tracer) -> None:
        super().__init__(inner)
        self._tracer = tracer

    def record(self, outcome: Outcome, sent: Sent) -> bool:
        counts = self._inner.record(outcome, sent)
        if outcome.trace is not None:
            self._tracer.end(outcome, "redirect" if sent.redirected is not None else decision_name(outcome.decision), sent.status)
        return counts

    def record_settled(self, outcome: Outcome, settled: Settled) -> bool:
        counts = self._inner.record_settled(outcome, settled)
        if outcome.trace is not None:
            self._tracer.end(outcome, "redirect", settled.decision.status)
        return counts

    def leaving_out(self, own: OwnTraffic | None) -> Recorder:
        return TracedRecorder(self._inner.leaving_out(own), self._tracer)


def _within(span: Span) -> Context:
    from opentelemetry.context import Context
    from opentelemetry.trace import set_span_in_context

    return set_span_in_context(span, Context())


def _is_sampled(parent: Context) -> bool:
    from opentelemetry.trace import get_current_span

    return get_current_span(parent).get_span_context().trace_flags.sampled


def _fail(span: Span) -> None:
    from opentelemetry.trace import StatusCode

    span.set_status(StatusCode.ERROR)


def _ns(moment: datetime) -> int:
    elapsed = moment - _EPOCH
    return (elapsed.days * 86_400 + elapsed.seconds) * 1_000_000_000 + elapsed.microseconds * 1000
