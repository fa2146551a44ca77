"""The sections `operations` and `traces`."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import field, frozen


@frozen(kw_only=True)
class OperationsSettings:
    """The section `operations`: where liveness, readiness and metrics are told.

    Attributes:
        host: the address to listen on.
        port: 0 takes any free one, which the log tells.
        metrics: whether ``/metrics`` is there, which needs the extra `metrics`.
        packages: whether requests are counted for each package of the configuration, too.
        strict: whether a node whose events are being lost is not ready. It serves all the same.
        drain_s: how long, after SIGTERM, ``serve`` still takes new requests while ``/readyz`` says that it will not.
        grace_s: how long answers that are on their way may take then.
    """

    host: str = "127.0.0.1"
    port: int = 9464
    metrics: bool = True
    packages: bool = False
    strict: bool = False
    drain_s: int = 0
    grace_s: int = 30


@frozen(kw_only=True)
class TracesSettings:
    """The section `traces`: where traces are sent, with OTLP over HTTP; needs the extra `otel`.

    Attributes:
        endpoint: the URL of the collector, with its path: ``http://localhost:4318/v1/traces``.
        headers: what it wants to be shown.
        share: of requests that are traced; from 0 to 1.
        traceparent: whether a client's `traceparent` is taken up: anybody could otherwise choose what is traced.
        service: what the gateway is called there.
        timeout_s: how long the collector may take.
    """

    endpoint: str
    headers: Mapping[str, str] = field(factory=dict, repr=False)
    share: float = 0.01
    traceparent: bool = False
    service: str = "gatewaycore"
    timeout_s: int = 10
