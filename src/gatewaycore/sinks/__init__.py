"""One file for each store, and the roster of them all: where events go from the journal.

A storage is settings with one verb, ``open() -> Sink``; drivers are imported there. A sink takes batches of journal lines. It may see a
batch twice (the shipper delivers at least once), and ends up with each event once by its `id`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from gatewaycore.sinks.clickhouse import ClickhouseStorage
from gatewaycore.sinks.jsonl import JsonlStorage
from gatewaycore.sinks.kafka import KafkaStorage
from gatewaycore.sinks.lake import LakeStorage
from gatewaycore.sinks.nats import NatsStorage
from gatewaycore.sinks.postgres import PostgresStorage
from gatewaycore.sinks.protocols import Sink, Storage
from gatewaycore.sinks.webhook import WebhookStorage

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
