"""Exposing: what was counted, in the format that Prometheus reads. The library writes it; what there is, is said here.

Nothing of a request stands in it: names and labels are of the table of meters and of the configuration.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Final

from attrs import frozen

from gatewaycore._version import __version__
from gatewaycore.errors import MissingExtraError
from gatewaycore.operations.health import Lag
from gatewaycore.operations.meters import BUCKETS_S, METERS, Counted, Meter, histograms

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric
    from prometheus_client.registry import Collector

PREFIX: Final = "gatewaycore_"

LOOKED_AT: Final[Mapping[str, Meter]] = {
    "build_info": Meter("gauge", "Always 1; its labels say what is running.", ("version", "python")),
    "journal_bytes": Meter("gauge", "What the segments of the journal take."),
    "journal_segments": Meter("gauge", "Segments of the journal."),
    "journal_lag_seconds": Meter("gauge", "Since the first event was recorded that some sink has not taken; 0 when there is none."),
    "sink_lag_bytes": Meter("gauge", "What a sink has not taken.", ("sink",)),
    "sink_lag_seconds": Meter("gauge", "Since the first event was recorded that a sink has not taken; 0 when there is none.", ("sink",)),
}
"""What is looked at when somebody asks."""


@frozen
class Seen:
    """What there is to be told.

    Attributes:
        counted: by all processes of the node.
        lags: of sinks.
        journal_bytes, journal_segments: of the journal.
    """

    counted: Counted
    lags: tuple[Lag, ...]
    journal_bytes: int
    journal_segments: int


def open_exposition(look: Callable[[], Seen]) -> Callable[[str], tuple[str, bytes]]:
    """Return what answers a scrape, by the ``Accept`` field: content type and text.

    Args:
        look: is asked at each scrape.

    Raises:
        MissingExtraError: the library is not installed.
    """
    try:
        from prometheus_client import CollectorRegistry
        from prometheus_client.exposition import choose_encoder
    except ModuleNotFoundError as error:
        raise MissingExtraError.of("operations: metrics", "metrics") from error

    class Reader:
        """What the library asks."""

        def collect(self) -> Iterator[Metric]:
            return families(look())

    registry = CollectorRegistry(auto_describe=False)
    reader: Collector = Reader()
    registry.register(reader)

    def answer(accept: str) -> tuple[str, bytes]:
        encode, kind = choose_encoder(accept)
        return kind, encode(registry)

    return answer


def families(seen: Seen) -> Iterator[Metric]:
    """Iterate over what is told, as the library has it."""
    from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

    counted = seen.counted
    for name, meter in METERS.items():
        told = PREFIX + name
        if meter.kind == "histogram":
            timed = HistogramMetricFamily(told, meter.help, labels=meter.labels)
            for one in histograms(counted, name):
                timed.add_metric(one.labels, _cumulative(one.buckets), one.sum_ns / 1e9)
            yield timed
        elif meter.kind == "counter":
            counter = CounterMetricFamily(told, meter.help, labels=meter.labels)
            found = {key[1:]: count for key, count in counted.counters.items() if key[0] == name}
            if not meter.labels:
                found.setdefault((), 0)
            for labels, count in sorted(found.items()):
                counter.add_metric(labels, count)
            yield counter
        else:
            gauge = GaugeMetricFamily(told, meter.help, labels=meter.labels)
            keys = {key for one in counted.gauges for key in one if key[0] == name} or ({(name,)} if not meter.labels else set())
            for key in sorted(keys):
                gauge.add_metric(key[1:], counted.gauge(*key))
            yield gauge
    for name, values in _looked_at(seen).items():
        gauge = GaugeMetricFamily(PREFIX + name, LOOKED_AT[name].help, labels=LOOKED_AT[name].labels)
        for labels, value in values.items():
            gauge.add_metric(labels, value)
        yield gauge


def _looked_at(seen: Seen) -> dict[str, dict[tuple[str, ...], float]]:
    return {
        "build_info": {(__version__, platform.python_version()): 1},
        "journal_bytes": {(): seen.journal_bytes},
        "journal_segments": {(): seen.journal_segments},
        "journal_lag_seconds": {(): max((one.seconds for one in seen.lags), default=0.0)},
        "sink_lag_bytes": {(one.sink,): one.bytes for one in seen.lags},
        "sink_lag_seconds": {(one.sink,): one.seconds for one in seen.lags},
    }


def _cumulative(buckets: tuple[int, ...]) -> list[tuple[str, float]]:
    found, total = [], 0
    for bound, count in zip((*map(str, BUCKETS_S), "+Inf"), buckets, strict=True):
        total += count
        found.append((bound, float(total)))
    return found
