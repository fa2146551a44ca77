"""Statistics: the same answers from the lake, from PostgreSQL and from ClickHouse, and from counting in Python."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import attrs
import pytest

from gatewaycore.event import Event
from gatewaycore.sinks import ClickhouseStorage, LakeStorage, PostgresStorage
from gatewaycore.stats import policy
from gatewaycore.stats.lake import LakeStore
from gatewaycore.stats.periods import UNITS, Period, Unit, whole_days
from gatewaycore.stats.questions import Figures, Filter
from gatewaycore.stats.statistics import Statistics
from gatewaycore.stats.stores import ClickhouseStore, PostgresStore, Store
from tests.clickhouse import Clickhouse
from tests.counted import by_value, chosen, different, figures_of, make_counted, value_of
from tests.databases import Postgres
from tests.events import lines_of

EVENTS = make_counted()
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu")
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
    if kind == "lake":
        lake = LakeStorage(str(folder / "lake"))
        write(lake, events[: len(events) * 3 // 4])
        (folder / "journal").mkdir()
        (folder / "journal" / "n-1-1.jsonl").write_bytes(b"".join(lines_of(events[len(events) // 2 :])) + b'{"id":"torn')
        return LakeStore(lake, folder / "journal")
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


KINDS = ("lake", "postgres", "clickhouse")


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
    ],
)
def test_days_on_which_clocks_change(stats: Statistics, day: str, zone: str, hours: int) -> None:
    period = whole_days(date.fromisoformat(day), date.fromisoformat(day), ZoneInfo(zone), day)
    answer = stats.series(period, "hour", ALL_MEASURES)
    assert len(answer.points) == hours
    assert sum(point.figures.count for point in answer.points) == len(chosen(EVENTS, ALL_MEASURES, period))
    for point in answer.points:
        start = point.start.astimezone(UTC)
        piece = attrs.evolve(period, since=start, until=start + timedelta(hours=1))
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
