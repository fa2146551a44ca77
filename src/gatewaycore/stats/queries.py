"""The queries: every question written once, in SQLAlchemy Core, over any table that has an event's columns.

What has no value is NULL in one store and an empty text in another: here it is always the empty text where values are shown or grouped,
and always NULL where they are counted. Ties are settled by the value, and texts are ordered by their characters' numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Any, Final

import sqlalchemy as sa
from attrs import field, frozen
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.sql.selectable import FromClause, Select, Subquery

from gatewaycore.stats import policy
from gatewaycore.stats.dialects import Bytewise, Distinct, DistinctNumbers, Moment, Quotient, Seconds, Variable
from gatewaycore.stats.folds import Folds
from gatewaycore.stats.periods import DAY_S, HOUR_S, Period, Unit
from gatewaycore.stats.questions import Filter, variable_of

Query = Select[Any]
Column = ColumnElement[Any]

TEXTS: Final = (
    "id", "domain", "package", "package_type", "rule", "kind", "method", "target", "version", "platform", "arch", "page", "client",
    "client_version", "client_runtime", "os", "device", "agent", "country", "region", "city", "company", "company_domain", "connection",
    "cloud", "origin_id", "endpoint_id",
)  # fmt: skip
_NUMBERS: Final = ("status", "seconds", "n")
COLUMNS: Final = (*TEXTS, *_NUMBERS, "time", "confidence", "variables")
"""What a table of events may be asked for."""


def whole(number: int) -> Column:
    """Return a whole number, of as many bytes as there may be."""
    return sa.literal(number, sa.BigInteger())


def _within(table: FromClause, since: int, until: int) -> Column:
    return sa.and_(table.c.time >= Moment(whole(since)), table.c.time < Moment(whole(until)))


@frozen(eq=False)
class Relation:
    """Events as a store has them.

    Attributes:
        table: with an event's columns.
        seconds: when, in seconds since the epoch.
        amount: how many events a row stands for.
        within: the condition that they are of a time, from a second on and before another.
        is_counted: whether it holds only what counts, but for who does.
        usual: whether an event counts where a question names neither measures nor agents; None where that is not kept.
        company: a number for what a company is told from others by; None where there is none, and its text is compared.
        numbers: the highest of the numbers that callers and companies have; 0 where they have none.
        folds: weeks of the same that were folded before; None where there are none.
    """

    table: FromClause
    seconds: Column
    amount: Column = field(factory=lambda: sa.literal_column("1", sa.BigInteger()))
    within: Callable[[FromClause, int, int], Column] = _within
    is_counted: bool = False
    usual: Column | None = None
    company: Column | None = None
    numbers: int = 0
    folds: Folds | None = None


def relation(table: FromClause) -> Relation:
    """Return the relation of a table in which each row is an event."""
    return Relation(table, Seconds(table.c.time))


def event_columns() -> list[sa.ColumnClause[Any]]:
    """Return the columns of a table of events."""
    return [sa.column(name, sa.Text() if name in TEXTS else None) for name in COLUMNS if name not in ("seconds", "n")]


# --- the parts of a question -----------------------------------------------------------------------------------------------


def text_of(column: Column) -> Column:
    """Return a text that is never NULL."""
    return sa.func.coalesce(column, "")


def _is_sure(events: Relation, confidence: float) -> Column:
    return sa.or_(events.table.c.confidence.is_(None), events.table.c.confidence >= confidence)


def company_of(events: Relation, confidence: float) -> Column:
    """Return the text by which companies are told apart; empty where there is none."""
    table = events.table
    known = text_of(sa.func.coalesce(sa.func.nullif(table.c.company_domain, ""), table.c.company))
    return sa.case((_is_sure(events, confidence), known), else_="")


def _whichcompany_of(events: Relation, confidence: float) -> Column:
    """Return what tells companies apart, and is NULL where there is none: a number where there is one, for there are fewer bytes to it."""
    if events.company is None:
        return sa.func.nullif(company_of(events, confidence), "")
    return sa.case((_is_sure(events, confidence), events.company), else_=sa.null())


def dimension(events: Relation, name: str, confidence: float) -> Column:
    """Return the value of a column or a variable; never NULL."""
    variable = variable_of(name)
    if variable is not None and name not in events.table.c:
        return text_of(Variable(events.table.c.variables, sa.literal(variable, sa.Text())))
    return company_of(events, confidence) if name == "company" else text_of(events.table.c[name])


def _when(events: Relation, period: Period, before: Period | None) -> Column:
    """Return the condition that an event is in a period, or in the one before: one stretch of time, with a gap where that ended sooner."""
    since, until = period.seconds
    if before is None:
        return events.within(events.table, since, until)
    stretch = events.within(events.table, before.seconds[0], until)
    end = before.seconds[1]
    return stretch if end == since else sa.and_(stretch, sa.or_(events.seconds < whole(end), events.seconds >= whole(since)))


def counts(events: Relation, asked: Filter, when: Column) -> Column:
    """Return the condition that an event counts: `policy.measure_of`, in SQL, and what the filter narrows it by.

    Args:
        events: of which.
        asked: what they are narrowed by.
        when: the condition that it is of the time that is asked for.
    """
    table = events.table
    conditions = [when]
    if events.usual is not None and set(asked.measures) == set(policy.USES) and set(asked.agents) == set(policy.AGENTS):
        conditions.append(events.usual)
    else:
        conditions += [table.c.kind.in_(asked.measures), table.c.agent.in_(asked.agents)]
    if not events.is_counted:
        conditions += [
            table.c.method.not_in(policy.UNCOUNTED_METHODS),
            table.c.status.between(policy.FIRST_STATUS, policy.LAST_STATUS),
            table.c.status != policy.NOT_MODIFIED,
        ]
    if asked.packages:
        conditions.append(table.c.package.in_(asked.packages))
    by_name: dict[str, list[str]] = {}
    for name, value in asked.only:
        by_name.setdefault(name, []).append(value)
    conditions += [dimension(events, name, asked.confidence).in_(values) for name, values in by_name.items()]
    return sa.and_(*conditions)


def counted_when(events: Relation, asked: Filter, when: Column, **more: Column) -> Subquery:
    """Return the events that count: what of them is counted, and `more`, under these names."""
    table = events.table
    columns = {
        "kind": table.c.kind,
        "n": events.amount,
        "source": _known(table.c.origin_id),
        "endpoint": _known(table.c.endpoint_id),
        "company": _whichcompany_of(events, asked.confidence),
        **more,
    }
    chosen = [column.label(name) for name, column in columns.items()]
    return sa.select(*chosen).where(counts(events, asked, when)).subquery("counted")


def _counted(events: Relation, asked: Filter, period: Period, before: Period | None = None, **more: Column) -> Subquery:
    return counted_when(events, asked, _when(events, period, before), **more)


def _known(column: Column) -> Column:
    return column if isinstance(column.type, sa.Integer) else sa.func.nullif(column, "")


def piece_of(seconds: Column, period: Period, unit: Unit, week_start: int) -> Column:
    """Return which piece of a period a moment is in, as `Period.keys` has them."""
    (_, first), *later = period.offsets()
    offset: Column = whole(first)
    if later:
        whens = [(seconds < second, before) for (second, _), before in zip(later, [first, *(one for _, one in later)], strict=False)]
        offset = sa.case(*((when, whole(value)) for when, value in whens), else_=later[-1][1])
    local = seconds + offset
    if unit == "hour":
        hour: Column = Quotient(local, whole(HOUR_S)) * HOUR_S - offset
        # An hour that a change by half an hour cuts in two: what comes after begins with the change.
        cuts = [second for second, ahead in later if (second + ahead) % HOUR_S]
        return sa.case(*((sa.and_(hour < cut, seconds >= cut), whole(cut)) for cut in cuts), else_=hour) if cuts else hour
    day: Column = Quotient(local, whole(DAY_S))
    if unit == "day":
        return day
    keys = period.keys(unit, week_start)
    if len(keys) < 2:
        return whole(keys[0] if keys else 0)
    return sa.case(*((day < after, whole(key)) for key, after in pairwise(keys)), else_=keys[-1])


UNIQUES: Final = ("sources", "endpoints", "companies")
_MEASURES: Final = {"downloads": "download", "pulls": "pull", "views": "view", "installs": "install", "events": "event"}


def _figures(counted: Subquery, uniques: Iterable[str], distinct: Callable[[Column], Column]) -> list[Column]:
    count = {"count": sa.func.coalesce(sa.func.sum(counted.c.n), 0)}
    of_each = {
        name: sa.func.coalesce(sa.func.sum(sa.case((counted.c.kind == kind, counted.c.n), else_=0)), 0) for name, kind in _MEASURES.items()
    }
    different = {"sources": counted.c.source, "endpoints": counted.c.endpoint, "companies": counted.c.company}
    found = {**count, **of_each, **{name: distinct(column) for name, column in different.items() if name in uniques}}
    return [column.label(name) for name, column in found.items()]


_MOST_BITS: Final = 512 * 1024 * 1024


def _exactly(events: Relation, groups: int) -> Callable[[Column], Column]:
    """Return what counts different values in each of so many groups: numbers by a bit for each, if memory has room for them."""
    if 0 < events.numbers * groups <= _MOST_BITS:
        return lambda column: DistinctNumbers(column, whole(events.numbers))
    return Distinct


# --- questions -------------------------------------------------------------------------------------------------------------


def totals(events: Relation, asked: Filter, period: Period, uniques: Iterable[str] = UNIQUES) -> Query:
    """Ask for figures of a period, and of the one before: rows with 1 and 0 as their `key`, if there was anything."""
    counted = _counted(events, asked, period, period.before, key=is_now(events.seconds, period))
    return sa.select(counted.c.key.label("key"), *_figures(counted, uniques, _exactly(events, 2))).group_by(counted.c.key)


def is_now(seconds: Column, period: Period) -> Column:
    """Return 1 for what is in a period, and 0 for what is in the one before."""
    return sa.case((seconds >= whole(period.seconds[0]), whole(1)), else_=whole(0))


def series(
    events: Relation,
    asked: Filter,
    period: Period,
    unit: Unit,
    week_start: int = 0,
    uniques: Iterable[str] = UNIQUES,
    when: Column | None = None,
) -> Query:
    """Ask for figures of each piece of a period in which there was anything, with its `key`; of a part of it where it is said when."""
    when = _when(events, period, None) if when is None else when
    counted = counted_when(events, asked, when, key=piece_of(events.seconds, period, unit, week_start))
    distinct = _exactly(events, len(period.keys(unit, week_start)))
    return sa.select(counted.c.key.label("key"), *_figures(counted, uniques, distinct)).group_by(counted.c.key)


def breakdown(events: Relation, asked: Filter, period: Period, by: str, limit: int | None) -> Query:
    """Ask for the values of a dimension that there are in a period, the most frequent first.

    Each row has the value's events, its sources, its events in the period before; how many values there are, and events of all of them.
    """
    value = dimension(events, by, asked.confidence)
    counted = _counted(events, asked, period, period.before, key=is_now(events.seconds, period), value=value)
    now = counted.c.key == 1
    each = (
        sa.select(
            counted.c.value.label("value"),
            sa.func.sum(sa.case((now, counted.c.n), else_=0)).label("n"),
            # How many values there are is not known: by a bit for each caller, they might need more memory than there is.
            Distinct(sa.case((now, counted.c.source), else_=sa.null())).label("sources"),
            sa.func.sum(sa.case((now, 0), else_=counted.c.n)).label("before"),
        )
        .group_by(counted.c.value)
        .subquery("each_value")
    )
    return most_frequent(each, limit)


def most_frequent(each: Subquery, limit: int | None) -> Query:
    """Return the rows of a breakdown, of what was counted of each value."""
    number, total = sa.func.count().over().label("number"), sa.func.sum(each.c.n).over().label("total")
    query = sa.select(each.c.value, each.c.n, each.c.sources, each.c.before, number, total).where(each.c.n > 0)
    return query.order_by(each.c.n.desc(), Bytewise(each.c.value)).limit(limit)


def each_package(events: Relation, asked: Filter, period: Period, uniques: Iterable[str]) -> Query:
    """Ask for figures of each package that has any, with its name as `value`."""
    counted = _counted(events, asked, period, value=text_of(events.table.c.package))
    return sa.select(counted.c.value.label("value"), *_figures(counted, uniques, Distinct)).group_by(counted.c.value)


def of_each_day(events: Relation, asked: Filter, period: Period, when: Column | None = None) -> Query:
    """Ask for the counts of each package on each day on which it had any; of a part of the period where it is said when."""
    when = _when(events, period, None) if when is None else when
    counted = counted_when(events, asked, when, key=piece_of(events.seconds, period, "day", 0), value=text_of(events.table.c.package))
    columns = (counted.c.value.label("value"), counted.c.key.label("key"), sa.func.sum(counted.c.n).label("n"))
    return sa.select(*columns).group_by(counted.c.value, counted.c.key)


def companies(events: Relation, asked: Filter, period: Period, limit: int | None) -> Query:
    """Ask for the companies of a period, the most frequent first."""
    table = events.table
    package = sa.func.nullif(table.c.package, "")
    more = {
        "text": sa.func.nullif(company_of(events, asked.confidence), ""),
        "name": text_of(table.c.company),
        "sure": table.c.confidence,
        "at": events.seconds,
        "package": package,
    }
    counted = _counted(events, asked, period, None, **more)
    key = counted.c.text
    query = sa.select(
        key.label("key"),
        sa.func.max(Bytewise(counted.c.name)).label("name"),
        sa.func.max(counted.c.sure).label("confidence"),
        sa.func.sum(counted.c.n).label("count"),
        Distinct(counted.c.source).label("sources"),
        Distinct(counted.c.package).label("packages"),
        sa.func.min(counted.c.at).label("first"),
        sa.func.max(counted.c.at).label("last"),
        sa.func.count().over().label("number"),
    )
    return query.where(key.is_not(None)).group_by(key).order_by(sa.desc(sa.literal_column("count")), Bytewise(key)).limit(limit)


def retention(events: Relation, asked: Filter, period: Period, limit: int | None) -> Query:
    """Ask for versions: how many endpoints have fetched each, and for how many it is the last one.

    Of two versions in the same second, the one whose text is greater is the later.
    """
    counted = _counted(events, asked, period, version=text_of(events.table.c.version), at=events.seconds)
    last = sa.func.max(counted.c.at).label("at")
    pair = sa.select(counted.c.endpoint, counted.c.version, last).where(counted.c.endpoint.is_not(None))
    fetched = pair.group_by(counted.c.endpoint, counted.c.version).subquery("fetched")
    rank = sa.func.row_number().over(partition_by=fetched.c.endpoint, order_by=[fetched.c.at.desc(), Bytewise(fetched.c.version).desc()])
    ranked = sa.select(fetched.c.version, rank.label("place")).subquery("ranked")
    endpoints, stayed = sa.func.count(), sa.func.sum(sa.case((ranked.c.place == 1, 1), else_=0))
    query = sa.select(ranked.c.version.label("version"), endpoints.label("endpoints"), stayed.label("stayed")).group_by(ranked.c.version)
    return query.order_by(sa.desc(sa.literal_column("endpoints")), Bytewise(ranked.c.version)).limit(limit)


SEEN: Final = ("package", "version", "platform", "arch", "country", "company", "client", "client_version", "agent", "page")
"""What is told of an event by itself, besides when it was, as what it counts, and its variables."""


def latest(events: Relation, asked: Filter, period: Period, limit: int) -> Query:
    """Ask for the last events of a period that count."""
    table = events.table
    columns = [dimension(events, name, asked.confidence).label(f"shown_{name}") for name in SEEN]
    query = sa.select(table.c.id, events.seconds.label("at"), table.c.kind, *columns, table.c.variables)
    order = table.c.time.desc(), Bytewise(sa.cast(table.c.id, sa.Text())).desc()
    return query.where(counts(events, asked, _when(events, period, None))).order_by(*order).limit(limit)


def packages(events: Relation) -> Query:
    """Ask for one row for each package of which there is any event."""
    return sa.select(events.table.c.package).distinct().select_from(events.table)


def first_event(events: Relation, packages: Sequence[str] = ()) -> Query:
    """Ask for one row: the second of the first event that there is; NULL, or zero, when there is none."""
    query = sa.select(sa.func.min(events.seconds).label("first")).select_from(events.table)
    return query.where(events.table.c.package.in_(packages)) if packages else query
