"""From the answer to the sink, while what stands in between is killed again and again, or has no room: nothing is missing in the end."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import resource
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gatewaycore.journal import Journal, JournalSettings
from gatewaycore.segments import read_lines, segments
from tests.e2e.report import Table
from tests.e2e.running import missing
from tests.served import Served, environment

CONFIG = """\
packages:
  - {name: cli, type: file, domain: get.acme.example, incoming-path: "/{request}/x", outgoing-url: "https://cdn.acme.example/{request}"}
sinks: []
"""
KILLS = 10
SECONDS = 150.0


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "gateway.yaml"
    path.write_text(CONFIG)
    return path


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, name: str) -> None:
    """Ask for something, and read the redirect to its end."""
    writer.write(f"GET /{name}/x HTTP/1.1\r\nHost: get.acme.example\r\n\r\n".encode())
    await writer.drain()
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 302"), head


def asked(port: int, *names: str) -> None:
    """Ask for things one after the other; every one of them is answered with its redirect."""

    async def run() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for name in names:
            await ask(reader, writer, name)
        writer.close()

    asyncio.run(asyncio.wait_for(run(), SECONDS))


def stored(data: Path) -> dict[str, str]:
    """Return what was asked for, by the id of its event."""
    lines = [json.loads(line) for segment in segments(data / "journal") for line in read_lines(segment, limit_bytes=1 << 30)[0]]
    return {event["id"]: event["variables"]["request"] for event in lines}


# --- a worker that is killed -------------------------------------------------------------------------------------------------


class Patient:
    """Clients that ask for the same again until they are answered, whoever dies meanwhile."""

    def __init__(self, served: Served, most_kills: int) -> None:
        self._served = served
        self._most_kills = most_kills
        self._names = map(str, itertools.count())
        self.acknowledged: set[str] = set()
        self.kills = 0

    async def run(self) -> None:
        clients = asyncio.gather(*(self._client() for _ in range(8)))
        await asyncio.wait_for(self._kill(), SECONDS)
        await asyncio.wait_for(clients, SECONDS)

    async def _client(self) -> None:
        for name in self._names:
            while name not in self.acknowledged:
                with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                    reader, writer = await asyncio.open_connection("127.0.0.1", self._served.port)
                    try:
                        await ask(reader, writer, name)
                        self.acknowledged.add(name)
                    finally:
                        writer.close()
            if self.kills == self._most_kills:
                return

    async def _kill(self) -> None:
        while self.kills < self._most_kills:
            before = len(self.acknowledged)
            while len(self.acknowledged) < before + 200 or not self._served.workers():
                await asyncio.sleep(0.005)
            os.kill(self._served.workers()[0], signal.SIGKILL)
            self.kills += 1


@pytest.mark.e2e
@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="needs /proc, which Linux has")
@pytest.mark.parametrize(("durable", "kills"), [("process", KILLS), ("disk", 3)])
def test_workers_that_are_killed_lose_nothing(config: Path, tmp_path: Path, durable: str, kills: int, table: Table) -> None:
    config.write_text(f"gateway: {{journal: {{durable: {durable}}}}}\n{CONFIG}")
    with Served(config, tmp_path / "data", ["--workers", "3"]) as served:
        load = Patient(served, kills)
        asyncio.run(load.run())
        assert served.stop() == 0
    kept = stored(tmp_path / "data")
    table.figures.append(
        f"durable: {durable}, {load.kills} workers killed: {len(load.acknowledged):,} acknowledged, {len(set(kept.values())):,} stored"
    )
    assert set(kept.values()) == load.acknowledged


# --- a shipper that is killed --------------------------------------------------------------------------------------------------

SHIPPER = """
import sqlite3, sys
from pathlib import Path
from gatewaycore.journal import JournalSettings
from gatewaycore.segments import recorded_ms
from gatewaycore.shipper import Shipper
from gatewaycore.sinks import JsonlStorage

root = Path(sys.argv[1])


class Unique:
    batch_bytes = 20_000

    def __init__(self):
        self.store = sqlite3.connect(root / "unique.db", check_same_thread=False, isolation_level=None)
        self.store.execute("PRAGMA journal_mode = WAL")
        self.store.execute("CREATE TABLE IF NOT EXISTS events (id TEXT PRIMARY KEY)")

    def write(self, lines):
        print("begun", flush=True)
        self.store.execute("BEGIN IMMEDIATE")
        self.store.executemany("INSERT OR IGNORE INTO events VALUES (?)", [(line[7:43].decode(),) for line in lines])
        self.store.execute("COMMIT")
        print("written", flush=True)

    def close(self):
        self.store.close()


