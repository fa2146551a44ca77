"""Sheets: the answers that a page is made of. Each is asked for when the page comes to it: its beginning does not wait for its end."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from typing import Any, TypeVar

import attrs
from attrs import frozen

from gatewaycore.errors import ConfigError, GatewayError
from gatewaycore.stats import Period, read_dimension
from gatewaycore.stats.policy import MEASURES
from gatewaycore.stats.questions import Breakdown, Filter, Latest, Series, Totals
from gatewaycore.stats.statistics import Statistics
from gatewaycore_asgi.console import charts
from gatewaycore_asgi.console.asking import ALL_AGENTS, Asked
from gatewaycore_asgi.console.panels import (
    Table,
    breakdown_table,
    companies_table,
    feed_table,
    series_table,
    versions_table,
)
from gatewaycore_asgi.console.world import draw_world

SECTIONS = ("platform", "arch", "client", "agent", "cloud", "page")
"""What a package's events are told apart by, besides countries, versions and companies."""

ROWS = 10
FEED = 20
T = TypeVar("T")
MOST_ROWS = 100_000
"""Of a CSV."""
_MOST_VARIABLES = 6
_SAMPLE = 200
# What is told of variables is what these say already.
_MEANT = frozenset({"version", "platform", "arch", "page"})


@frozen
class Trouble:
    """An answer that is not there.

    Attributes:
        what: what is wrong, for whoever reads the page.
    """

    what: str


class Sheet:
    """The answers of one page.

    Args:
        stats: who answers.
        asked: what is chosen.
        period: when.
        packages: of which; of all when empty.
        also: what it is narrowed by besides what is chosen.
        package: the one that it is about; None where it is about several.
    """

    def __init__(
        self,
        stats: Statistics,
        asked: Asked,
        period: Period,
        packages: Iterable[str] = (),
        also: Iterable[tuple[str, str]] = (),
        package: str | None = None,
    ) -> None:
        self._stats = stats
        self.asked = asked
        self.period = period
        self.package = package
        self.filter: Filter = asked.filter(tuple(packages), *also)

    @cached_property
    def totals(self) -> Totals:
        """The figures, and those of the period before."""
        return self._stats.totals(self.period, self.filter)

    @cached_property
    def series(self) -> Series:
        """The period in pieces."""
        return self._stats.series(self.period, self.asked.unit, self.filter, ("sources",))

    @cached_property
    def before(self) -> Series | None:
        """The period before in pieces as many as those of this one; None where there is none."""
        period = self.period.before
        if period is None:
            return None
        return self._stats.series(period, self.series.unit, self.filter, ())

    @cached_property
    def countries(self) -> Breakdown:
        """Where it came from: all countries, for a map has room for them."""
        return self._stats.breakdown(self.period, "country", self.filter, None)

    def latest(self, limit: int = FEED) -> Latest:
        """The last events, whoever is behind them: who tries it out with a bot's name is told, too."""
        if limit > _SAMPLE:
            return self._latest(limit)
        return attrs.evolve(self._sample, events=self._sample.events[:limit])

    @cached_property
    def _sample(self) -> Latest:
        return self._latest(_SAMPLE)

    def _latest(self, limit: int) -> Latest:
        measures = MEASURES if set(self.filter.measures) == set(Asked().measures) else self.filter.measures
        agents = ALL_AGENTS if set(self.filter.agents) == set(Asked().agents) else self.filter.agents
        return self._stats.latest(self.period, attrs.evolve(self.filter, measures=measures, agents=agents), limit)

    @cached_property
    def variables(self) -> tuple[str, ...]:
        """The variables that the last events have, as dimensions."""
        seen = (name for event in self.latest(_SAMPLE).events for name, value in event.variables.items() if value)
        return tuple(f"variables.{name}" for name in sorted(set(seen) - _MEANT)[:_MOST_VARIABLES])

    def table(self, key: str, limit: int | None = ROWS) -> Table:
        """Return one of the tables.

        Args:
            key: its name: "series", "feed", "company", "version", or what to tell events apart by.
            limit: how many rows; as many as there may be without.

        Raises:
            ConfigError: there is none of that name.
            GatewayError: the store does not answer.
        """
        most = MOST_ROWS if limit is None else limit
        if key == "series":
            return series_table(self.series)
        if key == "feed":
            return feed_table(self.latest(FEED if limit is not None else most), self.package)
        if key == "company":
            return companies_table(self._stats.companies(self.period, self.filter, most))
        if key == "country":
            found = self.countries
            return breakdown_table(attrs.evolve(found, shares=found.shares[:most]))
        by = read_dimension(key, "table")
        answer = self._stats.breakdown(self.period, by, self.filter, most)
        if by == "version" and self.package is not None:
            # Those of most events are not always those of most endpoints.
            return versions_table(answer, self._stats.retention(self.period, self.package, self.filter, MOST_ROWS))
        return breakdown_table(answer)

    def panel(self, key: str) -> Table | Trouble | None:
        """Return one of the tables; None where nothing is known of what it is about."""

        def read() -> Table | None:
            table = self.table(key)
            return table if any(row.cells[0] is not None for row in table.rows) else None

        return tried(read)

    def map(self) -> str | Trouble | None:
        """Return the map of countries; None where none is known."""
        return tried(lambda: draw_world(self.countries) if any(share.value for share in self.countries.shares) else None)

    def spec(self, of: str) -> Mapping[str, Any]:
        """Return the specification of a chart.

        Raises:
            ConfigError: there is none of that name.
            GatewayError: the store does not answer.
        """
        if of == "series":
            return charts.series_spec(self.series, self.before)
        if of == "country":
            return charts.world_spec(self.countries)
        return charts.bars_spec(self._stats.breakdown(self.period, read_dimension(of, "of"), self.filter, ROWS))


def tried(read: Callable[[], T]) -> T | Trouble:
    """Return an answer, or why it is not there: one panel's trouble is no other's."""
    try:
        return read()
    except ConfigError as error:
        return Trouble("; ".join(map(str, error.problems)))
    except GatewayError as error:
        return Trouble(str(error))
