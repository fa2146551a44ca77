"""Servers that several kinds of tests want: started when the first one does, once for each process of the run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.clickhouse import Clickhouse, serve_clickhouse
from tests.databases import Postgres
from tests.e2e.running import Programs
from tests.kafka import Kafka
from tests.queues import Nats


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    with Postgres() as server:
        yield server


@pytest.fixture(scope="session")
def nats(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nats]:
    programs = Programs(tmp_path_factory.mktemp("nats"))
    yield Nats(programs)
    programs.stop()


@pytest.fixture(scope="session")
def clickhouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clickhouse]:
    with serve_clickhouse(tmp_path_factory.mktemp("clickhouse")) as server:
        yield server


@pytest.fixture(scope="session")
def kafka() -> Iterator[Kafka]:
    with Kafka() as brokers:
        yield brokers