file = JsonlStorage(str(root / "out.jsonl")).open()
file.batch_bytes = 50_000
shipper = Shipper(root / "journal", root / "cursors", root / "set-aside", {"unique": Unique(), "file": file}, (), JournalSettings(keep_s=0))
assert shipper.acquire()
shipper.ship()
assert not shipper.failing, shipper.failing
shipper.close()
print("all", flush=True)
"""


@pytest.mark.e2e
def test_a_shipper_that_is_killed_in_the_middle_of_a_batch_loses_nothing(tmp_path: Path, table: Table) -> None:
    journal = Journal(tmp_path / "journal", "n", JournalSettings(segment_bytes=32_000))
    acknowledged: set[str] = set()

    def append(count: int) -> None:
        for _ in range(count):
            number = f"{len(acknowledged):08x}-0000-7000-8000-000000000000"
            assert journal.append(f'{{"id":"{number}","more":"{"x" * 250}"}}\n'.encode())
            acknowledged.add(number)

    for kill in range(KILLS + 1):
        append(600)
        with subprocess.Popen(
            [sys.executable, "-c", SHIPPER, str(tmp_path)], stdout=subprocess.PIPE, text=True, env=environment()
        ) as process:
            assert process.stdout is not None
            if kill < KILLS:
                # The first batch or a later one, before it is written or when its cursor is about to be.
                for _ in range(1 + kill % 5):
                    assert process.stdout.readline() in ("begun\n", "written\n")
                process.kill()
                process.wait(30)
            else:
                journal.close()
                process.wait(60)
                assert process.stdout.read().endswith("all\n")
    with contextlib.closing(sqlite3.connect(tmp_path / "unique.db")) as store:
        unique = {row[0] for row in store.execute("SELECT id FROM events")}
    written = list(ids(tmp_path / "out.jsonl"))
    table.figures.append(
        f"{KILLS} shippers killed: {len(acknowledged):,} acknowledged, {len(unique):,} in a store that knows ids, "
        f"{len(set(written)):,} in a file (of {len(written):,} lines)"
    )
    assert unique == set(written) == acknowledged


def ids(path: Path) -> Iterator[str]:
    for line in path.read_bytes().splitlines():
        # Half a line of a batch that came again.
        with contextlib.suppress(ValueError):
            yield json.loads(line)["id"]


# --- no room -------------------------------------------------------------------------------------------------------------------


def lost(config: Path, data: Path) -> int:
    """Ask the command line how many events were lost."""
    command = [sys.executable, "-m", "gatewaycore", "journal", "stat", str(config), "--data-dir", str(data), "--json"]
    told: dict[str, Any] = json.loads(subprocess.run(command, capture_output=True, check=True, timeout=60, env=environment()).stdout)
    return int(told["lost"])


@pytest.mark.e2e
@pytest.mark.parametrize("durable", ["process", "disk"])
def test_a_disk_that_is_full_for_a_while_costs_events_and_no_answer(config: Path, tmp_path: Path, durable: str, table: Table) -> None:
    if not hasattr(resource, "prlimit"):
        missing("needs prlimit, which Linux has")
    config.write_text(f"gateway: {{journal: {{durable: {durable}}}}}\n{CONFIG}")
    data = tmp_path / "data"
    with Served(config, data) as served:
        pid = served.process.pid
        _, most = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        asked(served.port, *(f"before-{number}" for number in range(20)))
        for episode in (1, 2):
            size = segments(data / "journal")[-1].stat().st_size
            # In the middle of a line.
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (size + 1_000, most))
            asked(served.port, *(f"full-{episode}-{number}" for number in range(30)))
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (most, most))
            asked(served.port, *(f"after-{episode}-{number}" for number in range(20)))
            kept = list(stored(data).values())
            assert [name for name in kept if name.startswith(f"after-{episode}")] == [f"after-{episode}-{number}" for number in range(20)]
            assert served.errors.count("events are being lost") == episode
        # Each answer's event is there, or was counted as lost.
        fitted = [name for name in kept if name.startswith("full-")]
        assert 2 <= len(fitted) <= 10
        assert kept[:20] == [f"before-{number}" for number in range(20)]
        assert len(kept) == 60 + len(fitted)
        counted = lost(config, data)
        table.figures.append(f"durable: {durable}, disk full twice: 120 answered, {len(kept)} stored, {counted} counted as lost")
        assert counted == 60 - len(fitted)
        assert served.stop() == 0
    for segment in segments(data / "journal"):
        assert segment.read_bytes().endswith(b"\n")


@pytest.mark.e2e
def test_a_sink_that_is_dead_ends_no_server_late(config: Path, tmp_path: Path) -> None:
    """A pipe that nobody reads takes some, and then hangs."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        config.write_text(CONFIG.replace("sinks: []", f"sinks: [{{type: jsonl, path: {pipe}}}, {{type: jsonl, path: {tmp_path / 'out'}}}]"))
        with Served(config, tmp_path / "data") as served:
            asked(served.port, *(f"{number}" for number in range(500)))
            deadline = time.monotonic() + SECONDS
            while len(list(ids(tmp_path / "out"))) < 500 and time.monotonic() < deadline:
                time.sleep(0.05)
            assert len(set(ids(tmp_path / "out"))) == 500
            assert served.stop() == 0
            assert "sink jsonl hangs, and is left as it is" in served.errors
    finally:
        os.close(reader)
