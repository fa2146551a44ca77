"""Periods: from when to when, in whose days, and into which pieces they are cut. No clock: what time it is comes in.

All that is asked of a store are seconds since the epoch; calendars and time zones are known here alone, so that stores with other tables
of time zones give the same answers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Final, Literal, TypeAlias, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from attrs import evolve, frozen

from gatewaycore.errors import ConfigError, Problem

Unit: TypeAlias = Literal["hour", "day", "week", "month"]
UNITS: Final[tuple[Unit, ...]] = get_args(Unit)

Comparison: TypeAlias = Literal["before", "year", "none"]
"""What a period is compared with: the one before, the same days of the year before, or nothing."""
COMPARISONS: Final[tuple[Comparison, ...]] = get_args(Comparison)

WEEK_STARTS: Final[Mapping[str, int]] = {"monday": 0, "sunday": 6, "saturday": 5}
"""The days with which weeks begin somewhere, as `date.weekday` counts them."""

HOUR_S: Final = 3600
DAY_S: Final = 86_400
_EPOCH: Final = date(1970, 1, 1)
_MOST_DAYS: Final = 36_500
_DAYS = re.compile(r"(\d{1,5})d")
_MONTH = re.compile(r"(\d{4})-(\d\d)")
_YEAR = re.compile(r"\d{4}")
_RANGE = re.compile(r"(\d{4}-\d\d-\d\d)\.\.(\d{4}-\d\d-\d\d)")
_HINT = "today, yesterday, 30d, week, last-week, month, last-month, year, 2026, 2026-11, 2026-11-05, 2026-11-01..2026-11-15 or all"


def zone_of(name: str, option: str = "--tz") -> ZoneInfo:
    """Return a time zone by its name of the IANA's.

    Raises:
        ConfigError: there is none.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ConfigError([Problem(option, f"{name[:80]!r} is no time zone", "a name such as UTC or Europe/Berlin")]) from None


@frozen
class Period:
    """Days of a time zone, or a part of one that still goes on.

    Attributes:
        since: the first moment.
        until: the first that is too late.
        zone: whose days, weeks and months.
        name: what it was asked for by.
        before_since, before_until: the period before, which this one is compared with: as long, and for one that still goes on, up to the
            same time of its day. The same moment when there is none.
    """

    since: datetime
    until: datetime
    zone: ZoneInfo
    name: str
    before_since: datetime
    before_until: datetime

    @property
    def before(self) -> Period | None:
        """The period before."""
        if seconds_of(self.before_since) >= seconds_of(self.before_until):
            return None
        return Period(self.before_since, self.before_until, self.zone, f"before {self.name}", self.before_since, self.before_since)

    @property
    def goes_on(self) -> bool:
        """Whether it ends in the middle of a day: now."""
        return self.until.astimezone(UTC) != midnight(self.last_day + timedelta(days=1), self.zone).astimezone(UTC)

    @property
    def seconds(self) -> tuple[int, int]:
        """Both ends in seconds since the epoch."""
        return seconds_of(self.since), seconds_of(self.until)

    @property
    def days(self) -> int:
        """How many days of its zone it touches."""
        return (self.last_day - self.first_day).days + 1

    @property
    def first_day(self) -> date:
        """The day it begins in."""
        return self.since.astimezone(self.zone).date()

    @property
    def last_day(self) -> date:
        """The day that its last moment is in."""
        return max(self.first_day, (self.until.astimezone(UTC) - timedelta(microseconds=1)).astimezone(self.zone).date())

    def unit(self) -> Unit:
        """Return what it is best cut into."""
        return "hour" if self.days <= 2 else "day" if self.days <= 92 else "week" if self.days <= 366 else "month"

    def offsets(self) -> list[tuple[int, int]]:
        """Return from which second on local time is how many seconds ahead of UTC; the first holds from the period's beginning."""
        first, last = self.seconds
        found = [(first, _offset(first, self.zone))]
        at = first
        while at < last:
            # No zone changes twice within a day, and back to what it was.
            then = min(at + DAY_S, last)
            if _offset(then, self.zone) != found[-1][1]:
                found.append(_change(at, then, self.zone))
            at = then
        return found

    def starts(self, unit: Unit, week_start: int = 0) -> list[datetime]:
        """Return when the pieces of it begin that `unit` cuts it into, with the zone's offset; the first may begin before the period does.

        Args:
            unit: of the pieces.
            week_start: the first day of the week: 0 is Monday, 6 Sunday.
        """
        if unit == "hour":
            return [datetime.fromtimestamp(second, self.zone) for second in self._hours()]
        return [midnight(day, self.zone) for day in self._first_days(unit, week_start)]

    def keys(self, unit: Unit, week_start: int = 0) -> list[int]:
        """Return the same as numbers, as queries have them: of hours the first second, else the first day counted from 1970."""
        if unit == "hour":
            return list(self._hours())
        return [(day - _EPOCH).days for day in self._first_days(unit, week_start)]

    def _hours(self) -> Iterator[int]:
        first, last = self.seconds
        if first >= last:
            return
        for (begin, offset), (end, _) in zip(self.offsets(), [*self.offsets()[1:], (last, 0)], strict=True):
            # Hours of the clock on the wall: some zones are a quarter of an hour beside the others.
            at = (begin + offset) // HOUR_S * HOUR_S - offset
            if begin > at and begin != first:
                # Clocks have changed by half an hour: what is left of the hour begins with that.
                yield begin
                at += HOUR_S
            yield from range(at, max(end, begin), HOUR_S)

    def _first_days(self, unit: Unit, week_start: int) -> Iterator[date]:
        day = self.first_day
        if unit == "week":
            day -= timedelta(days=(day.weekday() - week_start) % 7)
        elif unit == "month":
            day = day.replace(day=1)
        while day <= self.last_day and self.since < self.until:
            yield day
            day = _next_month(day) if unit == "month" else day + timedelta(days=7 if unit == "week" else 1)


