"""Rollups: what counts of each day, read out of the lake once, in one DuckDB file beside it: for those who ask all the time.

A day (UTC) of the lake is as many files. As long as these are the same, the day's rows here are what the policy makes of them; when
they are others (late events, compaction, retention), the day is read anew. So rollups follow the lake exactly, whatever came late, and may
be deleted at any time. What has left the lake leaves the file too: its rows at once, and with the next `tidy` the identifiers that no row
has any more, and whatever lies there unused.

Rows are as many as events: of ten million, folding by quarters of an hour and by all columns would save one in two hundred. A row has few
columns, callers and variables as numbers, and no file to be opened for each day. Weeks that are over are folded besides, by one dimension
at a time, which saves nearly all of it: see `folds`.

One process has the file. Others ask the lake, which is slower and gives the same answers.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa

from gatewaycore.sinks.lake.schema import DAY
from gatewaycore.stats import folds, policy
from gatewaycore.stats.dialects import Variable
from gatewaycore.stats.folds import Folder, Folds
from gatewaycore.stats.queries import Relation
from gatewaycore.stats.questions import variable_of

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

FORMAT: Final = 4
"""Raised when rows of a day look different; with the policy's version it says whether a file can be used."""

COLUMNS: Final = (
    "package", "package_type", "domain", "kind", "version", "platform", "arch", "page", "client", "client_version", "os", "agent",
    "country", "region", "city", "cloud", "connection", "company", "company_domain", "confidence",
)  # fmt: skip
"""What a row has as the event has it; questions about other columns go to the lake."""

_NUMBERED: Final = {
    "origin_id": "nullif(origin_id, '')",
    "endpoint_id": "nullif(endpoint_id, '')",
    "company_key": "nullif(coalesce(nullif(company_domain, ''), company), '')",
    "variable_set": "CASE WHEN cardinality(variables) > 0 THEN variables END",
}
"""What has a number in the file, of what there is in an event: callers, what companies are told from others by, and variables together."""
_TYPES: Final = {**dict.fromkeys(_NUMBERED, "VARCHAR"), "variable_set": "MAP(VARCHAR, VARCHAR)"}
_COUNTED_BY_BIT: Final = ("origin_id", "endpoint_id", "company_key")

_NAME: Final = "rollups"
_FRESH: Final = "fresh"
_TABLES: Final = ("made_by", "days", *(f"{name}s" for name in _NUMBERED), "counted", *folds.TABLES)
# What is noted of a day that has left the lake, until the file is free of it.
_GONE: Final = "gone"
_SCHEMA: Final = f"""
    CREATE TABLE IF NOT EXISTS {_NAME}.made_by (format INTEGER, policy INTEGER);
    CREATE TABLE IF NOT EXISTS {_NAME}.days (day DATE, files VARCHAR);
    {"".join(f"CREATE TABLE IF NOT EXISTS {_NAME}.{name}s (text {type_}, number INTEGER);" for name, type_ in _TYPES.items())}
    {"".join(f"CREATE TABLE IF NOT EXISTS {_NAME}.{name} ({columns});" for name, columns in folds.TABLES.items())}
    CREATE TABLE IF NOT EXISTS {_NAME}.counted AS
        SELECT day, 0::BIGINT AS seconds, true AS usual, {", ".join(COLUMNS)}, {", ".join(f"0::INTEGER AS {name}" for name in _NUMBERED)}
        FROM events WHERE false;
"""


def _words(values: tuple[str, ...]) -> str:
    return ", ".join(f"'{value}'" for value in values)


_COUNTS: Final = (
    f"kind IN ({_words(policy.MEASURES)}) AND method NOT IN ({_words(policy.UNCOUNTED_METHODS)}) "
    f"AND status BETWEEN {policy.FIRST_STATUS} AND {policy.LAST_STATUS} AND status <> {policy.NOT_MODIFIED}"
)

