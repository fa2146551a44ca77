"""Recording: what an event costs on the request path, and whether one is lost when its process is killed."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks import rules
from benchmarks.room import Effort, Figure, child, each_us, interleaved, rate, settle
from gatewaycore.enrich import ENRICHMENTS
from gatewaycore.gateway import Outcome, Settled
from gatewaycore.journal import Journal
from gatewaycore.recorder import Recorder, Sent
from gatewaycore.salts import Salts
from gatewaycore.segments import segments

GROUP = "journal"
_BATCH = 1000


def run(effort: Effort) -> Iterator[Figure]:
    """Yield the figures."""
    folder = Path(tempfile.mkdtemp(prefix="gatewaycore-bench-"))
    try:
        yield from _appending(folder, 7 if effort == "quick" else 31)
        yield _killing(folder, 3 if effort == "quick" else 10)
    finally:
        shutil.rmtree(folder)


def _recorder(folder: Path) -> tuple[Journal, Recorder]:
    journal = Journal(folder / "journal", "bench")
    return journal, Recorder(journal.append, [ENRICHMENTS["client"]().open()], Salts(folder / "salts"))


def _appending(folder: Path, rounds: int) -> Iterator[Figure]:
    journal, recorder = _recorder(folder)
    gateway = rules.gateway(100)
    paths = rules.Paths(100)
    kept = rules.requests(paths.take(1)) * 3
    outcome = [gateway.decide(request) for request in kept][-1]
    settled = outcome.settled
    if settled is None:
        raise RuntimeError("a redirect that is asked for again is kept")
    line = b"x" * 420 + b"\n"
    file = os.open(folder / "plain", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    settle()

    def distinct() -> float:
        outcomes = [gateway.decide(request) for request in rules.requests(paths.take(_BATCH))]
        return each_us(lambda one: recorder.record(one, Sent(302)), outcomes)

    subjects: dict[str, Callable[[], float]] = {
        "distinct": distinct,
        "kept": lambda: each_us(_again(recorder, outcome, settled), range(_BATCH)),
        "append": lambda: each_us(journal.append, [line] * _BATCH),
        "write": lambda: each_us(lambda text: os.write(file, text), [line] * _BATCH),
    }
    seen = interleaved(subjects, rounds)
    os.close(file)
    journal.close()
    within = (lambda us: us <= 6, "6 µs an event")
    yield rate(
        GROUP, "recorder.record() to a file, every event distinct", seen["distinct"], "µs", within[1], within[0], _lost(recorder, journal)
    )
    yield rate(GROUP, "recorder.record_settled() to a file", seen["kept"], "µs", within[1], within[0])
    yield rate(GROUP, "journal.append() alone", seen["append"], "µs")
    yield rate(GROUP, "os.write() of a line as long", seen["write"], "µs")


def _again(recorder: Recorder, outcome: Outcome, settled: Settled) -> Callable[[object], object]:
    return lambda _: recorder.record_settled(outcome, settled)


def _lost(recorder: Recorder, journal: Journal) -> str:
    return f"{recorder.failed} failed, {journal.tally.lost} lost"


def _killing(folder: Path, rounds: int) -> Figure:
    """Kill a process in the middle of recording, again and again, and compare what it had acknowledged with what its journal holds."""
    acknowledged = kept = 0
    chance = random.Random(1)
    for number in range(rounds):
        data = folder / f"killed-{number}"
        process = child("-m", "benchmarks.recording", str(data), stdout=subprocess.PIPE)
        if process.stdout is None:
            raise RuntimeError("a pipe was asked for")
        # The first event is there: it runs. Killed within the next tenth of a second.
        first = process.stdout.read(1)
        time.sleep(chance.uniform(0.0, 0.1))
        process.send_signal(signal.SIGKILL)
        acknowledged += len(first + process.stdout.read())
        process.wait()
        process.stdout.close()
        kept += sum(segment.read_bytes().count(b"\n") for segment in segments(data / "journal"))
    lost = max(acknowledged - kept, 0)
    return Figure(
        GROUP,
        "acknowledged events lost on kill -9",
        lost,
        budget="0",
        met=lost == 0 and acknowledged > 0,
        note=f"of {acknowledged:,}, in {rounds} kills",
    )


def _record_for_ever(folder: Path) -> None:
    _, recorder = _recorder(folder)
    gateway = rules.gateway(10)
    paths = rules.Paths(10)
    while True:
        for request in rules.requests(paths.take(100)):
            recorder.record(gateway.decide(request), Sent(302))
            os.write(sys.stdout.fileno(), b".")


if __name__ == "__main__":
    _record_for_ever(Path(sys.argv[1]))
