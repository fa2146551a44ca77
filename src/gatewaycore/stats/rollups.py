"""Rollups: what counts of each day, read out of the lake once, in one DuckDB file beside it: for those who ask all the time.

A day (UTC) of the lake is as many files. As long as these are the same, the day's rows here are what the policy makes of them; when
they are others (late events, compaction, retention), the day is read anew. So rollups follow the lake exactly, whatever came late, and may
be deleted at any time. Rows are not folded: of ten million events, folding by quarters of an hour and by all columns would save one in two
hundred. What makes it fast is that a row has few columns, callers as numbers, and no file to be opened for each day.

One process has the file. Others ask the lake, which is slower and gives the same answers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa

from gatewaycore.sinks.lake.schema import DAY
from gatewaycore.stats import policy
from gatewaycore.stats.queries import Relation

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

FORMAT: Final = 1
"""Raised when rows of a day look different; with the policy's version it says whether a file can be used."""

COLUMNS: Final = (
    "package", "package_type", "domain", "kind", "version", "platform", "arch", "client", "os", "agent", "country", "cloud", "connection",
    "company", "company_domain", "confidence",
)  # fmt: skip
"""What a row has as the event has it; questions about other columns go to the lake."""

_CALLERS: Final = ("origin_id", "endpoint_id")
_NAME: Final = "rollups"
_SCHEMA: Final = f"""
    CREATE TABLE IF NOT EXISTS {_NAME}.made_by (format INTEGER, policy INTEGER);
    CREATE TABLE IF NOT EXISTS {_NAME}.days (day DATE, files VARCHAR);
    CREATE TABLE IF NOT EXISTS {_NAME}.origin_ids (text VARCHAR, number INTEGER);
    CREATE TABLE IF NOT EXISTS {_NAME}.endpoint_ids (text VARCHAR, number INTEGER);
    CREATE TABLE IF NOT EXISTS {_NAME}.counted AS
        SELECT day, 0::BIGINT AS seconds, {", ".join(COLUMNS)}, 0::INTEGER AS origin_id, 0::INTEGER AS endpoint_id FROM events WHERE false;
"""


def _words(values: tuple[str, ...]) -> str:
    return ", ".join(f"'{value}'" for value in values)


_COUNTS: Final = (
    f"kind IN ({_words(policy.MEASURES)}) AND method NOT IN ({_words(policy.UNCOUNTED_METHODS)}) "
    f"AND status BETWEEN {policy.FIRST_STATUS} AND {policy.LAST_STATUS} AND status <> {policy.NOT_MODIFIED}"
)