_USUAL: Final = f"coalesce(kind IN ({_words(policy.USES)}) AND agent IN ({_words(policy.AGENTS)}), false)"
"""Whether an event counts where a question says nothing else: looked at for every row, and a thing of one bit."""


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
        self._path = path
        self._folder = Folder(connection, _NAME)
        connection.execute(f"ATTACH '{_quoted(path)}' AS {_NAME}")
        connection.execute(_SCHEMA)
        made_by = connection.execute(f"SELECT format, policy FROM {_NAME}.made_by").fetchall()
        if made_by != [(FORMAT, policy.VERSION)]:
            for table in _TABLES:
                connection.execute(f"DROP TABLE {_NAME}.{table}")
            connection.execute(_SCHEMA)
            connection.execute(f"INSERT INTO {_NAME}.made_by VALUES ({FORMAT}, {policy.VERSION})")

    def stale(self, files: Mapping[date, tuple[str, ...]]) -> list[date]:
        """Return the days whose rows are not those of the lake's files, those that the lake no longer has among them.

        Args:
            files: of each day of the lake.
        """
        wanted = {day: _fingerprint(names) for day, names in files.items()}
        known = dict(self._connection.execute(f"SELECT day, files FROM {_NAME}.days WHERE files <> '{_GONE}'").fetchall())
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
            self._folder.forget(days)
            for name in _NUMBERED:
                self._connection.execute(f"INSERT INTO {_NAME}.{name}s {_numbers(name, source)}")
            # Those of a package beside each other: what is asked of one package then reads few of them.
            self._connection.execute(f"INSERT INTO {_NAME}.counted {_rows(source)} ORDER BY package, seconds")
            for day, names in days.items():
                self._connection.execute(f"INSERT INTO {_NAME}.days VALUES (?, ?)", [day, _fingerprint(names) if names else _GONE])

    def unfolded(self) -> list[date]:
        """Return the weeks that are over, and not folded."""
        return self._folder.missing()

    def fold(self, weeks: Iterable[date]) -> None:
        """Fold weeks: all or none of them.

        Args:
            weeks: by their first days.
        """
        with _transaction(self._connection):
            self._folder.fold(weeks)

    def tidy(self) -> None:
        """Free the file of what has left the lake: days, and identifiers that no row has any more.

        DuckDB writes over what was deleted when it needs the room. So what is left is written into another file, which takes its place.
        """
        gone = f"SELECT 1 FROM {_NAME}.days WHERE files = '{_GONE}'"
        left = (f"SELECT 1 FROM {_NAME}.{name}s WHERE number NOT IN ({_numbered(name)})" for name in _NUMBERED)
        if not self._connection.execute(f"SELECT {' OR '.join(f'EXISTS ({query})' for query in (gone, *left))}").fetchall()[0][0]:
            return
        fresh = self._path.with_name(f"{self._path.name}.new")
        # One that was begun, and not ended.
        _remove(fresh)
        self._connection.execute(f"ATTACH '{_quoted(fresh)}' AS {_FRESH}")
        try:
            for table in _TABLES:
                self._connection.execute(f"CREATE TABLE {_FRESH}.{table} AS SELECT * FROM {_NAME}.{table} WHERE {_KEPT.get(table, 'true')}")
        except BaseException:
            self._connection.execute(f"DETACH {_FRESH}")
            _remove(fresh)
            raise
        # What was written lies in the file itself from here on.
        self._connection.execute(f"DETACH {_FRESH}")
        self._connection.execute(f"DETACH {_NAME}")
        fresh.replace(self._path)
        self._connection.execute(f"ATTACH '{_quoted(self._path)}' AS {_NAME}")

    def show(self, days: list[date]) -> Relation:
        """Make the view of everything there is, and return its relation: rows of the file, and `days` and the journal's tail as they are.

        Args:
            days: what is not read from the file.
        """
        beside = _among(days)
        live = f"(SELECT * FROM events WHERE {beside} UNION ALL BY NAME SELECT * FROM tail)"
        # Numbers of callers that no day has are for now: the journal's events are not in the file, and so are their identifiers.
        for name in _NUMBERED:
            self._connection.execute(f"CREATE OR REPLACE TEMP TABLE live_{name}s AS {_numbers(name, live)}")
        self._connection.execute(f"CREATE OR REPLACE TEMP TABLE live AS {_rows(live, beside='live_')}")
        rolled = f"SELECT *, false AS is_live FROM {_NAME}.counted WHERE NOT ({beside})"
        self._connection.execute(f"CREATE OR REPLACE TEMP VIEW rolled AS {rolled} UNION ALL SELECT *, true FROM live")
        beside_sets = f"SELECT * FROM {_NAME}.variable_sets UNION ALL SELECT * FROM live_variable_sets"
        self._connection.execute(f"CREATE OR REPLACE TEMP VIEW known_sets AS {beside_sets}")
        live_days = [day for (day,) in self._connection.execute(f"SELECT DISTINCT {DAY} FROM live").fetchall()]
        columns: list[sa.ColumnClause[object]] = [sa.column(name) for name in COLUMNS]
        numbers = [sa.column(name, sa.BigInteger()) for name in ("seconds", *_NUMBERED)]
        table = sa.table("rolled", *columns, *numbers, *(sa.column(name, sa.Boolean()) for name in ("usual", "is_live")))
        return _relation(table, self._highest(), self._folder.show(days, live_days))

    def _highest(self) -> int:
        tables = (f"{beside}{name}s" for name in _COUNTED_BY_BIT for beside in (f"{_NAME}.", "live_"))
        each = " UNION ALL ".join(f"SELECT max(number) AS number FROM {table}" for table in tables)
        (highest,) = self._connection.execute(f"SELECT coalesce(max(number), 0) FROM ({each})").fetchall()[0]
        return int(highest)


