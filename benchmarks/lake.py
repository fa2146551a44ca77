"""The lake: how many events a second are shipped into it from the journal, and how long a reader waits for its table."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks import rules
from benchmarks.room import Effort, Figure, rate, settle
from gatewaycore.enrich import ENRICHMENTS
from gatewaycore.journal import Journal, read_lines, segments
from gatewaycore.recorder import Recorder, Sent
from gatewaycore.salts import Salts
from gatewaycore.sinks.lake import LakeSink, LakeStorage, open_lake

GROUP = "lake"


def run(effort: Effort) -> Iterator[Figure]:
    """Yield the figures."""
    count = {"quick": 100_000, "default": 300_000, "full": 1_000_000}[effort]
    folder = Path(tempfile.mkdtemp(prefix="gatewaycore-bench-"))
    try:
        written = _write_journal(folder, count)
        settle()
        rounds = 3 if effort == "quick" else 5
        whole = [_ship(folder, folder / f"lake-{number}") for number in range(rounds + 1)][1:]
        again = [_ship(folder, folder / f"lake-{number}") for number in range(1, rounds + 1)]
        opening = [_open(folder / "lake-0", written) for _ in range(rounds)]
    finally:
        shutil.rmtree(folder)
    shipped = [written / seconds for seconds in whole]
    note = f"{written:,} events, in batches of {LakeSink.batch_bytes >> 20} MiB"
    yield rate(GROUP, "shipping into the lake", shipped, "events/s", "200,000 events a second", lambda value: value >= 200_000, note)
    yield rate(GROUP, "the same events again, none of them written", [written / seconds for seconds in again], "events/s")
    yield rate(GROUP, "opening the table and counting its events", opening, "ms")


def _write_journal(folder: Path, count: int) -> int:
    journal = Journal(folder / "journal", "bench")
    recorder = Recorder(journal.append, [ENRICHMENTS["client"]().open()], Salts(folder / "salts"))
    gateway = rules.gateway(100)
    paths = rules.Paths(100)
    while journal.tally.appended < count:
        for request in rules.requests(paths.take(1000)):
            recorder.record(gateway.decide(request), Sent(302))
    journal.close()
    return journal.tally.appended


def _ship(folder: Path, lake: Path) -> float:
    """Return the seconds that the journal takes, read and written as the shipper does."""
    sink = LakeStorage(str(lake)).open()
    begin = time.perf_counter()
    for segment in segments(folder / "journal"):
        offset = 0
        while True:
            lines, offset = read_lines(segment, offset, sink.batch_bytes)
            if not lines:
                break
            sink.write(lines)
    seconds = time.perf_counter() - begin
    sink.close()
    return seconds


def _open(lake: Path, written: int) -> float:
    begin = time.perf_counter()
    with open_lake(str(lake)) as connection:
        found = connection.sql("SELECT count(*) FROM events").fetchall()
    if found != [(written,)]:
        raise RuntimeError(f"{found} of {written} events are in the lake")
    return (time.perf_counter() - begin) * 1000
