"""The counting policy, and the calendar: what needs no store."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from gatewaycore.errors import ConfigError
from gatewaycore.event import KINDS
from gatewaycore.stats import policy
from gatewaycore.stats.periods import Period, against, complete_days, midnight, read_period, whole_days, zone_of
from gatewaycore.stats.questions import Figures as Numbers
from gatewaycore.stats.questions import Filter, Totals, plain, read_dimension, read_only
from tests.events import make_event

BERLIN, UTC_ZONE = ZoneInfo("Europe/Berlin"), ZoneInfo("UTC")
NOW = datetime(2026, 11, 26, 2, 40, tzinfo=UTC)
DOCS = Path(__file__).parent.parent.parent / "docs"


# --- what counts -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("columns", "counts"),
    [
        ({}, True),
        ({"method": "POST"}, True),
        ({"method": "HEAD"}, False),
        ({"method": "OPTIONS"}, False),
        ({"status": 200}, True),
        ({"status": 399}, True),
        ({"status": 304}, False),
        ({"status": 404}, False),
        ({"status": 0}, False),
        ({"agent": "ci"}, True),
        ({"agent": "unknown"}, True),
        ({"agent": "bot"}, False),
        ({"agent": "mirror"}, False),
        ({"agent": "scanner"}, False),
    ],
)
def test_what_counts(columns: dict[str, Any], counts: bool) -> None:
    assert (policy.measure_of(make_event(**columns)) is not None) == counts


def test_kinds_that_count_are_measures() -> None:
    assert {kind: policy.measure_of(make_event(kind=kind)) for kind in KINDS} == {
        kind: kind if kind in policy.MEASURES else None for kind in KINDS
    }


def test_other_agents_count_when_they_are_asked_for() -> None:
    assert policy.measure_of(make_event(agent="bot"), ("bot",)) == "download"
    assert policy.measure_of(make_event(agent="human"), ("bot",)) is None


def test_companies_sources_and_endpoints() -> None:
    assert policy.company_of(make_event(company="Acme", company_domain="acme.example", confidence=0.5)) == "acme.example"
    assert policy.company_of(make_event(company="Acme", company_domain="", confidence=None)) == "Acme"
    assert policy.company_of(make_event(company="Acme", confidence=0.49)) is None
    assert policy.company_of(make_event(company="Acme", confidence=0.3), 0.3) == "Acme"
    assert policy.company_of(make_event(company="", confidence=0.9)) is None
    assert (policy.source_of(make_event(origin_id="a")), policy.source_of(make_event(origin_id=""))) == ("a", None)
    assert (policy.endpoint_of(make_event(endpoint_id="a")), policy.endpoint_of(make_event(endpoint_id=None))) == ("a", None)


def test_the_policy_is_what_its_page_says() -> None:
    text = (DOCS / "counting.md").read_text()
    assert f"This is version {policy.VERSION}." in text
    for word in (*policy.MEASURES, *policy.AGENTS, *policy.UNCOUNTED_METHODS, policy.FIRST_STATUS, policy.LAST_STATUS, policy.NOT_MODIFIED):
        assert f"`{word}`" in text
    assert f"`{policy.CONFIDENCE}` or more" in text


# --- periods ---------------------------------------------------------------------------------------------------------------


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


@pytest.mark.parametrize(
    ("text", "since", "until", "before_since", "before_until"),
    [
        ("today", "2026-11-26T00:00+01:00", "2026-11-26T03:40+01:00", "2026-11-25T00:00+01:00", "2026-11-25T03:40+01:00"),
        ("yesterday", "2026-11-25T00:00+01:00", "2026-11-26T00:00+01:00", "2026-11-24T00:00+01:00", "2026-11-25T00:00+01:00"),
        ("30d", "2026-10-28T00:00+01:00", "2026-11-26T03:40+01:00", "2026-09-28T00:00+02:00", "2026-10-27T03:40+01:00"),
        ("week", "2026-11-23T00:00+01:00", "2026-11-26T03:40+01:00", "2026-11-16T00:00+01:00", "2026-11-19T03:40+01:00"),
        ("last-week", "2026-11-16T00:00+01:00", "2026-11-23T00:00+01:00", "2026-11-09T00:00+01:00", "2026-11-16T00:00+01:00"),
        ("month", "2026-11-01T00:00+01:00", "2026-11-26T03:40+01:00", "2026-10-01T00:00+02:00", "2026-10-26T03:40+01:00"),
        ("last-month", "2026-10-01T00:00+02:00", "2026-11-01T00:00+01:00", "2026-09-01T00:00+02:00", "2026-10-01T00:00+02:00"),
        ("year", "2026-01-01T00:00+01:00", "2026-11-26T03:40+01:00", "2025-01-01T00:00+01:00", "2025-11-26T03:40+01:00"),
        ("2025", "2025-01-01T00:00+01:00", "2026-01-01T00:00+01:00", "2024-01-01T00:00+01:00", "2025-01-01T00:00+01:00"),
        ("2026-10", "2026-10-01T00:00+02:00", "2026-11-01T00:00+01:00", "2026-09-01T00:00+02:00", "2026-10-01T00:00+02:00"),
        ("2026-11", "2026-11-01T00:00+01:00", "2026-11-26T03:40+01:00", "2026-10-01T00:00+02:00", "2026-10-26T03:40+01:00"),
        ("2026-10-25", "2026-10-25T00:00+02:00", "2026-10-26T00:00+01:00", "2026-10-24T00:00+02:00", "2026-10-25T00:00+02:00"),
        ("2026-10-01..2026-10-03", "2026-10-01T00:00+02:00", "2026-10-04T00:00+02:00", "2026-09-28T00:00+02:00", "2026-10-01T00:00+02:00"),
    ],
)
def test_periods_by_name(text: str, since: str, until: str, before_since: str, before_until: str) -> None:
    period = read_period(text, NOW, BERLIN)
    assert (period.since, period.until, period.before_since, period.before_until) == tuple(
        map(at, (since, until, before_since, before_until))
    )
    assert period.name == text


@pytest.mark.parametrize("text", ["", "0d", "99999d", "soon", "2026-13", "2026-02-30", "2026-11-05..2026-11-01", "0000", "9999"])
def test_what_is_no_period_is_refused_with_those_that_are(text: str) -> None:
    with pytest.raises(ConfigError, match=r"is no period .*last-month"):
        read_period(text, NOW, BERLIN)


@pytest.mark.parametrize(
    ("text", "before_since", "before_until"),
    [
        ("2026-10", "2025-10-01T00:00+02:00", "2025-11-01T00:00+01:00"),
        ("30d", "2025-10-28T00:00+01:00", "2025-11-26T03:40+01:00"),
        ("2025", "2024-01-01T00:00+01:00", "2025-01-01T00:00+01:00"),
        ("2024-02", "2023-02-01T00:00+01:00", "2023-03-01T00:00+01:00"),
        ("2024-02-29", "2023-02-28T00:00+01:00", "2023-03-01T00:00+01:00"),
    ],
)
def test_a_period_is_compared_with_the_same_days_a_year_before(text: str, before_since: str, before_until: str) -> None:
    period = against(read_period(text, NOW, BERLIN), "year")
    assert (period.before_since, period.before_until) == (at(before_since), at(before_until))


@pytest.mark.parametrize("text", ["2023-01-01..2024-12-31", "0001-12-30..0001-12-31", "all"])
def test_what_has_no_year_before_is_compared_with_nothing(text: str) -> None:
    assert against(read_period(text, NOW, UTC_ZONE), "year").before is None


def test_a_period_is_compared_with_what_is_asked_for() -> None:
    period = read_period("30d", NOW, BERLIN)
    assert against(period, "before") == period
    assert against(period, "none").before is None


def test_all_begins_with_the_first_event_and_has_nothing_before() -> None:
    period = read_period("all", NOW, UTC_ZONE, datetime(2025, 1, 2, 3, tzinfo=UTC))
    assert (period.since, period.before) == (datetime(2025, 1, 2, 3, tzinfo=UTC), None)
    nothing = read_period("all", NOW, UTC_ZONE)
    assert nothing.since == nothing.until
    assert nothing.starts("day") == nothing.starts("hour") == []


def test_a_month_that_is_longer_than_the_one_before_is_compared_with_all_of_it() -> None:
    period = read_period("month", datetime(2026, 3, 30, 12, tzinfo=UTC), UTC_ZONE)
    assert period.before is not None
    assert (period.before.since, period.before.until) == (at("2026-02-01T00:00Z"), at("2026-03-01T00:00Z"))


def test_complete_days_end_with_yesterday() -> None:
    period = complete_days(7, NOW)
    assert (period.first_day, period.last_day, period.days) == (date(2026, 11, 19), date(2026, 11, 25), 7)


def test_a_time_zone_that_is_none_is_refused() -> None:
    for name in ("Mars/Olympus", "", "../UTC", "a\0b"):
        with pytest.raises(ConfigError, match="is no time zone"):
            zone_of(name)
    assert zone_of("Asia/Kathmandu").key == "Asia/Kathmandu"


@pytest.mark.parametrize(
    ("zone", "day", "start", "hours"),
    [
        ("Asia/Kathmandu", "2026-11-01", "2026-11-01T00:00+05:45", 24),
        # Clocks go forward at midnight: the day begins at one.
        ("Asia/Beirut", "2026-03-29", "2026-03-29T01:00+03:00", 23),
        # By half an hour: the hour in which it happens is begun twice.
        ("Australia/Lord_Howe", "2026-04-05", "2026-04-05T00:00+11:00", 25),
    ],
)
def test_days_of_zones_with_other_ideas(zone: str, day: str, start: str, hours: int) -> None:
    period = whole_days(date.fromisoformat(day), date.fromisoformat(day), ZoneInfo(zone), day)
    assert period.since == at(start) == midnight(date.fromisoformat(day), ZoneInfo(zone))
    starts = period.starts("hour")
    assert len(starts) == hours
    assert starts[0] == period.since
    assert all(one < other for one, other in pairwise(starts))


def test_pieces_of_a_period() -> None:
    period = whole_days(date(2026, 9, 30), date(2026, 12, 1), BERLIN, "test")
    assert [start.date() for start in period.starts("month")] == [date(2026, month, 1) for month in (9, 10, 11, 12)]
    assert period.starts("week")[0].date() == date(2026, 9, 28)
    assert period.starts("week", 6)[0].date() == date(2026, 9, 27)
    assert len(period.starts("day")) == period.days == 63
    assert len(period.starts("hour")) == 63 * 24 + 1


@pytest.mark.parametrize(("days", "unit"), [(1, "hour"), (2, "hour"), (30, "day"), (92, "day"), (300, "week"), (800, "month")])
def test_the_unit_that_suits_a_period(days: int, unit: str) -> None:
    begin = date(2026, 1, 1)
    assert whole_days(begin, begin + timedelta(days=days - 1), UTC_ZONE, "test").unit() == unit


# --- what is asked ---------------------------------------------------------------------------------------------------------


def test_dimensions_may_be_in_the_plural() -> None:
    assert [read_dimension(text) for text in ("versions", "countries", "companies", "architectures", "arch", "os", "variables.plan")] == [
        "version", "country", "company", "arch", "arch", "os", "variables.plan",
    ]  # fmt: skip
    with pytest.raises(ConfigError, match=r"--by: 'colour' is nothing to tell events by \(variables.NAME, or package,"):
        read_dimension("colour")


def test_pairs_that_answers_are_narrowed_by() -> None:
    assert read_only(["country=DE", "variables.a=b=c", "version="]) == (("country", "DE"), ("variables.a", "b=c"), ("version", ""))
    with pytest.raises(ConfigError, match="'country' is no pair"):
        read_only(["country"])


def test_an_answer_is_plain_for_json() -> None:
    period: Period = whole_days(date(2026, 10, 1), date(2026, 10, 1), BERLIN, "test")
    told = plain(Totals(period=period, filter=Filter(only=(("country", "DE"),)), now=Numbers(count=2), before=None))
    assert told["policy"] == policy.VERSION
    assert told["period"]["zone"] == "Europe/Berlin"
    assert told["period"]["since"] == "2026-10-01T00:00:00+02:00"
    assert told["filter"]["only"] == [["country", "DE"]]
    assert (told["now"]["count"], told["before"]) == (2, None)
    assert plain({"a": (1,)}) == {"a": [1]}