def _relation(table: sa.FromClause, highest: int, found: Folds | None) -> Relation:
    return Relation(
        table,
        table.c.seconds,
        within=_within,
        is_counted=True,
        usual=table.c.usual,
        company=table.c.company_key,
        numbers=highest,
        folds=found,
    )


def has(columns: Collection[str]) -> bool:
    """Tell whether rows have these columns, or what makes them."""
    return all(name in COLUMNS or variable_of(name) is not None for name in columns)


def with_variables(events: Relation, columns: Collection[str]) -> Relation:
    """Return the relation with those variables that are among `columns`, each as a column of its name.

    A value is looked up once for each set of variables that there is, not for each event.
    """
    source = table = events.table
    chosen = list(table.c)
    for number, name in enumerate(sorted({name for name in columns if variable_of(name) is not None})):
        sets = sa.table("known_sets", sa.column("text"), sa.column("number", sa.BigInteger())).alias(f"sets_{number}")
        value = sa.func.coalesce(Variable(sets.c.text, sa.literal(variable_of(name), sa.Text())), "").label("value")
        values = sa.select(sets.c.number, value).subquery(f"values_{number}")
        source = source.outerjoin(values, values.c.number == table.c.variable_set)
        chosen.append(values.c.value.label(name))
    if source is table:
        return events
    return _relation(sa.select(*chosen).select_from(source).subquery("rolled_with"), events.numbers, events.folds)


def _among(days: Iterable[date]) -> str:
    listed = ", ".join(f"DATE '{day.isoformat()}'" for day in days)
    return f"{DAY} IN ({listed})" if listed else "false"


def _numbers(name: str, source: str) -> str:
    """Return the query that gives a number to each caller that has none."""
    known = f"{_NAME}.{name}s"
    new = f"SELECT DISTINCT {_NUMBERED[name]} AS text FROM {source} WHERE {_NUMBERED[name]} IS NOT NULL AND {_COUNTS}"
    after = f"(SELECT coalesce(max(number), 0) FROM {known}) + row_number() OVER ()"
    return f"SELECT text, ({after})::INTEGER AS number FROM ({new}) ANTI JOIN {known} USING (text)"


def _rows(source: str, beside: str | None = None) -> str:
    """Return the query for what counts of events; callers that the file does not know are in tables that are called so, with `beside`."""
    known = {name: f"{_NAME}.{name}s" for name in _NUMBERED}
    if beside is not None:
        known = {name: f"(FROM {table} UNION ALL FROM {beside}{name}s)" for name, table in known.items()}
    joined = " ".join(f"LEFT JOIN {table} AS {name}s ON {name}s.text = found.{name}_text" for name, table in known.items())
    texts = ", ".join(f"{text} AS {name}_text" for name, text in _NUMBERED.items())
    numbers = ", ".join(f"{name}s.number AS {name}" for name in _NUMBERED)
    columns = ", ".join(f"found.{name}" for name in COLUMNS)
    return (
        f"SELECT found.day, epoch_us(found.time) // 1000000 AS seconds, {_USUAL} AS usual, {columns}, {numbers} "
        f"FROM (SELECT *, {texts} FROM {source} WHERE {_COUNTS}) AS found {joined}"
    )


def _numbered(name: str) -> str:
    return f"SELECT {name} FROM {_NAME}.counted WHERE {name} IS NOT NULL"


_KEPT: Final = {
    "days": f"files <> '{_GONE}'",
    **{f"{name}s": f"number IN ({_numbered(name)})" for name in _NUMBERED},
}
"""Which rows of a table are still of use."""


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")


def _remove(path: Path) -> None:
    for file in (path, path.with_name(f"{path.name}.wal")):
        file.unlink(missing_ok=True)


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
