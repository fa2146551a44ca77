"""Statistics: the same answers from the lake, from PostgreSQL and from ClickHouse, and from counting in Python."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, cast
from zoneinfo import ZoneInfo

import attrs
import pytest

from gatewaycore.errors import GatewayError
from gatewaycore.event import Event
from gatewaycore.segments import sizes
from gatewaycore.sinks import ClickhouseStorage, LakeStorage, PostgresStorage
from gatewaycore.sinks.lake import open_lake
from gatewaycore.stats import lake as lake_room
from gatewaycore.stats import policy, queries
from gatewaycore.stats.lake import LakeStore
from gatewaycore.stats.periods import UNITS, Period, Unit, whole_days
from gatewaycore.stats.questions import Figures, Filter, StoppedError
from gatewaycore.stats.rollups import Rollups
from gatewaycore.stats.statistics import Statistics
from gatewaycore.stats.stores import ClickhouseStore, PostgresStore, Store
from tests.clickhouse import Clickhouse
from tests.counted import by_value, chosen, different, figures_of, make_counted, value_of
from tests.databases import Postgres
from tests.events import lines_of, make_event

EVENTS = make_counted()
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe")
ALL_MEASURES = Filter(measures=policy.MEASURES)
FILTERS = {
    "uses": Filter(),
    "everything": ALL_MEASURES,
    "bots": Filter(agents=("bot", "scanner")),
    "package": Filter(packages=("cli", "docs")),
    "country": Filter(only=(("country", "DE"), ("country", ""), ("platform", "linux"))),
    "company": Filter(only=(("company", "acme.example"),), confidence=0.7),
    "variable": Filter(only=(("variables.channel", "beta"),)),
    "quotes": Filter(only=(("version", "it's"), ("version", "100%"), ("version", "back\\slash"))),
}


def october(zone: str) -> Period:
    return whole_days(date(2026, 10, 17), date(2026, 11, 5), ZoneInfo(zone), "test")


def write(storage: LakeStorage | PostgresStorage | ClickhouseStorage, events: list[Event]) -> None:
    sink = storage.open()
    if events:
        sink.write(lines_of(events))
    sink.close()


def opened(kind: str, events: list[Event], folder: Path, request: pytest.FixtureRequest) -> Store:
    """Return a store that holds events; of the lake's, a part is in the journal only, and another part in both."""
    if kind in ("lake", "rollups"):
        lake = LakeStorage(str(folder / "lake"))
        write(lake, events[: len(events) * 3 // 4])
        (folder / "journal").mkdir()
        (folder / "journal" / "n-1-1.jsonl").write_bytes(b"".join(lines_of(events[len(events) // 2 :])) + b'{"id":"torn')
        store = LakeStore(lake, folder / "journal", folder / "rollups.duckdb" if kind == "rollups" else None)
        store.refresh()
        return store
    if kind == "postgres":
        server: Postgres = request.getfixturevalue("postgres")
        # A language in which "a" comes before "B".
        into = PostgresStorage(url=server.create("TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en-US'"))
        write(into, events)
        return PostgresStore(into)
    house: Clickhouse = request.getfixturevalue("clickhouse")
    there = ClickhouseStorage(url=house.create())
    write(there, events)
    # Each of them twice, before the table has forgotten one.
    write(there, events[:100])
    return ClickhouseStore(there)


KINDS = ("lake", "rollups", "postgres", "clickhouse")


@pytest.fixture(scope="module", params=KINDS)
def stats(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Statistics]:
    found = Statistics(opened(request.param, EVENTS, tmp_path_factory.mktemp("stats"), request))
    yield found
    found.close()


@pytest.fixture(scope="module", params=KINDS)
def empty(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Statistics]:
    found = Statistics(opened(request.param, [], tmp_path_factory.mktemp("empty"), request))
    yield found
    found.close()


# --- golden answers --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FILTERS)
def test_totals_and_the_period_before(stats: Statistics, name: str) -> None:
    period, asked = october("Europe/Berlin"), FILTERS[name]
    answer = stats.totals(period, asked)
    assert period.before is not None
    assert answer.now == figures_of(chosen(EVENTS, asked, period), asked)
    assert answer.before == figures_of(chosen(EVENTS, asked, period.before), asked)
    assert answer.now.count, "a test that counts nothing tests nothing"
    assert (answer.policy, answer.period, answer.filter) == (policy.VERSION, period, asked)


def test_only_what_is_asked_for_is_told_apart(stats: Statistics) -> None:
    answer = stats.totals(october("UTC"), uniques=("endpoints",))
    assert answer.now.endpoints
    assert (answer.now.sources, answer.now.companies) == (0, 0)


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize(("unit", "week_start"), [*((unit, 0) for unit in UNITS), ("week", 6)])
def test_series_in_the_days_of_a_zone(stats: Statistics, zone: str, unit: Unit, week_start: int) -> None:
    period = october(zone)
    answer = stats.series(period, unit, ALL_MEASURES, week_start=week_start)
    starts = [point.start for point in answer.points]
    assert starts == sorted(starts)
    ends = [*starts[1:], period.until]
    for point, end in zip(answer.points, ends, strict=True):
        piece = attrs.evolve(period, since=max(point.start.astimezone(UTC), period.since.astimezone(UTC)), until=end.astimezone(UTC))
        assert point.figures == figures_of(chosen(EVENTS, ALL_MEASURES, piece), ALL_MEASURES), point.start
    assert sum(point.figures.count for point in answer.points) == len(chosen(EVENTS, ALL_MEASURES, period))


@pytest.mark.parametrize(
    ("day", "zone", "hours"),
    [
        ("2026-10-25", "Europe/Berlin", 25),
        ("2026-03-29", "Europe/Berlin", 23),
        ("2026-11-01", "America/New_York", 25),
        ("2026-03-08", "America/New_York", 23),
        ("2026-10-25", "Asia/Kathmandu", 24),
        # By half an hour, forward and back.
        ("2026-10-04", "Australia/Lord_Howe", 24),
        ("2026-04-05", "Australia/Lord_Howe", 25),
    ],
)
def test_days_on_which_clocks_change(stats: Statistics, day: str, zone: str, hours: int) -> None:
    period = whole_days(date.fromisoformat(day), date.fromisoformat(day), ZoneInfo(zone), day)
    answer = stats.series(period, "hour", ALL_MEASURES)
    assert len(answer.points) == hours
    assert sum(point.figures.count for point in answer.points) == len(chosen(EVENTS, ALL_MEASURES, period))
    starts = [point.start.astimezone(UTC) for point in answer.points]
    for point, start, end in zip(answer.points, starts, [*starts[1:], period.until.astimezone(UTC)], strict=True):
        piece = attrs.evolve(period, since=start, until=end)
        assert point.figures == figures_of(chosen(EVENTS, ALL_MEASURES, piece), ALL_MEASURES)


@pytest.mark.parametrize("by", ["version", "package", "country", "company", "page", "agent", "variables.channel", "variables.no'ne"])
@pytest.mark.parametrize("limit", [None, 2])
def test_breakdown_by_a_column_or_a_variable(stats: Statistics, by: str, limit: int | None) -> None:
    period, asked = october("UTC"), Filter()
    answer = stats.breakdown(period, by, asked, limit)
    assert period.before is not None
    groups = by_value(chosen(EVENTS, asked, period), by, asked)
    before = by_value(chosen(EVENTS, asked, period.before), by, asked)
    told = [(share.value or "", share.count, share.sources, share.before) for share in answer.shares]
    wanted = [(value, len(events), different(events, policy.source_of), len(before.get(value, ()))) for value, events in groups.items()]
    assert told == wanted[:limit]
    assert (answer.values, answer.total) == (len(groups), len(chosen(EVENTS, asked, period)))


def test_breakdown_of_what_is_narrowed_by_the_same_dimension(stats: Statistics) -> None:
    asked = Filter(only=(("country", "DE"), ("country", "")))
    answer = stats.breakdown(october("UTC"), "country", asked)
    assert {share.value for share in answer.shares} == {"DE", None}


@pytest.mark.parametrize("limit", [None, 2])
def test_companies_with_when_they_were_seen(stats: Statistics, limit: int | None) -> None:
    period, asked = october("America/New_York"), Filter()
    answer = stats.companies(period, asked, limit)
    groups = {key: events for key, events in by_value(chosen(EVENTS, asked, period), "company", asked).items() if key}
    assert answer.number == len(groups)
    assert [company.key for company in answer.companies] == list(groups)[:limit]
    for company in answer.companies:
        events = groups[company.key]
        assert (company.count, company.sources) == (len(events), different(events, policy.source_of))
        assert company.packages == different(events, lambda event: event.package or None)
        assert company.name == (max(event.company or "" for event in events) or None)
        assert company.confidence == max((event.confidence for event in events if event.confidence is not None), default=None)
        assert company.first_seen == min(event.time for event in events).replace(microsecond=0)
        assert company.last_seen == max(event.time for event in events).replace(microsecond=0)
        assert company.first_seen.tzinfo == period.zone


def test_who_moved_on_from_a_version(stats: Statistics) -> None:
    period, asked = october("UTC"), Filter(packages=("cli",))
    answer = stats.retention(period, "cli", limit=None)
    last: dict[str, tuple[int, str]] = {}
    fetched: dict[str, set[str]] = {}
    for event in chosen(EVENTS, asked, period):
        endpoint = policy.endpoint_of(event)
        if endpoint is not None:
            version = value_of(event, "version", asked)
            fetched.setdefault(version, set()).add(endpoint)
            last[endpoint] = max(last.get(endpoint, (0, "")), (int(event.time.timestamp()), version))
    wanted = [
        (version, len(found), sum(last[one][1] == version for one in found))
        for version, found in sorted(fetched.items(), key=lambda item: (-len(item[1]), item[0]))
    ]
    assert [(kept.version or "", kept.endpoints, kept.stayed) for kept in answer.versions] == wanted
    assert all(kept.moved_on == kept.endpoints - kept.stayed for kept in answer.versions)


def test_what_badges_ask(stats: Statistics) -> None:
    period, asked = october("UTC"), Filter()
    groups = by_value(chosen(EVENTS, asked, period), "package", asked)
    groups.pop("")
    assert stats.each_package(period, "count") == {name: len(events) for name, events in groups.items()}
    companies = stats.each_package(period, "companies", Filter(packages=("cli",)))
    assert companies == {"cli": figures_of(groups["cli"], asked).companies}
    days = stats.each_day(period)
    assert {name: sum(counts) for name, counts in days.items()} == {name: len(events) for name, events in groups.items()}
    assert {len(counts) for counts in days.values()} == {20}


@pytest.mark.parametrize("name", ["everything", "package", "variable"])
def test_the_last_events(stats: Statistics, name: str) -> None:
    period, asked = october("Europe/Berlin"), FILTERS[name]
    expected = sorted(chosen(EVENTS, asked, period), key=lambda event: (event.time, event.id), reverse=True)[:30]
    answer = stats.latest(period, asked, 30)
    assert [seen.id for seen in answer.events] == [event.id for event in expected]
    for seen, event in zip(answer.events, expected, strict=True):
        assert (seen.at, seen.measure) == (event.time.astimezone(ZoneInfo("Europe/Berlin")).replace(microsecond=0), event.kind)
        assert (seen.package, seen.version, seen.country) == tuple(value or None for value in (event.package, event.version, event.country))
        assert seen.company == policy.company_of(event, asked.confidence)
        assert seen.variables == dict(event.variables)


def test_the_first_event(stats: Statistics) -> None:
    assert stats.first_event() == min(event.time for event in EVENTS).replace(microsecond=0)
    assert stats.first_event(["docs"]) == min(event.time for event in EVENTS if event.package == "docs").replace(microsecond=0)
    assert stats.first_event(["nothing"]) is None


# --- nothing there ---------------------------------------------------------------------------------------------------------


def test_an_empty_store_has_answers(empty: Statistics) -> None:
    period = october("UTC")
    assert empty.totals(period).now == Figures()
    assert [point.figures for point in empty.series(period).points] == [Figures()] * 20
    assert empty.breakdown(period, "version").shares == ()
    assert empty.companies(period).companies == ()
    assert empty.retention(period, "cli").versions == ()
    assert empty.each_package(period, "sources") == {}
    assert empty.each_day(period) == {}
    assert empty.first_event() is None


def test_a_period_without_one_before(stats: Statistics) -> None:
    since = datetime(2026, 10, 17, tzinfo=UTC)
    period = Period(since, datetime(2026, 10, 18, tzinfo=UTC), ZoneInfo("UTC"), "all", since, since)
    assert stats.totals(period).before is None
    assert {share.before for share in stats.breakdown(period, "version").shares} == {None}


# --- rollups ---------------------------------------------------------------------------------------------------------------


class Clock:
    """A clock that a test turns."""

    now = 0.0

    def __call__(self) -> float:
        self.now += 10
        return self.now


@pytest.fixture
def rolled(tmp_path: Path) -> Iterator[tuple[LakeStorage, LakeStore, Statistics]]:
    """A lake with events of some days, and what asks it; each question looks whether the lake has changed."""
    lake = LakeStorage(str(tmp_path / "lake"))
    write(lake, at_days(2, 3, 4, 5, 6, 7))
    store = LakeStore(lake, tmp_path / "journal", tmp_path / "rollups.duckdb", Clock())
    yield lake, store, Statistics(store)
    store.close()


def at_days(*days: int) -> list[Event]:
    return [make_event(time=datetime(2026, 10, day, 12, tzinfo=UTC)) for day in days]


MONTH = whole_days(date(2026, 10, 1), date(2026, 10, 31), ZoneInfo("UTC"), "2026-10")


def counts_of(store: LakeStore, stats: Statistics) -> tuple[int, str]:
    """Return a count, and which table was asked for it."""
    asked: list[str] = []
    build = queries.totals

    def totals(events: queries.Relation, *rest: Any) -> queries.Query:
        asked.append(str(events.table))
        return build(events, *rest)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(queries, "totals", totals)
        return stats.totals(MONTH).now.count, asked[-1]


def test_rollups_answer_when_they_have_been_made(rolled: tuple[LakeStorage, LakeStore, Statistics]) -> None:
    _, store, stats = rolled
    assert counts_of(store, stats) == (6, "known")
    stats.refresh()
    assert counts_of(store, stats) == (6, "rolled")
    # What they do not have, the lake has.
    assert stats.breakdown(MONTH, "variables.from").shares[0].value == "docs"


def test_late_events_are_in_the_next_answer_and_the_day_is_read_anew(rolled: tuple[LakeStorage, LakeStore, Statistics]) -> None:
    lake, store, stats = rolled
    stats.refresh()
    write(lake, at_days(3, 3, 9))
    assert counts_of(store, stats) == (9, "rolled")
    stats.refresh()
    assert counts_of(store, stats) == (9, "rolled")
    write(lake, at_days(2, 3, 4, 5, 6, 7))
    # So many days are not read for the sake of a question.
    assert counts_of(store, stats) == (15, "known")
    stats.refresh()
    assert counts_of(store, stats) == (15, "rolled")


def test_a_caller_has_one_number_whenever_it_came(rolled: tuple[LakeStorage, LakeStore, Statistics]) -> None:
    lake, _, stats = rolled
    stats.refresh()
    write(lake, [make_event(time=datetime(2026, 10, day, tzinfo=UTC), package="one", origin_id="x") for day in (8, 9)])
    stats.refresh()
    write(lake, [make_event(time=datetime(2026, 10, day, tzinfo=UTC), package="one", origin_id="x") for day in (8, 10)])
    assert stats.totals(MONTH, Filter(packages=("one",))).now.sources == 1


def test_days_that_the_lake_no_longer_has_are_forgotten(rolled: tuple[LakeStorage, LakeStore, Statistics]) -> None:
    from deltalake import DeltaTable

    lake, store, stats = rolled
    stats.refresh()
    DeltaTable(lake.path).delete("day < '2026-10-05'")
    assert counts_of(store, stats) == (3, "rolled")
    stats.refresh()
    assert counts_of(store, stats) == (3, "rolled")


def test_an_answer_is_remembered_until_something_changes(
    rolled: tuple[LakeStorage, LakeStore, Statistics], monkeypatch: pytest.MonkeyPatch
) -> None:
    lake, store, stats = rolled
    monkeypatch.setattr(lake_room, "_MOST_ANSWERS", 2)

    def count_of(package: str) -> int:
        return stats.totals(MONTH, Filter(packages=(package,))).now.count

    package = str(stats.breakdown(MONTH, "package").shares[0].value)
    stats.refresh()
    known = count_of(package)
    assert known == 6
    # There is nothing to be read: what is known stays.
    stats.refresh()
    assert store._connection is not None
    # Whoever asks again is not told of this, and whoever asks anew is.
    store._connection.execute("DELETE FROM rollups.counted")
    assert count_of(package) == known
    assert stats.totals(MONTH).now.count == 0
    # The last two are remembered.
    assert (count_of(package), count_of("one"), count_of(package)) == (known, 0, known)
    assert (count_of("one"), count_of("two"), count_of(package)) == (0, 0, 0)
    write(lake, at_days(2))
    stats.refresh()
    assert count_of(package) == 2
    store._connection.execute("DELETE FROM rollups.counted")
    store.forget()
    assert count_of(package) == 0


def test_a_long_answer_is_not_remembered(rolled: tuple[LakeStorage, LakeStore, Statistics], monkeypatch: pytest.MonkeyPatch) -> None:
    _, store, stats = rolled
    monkeypatch.setattr(lake_room, "_MOST_ROWS", 1)
    stats.refresh()
    assert sum(point.figures.count for point in stats.series(MONTH).points) == 6
    assert store._connection is not None
    store._connection.execute("DELETE FROM rollups.counted; DELETE FROM rollups.folded_days")
    assert sum(point.figures.count for point in stats.series(MONTH).points) == 0


def test_more_callers_than_memory_has_bits_for_are_counted_all_the_same(
    rolled: tuple[LakeStorage, LakeStore, Statistics], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, store, stats = rolled
    stats.refresh()
    found = stats.totals(MONTH), stats.series(MONTH), stats.breakdown(MONTH, "platform")
    assert found[0].now.sources == 6
    monkeypatch.setattr(queries, "_MOST_BITS", 3)
    store.forget()
    assert (stats.totals(MONTH), stats.series(MONTH), stats.breakdown(MONTH, "platform")) == found


def text_of(path: Path) -> bytes:
    return b"".join(file.read_bytes() for file in path.parent.glob(f"{path.name}*"))


def test_what_has_left_the_lake_is_in_no_byte_of_the_file(rolled: tuple[LakeStorage, LakeStore, Statistics], tmp_path: Path) -> None:
    from deltalake import DeltaTable

    lake, store, stats = rolled
    whens = [datetime(2026, 10, day, 12, tzinfo=UTC) for day in (8, 8, 9)]
    whos = [{"origin_id": f"origin-{name}", "endpoint_id": f"end-{name}", "company": f"House of {name}"} for name in ("old", "gone", "new")]
    write(lake, [make_event(time=when, confidence=0.9, **who) for when, who in zip(whens, whos, strict=True)])
    stats.refresh()
    store.close()
    held = text_of(tmp_path / "rollups.duckdb")
    assert all(text.encode() in held for who in whos for text in who.values())
    # A day that was kept for long enough, and one caller of another.
    DeltaTable(lake.path).delete("day < '2026-10-08' OR origin_id = 'origin-gone'")
    stats.refresh()
    assert counts_of(store, stats) == (2, "rolled")
    store.close()
    held = text_of(tmp_path / "rollups.duckdb")
    assert b"origin-old" in held
    assert b"end-new" in held
    assert not [text for text in whos[1].values() if text.encode() in held]
    DeltaTable(lake.path).delete("day < '2026-10-09'")
    stats.refresh()
    store.close()
    held = text_of(tmp_path / "rollups.duckdb")
    assert not [text for who in whos[:2] for text in who.values() if text.encode() in held]
    assert counts_of(store, stats) == (1, "rolled")
    assert [company.name for company in stats.companies(MONTH).companies] == ["House of new"]


def test_identifiers_that_are_in_the_journal_only_are_not_in_the_file(
    rolled: tuple[LakeStorage, LakeStore, Statistics], tmp_path: Path
) -> None:
    _, store, stats = rolled
    (tmp_path / "journal").mkdir()
    (tmp_path / "journal" / "n-1-1.jsonl").write_bytes(
        b"".join(lines_of([make_event(time=datetime(2026, 10, 8, tzinfo=UTC), origin_id="unshipped")]))
    )
    stats.refresh()
    assert counts_of(store, stats) == (7, "rolled")
    assert stats.totals(MONTH).now.sources == 7
    store.close()
    assert b"unshipped" not in text_of(tmp_path / "rollups.duckdb")


@pytest.mark.parametrize("fails", ["CREATE TABLE fresh.counted", "DETACH rollups"])
def test_a_file_that_is_not_freed_is_freed_the_next_time(
    fails: str, rolled: tuple[LakeStorage, LakeStore, Statistics], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import duckdb
    from deltalake import DeltaTable

    class Full:
        """A connection whose disk is full when a statement begins so."""

        def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
            self._connection = connection

        def execute(self, text: str, *rest: Any) -> Any:
            if text.startswith(fails):
                raise duckdb.IOException("no space left on device")
            return self._connection.execute(text, *rest)

    lake, store, stats = rolled
    write(lake, [make_event(time=datetime(2026, 10, 1, tzinfo=UTC), origin_id="leaves")])
    stats.refresh()
    DeltaTable(lake.path).delete("day < '2026-10-02'")
    with monkeypatch.context() as patched:
        opened = Rollups.__init__
        patched.setattr(Rollups, "__init__", lambda self, connection, path: opened(self, cast(Any, Full(connection)), path))
        store.close()
        with pytest.raises(GatewayError, match="cannot be read"):
            stats.refresh()
        assert stats.totals(MONTH).now.count == 6
    store.close()
    assert b"leaves" in text_of(tmp_path / "rollups.duckdb")
    stats.refresh()
    assert counts_of(store, stats) == (6, "rolled")
    store.close()
    assert b"leaves" not in text_of(tmp_path / "rollups.duckdb")
    assert [file.name for file in tmp_path.glob("rollups*")] == ["rollups.duckdb"]


class Reading:
    """A reading of one day that is told to stop: within it, or when it is about to end.

    Args:
        within: whether it takes for ever.
    """

    def __init__(self, within: bool) -> None:
        self.begun, self.days, self._within, self._go_on = threading.Event(), 0, within, threading.Event()

    def __call__(self, rollups: Rollups, days: Mapping[date, tuple[str, ...]]) -> None:
        self.days += len(days)
        self.begun.set()
        if self._within:
            rollups._connection.execute(
                "SELECT count(*) FROM range(1000000) AS a, range(1000000) AS b, range(1000) AS c WHERE a.range + b.range = c.range % 3"
            )
        else:
            self._go_on.wait()

    def go_on(self) -> None:
        self._go_on.set()


@pytest.mark.parametrize("within", [True, False])
def test_a_long_reading_is_cut_short(
    within: bool, rolled: tuple[LakeStorage, LakeStore, Statistics], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, store, stats = rolled
    reading = Reading(within)
    monkeypatch.setattr(lake_room, "_DAYS_AT_ONCE", 1)
    monkeypatch.setattr(Rollups, "read", lambda rollups, days: reading(rollups, days))
    with ThreadPoolExecutor(2) as pool:
        read = pool.submit(stats.refresh)
        assert reading.begun.wait(60)
        stopped = pool.submit(stats.stop)
        if not within:
            while not store._is_stopped:
                reading.begun.wait(0.01)
            reading.go_on()
        stopped.result(60)
        with pytest.raises(StoppedError):
            read.result(60)
    assert reading.days == 1
    with pytest.raises(StoppedError):
        stats.totals(MONTH)


def test_rollups_that_are_begun_are_gone_on_with(rolled: tuple[LakeStorage, LakeStore, Statistics], tmp_path: Path) -> None:
    lake, store, stats = rolled
    stats.refresh()
    store.close()
    later = LakeStore(lake, tmp_path / "journal", tmp_path / "rollups.duckdb")
    assert counts_of(later, Statistics(later)) == (6, "rolled")
    later.close()


def test_rollups_of_another_policy_are_made_anew(
    rolled: tuple[LakeStorage, LakeStore, Statistics], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake, store, stats = rolled
    stats.refresh()
    store.close()
    monkeypatch.setattr(policy, "VERSION", 2)
    later = LakeStore(lake, tmp_path / "journal", tmp_path / "rollups.duckdb")
    assert counts_of(later, Statistics(later)) == (6, "known")
    later.refresh()
    later.close()
    assert counts_of(later, Statistics(later)) == (6, "rolled")
    later.close()


def test_who_does_not_get_the_file_asks_the_lake(rolled: tuple[LakeStorage, LakeStore, Statistics], tmp_path: Path) -> None:
    lake, store, stats = rolled
    stats.refresh()
    assert counts_of(store, stats) == (6, "rolled")
    other = LakeStore(lake, tmp_path / "journal", tmp_path / "journal")
    (tmp_path / "journal").mkdir()
    other.refresh()
    assert counts_of(other, Statistics(other)) == (6, "known")
    other.close()


def test_what_cannot_be_cut_short_is_not_waited_for(
    rolled: tuple[LakeStorage, LakeStore, Statistics], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, store, stats = rolled
    monkeypatch.setattr(lake_room, "_STOP_S", 0)
    with store._lock:
        stats.stop()
    with pytest.raises(StoppedError):
        stats.refresh()


# --- what goes wrong -------------------------------------------------------------------------------------------------------


def test_a_table_that_changes_while_it_is_opened_is_opened_again(
    rolled: tuple[LakeStorage, LakeStore, Statistics], monkeypatch: pytest.MonkeyPatch
) -> None:
    lake, _, stats = rolled
    more = [at_days(8)]

    def and_write(path: str, options: Mapping[str, str]) -> Any:
        connection = open_lake(path, options)
        if more:
            write(lake, more.pop())
        return connection

    monkeypatch.setattr(lake_room, "open_lake", and_write)
    assert stats.totals(MONTH).now.count == 7


def test_a_segment_that_goes_while_it_is_read_is_no_trouble(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lake = LakeStorage(str(tmp_path / "lake"))
    segment = tmp_path / "journal" / "n-1-1.jsonl"
    segment.parent.mkdir()
    segment.write_bytes(b"".join(lines_of(at_days(2))))
    store = LakeStore(lake, segment.parent)
    listed = list(sizes(segment.parent))

    def and_remove(_: Path) -> list[tuple[str, int]]:
        found = listed if segment.exists() else []
        if found:
            write(lake, at_days(2))
            segment.unlink()
        return found

    monkeypatch.setattr(lake_room, "sizes", and_remove)
    assert Statistics(store).totals(MONTH).now.count == 1
    store.close()


def test_a_lake_that_cannot_be_read_is_told_without_a_word_of_where(tmp_path: Path) -> None:
    lake = LakeStorage(str(tmp_path / "lake"))
    write(lake, at_days(2))
    for file in (tmp_path / "lake").rglob("*.parquet"):
        file.unlink()
    with pytest.raises(GatewayError, match="the lake cannot be read: IOException"):
        Statistics(LakeStore(lake, tmp_path / "journal")).totals(MONTH)
    (tmp_path / "broken" / "_delta_log").mkdir(parents=True)
    (tmp_path / "broken" / "_delta_log" / f"{0:020}.json").write_text("{}{")
    with pytest.raises(GatewayError, match="the lake cannot be reached"):
        Statistics(LakeStore(LakeStorage(str(tmp_path / "broken")), tmp_path / "journal")).totals(MONTH)


def test_a_database_that_is_down_is_told_without_a_word_of_where(clickhouse: Clickhouse, postgres: Postgres) -> None:
    nowhere = Statistics(PostgresStore(PostgresStorage(url="postgresql://gw:hunter2@127.0.0.1:1/x")))
    with pytest.raises(GatewayError, match=r"\Apostgres: OperationalError\Z"):
        nowhere.totals(MONTH)
    nowhere.refresh()
    nowhere.close()
    nowhere = Statistics(ClickhouseStore(ClickhouseStorage(url="http://gw:hunter2@127.0.0.1:1/x")))
    with pytest.raises(GatewayError, match=r"\Aclickhouse: \w+\Z"):
        nowhere.totals(MONTH)
    nowhere.refresh()
    nowhere.close()


def test_a_database_may_be_asked_again_after_it_went_away(postgres: Postgres) -> None:
    into = PostgresStorage(url=postgres.create())
    write(into, at_days(2))
    stats = Statistics(PostgresStore(into))
    assert stats.totals(MONTH).now.count == 1
    others = "pid <> pg_backend_pid() AND datname = current_database()"
    postgres.ask(into.url, f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}")
    with pytest.raises(GatewayError, match="postgres: AdminShutdown"):
        stats.totals(MONTH)
    assert stats.totals(MONTH).now.count == 1
    stats.close()
