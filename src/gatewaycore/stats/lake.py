"""The lake as a store of questions, with what the journal holds that is not there yet: each event once, by its id.

The lake is looked at first: what was shipped since then stays in the journal for as long as ``journal: keep-s``, so that nothing falls in
between. What was found is kept until the table or the journal has changed.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from attrs import frozen

from gatewaycore.errors import GatewayError
from gatewaycore.segments import sizes
from gatewaycore.sinks.lake import LakeStorage, open_lake
from gatewaycore.sinks.lake.place import connect, open_table, place_of
from gatewaycore.sinks.lake.schema import COLUMNS, DAY, IS_EVENT, READ_AS
from gatewaycore.stats.dialects import DuckDBDialect, Moment
from gatewaycore.stats.periods import DAY_S
from gatewaycore.stats.queries import Query, Relation, event_columns, relation
from gatewaycore.stats.stores import Rows

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

FRESH_S = 2.0
"""For how long it is not asked again whether anything has changed."""

_LINE_BYTES = 16 * 1024 * 1024
_TRIES = 3
_NONE = ", ".join(f'NULL::{column.type} AS "{column.name}"' for column in COLUMNS)


@frozen
class _State:
    """What an answer depends on: the version of the table, None where there is none, and what the journal holds."""

    version: int | None
    segments: tuple[tuple[str, int], ...]


class LakeStore:
    """Events of a lake and of the journal beside it.

    Args:
        lake: its settings; None where there is none, and the journal is all there is.
        journal: the folder of the journal.
        clock: any that only goes forward, in seconds.

    Raises:
        ConfigError: the extra is not installed.
    """

    def __init__(self, lake: LakeStorage | None, journal: Path, clock: Callable[[], float] = time.monotonic) -> None:
        place_of("." if lake is None else lake.path, {} if lake is None else lake.storage_options)
        self._lake = lake
        self._journal = journal
        self._clock = clock
        self._dialect = DuckDBDialect()  # type: ignore[no-untyped-call]  # as SQLAlchemy has it
        self._lock = threading.Lock()
        self._connection: DuckDBPyConnection | None = None
        self._state: _State | None = None
        self._looked_at = 0.0
        table = sa.table("known", *event_columns(), sa.column(DAY, sa.Date()))
        plain = relation(table)
        self.events = Relation(table, plain.seconds, plain.amount, _within_days)

    def ask(self, query: Query) -> Rows:
        """Return the rows of an answer.

        Raises:
            GatewayError: the lake cannot be reached.
        """
        import duckdb

        found = query.compile(dialect=self._dialect, compile_kwargs={"render_postcompile": True})
        names = found.positiontup or []
        values = [found.params[name] for name in names]
        with self._lock:
            for left in reversed(range(_TRIES)):
                try:
                    return self._opened().execute(str(found), values).fetchall()
                except (duckdb.IOException, duckdb.HTTPException, FileNotFoundError):
                    # A segment was shipped and removed, or a file of the table joined with others and deleted, since they were listed.
                    self._give_up()
                    if not left:
                        raise GatewayError("the lake cannot be read") from None
        raise AssertionError  # pragma: no cover - the last try returns or raises

    def _opened(self) -> DuckDBPyConnection:
        """Return a connection whose view `known` is all events that there are now."""
        if self._connection is not None and self._clock() - self._looked_at < FRESH_S:
            return self._connection
        state = self._look()
        if self._connection is None or state != self._state:
            self._connection, self._state = self._read(state), state
        self._looked_at = self._clock()
        return self._connection

    def _look(self) -> _State:
        version = None
        if self._lake is not None:
            table = open_table(place_of(self._lake.path, self._lake.storage_options))
            version = None if table is None else table.version()
        try:
            held = tuple(sorted((name, size) for name, size in sizes(self._journal) if size))
        except FileNotFoundError:
            held = ()
        return _State(version, held)

    def _read(self, state: _State) -> DuckDBPyConnection:
        before, same = self._connection, self._state is not None and self._state.version == state.version
        if before is not None and same:
            connection = before
        else:
            self._give_up()
            try:
                connection = connect() if self._lake is None else open_lake(self._lake.path, self._lake.storage_options)
            except OSError as error:
                raise GatewayError(f"the lake cannot be reached: {type(error).__name__}") from error
            if self._lake is None:
                connection.execute(f"CREATE TEMP VIEW events AS SELECT {_NONE}, NULL::DATE AS {DAY} WHERE false")
        names = [str(self._journal / name) for name, _ in state.segments]
        connection.execute(f"CREATE OR REPLACE TEMP TABLE tail AS {_tail(names)}")
        connection.execute("CREATE OR REPLACE TEMP VIEW known AS SELECT * FROM events UNION ALL BY NAME SELECT * FROM tail")
        return connection

    def _give_up(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = self._state = None

    def close(self) -> None:
        """Close the files."""
        with self._lock:
            self._give_up()


def _tail(names: list[str]) -> str:
    """Return the query for the events of the journal that the lake does not have."""
    source = f"(SELECT {_NONE} WHERE false)"
    if names:
        quoted = ", ".join("'" + name.replace("'", "''") + "'" for name in names)
        how = f"format = 'newline_delimited', ignore_errors = true, maximum_object_size = {_LINE_BYTES}, columns = {READ_AS}"
        source = f"read_json([{quoted}], {how})"
    lines = f"SELECT *, CAST(time AS DATE) AS {DAY} FROM {source} WHERE {IS_EVENT} QUALIFY row_number() OVER (PARTITION BY id) = 1"
    # Ids of days that no line is of are not read.
    days = f"{DAY} BETWEEN (SELECT min({DAY}) FROM lines) AND (SELECT max({DAY}) FROM lines)"
    return f"WITH lines AS MATERIALIZED ({lines}) SELECT * FROM lines ANTI JOIN (SELECT id FROM events WHERE {days}) USING (id)"


def _within_days(table: Any, since: int, until: int) -> sa.ColumnElement[Any]:
    """Return the condition that events are of a time; the table is partitioned by day, and files of other days are not opened."""
    days = (since // DAY_S * DAY_S, max(since, until - 1) // DAY_S * DAY_S)
    first, last = (sa.cast(Moment(sa.literal(second, sa.BigInteger())), sa.Date()) for second in days)
    return sa.and_(
        table.c.time >= Moment(sa.literal(since, sa.BigInteger())),
        table.c.time < Moment(sa.literal(until, sa.BigInteger())),
        table.c.day.between(first, last),
    )
