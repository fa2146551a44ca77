"""The lake: how many events a second the shipper brings into it, what that takes, and how long a reader waits for its table.

``python -m benchmarks.lake FOLDER`` ships the journal in FOLDER once and prints the most memory that it had, in MiB.
"""

from __future__ import annotations

import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from attrs import evolve, frozen

from benchmarks import rules
from benchmarks.room import Effort, Figure, child, rate, settle
from gatewaycore.enrich import ENRICHMENTS
from gatewaycore.journal import Journal
from gatewaycore.recorder import Recorder, Sent
from gatewaycore.salts import Salts
from gatewaycore.shipper import Shipper
from gatewaycore.sinks.lake import LakeSink, LakeStorage, open_lake

GROUP = "lake"
_NOW = datetime.now(UTC)


def run(effort: Effort) -> Iterator[Figure]:
    """Yield the figures."""
    count = {"quick": 100_000, "default": 300_000, "full": 1_000_000}[effort]
    folder = Path(tempfile.mkdtemp(prefix="gatewaycore-bench-"))
    try:
        written = _write_journal(folder, count)
        settle()
        rounds = 3 if effort == "quick" else 5
        whole = [_ship(folder, number) for number in range(rounds + 1)][1:]
        again = [_ship(folder, number) for number in range(1, rounds + 1)]
        opening = [_open(folder / "lake-0", written) for _ in range(rounds)]
        memory = _memory(folder)
    finally:
        shutil.rmtree(folder)
    note = f"{written:,} events, in batches of {LakeSink.batch_bytes >> 20} MiB; read, written and noted by the shipper"
    shipped = [written / one.seconds for one in whole]
    yield rate(GROUP, "shipping into the lake", shipped, "events/s", "200,000 events a second", lambda value: value >= 200_000, note)
    yield rate(GROUP, "processor time for it, of all threads", [one.processor / written * 1e6 for one in whole], "µs an event")
    yield rate(GROUP, "the same events again, none of them written", [written / one.seconds for one in again], "events/s")
    yield rate(GROUP, "opening the table and counting its events", opening, "ms")
    yield Figure(GROUP, "most memory of a process that does nothing else", memory, "MiB", note="resident, DuckDB and delta-rs included")


def _write_journal(folder: Path, count: int) -> int:
    journal = Journal(folder / "journal", "bench")
    recorder = Recorder(journal.append, [ENRICHMENTS["client"]().open()], Salts(folder / "salts"))
    gateway = rules.gateway(100)
    paths = rules.Paths(100)
    while journal.tally.appended < count:
        # Of one day, as what has just been asked for is.
        for request in rules.requests(paths.take(1000)):
            recorder.record(gateway.decide(evolve(request, received_at=_NOW)), Sent(302))
    journal.close()
    return journal.tally.appended


@frozen
class _Run:
    """What it took: on the clock, and of all processors together, in seconds."""

    seconds: float
    processor: float


def _ship(folder: Path, number: int) -> _Run:
    """Ship the whole journal, as if for the first time, into the lake of this number."""
    cursors = Path(tempfile.mkdtemp(dir=folder))
    lake = LakeStorage(str(folder / f"lake-{number}")).open()
    shipper = Shipper(folder / "journal", cursors, folder / "set-aside", {"lake": lake})
    if not shipper.acquire():
        raise RuntimeError("nobody else ships there")
    begin, processor = time.perf_counter(), time.process_time()
    shipper.ship()
    took = _Run(time.perf_counter() - begin, time.process_time() - processor)
    if shipper.failing:
        raise RuntimeError(str(shipper.failing))
    shipper.close()
    return took


def _memory(folder: Path) -> int:
    process = child("-m", "benchmarks.lake", str(folder), stdout=subprocess.PIPE)
    said, _ = process.communicate()
    return int(said)


def _open(lake: Path, written: int) -> float:
    begin = time.perf_counter()
    with open_lake(str(lake)) as connection:
        found = connection.sql("SELECT count(*) FROM events").fetchall()
    if found != [(written,)]:
        raise RuntimeError(f"{found} of {written} events are in the lake")
    return (time.perf_counter() - begin) * 1000


if __name__ == "__main__":
    _ship(Path(sys.argv[1]), -1)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10)
