"""Operations: what it costs a redirect that it is counted. With the section and without it, in turns, in one run."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from benchmarks import rules
from benchmarks.room import Effort, Figure, each_us, interleaved, rate, settle
from gatewaycore.enrich import ENRICHMENTS
from gatewaycore.gateway import Gateway
from gatewaycore.journal import Journal
from gatewaycore.operations.metering import MeteredRecorder
from gatewaycore.operations.meters import Meters
from gatewaycore.recorder import Recorder, Sent
from gatewaycore.request import Request
from gatewaycore.salts import Salts

GROUP = "operations"
_BATCH = 1000
_LIMIT_US = 3.0
_BUDGET = "at most 3 µs more"


def run(effort: Effort) -> Iterator[Figure]:
    """Yield the figures."""
    folder = Path(tempfile.mkdtemp(prefix="gatewaycore-bench-"))
    try:
        yield from _counted(folder, 7 if effort == "quick" else 61)
    finally:
        shutil.rmtree(folder)


def _counted(folder: Path, rounds: int) -> Iterator[Figure]:
    journal = Journal(folder / "journal", "bench")
    plain = Recorder(journal.append, [ENRICHMENTS["client"]().open()], Salts(folder / "salts"))
    meters = Meters(folder / "metrics", "bench")
    ways: dict[str, Recorder] = {
        "off": plain,
        "on": MeteredRecorder(plain, meters, packages=False),
        "packages": MeteredRecorder(plain, meters, packages=True),
    }
    gateway = rules.gateway(100)
    distinct, hot = rules.Paths(100), rules.Paths(100).take(1)
    settle()
    subjects: dict[str, Callable[[], float]] = {}
    for name, recorder in ways.items():
        subjects[f"distinct {name}"] = partial(_redirects, gateway, recorder, partial(distinct.take, _BATCH))
        subjects[f"hot {name}"] = partial(_redirects, gateway, recorder, lambda: hot * _BATCH)
    seen = interleaved(subjects, rounds)
    journal.close()
    for load, words in (("hot", "one URL"), ("distinct", "no URL twice")):
        without = seen[f"{load} off"]
        yield rate(GROUP, f"a redirect decided and recorded, {words}", without, "µs")
        for name, what in (("on", "counted"), ("packages", "counted for each package")):
            more = [one - other for one, other in zip(seen[f"{load} {name}"], without, strict=True)]
            yield rate(GROUP, f"{what}, {words}: more than without", more, "µs", _BUDGET, lambda us: us <= _LIMIT_US)


def _redirects(gateway: Gateway, recorder: Recorder, paths: Callable[[], list[str]]) -> float:
    """Return what one costs, as an adapter does it: with what is kept of a redirect, where it was asked for before."""

    def one(request: Request) -> None:
        outcome = gateway.decide(request)
        settled = outcome.settled
        if settled is None:
            recorder.record(outcome, Sent(302))
        else:
            recorder.record_settled(outcome, settled)

    return each_us(one, rules.requests(paths()))
