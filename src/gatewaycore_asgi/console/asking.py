"""What a page is asked: the query of its URL -> a question, and back. Pure: what time it is comes in.

Everything that somebody can choose on a page is in its URL, so a page can be sent to somebody else, kept, or asked for as CSV.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, get_args
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

import attrs
from attrs import frozen

from gatewaycore.enrich.agent import Agent
from gatewaycore.errors import ConfigError, Problem
from gatewaycore.stats import COMPARISONS, Comparison, Filter, Period, against, read_dimension, read_only, read_period, zone_of
from gatewaycore.stats.periods import UNITS, Unit
from gatewaycore.stats.policy import AGENTS, MEASURES, USES, Measure

PERIODS: Final = (
    ("today", "Today"),
    ("7d", "7 days"),
    ("30d", "30 days"),
    ("90d", "90 days"),
    ("365d", "365 days"),
    ("month", "This month"),
    ("last-month", "Last month"),
    ("year", "This year"),
    ("all", "All time"),
)
"""Periods that a page offers; its URL takes any that ``gatewaycore report --period`` does."""

ALL_AGENTS: Final[tuple[str, ...]] = get_args(Agent)
_USUAL: Final = "30d"
_LONGEST = 500
_MOST_PAIRS = 20


def steady(now: datetime) -> datetime:
    """Return the end of these ten seconds.

    What is asked again within them is the same question, whose answer is remembered; and what happened a moment ago is in it.
    """
    return now.replace(second=now.second // 10 * 10 + 9, microsecond=999_999)


@frozen(kw_only=True)
class Asked:
    """What is chosen on a page.

    Attributes:
        period: as the URL has it.
        zone: whose days.
        unit: into what the period is cut; what suits it without.
        measures, agents: what counts, and who; by the counting policy without.
        only: what it is narrowed by.
        by: one more dimension to tell events apart by.
        compare: what is shown beside.
    """

    period: str = _USUAL
    zone: ZoneInfo = attrs.field(factory=lambda: zone_of("UTC"))
    unit: Unit | None = None
    measures: tuple[Measure, ...] = USES
    agents: tuple[str, ...] = AGENTS
    only: tuple[tuple[str, str], ...] = ()
    by: str | None = None
    compare: Comparison = "before"

    def filter(self, packages: Sequence[str] = (), *also: tuple[str, str]) -> Filter:
        """Return which events it is of."""
        return Filter(packages=tuple(packages), measures=self.measures, agents=self.agents, only=(*self.only, *also))

    def moment(self, now: datetime, first: datetime | None = None) -> Period:
        """Return the period, and what it is compared with.

        Args:
            now: what time it is.
            first: when the first event was, for all time.

        Raises:
            ConfigError: it is no period.
        """
        return against(read_period(self.period, now, self.zone, first), self.compare)

    def pairs(self) -> list[tuple[str, str]]:
        """Return it as the pairs of a query; what is as usual is left out."""
        found = [("period", self.period)] if self.period != _USUAL else []
        found += [("tz", self.zone.key)] if self.zone.key != "UTC" else []
        found += [("unit", self.unit)] if self.unit else []
        found += [("measure", one) for one in self.measures] if set(self.measures) != set(USES) else []
        found += [("agent", one) for one in self.agents] if set(self.agents) != set(AGENTS) else []
        found += [("only", f"{name}={value}") for name, value in self.only]
        found += [("by", self.by)] if self.by else []
        found += [("compare", self.compare)] if self.compare != "before" else []
        return found

    def query(self, *before: tuple[str, str], **changes: Any) -> str:
        """Return the query of a URL, with its "?", that asks the same but for some changes.

        Args:
            before: pairs that stand in front: which page it is.
            changes: of attributes.
        """
        pairs = [*before, *attrs.evolve(self, **changes).pairs()]
        return f"?{urlencode(pairs)}" if pairs else ""

    def narrowed(self, dimension: str, value: str | None) -> tuple[tuple[str, str], ...]:
        """Return `only` with one more pair."""
        pair = (dimension, value or "")
        return self.only if pair in self.only else (*self.only, pair)

    def without(self, pair: tuple[str, str]) -> tuple[tuple[str, str], ...]:
        """Return `only` with a pair less."""
        return tuple(one for one in self.only if one != pair)


def read_asked(query: Mapping[str, Sequence[str]]) -> tuple[Asked, list[Problem]]:
    """Return what the query of a URL asks, and what of it cannot be understood: that is left out, and a page says so.

    Args:
        query: names to values. Other names are no business of this.
    """
    problems: list[Problem] = []
    found: dict[str, Any] = {}

    def take(attribute: str, name: str, read: Any) -> None:
        values = [value for value in query.get(name, ()) if value][:_MOST_PAIRS]
        if not values:
            return
        try:
            if any(len(value) > _LONGEST for value in values):
                raise ConfigError([Problem(name, "is too long")])
            found[attribute] = read(values)
        except ConfigError as error:
            problems.extend(Problem(name, problem.what, problem.hint) for problem in error.problems)

    take("zone", "tz", lambda values: zone_of(values[-1], "tz"))
    take("period", "period", lambda values: _period(values[-1]))
    take("unit", "unit", lambda values: _one_of(values[-1:], UNITS, "unit")[0])
    take("measures", "measure", lambda values: _one_of(values, MEASURES, "measure"))
    take("agents", "agent", lambda values: _one_of(values, ALL_AGENTS, "agent"))
    take("only", "only", lambda values: tuple(dict.fromkeys(read_only(values, "only"))))
    take("by", "by", lambda values: read_dimension(values[-1], "by"))
    take("compare", "compare", lambda values: _one_of(values[-1:], COMPARISONS, "compare")[0])
    return Asked(**found), problems


def _period(text: str) -> str:
    # Any moment will do to find out whether it is one.
    read_period(text, datetime(2026, 11, 15, tzinfo=zone_of("UTC")), zone_of("UTC"))
    return text


def _one_of(values: Iterable[str], known: Sequence[str], name: str) -> tuple[Any, ...]:
    # In the order of what is known, so that the same choice is the same URL.
    chosen = {part for value in values for part in value.split(",") if part}
    for one in sorted(chosen - set(known)):
        raise ConfigError([Problem(name, f"{one[:80]!r} is none", ", ".join(known))])
    return tuple(one for one in known if one in chosen)
