"""From the answer through a stream to stores, by consumers that are killed again and again: whatever was answered is stored, once."""

from __future__ import annotations

import itertools
import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from gatewaycore.event import Event
from gatewaycore.sinks.lake import open_lake
from tests.databases import Postgres, stored
from tests.e2e.report import Table
from tests.e2e.running import DEADLINE_S, Gateway, Program, Programs, module
from tests.queues import Nats

pytestmark = pytest.mark.e2e

KILLS = 10
AT_ONCE = 40
PACKAGES = [
    {"name": "cli", "type": "file", "domain": "localhost", "incoming-path": "/cli/{version}", "outgoing-url": "https://cdn.x/{version}"}
]


class Load:
    """A client that asks for files until it is stopped."""

    def __init__(self, gateway: Gateway) -> None:
        self.acknowledged = 0
        self._gateway = gateway
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        with httpx.Client(base_url=self._gateway.url, trust_env=False) as client:
            while not self._stop.is_set():
                assert client.get(f"/cli/{self.acknowledged}").status_code == 302
                self.acknowledged += 1

    def __enter__(self) -> Load:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


def wait_until(what: Callable[[], bool]) -> None:
    end = time.monotonic() + DEADLINE_S
    while not what():
        assert time.monotonic() < end
        time.sleep(0.05)


def count(server: Postgres, url: str) -> int:
    """Return how many events there are; 0 before there is a table."""
    there = server.ask(url, "SELECT to_regclass('events')")[0][0]
    return int(server.ask(url, "SELECT count(*) FROM events")[0][0]) if there else 0


def in_lake(path: str) -> list[str]:
    """Return the ids of what a lake holds, in order."""
    with open_lake(path) as connection:
        return [row[0] for row in connection.sql("SELECT id FROM events ORDER BY id").fetchall()]


def test_consumers_that_are_killed_lose_nothing(programs: Programs, postgres: Postgres, table: Table) -> None:
    server = Nats(programs)
    stream, url = {"type": "nats", "url-env": "NATS_URL"}, postgres.create()
    lake = str(programs.folder / "lake")
    sinks: list[dict[str, Any]] = [stream, {"type": "postgres", "url-env": "EVENTS_URL"}, {"type": "lake", "path": lake}]
    gateway = programs.serve({"packages": PACKAGES, "sinks": [stream]}, env={"NATS_URL": server.url})
    file = programs.configure({"sinks": sinks}, "consumer")
    numbers = itertools.count()

    def consumer() -> Program:
        command = [*module("gatewaycore"), "consume", str(file)]
        started = programs.start(f"consumer-{next(numbers)}", command, NATS_URL=server.url, EVENTS_URL=url)
        started.wait_for("from nats to postgres, lake")
        return started

    with Load(gateway) as load:
        running = [consumer(), consumer()]
        for kill in range(KILLS):
            before = count(postgres, url)
            # In the middle of whatever it is at: there is more all the time.
            wait_until(lambda before=before: count(postgres, url) >= before + AT_ONCE)  # type: ignore[misc]
            os.kill(running[kill % 2].pid, signal.SIGKILL)
            running[kill % 2] = consumer()
    events: list[Event] = gateway.events()
    wait_until(lambda: count(postgres, url) >= len(events))
    wait_until(lambda: len(in_lake(lake)) >= len(events))
    assert [program.stop() for program in running] == [0, 0]
    kept = in_lake(lake)
    table.figures.append(
        f"{KILLS} consumers killed: {load.acknowledged:,} acknowledged, {count(postgres, url):,} in PostgreSQL, {len(kept):,} in the lake"
    )
    assert load.acknowledged == len(events)
    assert stored(postgres, url) == events
    assert kept == [event.id for event in events]
