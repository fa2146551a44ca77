"""Tables: answers -> rows, shown in a page and written as CSV. One table is both, so no number of a page is missing in its CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any, Final, Literal, TypeAlias

from attrs import frozen

from gatewaycore.exporting import no_formula
from gatewaycore.stats.questions import Breakdown, Companies, Latest, Retention, Series, Share
from gatewaycore.stats.report.contents import MEASURE_NAMES, change, heading_of, measures_of
from gatewaycore_asgi.console.world import country_name

Kind: TypeAlias = Literal["text", "number", "part", "percent", "change", "day", "moment", "drawn"]


@frozen
class Head:
    """A column.

    Attributes:
        name: as it stands above it.
        kind: how its values are shown.
        key: its name in CSV; None for what is shown only.
        shown: whether a page has it.
    """

    name: str
    kind: Kind = "text"
    key: str | None = None
    shown: bool = True


@frozen
class Row:
    """A row.

    Attributes:
        cells: a value for each column; None for what is not known.
        value: what it is about, to be narrowed by; see `Table.by`.
    """

    cells: tuple[Any, ...]
    value: str | None = None


@frozen(kw_only=True)
class Table:
    """A table.

    Attributes:
        key: its name in URLs.
        heading: above it.
        heads: its columns.
        rows: of them the first is a header.
        by: the dimension that its rows are values of; None where they are none.
        number: how many rows there are, shown or not.
        names: what values are called, where that is not what they are.
    """

    key: str
    heading: str
    heads: tuple[Head, ...]
    rows: tuple[Row, ...]
    by: str | None = None
    number: int = 0
    names: Callable[[str], str] = str

    @property
    def more(self) -> int:
        """How many rows are not shown."""
        return max(0, self.number - len(self.rows))

    @property
    def shown(self) -> tuple[tuple[int, Head], ...]:
        """The columns of a page, each with its place."""
        return tuple((place, head) for place, head in enumerate(self.heads) if head.shown)


def write_csv(table: Table) -> str:
    """Return a table as CSV (RFC 4180), with a header."""
    out = io.StringIO()
    writer = csv.writer(out)
    kept = [(place, head.key) for place, head in enumerate(table.heads) if head.key]
    writer.writerow([key for _, key in kept])
    writer.writerows([_cell(row.cells[place]) for place, _ in kept] for row in table.rows)
    return out.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, str):
        # As exports write it: what a spreadsheet would take for a formula is somebody's User-Agent.
        return no_formula(value)
    return "" if value is None else value


_SHARES: Final = (
    Head("Count", "number", "count"),
    Head("", "part"),
    Head("Share", "percent"),
    Head("Before", "number", "before", shown=False),
    Head("Change", "change"),
    Head("Sources", "number", "sources"),
)


def breakdown_table(answer: Breakdown, key: str | None = None, heading: str | None = None) -> Table:
    """Return the values of a dimension."""
    most = max([share.count for share in answer.shares] or [1])
    return Table(
        key=key or answer.by,
        heading=heading or heading_of(answer.by),
        heads=(Head(_one(answer.by), "text", answer.by), *_SHARES),
        rows=tuple(Row((share.value, *_share(share, most, answer.total)), share.value) for share in answer.shares),
        by=answer.by,
        number=answer.values,
        names=country_name if answer.by == "country" else str,
    )


def _share(share: Share, most: int, total: int) -> Iterator[Any]:
    yield share.count
    yield share.count / max(1, most)
    yield share.count / max(1, total)
    yield share.before
    yield change(share.count, share.before)
    yield share.sources


def _one(dimension: str) -> str:
    name = dimension.removeprefix("variables.")
    return name if name != dimension else name.replace("_", " ").capitalize()


def versions_table(answer: Breakdown, retention: Retention) -> Table:
    """Return the versions of a package, and who has stayed with each."""
    kept = {one.version: one for one in retention.versions}
    plain = breakdown_table(answer)

    def more(value: str | None) -> tuple[Any, ...]:
        one = kept.get(value)
        return (None, None, None) if one is None else (one.stayed, one.stayed / max(1, one.endpoints), one.moved_on)

    heads = (Head("Stayed", "number", "stayed"), Head("", "part"), Head("Moved on", "number", "moved_on"))
    return Table(
        key="version",
        heading="Versions",
        heads=(*plain.heads, *heads),
        rows=tuple(Row((*row.cells, *more(row.value)), row.value) for row in plain.rows),
        by="version",
        number=answer.values,
    )


def companies_table(answer: Companies) -> Table:
    """Return companies, with how sure each is."""
    most = max([one.count for one in answer.companies] or [1])
    return Table(
        key="company",
        heading="Companies",
        heads=(
            Head("Company", "text", "company"),
            Head("Domain", "text", "domain"),
            Head("Count", "number", "count"),
            Head("", "part"),
            Head("Sources", "number", "sources"),
            Head("Packages", "number", "packages"),
            Head("First seen", "day", "first_seen"),
            Head("Last seen", "day", "last_seen"),
            Head("Confidence", "percent", "confidence"),
        ),
        rows=tuple(
            Row(
                (
                    one.name or one.key,
                    one.key if one.key != one.name else None,
                    one.count,
                    one.count / most,
                    one.sources,
                    one.packages,
                    one.first_seen,
                    one.last_seen,
                    one.confidence,
                ),
                one.key,
            )
            for one in answer.companies
        ),
        by="company",
        number=answer.number,
    )


def series_table(answer: Series) -> Table:
    """Return a period in pieces."""
    counts = tuple(Head(name, "number", name.lower()) for name in MEASURE_NAMES)
    return Table(
        key="series",
        heading=f"By {answer.unit}",
        heads=(
            Head(answer.unit.capitalize(), "moment", "start"),
            Head("Count", "number", "count"),
            *counts,
            Head("Sources", "number", "sources"),
        ),
        rows=tuple(
            Row((point.start, point.figures.count, *measures_of(point.figures), point.figures.sources), None) for point in answer.points
        ),
        number=len(answer.points),
    )


def feed_table(answer: Latest, package: str | None = None) -> Table:
    """Return the last events, the newest first. What none of them tells is left out of a page.

    Args:
        answer: the events.
        package: the one that all are of; None where they are of several.
    """
    names = ("package", "version", "platform", "arch", "country", "company", "client", "agent", "page")
    package_told = None if package is None else "package"
    return Table(
        key="feed",
        heading="Last events",
        heads=(
            Head("Time", "moment", "time"),
            Head("What", "text", "kind"),
            *(Head(_one(name), "text", name, name != package_told and _is_told(answer, name)) for name in names),
            Head("Variables", "text", "variables", _is_told(answer, "variables")),
        ),
        rows=tuple(
            Row((seen.at, seen.measure, *(_seen(seen, name) for name in names), _variables(seen.variables)), None) for seen in answer.events
        ),
        number=len(answer.events),
    )


def _is_told(answer: Latest, name: str) -> bool:
    return any(getattr(seen, name) for seen in answer.events)


def _seen(seen: Any, name: str) -> str | None:
    value: str | None = getattr(seen, name)
    if name == "client" and value is not None and seen.client_version:
        return f"{value} {seen.client_version}"
    return value


def _variables(variables: Any) -> str | None:
    return ", ".join(f"{name}={value}" for name, value in sorted(variables.items()) if value) or None


def plain_table(key: str, heading: str, heads: Sequence[Head], rows: Sequence[Row], by: str | None = None, number: int = 0) -> Table:
    """Return a table of anything."""
    return Table(key=key, heading=heading, heads=tuple(heads), rows=tuple(rows), by=by, number=number or len(rows))