def seconds_of(moment: datetime) -> int:
    """Return a moment in whole seconds since the epoch."""
    return int(moment.timestamp() // 1)


def midnight(day: date, zone: ZoneInfo) -> datetime:
    """Return when a day begins: the first moment that has its date. Where clocks go forward at midnight, that is one o'clock."""
    # There and back: what does not exist becomes what the clock shows instead.
    return datetime.combine(day, time(), zone).astimezone(UTC).astimezone(zone)


def _offset(second: int, zone: ZoneInfo) -> int:
    offset = datetime.fromtimestamp(second, zone).utcoffset()
    return 0 if offset is None else round(offset.total_seconds())


@lru_cache(maxsize=512)
def _change(begin: int, end: int, zone: ZoneInfo) -> tuple[int, int]:
    """Return the second at which the offset changes, and the offset from then on."""
    before = _offset(begin, zone)
    while end - begin > 1:
        middle = (begin + end) // 2
        begin, end = (middle, end) if _offset(middle, zone) == before else (begin, middle)
    return end, _offset(end, zone)


def _next_month(day: date) -> date:
    return (day.replace(day=1) + timedelta(days=32)).replace(day=1)


def _month_before(day: date) -> date:
    return (day.replace(day=1) - timedelta(days=1)).replace(day=1)


def whole_days(first: date, last: date, zone: ZoneInfo, name: str) -> Period:
    """Return the days from `first` to `last`, compared with as many before them."""
    since, until = midnight(first, zone), midnight(last + timedelta(days=1), zone)
    return Period(since, until, zone, name, midnight(first - (last + timedelta(days=1) - first), zone), since)


def complete_days(number: int, now: datetime, zone: ZoneInfo | None = None) -> Period:
    """Return the last so many days that are over."""
    zone = zone or ZoneInfo("UTC")
    yesterday = now.astimezone(zone).date() - timedelta(days=1)
    return whole_days(yesterday - timedelta(days=number - 1), yesterday, zone, f"{number} complete days")


def read_period(text: str, now: datetime, zone: ZoneInfo, first: datetime | None = None) -> Period:
    """Return the period that a text asks for; what goes on ends now.

    Args:
        text: see the hint of the error.
        now: what time it is.
        zone: whose days.
        first: when the first event was, for "all"; None when there is none.

    Raises:
        ConfigError: it is none.
    """
    today = now.astimezone(zone).date()
    if text == "all":
        since = min(now, first or now)
        return Period(since, now, zone, text, since, since)
    if text in _NAMED:
        begin, before = _NAMED[text](today)
        if text.startswith("last-") or text == "yesterday":
            end = {"yesterday": today, "last-week": _monday(today), "last-month": today.replace(day=1)}[text]
            return Period(midnight(begin, zone), midnight(end, zone), zone, text, midnight(before, zone), midnight(begin, zone))
        return _going_on(begin, before, now, zone, text)
    try:
        return _dated(text, today, now, zone)
    except (ValueError, OverflowError):
        raise ConfigError([Problem("--period", f"{text[:80]!r} is no period", _HINT)]) from None


def against(period: Period, comparison: Comparison) -> Period:
    """Return a period, compared with another one than that before it.

    What began longer than a year ago has the same days twice, and is then compared with nothing; so is what has nothing before it ("all").
    """
    if comparison == "before" or period.before is None:
        return period
    try:
        since, until = _year_before(period) if comparison == "year" else (period.since, period.since)
    except (ValueError, OverflowError):
        # Before the first year of the calendar.
        since = until = period.since
    if seconds_of(until) > seconds_of(period.since):
        since = until = period.since
    return evolve(period, before_since=since, before_until=until)


def _year_before(period: Period) -> tuple[datetime, datetime]:
    zone = period.zone
    # Only a leap year has a 29th of February.
    first, last = (
        day.replace(year=day.year - 1, day=28 if (day.month, day.day) == (2, 29) else day.day)
        for day in (period.first_day, period.last_day)
    )
    if not period.goes_on:
        return midnight(first, zone), midnight(last + timedelta(days=1), zone)
    ends = datetime.combine(last, period.until.astimezone(zone).time(), zone)
    return midnight(first, zone), ends.astimezone(UTC).astimezone(zone)


def _dated(text: str, today: date, now: datetime, zone: ZoneInfo) -> Period:
    if found := _DAYS.fullmatch(text):
        number = int(found[1])
        if not 0 < number <= _MOST_DAYS:
            raise ValueError("days")
        begin = today - timedelta(days=number - 1)
        return _going_on(begin, begin - timedelta(days=number), now, zone, text)
    if found := _RANGE.fullmatch(text):
        first, last = date.fromisoformat(found[1]), date.fromisoformat(found[2])
        if last < first:
            raise ValueError("backwards")
        return whole_days(first, last, zone, text)
    if _YEAR.fullmatch(text):
        first = date(int(text), 1, 1)
        before, end = date(int(text) - 1, 1, 1), date(int(text) + 1, 1, 1)
    elif found := _MONTH.fullmatch(text):
        first = date(int(found[1]), int(found[2]), 1)
        before, end = _month_before(first), _next_month(first)
    else:
        first = date.fromisoformat(text)
        before, end = first - timedelta(days=1), first + timedelta(days=1)
    if first <= today < end:
        return _going_on(first, before, now, zone, text)
    return Period(midnight(first, zone), midnight(end, zone), zone, text, midnight(before, zone), midnight(first, zone))


def _monday(day: date) -> date:
    return day - timedelta(days=day.weekday())


_NAMED: Mapping[str, Callable[[date], tuple[date, date]]] = {
    "today": lambda day: (day, day - timedelta(days=1)),
    "yesterday": lambda day: (day - timedelta(days=1), day - timedelta(days=2)),
    "week": lambda day: (_monday(day), _monday(day) - timedelta(days=7)),
    "last-week": lambda day: (_monday(day) - timedelta(days=7), _monday(day) - timedelta(days=14)),
    "month": lambda day: (day.replace(day=1), _month_before(day)),
    "last-month": lambda day: (_month_before(day), _month_before(_month_before(day))),
    "year": lambda day: (date(day.year, 1, 1), date(day.year - 1, 1, 1)),
}
"""Periods by name: when they begin, and when the one before does, of a day that is today."""


def _going_on(begin: date, before: date, now: datetime, zone: ZoneInfo, name: str) -> Period:
    """Return a period from the beginning of a day until now, compared with the one before until the same time of the same day of it."""
    since = midnight(begin, zone)
    local = now.astimezone(zone)
    day = before + (local.date() - begin)
    # February has no 30th: then all of it.
    then = since if day >= begin else datetime.combine(day, local.time(), zone).astimezone(UTC).astimezone(zone)
    return Period(since, now, zone, name, midnight(before, zone), then)
