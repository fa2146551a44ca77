"""Shelves: the packages of a page beside each other, each with its number, how that changed, and a line of how it went."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from gatewaycore.stats.questions import Breakdown, Figures, Latest, Series, Share, Totals
from gatewaycore.stats.report.contents import change
from gatewaycore.stats.statistics import Statistics
from gatewaycore_asgi.console.catalogue import Known
from gatewaycore_asgi.console.charts import spark_svg
from gatewaycore_asgi.console.panels import Head, Row, Table
from gatewaycore_asgi.console.sheets import FEED, MOST_ROWS, Sheet

_HEADS = (
    Head("Package", "text", "package"),
    Head("Type", "text", "type"),
    Head("Trend", "drawn"),
    Head("Count", "number", "count"),
    Head("Before", "number", "before", shown=False),
    Head("Change", "change"),
    Head("Sources", "number", "sources"),
)


class EmptySheet(Sheet):
    """The answers about no package at all. The store is not asked: of no package it would tell all."""

    @cached_property
    def totals(self) -> Totals:
        """Nothing."""
        return Totals(period=self.period, filter=self.filter, now=Figures(), before=None)

    @cached_property
    def series(self) -> Series:
        """No pieces."""
        return Series(period=self.period, filter=self.filter, unit=self.period.unit(), points=())

    @cached_property
    def before(self) -> Series | None:
        """None."""
        return None

    @cached_property
    def countries(self) -> Breakdown:
        """None."""
        return Breakdown(period=self.period, filter=self.filter, by="country", total=0, values=0, shares=())

    def latest(self, limit: int = FEED) -> Latest:
        """No events."""
        return Latest(period=self.period, filter=self.filter, events=())

    def table(self, key: str, limit: int | None = None) -> Table:
        """An empty one."""
        return Table(key=key, heading=key.capitalize(), heads=(), rows=())


class Shelf:
    """The numbers of the packages of a page.

    Args:
        stats: who answers.
        sheet: of all of them together.
    """

    def __init__(self, stats: Statistics, sheet: Sheet) -> None:
        self._stats = stats
        self.sheet = sheet

    def shares(self) -> dict[str, Share]:
        """Return what is counted of each package."""
        if isinstance(self.sheet, EmptySheet):
            return {}
        found = self._stats.breakdown(self.sheet.period, "package", self.sheet.filter, MOST_ROWS)
        return {share.value: share for share in found.shares if share.value is not None}

    def days(self) -> dict[str, Sequence[int]]:
        """Return how each went."""
        if isinstance(self.sheet, EmptySheet):
            return {}
        return dict(self._stats.each_day(self.sheet.period, self.sheet.filter))


def shelf_table(shelf: Shelf, known: Sequence[Known], search: str = "", limit: int | None = None) -> Table:
    """Return the packages, those of which most is counted first, and those of which nothing is too.

    Args:
        shelf: their numbers.
        known: packages that there are, whether anything is counted of them or not.
        search: what their names have in them, whatever the letters' case.
        limit: how many of them.
    """
    shares, days = shelf.shares(), shelf.days()
    types = {one.key: one for one in known}
    named = dict.fromkeys([*shares, *types])
    wanted = [key for key in named if search.casefold() in f"{key} {types[key].name if key in types else ''}".casefold()]
    nothing = Share(None, 0, 0, 0)
    wanted.sort(key=lambda key: -shares.get(key, nothing).count)
    rows = []
    for key in wanted[:limit]:
        share = shares.get(key, nothing)
        kind = types[key].type if key in types else None
        told = change(share.count, share.before)
        cells = (key, kind or None, spark_svg(days.get(key, ())), share.count, share.before, told, share.sources)
        rows.append(Row(cells, key))
    names = {one.key: one.name for one in known}
    return Table(
        key="package",
        heading="Packages",
        heads=_HEADS,
        rows=tuple(rows),
        by="package",
        number=len(wanted),
        names=lambda key: names.get(key, key),
    )
