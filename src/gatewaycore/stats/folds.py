"""Folds: weeks of rollups, folded to bits: for each value of a dimension who fetched it, a bit for each caller, and how often.

Callers have numbers, so those of a week are a text of bits, in pieces of `CHUNK`. Different callers of a year are the bits of its weeks
together: exactly as many as counting its rows finds, and read from a thousandth of the bytes. Only what counts by the policy where a
question names neither measures nor agents is folded; weeks begin on Monday (UTC), and the one that still goes on is left as it is, as
are those of few rows.

A dimension that has too many values in a week (every page its own, every build its own number) is not folded in that week: its rows are
counted, as before. So a file is bounded by its rows, and no answer leaves out a value.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa
from attrs import frozen

from gatewaycore.stats import policy
from gatewaycore.stats.periods import DAY_S

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

CHUNK_BITS: Final = 14
CHUNK: Final = 1 << CHUNK_BITS
"""How many callers share a text of bits: two kilobytes, of which the file keeps what is not zero."""
WEEK_S: Final = 7 * DAY_S

CALLERS: Final = {"sources": "origin_id", "endpoints": "endpoint_id", "companies": "company_key"}
"""What is told apart of all events of a week; a dimension of one value, under the column's name."""

DIMENSIONS: Final = ("version", "platform", "arch", "page", "client", "agent", "country", "cloud", "company")
"""What is folded besides, with the variables."""

# Rows of fewer are counted as soon as bits, and folding them would take longer than counting them ever does.
_FEWEST_ROWS: Final = 10_000
_MOST_GROUPS: Final = 8192
# Names of variables that are folded in a week, those that most events have.
_MOST_NAMES: Final = 16
_COUNTS: Final = ", ".join(f"count(*) FILTER (kind = '{kind}') AS {kind}" for kind in policy.USES)
_SUMS: Final = ", ".join(f"sum({kind})::BIGINT AS {kind}" for kind in policy.USES)
_FOLD: Final = (
    f"week BIGINT, package VARCHAR, dimension VARCHAR, value VARCHAR, chunk INTEGER, bits BIT, {' BIGINT, '.join(policy.USES)} BIGINT"
)
TABLES: Final = {
    "callers_all": _FOLD,
    "callers_each": _FOLD,
    "folded_all": _FOLD,
    "folded_each": _FOLD,
    "folded_days": f"week BIGINT, day BIGINT, package VARCHAR, {' BIGINT, '.join((*policy.USES, *CALLERS))} BIGINT",
    "folded_companies": "week BIGINT, package VARCHAR, key VARCHAR, name VARCHAR, confidence DOUBLE, n BIGINT, first BIGINT, last BIGINT",
    "folded_weeks": "week BIGINT, dimension VARCHAR, is_folded BOOLEAN",
}
"""Tables of the file: of all packages together (there `package` is NULL) and of each; of days; and which dimensions were folded."""
_OF_BITS: Final = tuple(name for name, columns in TABLES.items() if columns == _FOLD)
_SQL_TYPES: Final[dict[str, sa.types.TypeEngine[Any]]] = {
    "BIGINT": sa.BigInteger(),
    "INTEGER": sa.Integer(),
    "VARCHAR": sa.Text(),
    "DOUBLE": sa.Float(),
    "BOOLEAN": sa.Boolean(),
    "BIT": sa.types.NullType(),
}
WHOLE: Final = "*"
OTHERS: Final = "variables."
"""The dimensions under which it is noted that a week is done, and that it has variables that were not looked at."""


@frozen(eq=False)
class Folds:
    """What is folded, as a question sees it.

    Attributes:
        weeks: those that are done and may be used, by their first second.
        by_dimension: in which of them a dimension is folded.
        refused: in which of them it had too many values. A variable that is in neither had no value at all.
        live: days that have rows which are not folded, whatever their week says: those of the journal.
        schema: the file's, as it is attached.
    """

    weeks: frozenset[int]
    by_dimension: dict[str, frozenset[int]]
    refused: dict[str, frozenset[int]]
    live: frozenset[int]
    schema: str

    def table(self, name: str) -> sa.TableClause:
        """Return one of `TABLES`."""
        columns = (part.split() for part in TABLES[name].split(", "))
        return sa.table(name, *(sa.column(column, _SQL_TYPES[type_]) for column, type_ in columns), schema=self.schema)


