"""The same questions, of weeks that were folded before as far as there are any, and of rows for what is beside them.

A week is used where it lies in one piece of what is asked: in the period or in the one before, in one month of a series. What is left, up
to six days at each end and the week that goes on, is counted of rows, into bits like those of the weeks. A question that is narrowed by
more than packages, or that names measures or agents, goes to the rows altogether.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Final

import sqlalchemy as sa
from attrs import field, frozen
from sqlalchemy.sql.selectable import Subquery

from gatewaycore.stats import policy, queries
from gatewaycore.stats.dialects import Bytewise
from gatewaycore.stats.folds import CALLERS, CHUNK, CHUNK_BITS, OTHERS, WEEK_S, Folds
from gatewaycore.stats.periods import DAY_S, Period, Unit, seconds_of
from gatewaycore.stats.policy import USES
from gatewaycore.stats.queries import UNIQUES, Column, Query, Relation, whole
from gatewaycore.stats.questions import Filter, variable_of

_ANY: Final = "origin_id"
_Stretch = tuple[int, int]


@frozen(eq=False)
class _Plan:
    """What is counted of what.

    Attributes:
        events: the rows.
        asked: what they are narrowed by.
        folds: the weeks.
        weeks: those that are used, as stretches of seconds.
        rest: the stretches that are counted of rows.
    """

    events: Relation
    asked: Filter
    folds: Folds
    weeks: list[_Stretch] = field(factory=list)
    rest: list[_Stretch] = field(factory=list)

    def table(self, of: str, is_of_each: bool = False) -> sa.TableClause:
        """Return a table of weeks, of callers or of what is folded: of all packages together where that is enough."""
        return self.folds.table(f"{of}_each" if is_of_each or self.asked.packages else f"{of}_all")

    def chosen(self, table: sa.TableClause) -> Column:
        """Return the condition that a row of a table of weeks is asked for."""
        conditions = [_among(table.c.week, self.weeks)]
        if self.asked.packages:
            conditions.append(table.c.package.in_(self.asked.packages))
        return sa.and_(*conditions)

    def rows(self, **columns: Column) -> Subquery | None:
        """Return the rows beside the weeks, those among them that only the journal has; None where there are none."""
        conditions = [_within(self.events, self.rest)] if self.rest else []
        if self.folds.live:
            conditions.append(sa.and_(self.events.table.c.is_live, _within(self.events, self.weeks)))
        return queries.counted_when(self.events, self.asked, sa.or_(*conditions), **columns) if conditions else None


def _within(events: Relation, stretches: Iterable[_Stretch]) -> Column:
    return sa.or_(*(events.within(events.table, *stretch) for stretch in stretches))


def _among(column: Column, stretches: Iterable[_Stretch]) -> Column:
    return sa.or_(*(sa.and_(column >= whole(begin), column < whole(end)) for begin, end in stretches))


def _plan(events: Relation, asked: Filter, names: Iterable[str], pieces: Iterable[_Stretch], length: int = WEEK_S) -> _Plan | None:
    """Return what is counted of weeks that have all of these dimensions folded; None where rows have to do.

    Args:
        events: the rows, and the weeks.
        asked: what they are narrowed by.
        names: dimensions.
        pieces: of time, none of which a week may reach out of.
        length: of what lies in a piece: a week, or a day of one.
    """
    # Events without a package have an empty one here, and may have none in a store.
    if (
        events.folds is None
        or asked.only
        or "" in asked.packages
        or set(asked.measures) != set(USES)
        or set(asked.agents) != set(policy.AGENTS)
    ):
        return None
    weeks = frozenset.intersection(*(_folded(events.folds, name) for name in names))
    plan = _Plan(events, asked, events.folds)
    for begin, end in pieces:
        at = begin
        for start in _starts(events.folds, weeks, length, begin, end):
            _add(plan.rest, at, start)
            _add(plan.weeks, start, start + length)
            at = start + length
        _add(plan.rest, at, end)
    return plan if plan.weeks else None


def _folded(folds: Folds, name: str) -> frozenset[int]:
    known = folds.by_dimension.get(name, frozenset())
    if variable_of(name) is None:
        return known
    # Weeks in which nothing had it are as good.
    return known | _absent(folds, name)


def _absent(folds: Folds, name: str) -> frozenset[int]:
    """Return the weeks in which no event has a variable."""
    nothing: frozenset[int] = frozenset()
    return folds.weeks - folds.by_dimension.get(name, nothing) - folds.refused.get(name, nothing) - folds.refused.get(OTHERS, nothing)


def _starts(folds: Folds, weeks: frozenset[int], length: int, begin: int, end: int) -> list[int]:
    if length == WEEK_S:
        return sorted(week for week in weeks if begin <= week and week + WEEK_S <= end)
    # What a day has is a number already: no row can be added to it.
    parts = (second for week in weeks for second in range(week, week + WEEK_S, length) if second not in folds.live)
    return sorted(second for second in parts if begin <= second and second + length <= end)


def _add(stretches: list[_Stretch], begin: int, end: int) -> None:
    if begin >= end:
        return
    if stretches and stretches[-1][1] == begin:
        begin = stretches.pop()[0]
    stretches.append((begin, end))


def _both(period: Period) -> list[_Stretch]:
    before = period.before
    return [period.seconds] if before is None else [before.seconds, period.seconds]


def _pieces(period: Period, unit: Unit, week_start: int) -> list[_Stretch]:
    since, until = period.seconds
    starts = [max(since, seconds_of(start)) for start in period.starts(unit, week_start)]
    return list(zip(starts, [*starts[1:], until], strict=True)) if starts else []


def _bits(number: Column) -> tuple[Column, Column]:
    """Return the piece that a caller's number is in, and the bits of all callers of a group."""
    within = sa.cast(number, sa.Integer()).op("&")(sa.literal_column(str(CHUNK - 1)))
    bits = sa.func.bitstring_agg(within, sa.literal_column("0"), sa.literal_column(str(CHUNK - 1)))
    return sa.cast(number, sa.Integer()).op(">>")(sa.literal_column(str(CHUNK_BITS))), bits


