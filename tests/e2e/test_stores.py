"""Gateways that ship to real stores, which are killed meanwhile: whatever was answered is stored, once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import httpx
import pytest

from gatewaycore.recorder import decode
from gatewaycore.sinks import PostgresStorage
from gatewaycore.sinks.nats import NatsStorage, consume
from tests.databases import Postgres, stored
from tests.e2e.report import Table
from tests.e2e.running import DEADLINE_S, Gateway, Programs
from tests.queues import Cluster, streamed

pytestmark = pytest.mark.e2e

REQUESTS = 4_000
PACKAGES = [
    {
        "name": "cli",
        "type": "file",
        "domain": "localhost",
        "incoming-path": "/cli/{version}",
        "outgoing-url": "https://cdn.acme.example/{version}",
    }
]


def ask(gateway: Gateway, meanwhile: Callable[[], None]) -> None:
    """Ask for files, and after the first half of them do something else at the same time."""
    other = threading.Thread(target=meanwhile)
    with httpx.Client(base_url=gateway.url, trust_env=False) as client:
        for number in range(REQUESTS):
            if number == REQUESTS // 2:
                other.start()
            assert client.get(f"/cli/{number}").status_code == 302
    other.join()


def wait_until(count: Callable[[], int]) -> None:
    """Wait until all requests are where they should be."""
    end = time.monotonic() + DEADLINE_S
    while count() < REQUESTS and time.monotonic() < end:
        time.sleep(0.2)


@pytest.fixture
def safe_postgres() -> Iterator[Postgres]:
    with Postgres(safe=True) as server:
        yield server


def test_postgres_crashes_and_comes_back(programs: Programs, safe_postgres: Postgres, table: Table) -> None:
    server = safe_postgres
    url = server.create()
    config = {"packages": PACKAGES, "sinks": [{"type": "postgres", "url-env": "EVENTS_URL"}]}
    gateway = programs.serve(config, env={"EVENTS_URL": url})

    def crash() -> None:
        for _ in range(2):
            server.stop()
            server.start()

    ask(gateway, crash)
    wait_until(lambda: len(stored(server, url)))
    table.figures.append(f"PostgreSQL crashed twice: {REQUESTS:,} acknowledged, {len(stored(server, url)):,} stored")
    assert len(gateway.events()) == REQUESTS
    assert stored(server, url) == gateway.events()


def test_nats_loses_a_server_of_three_and_postgres_has_everything(programs: Programs, safe_postgres: Postgres, table: Table) -> None:
    cluster = Cluster(programs)
    sink = {"type": "nats", "url-env": "NATS_URL", "replicas": 3}
    gateway = programs.serve({"packages": PACKAGES, "sinks": [sink]}, env={"NATS_URL": cluster.url})
    database, stop = safe_postgres.create(), threading.Event()
    kept = PostgresStorage(url=database).open()
    consumer = threading.Thread(target=consume, args=[NatsStorage(url=cluster.url, replicas=3), kept, stop])
    consumer.start()
    try:
        ask(gateway, lambda: cluster.kill(0))
        wait_until(lambda: len(stored(safe_postgres, database)) if _is_made(safe_postgres, database) else 0)
    finally:
        stop.set()
        consumer.join()
        kept.close()
    events = gateway.events()
    left = ",".join(cluster.url.split(",")[1:])
    published = sorted(event.id for event in map(decode, streamed(left, "gatewaycore")))
    table.figures.append(
        f"one of three NATS servers killed: {REQUESTS:,} acknowledged, {len(published):,} in the stream, "
        f"{len(stored(safe_postgres, database)):,} in PostgreSQL behind it"
    )
    assert len(events) == REQUESTS
    assert stored(safe_postgres, database) == events
    assert published == [event.id for event in events]


def _is_made(server: Postgres, url: str) -> bool:
    return bool(server.ask(url, "SELECT to_regclass('events')")[0][0])
