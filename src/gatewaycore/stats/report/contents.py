"""What is in a report, and how its numbers are written: the same in a terminal, in a file and in a picture. No file and no clock."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from html import escape
from typing import TYPE_CHECKING, Final

from attrs import frozen

from gatewaycore.stats.periods import Period, Unit
from gatewaycore.stats.questions import Breakdown, Companies, Figures, Filter, Retention, Series, Totals, variable_of

if TYPE_CHECKING:
    from gatewaycore.stats.statistics import Statistics

SECTIONS: Final = ("package", "version", "platform", "arch", "country", "client", "agent", "cloud", "page")
"""What events are broken down by where nobody says by what, as far as anything of it is known."""

_PLURALS: Final = {
    "arch": "Architectures",
    "agent": "Who",
    "country": "Countries",
    "city": "Cities",
    "company": "Companies",
    "os": "Operating systems",
}
_FIGURES: Final = (
    ("downloads", "Downloads"),
    ("pulls", "Pulls"),
    ("views", "Views"),
    ("installs", "Installs"),
    ("events", "Events"),
    ("sources", "Unique sources"),
    ("endpoints", "Endpoints"),
    ("companies", "Companies"),
)
_ALWAYS: Final = ("sources", "endpoints", "companies")
NOT_KNOWN: Final = "not known"
# XML 1.0 §2.2, and what turns a line around.
_UNSHOWN = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")


@frozen(kw_only=True)
class Report:
    """Answers about one period.

    Attributes:
        totals: figures, and those of the period before.
        series: the period in pieces.
        breakdowns: by dimensions.
        companies: None where companies were not asked for.
        retention: of the versions of a package; None where there is not one package.
        first_event: when the first one was, of these packages, counted or not; None when there is none.
    """

    totals: Totals
    series: Series
    breakdowns: tuple[Breakdown, ...]
    companies: Companies | None
    retention: Retention | None
    first_event: datetime | None

    @property
    def title(self) -> str:
        """What it is about."""
        return ", ".join(self.totals.filter.packages) or "All packages"

    @property
    def is_empty(self) -> bool:
        """Whether nothing counts."""
        return not self.totals.now.count

    @property
    def empty(self) -> str:
        """What to say when nothing counts, and what to try."""
        if self.first_event is None:
            whose = f" of {self.title}" if self.totals.filter.packages else ""
            return f"There are no events{whose} yet. They are here a few seconds after the first request."
        if self.first_event >= self.totals.period.until:
            return f"Nothing counts in this period: the first event is of {self.first_event:%Y-%m-%d}."
        return "Nothing counts in this period. A longer one may have something: --period all"


def ask(
    stats: Statistics,
    period: Period,
    asked: Filter,
    by: Sequence[str] = (),
    *,
    unit: Unit | None = None,
    week_start: int = 0,
    limit: int = 10,
) -> Report:
    """Ask what a report needs.

    Args:
        stats: where to.
        period: when.
        asked: of which events.
        by: what to break them down by; `SECTIONS`, companies and versions without.
        unit: of the pieces.
        week_start: the first day of the week: 0 is Monday, 6 Sunday.
        limit: how many values of each.
    """
    totals = stats.totals(period, asked)
    series = stats.series(period, unit, asked, week_start=week_start)
    package = asked.packages[0] if len(asked.packages) == 1 else None
    # Of what is narrowed to one value nothing is left to tell.
    usual = [name for name in SECTIONS if name != "package" or package is None]
    dimensions = [name for name in by or usual if name != "company"]
    found = [stats.breakdown(period, name, asked, limit) for name in dimensions] if totals.now.count else []
    return Report(
        totals=totals,
        series=series,
        breakdowns=tuple(one for one in found if by or is_telling(one)),
        companies=stats.companies(period, asked, limit) if totals.now.companies and (not by or "company" in by) else None,
        retention=stats.retention(period, package, asked, limit) if package and totals.now.count and (not by or "version" in by) else None,
        first_event=None if totals.now.count else stats.first_event(asked.packages),
    )


def is_telling(answer: Breakdown) -> bool:
    """Tell whether anything is known of a dimension."""
    return any(share.value is not None for share in answer.shares)


def heading_of(dimension: str) -> str:
    """Return the heading of a breakdown."""
    name = variable_of(dimension)
    if name is not None:
        return name
    return _PLURALS.get(dimension) or f"{dimension.replace('_', ' ').capitalize()}s"


def figures_of(totals: Totals) -> Iterator[tuple[str, int, int | None]]:
    """Iterate over what a report begins with: name, number, and the number before. Measures that nobody has used are left out."""
    for name, label in _FIGURES:
        now = getattr(totals.now, name)
        before = None if totals.before is None else getattr(totals.before, name)
        if now or before or name in _ALWAYS:
            yield label, now, before


def measures_of(figures: Figures) -> tuple[int, ...]:
    """Return the counts of each measure, in the order of `MEASURE_NAMES`."""
    return figures.downloads, figures.pulls, figures.views, figures.installs, figures.events


MEASURE_NAMES: Final = tuple(label for _, label in _FIGURES[:5])


def change(now: int, before: int | None) -> str:
    """Return by how much a number has changed, in words: "+12 %", "new", and nothing where there is nothing to compare it with."""
    if before is None or (not now and not before):
        return ""
    if not before:
        return "new"
    percent = 100 * (now - before) / before
    if percent >= 1000:
        return f"x{now / before:,.0f}"
    # "-0 %" is less than it seems.
    return "±0 %" if now == before else f"{percent:+.0f} %" if abs(percent) >= 1 else f"{percent:+.1f} %"


def marked(text: str) -> str:
    """Return what a client sent as text of HTML or XML, which has no control characters."""
    return escape(_UNSHOWN.sub("\N{REPLACEMENT CHARACTER}", text))


def span_of(period: Period) -> str:
    """Return from when to when a period is."""
    since, until = period.since.astimezone(period.zone), period.until.astimezone(period.zone)
    first, last = f"{since:%Y-%m-%d}", f"{period.last_day:%Y-%m-%d}"
    goes_on = f" {until:%H:%M}" if (until.hour, until.minute) != (0, 0) else ""
    days = first if first == last else f"{first} to {last}"
    return f"{days}{goes_on and f', until{goes_on}'}, {period.zone.key}"


def compared_of(period: Period) -> str:
    """Return what a period is compared with, as the end of the line that says when it is; nothing where it is compared with nothing."""
    return "" if period.before is None else f". Compared with {span_of(period.before)}."


def start_of(start: datetime, unit: Unit) -> str:
    """Return when a piece of a period begins, as short as it can be told."""
    if unit == "hour":
        return f"{start:%Y-%m-%d %H:%M}"
    return f"{start:%Y-%m}" if unit == "month" else f"{start:%Y-%m-%d}"