def _different(table: Any) -> Column:
    return sa.func.coalesce(sa.func.bit_count(sa.func.bit_or(table.c.bits)), 0)


# --- questions -------------------------------------------------------------------------------------------------------------


def totals(events: Relation, asked: Filter, period: Period, uniques: Collection[str] = UNIQUES) -> Query:
    """Ask for what `queries.totals` does."""
    plan = _plan(events, asked, _callers(asked, uniques), _both(period))
    if plan is None:
        return queries.totals(events, asked, period, uniques)
    return _figures(plan, lambda seconds: queries.is_now(seconds, period), uniques)


def series(events: Relation, asked: Filter, period: Period, unit: Unit, week_start: int = 0, uniques: Collection[str] = UNIQUES) -> Query:
    """Ask for what `queries.series` does."""
    pieces = _pieces(period, unit, week_start)
    plan = None
    if unit == "day" and len(asked.packages) < 2 and _is_utc(period):
        plan = _plan(events, asked, _callers(asked, uniques), pieces, DAY_S)
        if plan is not None:
            return _days(plan, period, uniques)
    if unit in ("week", "month"):
        plan = _plan(events, asked, _callers(asked, uniques), pieces)
    if plan is None:
        return queries.series(events, asked, period, unit, week_start, uniques)
    return _figures(plan, lambda seconds: queries.piece_of(seconds, period, unit, week_start), uniques)


def _is_utc(period: Period) -> bool:
    return all(offset == 0 for _, offset in period.offsets())


def _callers(asked: Filter, uniques: Collection[str]) -> list[str]:
    names = [CALLERS[name] for name in UNIQUES if name in uniques]
    # How sure a company has to be is settled in what is folded.
    return ["?"] if "companies" in uniques and asked.confidence != policy.CONFIDENCE else names or [_ANY]


def _figures(plan: _Plan, key: Callable[[Column], Column], uniques: Collection[str]) -> Query:
    names = _callers(plan.asked, uniques)
    table = plan.table("callers")
    counts = [table.c[kind] for kind in USES]
    of_weeks = sa.select(key(table.c.week).label("key"), table.c.dimension, table.c.chunk, table.c.bits, *counts)
    parts = [of_weeks.where(table.c.dimension.in_(names), plan.chosen(table))]
    beside = plan.rows(key=key(plan.events.seconds))
    if beside is not None:
        # Read once, and not for each of the callers.
        rows = sa.select(beside).cte("beside")
        numbers = {"origin_id": rows.c.source, "endpoint_id": rows.c.endpoint, "company_key": rows.c.company}
        parts += [_figures_of_rows(rows, name, numbers[name]) for name in names]
    part = sa.union_all(*parts).subquery("parts")
    sums = [sa.func.sum(part.c[kind]).label(kind) for kind in USES]
    merged = (
        sa.select(part.c.key, part.c.dimension, _different(part).label("different"), *sums)
        .group_by(part.c.key, part.c.dimension, part.c.chunk)
        .subquery("merged")
    )
    once = {kind: sa.func.sum(sa.case((merged.c.dimension == names[0], merged.c[kind]), else_=0)) for kind in USES}
    different = {
        name: sa.func.sum(sa.case((merged.c.dimension == CALLERS[name], merged.c.different), else_=0))
        for name in UNIQUES
        if name in uniques
    }
    return sa.select(merged.c.key, *_named(once, different)).group_by(merged.c.key)


