"""Statistics: questions -> answers, whichever store holds the events."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import attrs

from gatewaycore.stats import folded, queries
from gatewaycore.stats.periods import Period, Unit
from gatewaycore.stats.queries import UNIQUES
from gatewaycore.stats.questions import (
    ALL,
    Breakdown,
    Companies,
    Company,
    Figures,
    Filter,
    Kept,
    Latest,
    Point,
    Retention,
    Seen,
    Series,
    Share,
    Totals,
)
from gatewaycore.stats.stores import Store

# Where the last events are looked for first: a store need not look at a year for twenty of them.
_LAST_DAYS = (1, 8)
_NAMES = ("count", "downloads", "pulls", "views", "installs", "events")


class Statistics:
    """Answers questions about events. Threads share it.

    Args:
        store: where the events are; closed with this.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def totals(self, period: Period, asked: Filter = ALL, uniques: Collection[str] = UNIQUES) -> Totals:
        """Count a period, and the one before.

        Args:
            period: when.
            asked: which events.
            uniques: what is told apart, of `UNIQUES`: each takes its time.
        """
        rows = self._store.ask(lambda events: folded.totals(events, asked, period, uniques), _columns(asked))
        found = {int(row[0]): _figures(row[1:], uniques) for row in rows}
        before = None if period.before is None else found.get(0, Figures())
        return Totals(period=period, filter=asked, now=found.get(1, Figures()), before=before)

    def series(
        self, period: Period, unit: Unit | None = None, asked: Filter = ALL, uniques: Collection[str] = UNIQUES, week_start: int = 0
    ) -> Series:
        """Count each hour, day, week or month of a period; those in which there was nothing too.

        Args:
            period: when.
            unit: of the pieces; what suits the period's length without.
            asked: which events.
            uniques: what is told apart.
            week_start: the first day of the week: 0 is Monday, 6 Sunday.
        """
        unit = unit or period.unit()
        rows = self._store.ask(lambda events: folded.series(events, asked, period, unit, week_start, uniques), _columns(asked))
        found = {int(row[0]): _figures(row[1:], uniques) for row in rows}
        pairs = zip(period.keys(unit, week_start), period.starts(unit, week_start), strict=True)
        points = tuple(Point(start, found.get(key, Figures())) for key, start in pairs)
        return Series(period=period, filter=asked, unit=unit, points=points)

    def breakdown(self, period: Period, by: str, asked: Filter = ALL, limit: int | None = 20) -> Breakdown:
        """Count each value of a dimension, and the same values in the period before.

        Args:
            period: when.
            by: a dimension, or ``variables.NAME``.
            asked: which events.
            limit: how many values; all without.
        """
        rows = self._store.ask(lambda events: folded.breakdown(events, asked, period, by, limit), _columns(asked, by))
        was = period.before is not None
        shares = tuple(Share(value or None, int(n), int(sources), int(before) if was else None) for value, n, sources, before, *_ in rows)
        number, total = rows[0][4:] if rows else (0, 0)
        return Breakdown(period=period, filter=asked, by=by, total=int(total), values=int(number), shares=shares)

    def companies(self, period: Period, asked: Filter = ALL, limit: int | None = 20) -> Companies:
        """Tell the companies of a period, the most frequent first."""
        rows = self._store.ask(lambda events: folded.companies(events, asked, period, limit), _columns(asked))
        found = tuple(
            Company(
                key=key,
                name=name or None,
                confidence=None if confidence is None else float(confidence),
                count=int(count),
                sources=int(sources),
                packages=int(packages),
                first_seen=datetime.fromtimestamp(first, period.zone),
                last_seen=datetime.fromtimestamp(last, period.zone),
            )
            for key, name, confidence, count, sources, packages, first, last, _ in rows
        )
        number = int(rows[0][-1]) if rows else 0
        return Companies(period=period, filter=asked, number=number, companies=found)

    def retention(self, period: Period, package: str, asked: Filter = ALL, limit: int | None = 20) -> Retention:
        """Tell, for each version of a package, how many endpoints have fetched it, and how many have fetched another one since."""
        asked = attrs.evolve(asked, packages=(package,))
        rows = self._store.ask(lambda events: queries.retention(events, asked, period, limit), _columns(asked, "version"))
        kept = tuple(Kept(version or None, int(n), int(stayed), int(n) - int(stayed)) for version, n, stayed in rows)
        return Retention(period=period, filter=asked, package=package, versions=kept)

    def each_package(self, period: Period, figure: str, asked: Filter = ALL) -> Mapping[str, int]:
        """Return one of `Figures` for each package that has any: one question, however many packages there are."""
        uniques = (figure,) if figure in UNIQUES else ()
        rows = self._store.ask(lambda events: queries.each_package(events, asked, period, uniques), _columns(asked))
        return {row[0]: getattr(_figures(row[1:], uniques), figure) for row in rows if row[0]}

    def each_day(self, period: Period, asked: Filter = ALL) -> Mapping[str, Sequence[int]]:
        """Return the counts of each package for each day of a period, the oldest first: one question for all of them."""
        place = {key: number for number, key in enumerate(period.keys("day"))}
        found: dict[str, list[int]] = {}
        for package, key, count in self._store.ask(lambda events: folded.of_each_day(events, asked, period), _columns(asked)):
            if package:
                found.setdefault(package, [0] * len(place))[place[int(key)]] = int(count)
        return found

    def latest(self, period: Period, asked: Filter = ALL, limit: int = 20) -> Latest:
        """Tell the last events of a period that count, the newest first: those of its last day, if they are enough."""
        rows: Sequence[Sequence[Any]] = ()
        for part in _ends(period):
            rows = self._store.ask(lambda events, part=part: queries.latest(events, asked, part, limit), _columns(asked, "id", "variables"))  # type: ignore[misc]
            if len(rows) >= limit:
                break
        return Latest(period=period, filter=asked, events=tuple(_seen(row, period.zone) for row in rows))

    def first_event(self, packages: Sequence[str] = ()) -> datetime | None:
        """Return when the first event of packages was, whether it counts or not, to the second; None when there is none."""
        (first,) = _row(self._store.ask(lambda events: queries.first_event(events, packages), ("time",)), 1)
        return datetime.fromtimestamp(int(first), UTC) if first else None

    def packages(self) -> frozenset[str]:
        """Return the packages of which there are events, whether these count or not. It reads all there is."""
        return frozenset(row[0] for row in self._store.ask(queries.packages, ("package",)) if row[0])

    def refresh(self) -> None:
        """Read into rollups what the lake has that is not there; may take long, and questions are answered meanwhile."""
        self._store.refresh()

    def stop(self) -> None:
        """End what another thread asks or reads, within moments where the lake is asked: it raises `gatewaycore.stats.StoppedError`."""
        self._store.stop()

    def close(self) -> None:
        """Close the store."""
        self._store.close()


def _ends(period: Period) -> Iterator[Period]:
    """Yield the ends of a period, each longer than the one before it, and all of it last."""
    for days in _LAST_DAYS:
        since = period.until - timedelta(days=days)
        if since > period.since:
            yield attrs.evolve(period, since=since)
    yield period


def _seen(row: Sequence[Any], zone: ZoneInfo) -> Seen:
    id_, at, measure, *columns, variables = row
    told = {name: value or None for name, value in zip(queries.SEEN, columns, strict=True)}
    at = datetime.fromtimestamp(at, zone)
    return Seen(id=str(id_), at=at, measure=measure, variables={str(k): str(v) for k, v in (variables or {}).items()}, **told)


def _figures(row: Sequence[Any], uniques: Iterable[str]) -> Figures:
    names = [*_NAMES, *(name for name in UNIQUES if name in uniques)]
    return Figures(**{name: int(value or 0) for name, value in zip(names, row, strict=True)})


def _columns(asked: Filter, *more: str) -> tuple[str, ...]:
    return (*(name for name, _ in asked.only), *more)


def _row(rows: Sequence[Sequence[Any]], width: int) -> Sequence[Any]:
    return rows[0] if rows else (0,) * width
