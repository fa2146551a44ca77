"""Statistics: what each panel of a dashboard costs over ten million events, with what is remembered of answers and without.

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
_BY = ("version", "platform", "arch", "client", "agent", "country", "cloud", "page", "variables.channel")
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
    for name, asked in (("all packages", Filter()), ("one package", _ONE)):
        for what, ask in _asked(asks, asked, scene.first, last).items():
            yield _measure(store, f"{what}, {name}", ask, rounds)
    asks.close()
    yield _badge()


def _asked(asks: Statistics, asked: Filter, first: date, last: date) -> dict[str, Callable[[], object]]:
    """Return the panels of a dashboard by name."""
    periods = {name: _until(last, days) for name, days in (("30 days", 30), ("a year", (last - first).days + 1))}
    week, month, year = _until(last, 7), *periods.values()
    panels: dict[str, Callable[[], object]] = {}
    for name, period in periods.items():
        panels[f"totals of {name}"] = lambda period=period: asks.totals(period, asked)  # type: ignore[misc]
        for by in _BY:
            panels[f"by {by}, {name}"] = lambda period=period, by=by: asks.breakdown(period, by, asked)  # type: ignore[misc]
        panels[f"companies of {name}"] = lambda period=period: asks.companies(period, asked)  # type: ignore[misc]
        panels[f"who moved on, {name}"] = lambda period=period: asks.retention(period, "acme/tool-0", asked)  # type: ignore[misc]
    panels["a year by day"] = lambda: asks.series(year, "day", asked)
    panels["a week by hour"] = lambda: asks.series(week, "hour", asked)
    panels["packages with 30 days of each"] = lambda: (asks.breakdown(month, "package", asked), asks.each_day(month, asked))
    return panels


def _until(last: date, days: int) -> Period:
    return whole_days(last - timedelta(days=days - 1), last, zone_of("UTC"), f"{days} days")


def _measure(store: LakeStore, what: str, ask: Callable[[], object], rounds: int) -> Figure:
    store.forget()
    cold = _ms(ask)
    again = [_ms(ask, store.forget) for _ in range(rounds)]
    remembered = statistics.median(_ms(ask) for _ in range(rounds))
    warm = statistics.median(again)
    note = f"the first time {cold:,.0f} ms; {remembered:.1f} ms as long as nothing has changed"
    return Figure(GROUP, what, warm, "ms", min(again), max(again), f"{_BUDGET_MS} ms", warm < _BUDGET_MS, note)


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
