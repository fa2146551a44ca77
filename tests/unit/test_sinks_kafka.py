"""Sink `kafka`, against librdkafka's mock cluster."""

from __future__ import annotations

import sys

import pytest
from attrs import evolve

from gatewaycore.config import read_config
from gatewaycore.errors import ConfigError, SinkError
from gatewaycore.sinks.kafka import KafkaStorage
from gatewaycore.sinks.sifting import Sieve
from tests.events import lines_of, make_event, make_events
from tests.kafka import Kafka


def test_a_message_is_an_event_under_its_package(kafka: Kafka) -> None:
    topic = kafka.topic()
    events = [*make_events(3), make_event(package=None)]
    sink = KafkaStorage(brokers=kafka.brokers, topic=topic).open()
    sink.write(lines_of(events))
    sink.close()
    assert sorted(kafka.messages(topic), key=lambda message: message[2]) == sorted(
        [
            (None if event.package is None else event.package.encode(), line.rstrip(b"\n"), event.id)
            for event, line in zip(events, lines_of(events), strict=True)
        ],
        key=lambda message: message[2],
    )


def test_events_that_are_too_large_are_named_and_the_others_are_there_once(kafka: Kafka) -> None:
    topic = kafka.topic()
    large = [make_event(version=letter * 3000) for letter in "xy"]
    good = make_events(5)
    sink = KafkaStorage(brokers=kafka.brokers, topic=topic, options={"message.max.bytes": "2000"}).open()
    refused = Sieve(sink).write(lines_of([large[0], *good[:3], large[1], *good[3:]]))
    sink.write(lines_of(make_events(1)))
    sink.close()
    assert [one.line for one in refused] == lines_of(large)
    assert {one.reason for one in refused} == {"larger than a message may be (message.max.bytes)"}
    assert len(kafka.messages(topic)) == 6


def test_more_than_the_queue_holds(kafka: Kafka) -> None:
    topic = kafka.topic()
    sink = KafkaStorage(brokers=kafka.brokers, topic=topic, options={"queue.buffering.max.messages": "10"}).open()
    sink.write(lines_of(make_events(100)))
    sink.close()
    assert len(kafka.messages(topic)) == 100


@pytest.mark.parametrize("name", ["delivery.timeout.ms", "message.timeout.ms"])
def test_the_producer_has_no_clock_of_its_own(kafka: Kafka, name: str) -> None:
    topic = kafka.topic()
    # Sooner than any producer has begun.
    sink = KafkaStorage(brokers=kafka.brokers, topic=topic, options={name: "51"}).open()
    sink.write(lines_of(make_events(1)))
    sink.close()
    assert len(kafka.messages(topic)) == 1


def test_a_topic_that_there_cannot_be(kafka: Kafka) -> None:
    sink = KafkaStorage(brokers=kafka.brokers, topic="x" * 600).open()
    with pytest.raises(SinkError, match="kafka: _INVALID_ARG"):
        sink.write(lines_of(make_events(1)))
    sink.close()


@pytest.mark.parametrize("options", [{}, {"queue.buffering.max.messages": "1"}])
def test_brokers_that_are_gone_are_a_reason_to_come_again(options: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    with Kafka() as kafka:
        settings = KafkaStorage(brokers=kafka.brokers, options=options)
        sink = settings.open()
        # For as long as that takes: a producer asks who it is in rounds of half a second, and needs one or several of them.
        sink.write(lines_of(make_events(1)))
        kafka.stop()
        monkeypatch.setattr(sink, "_settings", evolve(settings, timeout_s=0.2))
        for _ in range(2):
            with pytest.raises(SinkError, match=r"^kafka: not delivered in time$"):
                sink.write(lines_of(make_events(3)))
        sink.close()
        sink.close()


def test_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = {"type": "kafka", "brokers": "k:9092", "options": {"sasl.username": "gw"}, "password-env": "PASSWORD"}
    config = read_config({"sinks": [entry]}, environ={"PASSWORD": "hunter2"})
    assert config.sinks is not None
    (storage,) = config.sinks
    assert storage == KafkaStorage(brokers="k:9092", options={"sasl.username": "gw"}, password="hunter2")
    assert "hunter2" not in repr(storage)
    for options in ({"no.such": "hunter2"}, {"security.protocol": "hunter2"}):
        with pytest.raises(ConfigError, match="sinks: kafka: options: librdkafka does not take them") as caught:
            KafkaStorage(brokers="k:9092", options=options).open()
        assert "hunter2" not in str(caught.value)
    monkeypatch.setitem(sys.modules, "confluent_kafka", None)
    with pytest.raises(ConfigError, match=r"needs gatewaycore\[kafka\] \(pip install 'gatewaycore\[kafka\]'\)"):
        KafkaStorage(brokers="k").open()
