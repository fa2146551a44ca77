"""Sink `kafka`: one message for each event, with its package as the key, from an idempotent producer.

The producer's own retries are recognised by the brokers. What the shipper sends again is not: readers tell by `id`, which is a header too.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from gatewaycore.errors import ConfigError, MissingExtraError, PoisonError, Problem, SinkError
from gatewaycore.event import Event
from gatewaycore.sinks.rows import check_positive, pair

if TYPE_CHECKING:
    from confluent_kafka import Message, Producer

# What the sink promises rests on them. Messages wait for as long as the sink does: a second clock would end at about the same moment, and
# which of the two an operator reads about would be chance.
_FIXED: Mapping[str, Any] = {"enable.idempotence": True, "acks": "all", "delivery.timeout.ms": 0}
_POLL_S = 0.1


@frozen(kw_only=True)
class KafkaStorage:
    """Settings of the sink `kafka`.

    Attributes:
        brokers: where to begin: ``host:9092``, with commas between several.
        topic: where messages go.
        options: anything else that librdkafka knows, by its own names: ``security.protocol``, ``sasl.username``, …; shown nowhere.
        password: ``sasl.password``; better ``password-env``.
        timeout_s: for each batch.
    """

    brokers: str
    topic: str = "gatewaycore.events"
    options: Mapping[str, str] = field(factory=dict, repr=False)
    password: str | None = field(default=None, repr=False)
    timeout_s: float = field(default=60.0, validator=check_positive)

    def open(self) -> KafkaSink:
        """Make the sink. Its brokers need not be there yet.

        Raises:
            ConfigError: confluent-kafka is not installed, or does not know an option.
        """
        self.check()
        return KafkaSink(self)

    def check(self) -> None:
        """Find out whether the settings can be used.

        Raises:
            ConfigError: as `open`.
        """
        if not any(broker.strip() for broker in self.brokers.split(",")):
            raise ConfigError([Problem("sinks: kafka: brokers", "is not a list of brokers", "write host:9092, and commas between several")])
        try:
            import confluent_kafka  # noqa: F401
        except ImportError as error:
            raise MissingExtraError.of("sinks: kafka", "kafka") from error
        # Without brokers it connects to nobody. Its threads do not survive a fork, so another one is made where it is written to.
        self.producer("")

    def producer(self, brokers: str) -> Producer:
        """Make a producer.

        Raises:
            ConfigError: librdkafka does not take the options.
        """
        from confluent_kafka import KafkaException, Producer

        secret = {} if self.password is None else {"sasl.password": self.password}
        ours = {"bootstrap.servers": brokers, "error_cb": _ignore, **_FIXED}
        try:
            # Its log goes to standard error by itself, with addresses in it: what matters is what becomes of messages.
            return Producer({"client.id": "gatewaycore", "log_level": 0, "linger.ms": 50, **self.options, **secret, **ours})
        except KafkaException as error:
            # Its words quote the value.
            what = f"librdkafka does not take them ({error.args[0].name()})"
            raise ConfigError([Problem("sinks: kafka: options", what, "its CONFIGURATION.md has their names")]) from None


class KafkaSink:
    """Produces events.

    Args:
        settings: where to, and how.
    """

    batch_bytes = 8 * 1024 * 1024
    linger_s = 1.0

    def __init__(self, settings: KafkaStorage) -> None:
        self._settings = settings
        self._producer: Producer | None = None
        # Of the batch that is under way: ids of what the brokers have and of what is too large for them, and how the others have failed.
        self._taken: set[str] = set()
        self._too_large: set[str] = set()
        self._failed: list[str] = []

    def connect(self) -> Producer:
        """Return the producer, which connects by itself.

        Raises:
            ConfigError: librdkafka does not take the options.
        """
        if self._producer is None:
            self._producer = self._settings.producer(self._settings.brokers)
        return self._producer

    def write(self, lines: Sequence[bytes]) -> None:
        """Produce a batch, and wait until all replicas that are in step have all of it.

        Raises:
            SinkError: some of it could not be delivered in time.
            PoisonError: some lines are no events, or larger than a message may be; the topic has the others, and is not sent them again.
        """
        pairs = pair(lines)
        self._taken &= {event.id for _, event in pairs}
        self._too_large.clear()
        self._failed.clear()
        left = [(line, event) for line, event in pairs if event.id not in self._taken]
        if left and not self._produce(left):
            # Before the others fail, which are taken out of the queue only now.
            reason = self._failed[0] if self._failed else "not delivered in time"
            # Messages in its queue would be delivered later, behind our back; and one that has failed for good stays so.
            self._drop()
            raise SinkError(f"kafka: {reason}")
        if self._too_large:
            named = [number for number, (_, event) in enumerate(pairs) if event.id in self._too_large]
            raise PoisonError(named, "larger than a message may be (message.max.bytes)")
        self._taken.clear()

    def _produce(self, pairs: Sequence[tuple[bytes, Event]]) -> bool:
        """Produce messages, and tell whether all were delivered."""
        producer, end = self.connect(), time.monotonic() + self._settings.timeout_s
        for line, event in pairs:
            key = None if event.package is None else event.package.encode()
            while not self._queue(producer, line[:-1], key, event.id):
                if time.monotonic() > end:
                    return False
                # The queue is full.
                producer.poll(_POLL_S)
            producer.poll(0)
        return producer.flush(max(0.0, end - time.monotonic())) == 0 and not self._failed

    def _queue(self, producer: Producer, value: bytes, key: bytes | None, number: str) -> bool:
        """Put a message into the producer's queue; False when that is full."""
        from confluent_kafka import KafkaError, KafkaException

        def done(error: KafkaError | None, _: Message) -> None:
            if error is None:
                self._taken.add(number)
            else:
                # Never a fault of this one: what a broker finds too large is a whole batch of messages.
                self._failed.append(error.name())

        try:
            producer.produce(self._settings.topic, value, key, headers={"id": number}, on_delivery=done)
        except BufferError:
            return False
        except KafkaException as error:
            if error.args[0].code() == KafkaError.MSG_SIZE_TOO_LARGE:
                # Larger than the producer's own `message.max.bytes`: it is told at once.
                self._too_large.add(number)
            else:
                self._failed.append(error.args[0].name())
        return True

    def close(self) -> None:
        """Let go of the producer."""
        self._drop()

    def _drop(self) -> None:
        if self._producer is not None:
            self._producer.purge()
            self._producer.flush(_POLL_S)
            self._producer = None


def _ignore(_: object) -> None:
    """Leave it to the messages that are not delivered."""
