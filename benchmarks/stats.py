"""Statistics: what each panel of a dashboard costs over ten million events, the first time that it is asked for, and again.

First asked is a panel that no answer is remembered of, in a process that has its files open. Asked again is one whose answer is remembered,
because nothing has changed since.

``--full`` asks ten million, and one million or a hundred thousand without. They are made once: with ``GATEWAYCORE_BENCH_LAKE`` naming a
folder they are kept there for the next time.
"""

from __future__ import annotations

import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path

from tests.agreement import fill

from benchmarks.room import Effort, Figure, settle
from gatewaycore.badges.figures import Figures, Question
from gatewaycore.sinks import LakeStorage
from gatewaycore.stats import Filter, zone_of
from gatewaycore.stats.lake import LakeStore
from gatewaycore.stats.periods import Period, whole_days
from gatewaycore.stats.statistics import Statistics
from gatewaycore.synthetic import Scene

GROUP = "stats"
FOLDER = "GATEWAYCORE_BENCH_LAKE"
_BUDGET_MS = 200
_BY = ("version", "platform", "arch", "client", "agent", "cloud", "page", "variables.channel")
_ONE = Filter(packages=("acme/tool-0",))


def run(effort: Effort) -> Iterator[Figure]:
    """Yield the figures."""
    scene = Scene({"quick": 100_000, "default": 1_000_000, "full": 10_000_000}[effort])
    kept = os.environ.get(FOLDER)
    folder = Path(kept) / str(scene.events) if kept else Path(tempfile.mkdtemp(prefix="gatewaycore-bench-"))
    try:
        if not (folder / "lake").exists():
            folder.mkdir(parents=True, exist_ok=True)
            fill(folder, scene)
        yield from _panels(folder, scene, 3 if effort == "quick" else 5)
    finally:
        if not kept:
            shutil.rmtree(folder)


def _panels(folder: Path, scene: Scene, rounds: int) -> Iterator[Figure]:
    store = LakeStore(LakeStorage(str(folder / "lake")), folder / "journal", folder / "rollups.duckdb")
    asks = Statistics(store)
    begin = time.perf_counter()
    asks.refresh()
    note = f"{scene.events:,} events; nothing to do where they were read before"
    yield Figure(GROUP, "reading the lake into rollups", time.perf_counter() - begin, "s", note=note)
    settle()
    last = scene.first + timedelta(days=scene.days - 1)
    for name, days in (("30 days", 30), ("a year", scene.days)):
        period = _until(last, days)
        for what, ask in _home(asks, period).items():
            yield from _measure(store, f"home, {name}: {what}", ask, rounds)
        for what, ask in _package(asks, period).items():
            yield from _measure(store, f"a package, {name}: {what}", ask, rounds)
    asks.close()
    yield _badge()


def _home(asks: Statistics, period: Period) -> dict[str, Callable[[], object]]:
    """Return the panels of the page of all packages, by name."""
    return {
        **_common(asks, period, Filter()),
        "packages, with each one's days": lambda: (asks.breakdown(period, "package", limit=None), asks.each_day(period)),
        **_breakdowns(asks, period, Filter()),
    }


def _package(asks: Statistics, period: Period) -> dict[str, Callable[[], object]]:
    """Return the panels of the page of one package, the one of most events, by name."""
    return {
        **_common(asks, period, _ONE),
        "who moved on": lambda: asks.retention(period, "acme/tool-0", _ONE, limit=None),
        **_breakdowns(asks, period, _ONE),
    }


def _common(asks: Statistics, period: Period, asked: Filter) -> dict[str, Callable[[], object]]:
    before = period.before
    return {
        "figures, and those before": lambda: asks.totals(period, asked),
        "the chart": lambda: asks.series(period, asked=asked, uniques=("sources",)),
        "the chart, before": lambda: before and asks.series(before, period.unit(), asked, ()),
        "by day": lambda: asks.series(period, "day", asked),
        "by country": lambda: asks.breakdown(period, "country", asked, None),
        "companies": lambda: asks.companies(period, asked, 10),
        "the last events": lambda: asks.latest(period, asked, 200),
    }


def _breakdowns(asks: Statistics, period: Period, asked: Filter) -> dict[str, Callable[[], object]]:
    return {f"by {by}": lambda by=by: asks.breakdown(period, by, asked, 10) for by in _BY}  # type: ignore[misc]


def _until(last: date, days: int) -> Period:
    return whole_days(last - timedelta(days=days - 1), last, zone_of("UTC"), f"{days} days")


def _measure(store: LakeStore, what: str, ask: Callable[[], object], rounds: int) -> Iterator[Figure]:
    """Measure a panel that nobody has asked for since something changed, and one that somebody has."""
    cold = _ms(ask, store.forget)
    busy = time.process_time()
    first = [_ms(ask, store.forget) for _ in range(rounds)]
    busy = (time.process_time() - busy) * 1000 / rounds
    again = [_ms(ask) for _ in range(rounds)]
    # On a busy machine the processor's time says more than the clock's; two threads share it.
    note = f"{busy:,.0f} ms of processor time; the very first time {cold:,.0f} ms"
    for name, took, told in (("first asked", first, note), ("asked again", again, "")):
        median = statistics.median(took)
        yield Figure(GROUP, f"{what}, {name}", median, "ms", min(took), max(took), f"{_BUDGET_MS} ms", median < _BUDGET_MS, told)


def _ms(ask: Callable[[], object], before: Callable[[], None] = lambda: None) -> float:
    before()
    begin = time.perf_counter()
    ask()
    return (time.perf_counter() - begin) * 1000


def _badge() -> Figure:
    """Measure what a request for a badge asks of what is known."""
    figures = Figures()
    question = Question("downloads", "acme/tool-0", "all")
    took = [_ms(lambda: figures.get(question)) for _ in range(1000)]
    note = "the badge itself: group badges"
    median = statistics.median(took)
    return Figure(GROUP, "a number that a badge shows", median * 1000, "µs", budget="1 ms", met=median < 1, note=note)
