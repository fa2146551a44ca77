"""Kafka for tests: librdkafka's mock cluster, three brokers in memory that speak the protocol."""

from __future__ import annotations

import itertools
from types import TracebackType
from typing import Self


class Kafka:
    """Three brokers, for as long as it is entered."""

    def __init__(self) -> None:
        from confluent_kafka import Producer

        self._cluster: Producer | None = Producer({"test.mock.num.brokers": 3, "bootstrap.servers": "mock", "log_level": 0})
        found = self._cluster.list_topics(timeout=10).brokers.values()
        self.brokers = ",".join(f"{broker.host}:{broker.port}" for broker in found)
        self._numbers = itertools.count(1)

    def topic(self) -> str:
        """Return the name of a topic that nobody has written to."""
        return f"topic{next(self._numbers)}"

    def messages(self, topic: str) -> list[tuple[bytes | None, bytes, str]]:
        """Return key, value and the header `id` of what is in a topic."""
        from confluent_kafka import Consumer, TopicPartition

        consumer = Consumer({"bootstrap.servers": self.brokers, "group.id": "tests", "log_level": 0})
        found: list[tuple[bytes | None, bytes, str]] = []
        try:
            partitions = [TopicPartition(topic, number) for number in consumer.list_topics(topic, timeout=10).topics[topic].partitions]
            ends = {partition.partition: consumer.get_watermark_offsets(partition, timeout=10)[1] for partition in partitions}
            consumer.assign([TopicPartition(topic, partition.partition, 0) for partition in partitions])
            while len(found) < sum(ends.values()):
                for message in consumer.consume(10_000, timeout=1):
                    assert message.error() is None, message.error()
                    number = dict(message.headers() or []).get("id")
                    key, value = message.key(), message.value() or b""
                    found.append((key if key is None else bytes(key), bytes(value), bytes(number or b"").decode()))  # type: ignore[arg-type]
        finally:
            consumer.close()
        return found

    def stop(self) -> None:
        """End the brokers."""
        self._cluster = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()