class Rollups:
    """The file, attached to a connection that has the view `events`.

    Args:
        connection: of the lake.
        path: of the file; made when it is not there, and made anew when it is of another format or policy.

    Raises:
        duckdb.Error: another process has it, or it cannot be used.
    """

    def __init__(self, connection: DuckDBPyConnection, path: Path) -> None:
        self._connection = connection
        quoted = str(path).replace("'", "''")
        connection.execute(f"ATTACH '{quoted}' AS {_NAME}")
        connection.execute(_SCHEMA)
        made_by = connection.execute(f"SELECT format, policy FROM {_NAME}.made_by").fetchall()
        if made_by != [(FORMAT, policy.VERSION)]:
            for table in ("made_by", "days", "origin_ids", "endpoint_ids", "counted"):
                connection.execute(f"DROP TABLE {_NAME}.{table}")
            connection.execute(_SCHEMA)
            connection.execute(f"INSERT INTO {_NAME}.made_by VALUES ({FORMAT}, {policy.VERSION})")

    def stale(self, files: Mapping[date, tuple[str, ...]]) -> list[date]:
        """Return the days whose rows are not those of the lake's files, those that the lake no longer has among them.

        Args:
            files: of each day of the lake.
        """
        wanted = {day: _fingerprint(names) for day, names in files.items()}
        known = dict(self._connection.execute(f"SELECT day, files FROM {_NAME}.days").fetchall())
        return sorted(day for day in wanted.keys() | known.keys() if wanted.get(day) != known.get(day))

    def read(self, days: Mapping[date, tuple[str, ...]]) -> None:
        """Read days out of the lake, in place of what was known of them: all or none of them.

        Args:
            days: which, with the files that each has in the lake, of which the connection's view must have been made.
        """
        condition = _among(days)
        source = f"(SELECT * FROM events WHERE {condition})"
        with _transaction(self._connection):
            self._connection.execute(f"DELETE FROM {_NAME}.counted WHERE {condition}")
            self._connection.execute(f"DELETE FROM {_NAME}.days WHERE {condition}")
            self._know_callers(source)
            # Those of a package beside each other: what is asked of one package then reads few of them.
            self._connection.execute(f"INSERT INTO {_NAME}.counted {_rows(source)} ORDER BY package, seconds")
            for day, names in days.items():
                if names:
                    self._connection.execute(f"INSERT INTO {_NAME}.days VALUES (?, ?)", [day, _fingerprint(names)])

    def show(self, days: list[date]) -> Relation:
        """Make the view of everything there is, and return its relation: rows of the file, and `days` and the journal's tail as they are.

        Args:
            days: what is not read from the file.
        """
        beside = _among(days)
        live = f"(SELECT * FROM events WHERE {beside} UNION ALL BY NAME SELECT * FROM tail)"
        with _transaction(self._connection):
            self._know_callers(live)
        self._connection.execute(f"CREATE OR REPLACE TEMP TABLE live AS {_rows(live)}")
        rolled = f"SELECT * FROM {_NAME}.counted WHERE NOT ({beside})"
        self._connection.execute(f"CREATE OR REPLACE TEMP VIEW rolled AS {rolled} UNION ALL SELECT * FROM live")
        columns: list[sa.ColumnClause[object]] = [sa.column(name) for name in COLUMNS]
        numbers = [sa.column(name, sa.BigInteger()) for name in ("seconds", *_CALLERS)]
        table = sa.table("rolled", *columns, *numbers)
        return Relation(table, table.c.seconds, within=_within, is_counted=True)

    def _know_callers(self, source: str) -> None:
        """Give a number to each caller that has none."""
        for name in _CALLERS:
            known = f"{_NAME}.{name}s"
            new = f"SELECT DISTINCT {name} AS text FROM {source} WHERE {name} <> '' AND {_COUNTS}"
            numbers = f"(SELECT coalesce(max(number), 0) FROM {known}) + row_number() OVER ()"
            self._connection.execute(f"INSERT INTO {known} SELECT text, {numbers} FROM ({new}) ANTI JOIN {known} USING (text)")


def _among(days: Iterable[date]) -> str:
    listed = ", ".join(f"DATE '{day.isoformat()}'" for day in days)
    return f"{DAY} IN ({listed})" if listed else "false"


def _rows(source: str) -> str:
    callers = " ".join(f"LEFT JOIN {_NAME}.{name}s AS {name}s ON {name}s.text = found.{name}" for name in _CALLERS)
    numbers = ", ".join(f"{name}s.number AS {name}" for name in _CALLERS)
    columns = ", ".join(f"found.{name}" for name in COLUMNS)
    return (
        f"SELECT found.day, epoch_us(found.time) // 1000000 AS seconds, {columns}, {numbers} "
        f"FROM (SELECT * FROM {source} WHERE {_COUNTS}) AS found {callers}"
    )


def _within(table: sa.FromClause, since: int, until: int) -> sa.ColumnElement[bool]:
    return sa.and_(table.c.seconds >= sa.literal(since, sa.BigInteger()), table.c.seconds < sa.literal(until, sa.BigInteger()))


def _fingerprint(names: tuple[str, ...]) -> str:
    return blake2b("\n".join(sorted(names)).encode(), digest_size=16).hexdigest()


@contextmanager
def _transaction(connection: DuckDBPyConnection) -> Iterator[None]:
    """Commit what is within, or nothing of it."""
    connection.execute("BEGIN")
    try:
        yield
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def days_of(uris: list[str]) -> dict[date, tuple[str, ...]]:
    """Return the files of each day, by their addresses."""
    found: dict[date, list[str]] = {}
    for day, uri in _dated(uris):
        found.setdefault(day, []).append(uri)
    return {day: tuple(sorted(names)) for day, names in found.items()}


def _dated(uris: list[str]) -> Iterator[tuple[date, str]]:
    for uri in uris:
        _, _, rest = uri.rpartition(f"{DAY}=")
        yield date.fromisoformat(rest[:10]), uri
