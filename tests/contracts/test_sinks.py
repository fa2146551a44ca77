"""Every sink keeps the contract of storages."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from gatewaycore.event import Event
from gatewaycore.recorder import encode
from gatewaycore.sinks import (
    SINKS,
    ClickhouseStorage,
    JsonlStorage,
    KafkaStorage,
    LakeStorage,
    NatsStorage,
    PostgresStorage,
    Storage,
    WebhookStorage,
)
from gatewaycore.sinks.lake import open_lake
from tests.clickhouse import Clickhouse
from tests.contracts.storage import StorageContract
from tests.databases import Postgres, stored
from tests.kafka import Kafka
from tests.queues import Nats, streamed
from tests.receiver import Receiver


class TestJsonl(StorageContract):
    takes_any_line = True

    def make(self, folder: Path) -> Storage:
        return JsonlStorage(str(folder / "out.jsonl"))

    def read(self, folder: Path) -> list[bytes]:
        return (folder / "out.jsonl").read_bytes().splitlines(keepends=True)


class TestPostgres(StorageContract):
    exactly_once = True
    url = ""

    @pytest.fixture(autouse=True)
    def database(self, postgres: Postgres) -> None:
        self.server, self.url = postgres, postgres.create()

    def make(self, folder: Path) -> Storage:
        return PostgresStorage(url=self.url)

    def read(self, folder: Path) -> list[bytes]:
        return list(map(encode, stored(self.server, self.url)))


class TestClickhouse(StorageContract):
    exactly_once = True
    url = ""

    @pytest.fixture(autouse=True)
    def database(self, clickhouse: Clickhouse) -> None:
        self.server, self.url = clickhouse, clickhouse.create()

    def make(self, folder: Path) -> Storage:
        return ClickhouseStorage(url=self.url)

    def read(self, folder: Path) -> list[bytes]:
        """Return the rows as lines, without what is empty."""
        found = self.server.ask("SELECT * FROM events FORMAT JSONEachRow", self.url.rpartition("/")[2]).splitlines()
        rows = [{name: value for name, value in json.loads(line).items() if value not in ("", None)} for line in found]
        return [json.dumps({**row, "time": row["time"].replace(" ", "T") + "Z"}).encode() + b"\n" for row in rows]


class TestKafka(StorageContract):
    brokers, topic = "x", "x"

    @pytest.fixture(autouse=True)
    def cluster(self, kafka: Kafka) -> None:
        self.kafka, self.brokers, self.topic = kafka, kafka.brokers, kafka.topic()

    def make(self, folder: Path) -> Storage:
        return KafkaStorage(brokers=self.brokers, topic=self.topic)

    def read(self, folder: Path) -> list[bytes]:
        return [value + b"\n" for _, value, _ in self.kafka.messages(self.topic)]


class TestLake(StorageContract):
    exactly_once = True

    def make(self, folder: Path) -> Storage:
        return LakeStorage(str(folder / "lake"))

    def read(self, folder: Path) -> list[bytes]:
        with open_lake(str(folder / "lake")) as connection:
            rows = connection.sql("SELECT * EXCLUDE (day) FROM events")
            found = [dict(zip(rows.columns, row, strict=True)) for row in rows.fetchall()]
        return [encode(Event(**{**row, "variables": row["variables"] or {}})) for row in found]


class TestNats(StorageContract):
    exactly_once = True
    url = "nats://127.0.0.1"

    @pytest.fixture(autouse=True)
    def stream(self, nats: Nats) -> None:
        self.url, self.name = nats.url, nats.name()

    def make(self, folder: Path) -> Storage:
        return NatsStorage(url=self.url, stream=getattr(self, "name", "x"), subject=getattr(self, "name", "x"))

    def read(self, folder: Path) -> list[bytes]:
        return streamed(self.url, self.name)


class TestWebhook(StorageContract):
    exactly_once = True
    url = "http://127.0.0.1/"

    @pytest.fixture(autouse=True)
    def receiver(self) -> Iterator[None]:
        with Receiver() as self.held:
            self.url = self.held.url
            yield

    def make(self, folder: Path) -> Storage:
        return WebhookStorage(url=self.url, secret="of both", allow_private=True)

    def read(self, folder: Path) -> list[bytes]:
        return list(self.held.events.values())


def test_the_whole_roster_is_held_to_the_contract(tmp_path: Path) -> None:
    held = (TestClickhouse, TestJsonl, TestKafka, TestLake, TestNats, TestPostgres, TestWebhook)
    assert {type(contract().make(tmp_path)) for contract in held} == set(SINKS.values())
    assert all(callable(getattr(storage, "check", None)) for storage in SINKS.values())
