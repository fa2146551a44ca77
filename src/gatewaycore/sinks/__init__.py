"""One file for each store, and the roster of them all: where events go from the journal.

A storage is settings with one verb, ``open() -> Sink``; drivers are imported there. A sink takes batches of journal lines. It may see a
batch twice (the shipper delivers at least once), and ends up with each event once by its `id`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Protocol


class Sink(Protocol):
    """Keeps events.

    A sink may have three attributes more, which the shipper looks for: `batch_bytes`, about how much it wants at once (an int; 4 MiB
    without it); `linger_s`, how long the shipper waits until there is that much (a float; without it, what is there is shipped about once
    a second); and `write_spans(spans: Sequence[Span]) -> int`, for one that reads segments by itself. That keeps a batch as `write` does
    and returns how many lines it was, but nobody has looked at them: where one is no event, it keeps nothing and raises `PoisonError`,
    naming none, and the same batch comes to `write` without what is none. Each sink is asked in a thread of its own, one batch after the
    other; lines of a batch may be of several segments.
    """

    def write(self, lines: Sequence[bytes]) -> None:
        """Keep a batch of journal lines, each one JSON object and a newline; return when they are safe.

        Raises:
            SinkError: not now; the shipper keeps them and tries again, ever more rarely.
            PoisonError: some lines never; the shipper sets those aside, and sends the others again.
            ValueError: of the built-in kinds of it, too, one may be a line's fault; the shipper looks for the line, if there are others
                that are taken.
        """
        ...

    def close(self) -> None:
        """Let go of files and connections."""
        ...


class Storage(Protocol):
    """Settings of a sink. Frozen; its fields are the keys of the configuration.

    A storage may have one more verb, as all of ours do: ``check()`` raises what `open` would raise for the settings themselves, and makes,
    writes and connects to nothing. ``gatewaycore check`` asks it, and ``serve`` before it starts workers. What is not installed is a
    `MissingExtraError`, raised when nothing else is wrong.
    """

    def open(self) -> Sink:
        """Make the sink.

        Raises:
            ConfigError: an extra is missing, or the settings cannot be used.
        """
        ...


# Below the protocols, which the rooms of the roster implement.
from gatewaycore.sinks.clickhouse import ClickhouseStorage  # noqa: E402
from gatewaycore.sinks.jsonl import JsonlStorage  # noqa: E402
from gatewaycore.sinks.kafka import KafkaStorage  # noqa: E402
from gatewaycore.sinks.lake import LakeStorage  # noqa: E402
from gatewaycore.sinks.nats import NatsStorage  # noqa: E402
from gatewaycore.sinks.postgres import PostgresStorage  # noqa: E402
from gatewaycore.sinks.webhook import WebhookStorage  # noqa: E402

SINKS: Mapping[str, type[Storage]] = MappingProxyType(
    {
        "clickhouse": ClickhouseStorage,
        "jsonl": JsonlStorage,
        "kafka": KafkaStorage,
        "lake": LakeStorage,
        "nats": NatsStorage,
        "postgres": PostgresStorage,
        "webhook": WebhookStorage,
    }
)

__all__ = [
    "SINKS",
    "ClickhouseStorage",
    "JsonlStorage",
    "KafkaStorage",
    "LakeStorage",
    "NatsStorage",
    "PostgresStorage",
    "Sink",
    "Storage",
    "WebhookStorage",
]
