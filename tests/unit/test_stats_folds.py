"""Folds: what is answered of weeks that were folded is what is counted of the events themselves."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import attrs
import pytest

from gatewaycore.event import Event
from gatewaycore.sinks import LakeStorage
from gatewaycore.stats import folds, queries
from gatewaycore.stats.lake import LakeStore
from gatewaycore.stats.periods import Period, whole_days
from gatewaycore.stats.questions import Filter, plain
from gatewaycore.stats.statistics import Statistics
from tests.counted import make_counted
from tests.events import lines_of, make_event

EVENTS = make_counted(900, seed=11)
WORTH = 60
ZONES = ("UTC", "UTC", "Europe/Berlin", "Asia/Kathmandu")
FILTERS = (
    Filter(),
    Filter(),
    Filter(packages=("cli",)),
    Filter(packages=("cli", "docs")),
    Filter(packages=("nobody",)),
    Filter(confidence=0.8),
    Filter(agents=("bot",)),
    Filter(only=(("country", "DE"),)),
)
DIMENSIONS = (
    "package",
    "version",
    "platform",
    "country",
    "company",
    "cloud",
    "os",
    "page",
    "variables.channel",
    "variables.version",
    "variables.none",
)


def write(lake: LakeStorage, events: list[Event]) -> None:
    sink = lake.open()
    sink.write(lines_of(events))
    sink.close()


def asked_of(stats: Statistics, period: Period, asked: Filter, rng: random.Random) -> list[Any]:
    """Return answers to one question of each kind."""
    uniques = rng.choice((("sources",), ("companies", "endpoints"), queries.UNIQUES, ()))
    limit = rng.choice((None, 1, 3))
    return [
        stats.totals(period, asked, uniques),
        *(stats.series(period, unit, asked, uniques, rng.choice((0, 6))) for unit in ("day", "week", "month")),
        stats.breakdown(period, rng.choice(DIMENSIONS), asked, limit),
        stats.companies(period, asked, limit),
        stats.each_day(period, asked),
        stats.latest(period, asked, 3),
    ]


@contextmanager
def asking(folder: Path, fewest_rows: int) -> Iterator[tuple[Statistics, Statistics]]:
    """Give what asks events with folded weeks, and what asks the lake; a part of the events is in the journal only."""
    lake = LakeStorage(str(folder / "lake"))
    write(lake, EVENTS[:-60])
    (folder / "journal").mkdir()
    (folder / "journal" / "n-1-1.jsonl").write_bytes(b"".join(lines_of(EVENTS[-60:])))
    rolled = Statistics(LakeStore(lake, folder / "journal", folder / "rollups.duckdb"))
    plain_ones = Statistics(LakeStore(lake, folder / "journal"))
    with pytest.MonkeyPatch.context() as patch, closing(rolled), closing(plain_ones):
        patch.setattr(folds, "_FEWEST_ROWS", fewest_rows)
        rolled.refresh()
        yield rolled, plain_ones


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Statistics, Statistics]]:
    with asking(tmp_path_factory.mktemp("folds"), 1) as found:
        yield found


@pytest.fixture(scope="module")
def some(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Statistics, Statistics]]:
    """Only weeks that are worth it are folded."""
    with asking(tmp_path_factory.mktemp("some"), WORTH) as found:
        yield found


@pytest.fixture(autouse=True)
def any_week(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the weeks of the other tests be folded, however few their rows."""
    monkeypatch.setattr(folds, "_FEWEST_ROWS", 1)


@pytest.mark.parametrize("seed", range(16))
def test_folded_weeks_answer_as_the_events_do(both: tuple[Statistics, Statistics], some: tuple[Statistics, Statistics], seed: int) -> None:
    rng = random.Random(seed)
    first = date(2026, 9, 20) + timedelta(days=rng.randrange(40))
    period = whole_days(first, first + timedelta(days=rng.randrange(1, 60)), ZoneInfo(rng.choice(ZONES)), "test")
    if seed % 4 == 0:
        period = attrs.evolve(period, until=period.until - timedelta(hours=7, minutes=11))
    asked = rng.choice(FILTERS)
    answers = [asked_of(one, period, asked, random.Random(seed)) for one in (*both, some[0])]
    assert plain(answers[0]) == plain(answers[1]) == plain(answers[2])


def test_weeks_of_few_rows_are_left_as_they_are(some: tuple[Statistics, Statistics], both: tuple[Statistics, Statistics]) -> None:
    assert 0 < folded(some[0]) < folded(both[0])


def folded(stats: Statistics) -> int:
    assert isinstance(stats._store, LakeStore)
    ((number,),) = stats._store._opened().execute("SELECT count(DISTINCT week) FROM rollups.folded_weeks").fetchall()
    return int(number)


@pytest.mark.parametrize("by", DIMENSIONS)
@pytest.mark.parametrize("asked", [Filter(), Filter(packages=("cli", "docs")), Filter(packages=("cli", ""))], ids=["all", "some", "none"])
def test_every_dimension(both: tuple[Statistics, Statistics], by: str, asked: Filter) -> None:
    period = whole_days(date(2026, 10, 3), date(2026, 11, 13), ZoneInfo("UTC"), "test")
    ours, theirs = (one.breakdown(period, by, asked, None) for one in both)
    assert ours == theirs
    assert ours.total > 30


def test_a_period_of_whole_weeks_needs_no_rows(both: tuple[Statistics, Statistics]) -> None:
    weeks = whole_days(date(2026, 10, 12), date(2026, 10, 25), ZoneInfo("UTC"), "test")
    questions: tuple[Callable[[Statistics], object], ...] = (
        lambda one: one.totals(weeks),
        lambda one: one.companies(weeks),
        lambda one: one.breakdown(weeks, "version"),
        lambda one: one.series(weeks, "day"),
        lambda one: one.each_day(weeks, Filter(packages=("cli",))),
    )
    for ask in questions:
        assert ask(both[0]) == ask(both[1])