def _figures_of_rows(rows: sa.CTE, name: str, number: Column) -> Query:
    chunk, bits = _bits(number)
    counts = [sa.func.sum(sa.case((rows.c.kind == kind, rows.c.n), else_=0)).label(kind) for kind in USES]
    columns = [rows.c.key, sa.literal(name, sa.Text()).label("dimension"), chunk.label("chunk"), bits.label("bits"), *counts]
    return sa.select(*columns).group_by(rows.c.key, chunk)


def _named(once: Mapping[Any, Column], different: Mapping[str, Column]) -> list[Column]:
    """Return figures in the order in which `queries` has them."""
    download, pull, view = (once[kind] for kind in USES)
    nothing: Column = sa.literal_column("0")
    return [download + pull + view, download, pull, view, nothing, nothing, *different.values()]


def _days(plan: _Plan, period: Period, uniques: Collection[str]) -> Query:
    """Ask for days: what is known of each of them needs no others."""
    table = plan.folds.table("folded_days")
    package = table.c.package.is_(None) if not plan.asked.packages else table.c.package == plan.asked.packages[0]
    counts: dict[str, Column] = {kind: table.c[kind] for kind in USES}
    figures = _named(counts, {name: table.c[name] for name in UNIQUES if name in uniques})
    labels = [column.label(f"f{number}") for number, column in enumerate(figures)]
    of_days = sa.select(table.c.day.label("key"), *labels).where(package, _among(table.c.day * whole(DAY_S), plan.weeks))
    return _with_rest(plan, of_days, lambda when: queries.series(plan.events, plan.asked, period, "day", 0, uniques, when))


def of_each_day(events: Relation, asked: Filter, period: Period) -> Query:
    """Ask for what `queries.of_each_day` does."""
    plan = _plan(events, asked, [_ANY], _pieces(period, "day", 0), DAY_S) if _is_utc(period) else None
    if plan is None:
        return queries.of_each_day(events, asked, period)
    table = plan.folds.table("folded_days")
    conditions = [table.c.package.is_not(None), _among(table.c.day * whole(DAY_S), plan.weeks)]
    if asked.packages:
        conditions.append(table.c.package.in_(asked.packages))
    count = table.c.download + table.c.pull + table.c.view
    of_days = sa.select(table.c.package.label("value"), table.c.day.label("key"), count.label("n")).where(*conditions)
    return _with_rest(plan, of_days, lambda when: queries.of_each_day(events, asked, period, when))


def _with_rest(plan: _Plan, known: Query, rest: Callable[[Column], Query]) -> Query:
    if not plan.rest:
        return known
    when = _within(plan.events, plan.rest)
    both = sa.union_all(known, sa.select(rest(when).subquery("rest"))).subquery("both")
    return sa.select(both)


def breakdown(events: Relation, asked: Filter, period: Period, by: str, limit: int | None) -> Query:
    """Ask for what `queries.breakdown` does."""
    is_settled = by != "company" or asked.confidence == policy.CONFIDENCE
    plan = _plan(events, asked, [_ANY if by == "package" else by], _both(period)) if is_settled else None
    if plan is None:
        return queries.breakdown(events, asked, period, by, limit)

    def key(seconds: Column) -> Column:
        return queries.is_now(seconds, period)

    parts = _values(plan, by, key)
    rows = plan.rows(key=key(events.seconds), value=queries.dimension(events, by, asked.confidence))
    if rows is not None:
        chunk, bits = _bits(rows.c.source)
        columns = (chunk.label("chunk"), bits.label("bits"), sa.func.sum(rows.c.n).label("n"))
        parts.append(sa.select(rows.c.key, rows.c.value, *columns).group_by(rows.c.key, rows.c.value, chunk))
    part = sa.union_all(*parts).subquery("parts")
    figures = (_different(part).label("different"), sa.func.sum(part.c.n).label("n"))
    merged = sa.select(part.c.key, part.c.value, *figures).group_by(part.c.key, part.c.value, part.c.chunk).subquery("merged")
    is_now = merged.c.key == 1
    each = (
        sa.select(
            merged.c.value.label("value"),
            sa.func.sum(sa.case((is_now, merged.c.n), else_=0)).label("n"),
            sa.func.sum(sa.case((is_now, merged.c.different), else_=0)).label("sources"),
            sa.func.sum(sa.case((is_now, 0), else_=merged.c.n)).label("before"),
        )
        .group_by(merged.c.value)
        .subquery("each_value")
    )
    return queries.most_frequent(each, limit)