def monday_of(day: date) -> date:
    """Return the first day of its week."""
    return day - timedelta(days=day.weekday())


def second_of(day: date) -> int:
    """Return when a day (UTC) begins."""
    return (day - date(1970, 1, 1)).days * DAY_S


class Folder:
    """Folds weeks of the file.

    Args:
        connection: that the file is attached to.
        schema: as which.
    """

    def __init__(self, connection: DuckDBPyConnection, schema: str) -> None:
        self._connection = connection
        self._schema = schema

    def forget(self, days: Iterable[date]) -> None:
        """Take out the weeks that days are in."""
        weeks = {second_of(monday_of(day)) for day in days}
        for table in TABLES:
            self._connection.execute(f"DELETE FROM {self._schema}.{table} WHERE week IN ({', '.join(map(str, weeks)) or 'NULL'})")

    def missing(self) -> list[date]:
        """Return the weeks that are over and not folded though they are worth it, the newest first.

        Over are those before the last day that there is.
        """
        last = f"(SELECT max(date_trunc('week', day)) FROM {self._schema}.days WHERE files <> 'gone')"
        done = f"SELECT week FROM {self._schema}.folded_weeks WHERE dimension = '{WHOLE}'"
        weeks = f"SELECT date_trunc('week', day)::DATE AS week, count(*) AS size FROM {self._schema}.counted GROUP BY 1"
        rows = self._connection.execute(
            f"SELECT week FROM ({weeks}) WHERE size >= {_FEWEST_ROWS} AND week < {last} AND epoch(week)::BIGINT NOT IN ({done}) "
            "ORDER BY week DESC"
        ).fetchall()
        return [week for (week,) in rows]

    def fold(self, mondays: Iterable[date]) -> None:
        """Fold weeks; within a transaction."""
        for table in _OF_BITS:
            self._connection.execute(f"CREATE OR REPLACE TEMP TABLE {table}_new ({_FOLD})")
        for monday in mondays:
            self._fold_week(monday)
        for table in _OF_BITS:
            # What is asked of one package lies together: bits are unpacked by some thousand rows.
            self._connection.execute(f"INSERT INTO {self._schema}.{table} FROM {table}_new ORDER BY package, dimension, week, value, chunk")
            self._connection.execute(f"DROP TABLE {table}_new")

    def _fold_week(self, monday: date) -> None:
        second, last = second_of(monday), monday + timedelta(days=6)
        self._connection.execute(f"CREATE OR REPLACE TEMP TABLE folding AS {self._rows(monday, last)}")
        for caller in CALLERS.values():
            self._fold(second, caller, "''", caller)
        for dimension in DIMENSIONS:
            self._fold(second, dimension, "company_text" if dimension == "company" else dimension)
        names = self._names()
        if len(names) > _MOST_NAMES:
            self._note(second, OTHERS, is_folded=False)
        for name in names[:_MOST_NAMES]:
            quoted = name.replace("'", "''")
            used = "number IN (SELECT variable_set FROM folding)"
            values = f"SELECT number, coalesce(text['{quoted}'], '') AS value FROM {self._schema}.variable_sets WHERE {used}"
            self._connection.execute(f"CREATE OR REPLACE TEMP TABLE folding_values AS {values}")
            joined = "folding LEFT JOIN folding_values ON number = variable_set"
            self._fold(second, f"variables.{name}", "coalesce(value, '')", "origin_id", joined)
        self._days(second)
        self._connection.execute(
            f"INSERT INTO {self._schema}.folded_companies SELECT {second}, package, company_text, max(coalesce(company, '')), "
            "max(confidence), count(*), min(seconds), max(seconds) FROM folding WHERE company_text <> '' GROUP BY ALL ORDER BY ALL"
        )
        self._note(second, WHOLE, is_folded=True)
        self._connection.execute("DROP TABLE folding")

    def _rows(self, first: date, last: date) -> str:
        sure = f"(confidence IS NULL OR confidence >= {policy.CONFIDENCE})"
        columns = ", ".join(f"coalesce({name}, '') AS {name}" for name in ("package", *DIMENSIONS) if name != "company")
        return (
            f"SELECT day, seconds, kind, {columns}, origin_id, endpoint_id, variable_set, company, confidence, "
            f"CASE WHEN {sure} THEN company_key END AS company_key, "
            f"CASE WHEN {sure} THEN coalesce(nullif(company_domain, ''), company, '') ELSE '' END AS company_text "
            f"FROM {self._schema}.counted WHERE day BETWEEN DATE '{first}' AND DATE '{last}' AND usual"
        )

    def _names(self) -> list[str]:
        """Return the names of variables that most events of the week have."""
        used = "SELECT variable_set AS number, count(*) AS n FROM folding WHERE variable_set IS NOT NULL GROUP BY 1"
        each = f"SELECT unnest(map_keys(text)) AS name, n FROM ({used}) JOIN {self._schema}.variable_sets USING (number)"
        rows = self._connection.execute(f"SELECT name FROM ({each}) GROUP BY name ORDER BY sum(n) DESC, name").fetchall()
        return [str(name) for (name,) in rows]

    def _fold(self, week: int, dimension: str, value: str, caller: str = "origin_id", source: str = "folding") -> None:
        quoted = dimension.replace("'", "''")
        groups = f"SELECT DISTINCT package, {value}, {caller} >> {CHUNK_BITS} FROM {source} LIMIT {_MOST_GROUPS + 1}"
        ((number,),) = self._connection.execute(f"SELECT count(*) FROM ({groups})").fetchall()
        is_folded = int(number) <= _MOST_GROUPS
        if is_folded:
            bits = f"bitstring_agg({caller} & {CHUNK - 1}, 0, {CHUNK - 1})"
            chosen = f"SELECT package, {value} AS value, {caller} >> {CHUNK_BITS} AS chunk, {bits} AS bits, {_COUNTS} FROM {source}"
            self._connection.execute(f"CREATE OR REPLACE TEMP TABLE fold AS {chosen} GROUP BY ALL")
            table = "callers" if dimension in CALLERS.values() else "folded"
            counts = ", ".join(policy.USES)
            self._connection.execute(
                f"INSERT INTO {table}_each_new SELECT {week}, package, '{quoted}', value, chunk, bits, {counts} FROM fold"
            )
            together = f"SELECT {week}, NULL, '{quoted}', value, chunk, bit_or(bits), {_SUMS} FROM fold GROUP BY value, chunk"
            self._connection.execute(f"INSERT INTO {table}_all_new {together}")
            self._connection.execute("DROP TABLE fold")
        self._note(week, dimension, is_folded=is_folded)

    def _note(self, week: int, dimension: str, *, is_folded: bool) -> None:
        self._connection.execute(f"INSERT INTO {self._schema}.folded_weeks VALUES (?, ?, ?)", [week, dimension, is_folded])

    def _days(self, week: int) -> None:
        """Count each day, of each package and of all: what a day has is a number that no other changes."""
        uniques = ", ".join(f"count(DISTINCT {column})" for column in CALLERS.values())
        self._connection.execute(
            f"INSERT INTO {self._schema}.folded_days SELECT {week}, epoch(day)::BIGINT // {DAY_S}, "
            f"CASE WHEN grouping(package) = 0 THEN package END, {_COUNTS}, {uniques} FROM folding "
            "GROUP BY GROUPING SETS ((day, package), (day)) ORDER BY ALL"
        )

    def show(self, stale: Iterable[date], live: Iterable[date]) -> Folds:
        """Return what may be used.

        Args:
            stale: days of which the file does not have what the lake has: their weeks may not.
            live: days that have rows besides those of the file.
        """
        without = {second_of(monday_of(day)) for day in stale}
        weeks: set[int] = set()
        folded: dict[str, set[int]] = {}
        refused: dict[str, set[int]] = {}
        for week, dimension, is_folded in self._noted():
            if week in without:
                continue
            if dimension == WHOLE:
                weeks.add(week)
            else:
                (folded if is_folded else refused).setdefault(dimension, set()).add(week)
        return Folds(frozenset(weeks), _frozen(folded), _frozen(refused), frozenset(map(second_of, live)), self._schema)

    def _noted(self) -> Iterator[tuple[int, str, bool]]:
        yield from self._connection.execute(f"SELECT week, dimension, is_folded FROM {self._schema}.folded_weeks").fetchall()


def _frozen(found: dict[str, set[int]]) -> dict[str, frozenset[int]]:
    return {name: frozenset(weeks) for name, weeks in found.items()}