# --- how they are made -----------------------------------------------------------------------------------------------------

OCTOBER = whole_days(date(2026, 10, 5), date(2026, 10, 25), ZoneInfo("UTC"), "test")


def at(day: int, **more: Any) -> Event:
    return make_event(time=datetime(2026, 10, day, 12, tzinfo=UTC), **more)


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Callable[..., tuple[LakeStore, Statistics]]]:
    """Make a lake of events, and what asks it; each question looks whether it has changed."""
    made: list[LakeStore] = []

    def make(events: list[Event]) -> tuple[LakeStore, Statistics]:
        write(LakeStorage(str(tmp_path / "lake")), events)
        now = iter(range(0, 1_000_000, 10))
        made.append(LakeStore(LakeStorage(str(tmp_path / "lake")), tmp_path / "journal", tmp_path / "rollups.duckdb", lambda: next(now)))
        return made[-1], Statistics(made[-1])

    yield make
    for store in made:
        store.close()


def known(store: LakeStore, dimension: str) -> tuple[int, int]:
    """Return in how many weeks a dimension is folded, and in how many it is not because it has too many values."""
    assert store._rolled is not None
    assert store._rolled.folds is not None
    found = store._rolled.folds
    return len(found.by_dimension.get(dimension, ())), len(found.refused.get(dimension, ()))


def test_the_week_that_goes_on_is_not_folded(opened: Callable[..., tuple[LakeStore, Statistics]]) -> None:
    store, stats = opened([at(6), at(7), at(14)])
    stats.refresh()
    assert known(store, "version") == (1, 0)
    assert stats.totals(OCTOBER).now.count == 3


def test_of_a_whole_week_no_row_is_read(opened: Callable[..., tuple[LakeStore, Statistics]]) -> None:
    acme = {"company_domain": "acme.example", "confidence": 0.9}
    store, stats = opened([at(6, version="1", origin_id="a" * 32, **acme), at(7, version="2", origin_id="b" * 32, **acme), at(14)])
    stats.refresh()
    week = whole_days(date(2026, 10, 5), date(2026, 10, 11), ZoneInfo("UTC"), "test")
    assert store._connection is not None
    store._connection.execute("DELETE FROM rollups.counted")
    assert (stats.totals(week).now.count, stats.totals(week).now.sources) == (2, 2)
    assert [point.figures.count for point in stats.series(week, "day").points] == [0, 1, 1, 0, 0, 0, 0]
    assert {share.value: share.sources for share in stats.breakdown(week, "version").shares} == {"1": 1, "2": 1}
    assert [(one.key, one.count, one.sources) for one in stats.companies(week).companies] == [("acme.example", 2, 2)]
    assert stats.series(attrs.evolve(week, until=week.since), "week").points == ()


def test_late_events_are_folded_with_their_week(opened: Callable[..., tuple[LakeStore, Statistics]], tmp_path: Path) -> None:
    store, stats = opened([at(6, version="1"), at(14), at(21)])
    stats.refresh()
    assert known(store, "version") == (2, 0)
    write(LakeStorage(str(tmp_path / "lake")), [at(8, version="2"), at(6, version="2")])
    assert [share.count for share in stats.breakdown(OCTOBER, "version", limit=1).shares] == [2]
    # Days that are not read yet: their week is counted of rows.
    assert known(store, "version") == (1, 0)
    stats.refresh()
    assert known(store, "version") == (2, 0)
    assert stats.breakdown(OCTOBER, "version", limit=1).shares[0].value == "2"


def test_what_has_too_many_values_is_counted_of_rows(
    opened: Callable[..., tuple[LakeStore, Statistics]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folds, "_MOST_GROUPS", 3)
    pages = [at(6, page=f"https://docs.acme.example/{number}", variables={"build": str(number)}) for number in range(5)]
    store, stats = opened([*pages, at(14, page="https://docs.acme.example/0"), at(21)])
    stats.refresh()
    assert (known(store, "page"), known(store, "country"), known(store, "variables.build")) == ((1, 1), (2, 0), (0, 1))
    assert [share.count for share in stats.breakdown(OCTOBER, "page", limit=1).shares] == [2]
    assert stats.breakdown(OCTOBER, "variables.build").values == 6


def test_of_many_variables_those_of_most_events_are_folded(
    opened: Callable[..., tuple[LakeStore, Statistics]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folds, "_MOST_NAMES", 1)
    events = [at(6, variables={"channel": "beta"}), at(6, variables={"channel": "it's", "odd'name": "x"}), at(14, variables={}), at(21)]
    store, stats = opened(events)
    stats.refresh()
    assert (known(store, "variables.channel"), known(store, folds.OTHERS)) == ((1, 0), (0, 1))
    assert {share.value: share.count for share in stats.breakdown(OCTOBER, "variables.channel").shares} == {"beta": 1, "it's": 1, None: 2}
    assert {share.value: share.count for share in stats.breakdown(OCTOBER, "variables.odd'name").shares} == {"x": 1, None: 3}


def test_what_was_folded_of_another_policy_is_made_anew(
    opened: Callable[..., tuple[LakeStore, Statistics]], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, stats = opened([at(6), at(14)])
    stats.refresh()
    assert store._connection is not None
    store._connection.execute("UPDATE rollups.made_by SET format = 3")
    store.close()
    assert stats.totals(OCTOBER).now.count == 2
    assert store._rolled is not None
    assert not store._rolled.folds or not store._rolled.folds.weeks
    stats.refresh()
    assert known(store, "version") == (1, 0)