def _values(plan: _Plan, by: str, key: Callable[[Column], Column]) -> list[Query]:
    """Return the queries for what is folded of a dimension."""

    def of(table: sa.TableClause, name: str, value: Column) -> Query:
        count = table.c.download + table.c.pull + table.c.view
        columns = (key(table.c.week).label("key"), value.label("value"), table.c.chunk, table.c.bits, count.label("n"))
        return sa.select(*columns).where(table.c.dimension == sa.literal(name, sa.Text()), plan.chosen(table))

    if by == "package":
        table = plan.table("callers", is_of_each=True)
        return [of(table, _ANY, table.c.package)]
    table = plan.table("folded")
    found = [of(table, by, table.c.value)]
    if variable_of(by) is not None and (absent := _absent(plan.folds, by)):
        everything = plan.table("callers")
        without = everything.c.week.in_([whole(week) for week in sorted(absent)])
        found.append(of(everything, _ANY, sa.literal_column("''")).where(without))
    return found


def companies(events: Relation, asked: Filter, period: Period, limit: int | None) -> Query:
    """Ask for what `queries.companies` does: first which they are, then the sources of these alone."""
    plan = _plan(events, asked, ["company"], [period.seconds]) if asked.confidence == policy.CONFIDENCE else None
    if plan is None:
        return queries.companies(events, asked, period, limit)
    top = _top_companies(plan, limit)
    table = plan.table("folded")
    wanted = sa.select(top.c.key)
    of_weeks = sa.select(table.c.value, table.c.chunk, table.c.bits)
    parts = [of_weeks.where(table.c.dimension == "company", plan.chosen(table), table.c.value.in_(wanted))]
    rows = plan.rows(text=queries.company_of(events, asked.confidence))
    if rows is not None:
        chunk, bits = _bits(rows.c.source)
        columns = (rows.c.text.label("value"), chunk.label("chunk"), bits.label("bits"))
        parts.append(sa.select(*columns).where(rows.c.text.in_(wanted)).group_by(rows.c.text, chunk))
    part = sa.union_all(*parts).subquery("parts")
    merged = sa.select(part.c.value, _different(part).label("different")).group_by(part.c.value, part.c.chunk).subquery("merged")
    sources = sa.select(merged.c.value, sa.func.sum(merged.c.different).label("sources")).group_by(merged.c.value).subquery("of_each")
    first, last = (top.c.key, top.c.name, top.c.sure, top.c.n), (top.c.packages, top.c.first, top.c.last, top.c.number)
    query = sa.select(*first, sources.c.sources, *last).select_from(top.join(sources, sources.c.value == top.c.key))
    return query.order_by(top.c.n.desc(), Bytewise(top.c.key))


def _top_companies(plan: _Plan, limit: int | None) -> Any:
    table = plan.folds.table("folded_companies")
    names = ("key", "name", "confidence", "package", "n", "first", "last")
    parts = [sa.select(*(table.c[name] for name in names)).where(plan.chosen(table))]
    events = plan.events
    more = {"text": queries.company_of(events, plan.asked.confidence), "at": events.seconds}
    rows = plan.rows(name=events.table.c.company, sure=events.table.c.confidence, package=events.table.c.package, **more)
    if rows is not None:
        name, package = queries.text_of(rows.c.name), queries.text_of(rows.c.package)
        figures = (
            sa.func.max(name),
            sa.func.max(rows.c.sure),
            package,
            sa.func.sum(rows.c.n),
            sa.func.min(rows.c.at),
            sa.func.max(rows.c.at),
        )
        parts.append(sa.select(rows.c.text, *figures).where(rows.c.text != "").group_by(rows.c.text, package))
    part = sa.union_all(*parts).subquery("seen")
    count = sa.func.sum(part.c.n)
    query = sa.select(
        part.c.key,
        sa.func.max(part.c.name).label("name"),
        sa.func.max(part.c.confidence).label("sure"),
        count.label("n"),
        sa.func.count(sa.distinct(sa.func.nullif(part.c.package, ""))).label("packages"),
        sa.func.min(part.c.first).label("first"),
        sa.func.max(part.c.last).label("last"),
        sa.func.count().over().label("number"),
    )
    return query.group_by(part.c.key).order_by(count.desc(), Bytewise(part.c.key)).limit(limit).cte("top")
