"""The lake as a store of questions, with what the journal holds that is not there yet: each event once, by its id.

The lake is looked at first: what was shipped since then stays in the journal for as long as ``journal: keep-s``, so that nothing falls in
between. What was found is kept until the table or the journal has changed.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import sqlalchemy as sa
from attrs import field, frozen

from gatewaycore.errors import GatewayError
from gatewaycore.segments import sizes
from gatewaycore.sinks.lake import LakeStorage, house, open_lake
from gatewaycore.sinks.lake.place import connect, open_table, place_of
from gatewaycore.sinks.lake.schema import COLUMNS, DAY, events_in
from gatewaycore.stats.dialects import DuckDBDialect, Moment
from gatewaycore.stats.periods import DAY_S
from gatewaycore.stats.queries import Query, Relation, event_columns, relation
from gatewaycore.stats.questions import StoppedError
from gatewaycore.stats.rollups import Rollups, days_of, has, with_variables
from gatewaycore.stats.stores import Rows

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

T = TypeVar("T")
_log = logging.getLogger("gatewaycore.stats")

FRESH_S = 2.0
"""For how long it is not asked again whether anything has changed."""

_AGAIN_S = 0.05
# Nothing but what waits for a store far away takes longer to notice.
_STOP_S = 8.0
_LINE_BYTES = 16 * 1024 * 1024
_TRIES = 3
# Answers that are kept until the lake or the journal has changed, and how long one may be.
_MOST_ANSWERS, _MOST_ROWS = 256, 10_000
# Days that are read out of the lake for the sake of questions, where rollups do not have them as they are now.
_LIVE_DAYS = 3
# What is read in one go, while questions wait: as many days as are that large together, and one at least. A reading has its price,
# however little there is to be read.
_BYTES_AT_ONCE = 12 << 20
_DAYS_AT_ONCE = 366
# Weeks that are folded in one go, likewise.
_WEEKS_AT_ONCE = 4
_NONE = ", ".join(f'NULL::{column.type} AS "{column.name}"' for column in COLUMNS)


@frozen
class _State:
    """What an answer depends on: the version of the table, None where there is none, with its files, and what the journal holds.

    Attributes:
        version: of the table.
        segments: of the journal, with their sizes.
        files: of the table.
        sizes: of the table's days, in bytes.
    """

    version: int | None
    segments: tuple[tuple[str, int], ...]
    files: tuple[str, ...] = field(default=(), eq=False)
    sizes: Mapping[date, int] = field(factory=dict, eq=False)


class LakeStore:
    """Events of a lake and of the journal beside it.

    Args:
        lake: its settings; None where there is none, and the journal is all there is.
        journal: the folder of the journal.
        rollups: the file of rollups; None for none.
        clock: any that only goes forward, in seconds.

    Raises:
        ConfigError: the extra is not installed.
    """

    def __init__(
        self, lake: LakeStorage | None, journal: Path, rollups: Path | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        place_of("." if lake is None else lake.path, {} if lake is None else lake.storage_options)
        self._lake = lake
        self._journal = journal
        self._path = rollups
        self._clock = clock
        self._dialect = DuckDBDialect()  # type: ignore[no-untyped-call]  # as SQLAlchemy has it
        self._lock = threading.Lock()
        self._connection: DuckDBPyConnection | None = None
        self._state: _State | None = None
        self._rollups: Rollups | None = None
        self._rolled: Relation | None = None
        self._folds_wait = False
        self._looked_at = 0.0
        self._answers: dict[tuple[Any, ...], Rows] = {}
        self._is_stopped = False
        table = sa.table("known", *event_columns(), sa.column(DAY, sa.Date()))
        plain = relation(table)
        self._events = Relation(table, plain.seconds, plain.amount, _within_days)

    def ask(self, build: Callable[[Relation], Query], columns: Collection[str] = ()) -> Rows:
        """Return the rows of an answer.

        Args:
            build: makes the query.
            columns: what is asked for besides what counts: where rollups do not have it, the lake is asked.

        Raises:
            GatewayError: the lake cannot be reached.
        """
        with self._lock:
            return self._trying(lambda connection: self._answer(connection, build, columns))

    def _answer(self, connection: DuckDBPyConnection, build: Callable[[Relation], Query], columns: Collection[str]) -> Rows:
        query = build(self._events if self._rolled is None or not has(columns) else with_variables(self._rolled, columns))
        found = query.compile(dialect=self._dialect, compile_kwargs={"render_postcompile": True})
        key = (str(found), *(found.params[name] for name in found.positiontup or ()))
        rows = self._answers.pop(key, None)
        if rows is None:
            rows = connection.execute(key[0], key[1:]).fetchall()
            if len(rows) > _MOST_ROWS:
                return rows
        # The last to be asked is the last to be forgotten.
        self._answers[key] = rows
        if len(self._answers) > _MOST_ANSWERS:
            del self._answers[next(iter(self._answers))]
        return rows

    def forget(self) -> None:
        """Forget answers, which are kept until the lake or the journal has changed: the next questions are asked for themselves."""
        with self._lock:
            self._answers.clear()

    def refresh(self) -> None:
        """Read into the rollups what has changed in the lake, a few days at a time, so that questions are answered meanwhile.

        Raises:
            GatewayError: the lake cannot be reached.
        """
        while True:
            with self._lock:
                if not self._trying(self._read_days):
                    return

    def stop(self) -> None:
        """End what is going on in another thread: it raises `StoppedError`, and so does whatever is asked later."""
        import duckdb

        self._is_stopped = True
        until = time.monotonic() + _STOP_S
        # Again and again: what is told between two statements of a reading is not heard by either.
        while not self._lock.acquire(timeout=_AGAIN_S):
            if time.monotonic() > until:
                return
            connection = self._connection
            if connection is not None:
                # It may have been closed since.
                with suppress(duckdb.ConnectionException):
                    connection.interrupt()
        self._lock.release()

    def _read_days(self, _: DuckDBPyConnection) -> bool:
        """Read the days that come next; tell whether there are others."""
        if self._rollups is None or self._state is None:
            return False
        files = days_of(list(self._state.files))
        stale = self._rollups.stale(files)
        chosen = _chosen(stale, self._state.sizes)
        if stale:
            # Until it is shown anew: numbers that callers have for now may be those of others afterwards.
            self._rolled = None
            self._rollups.read({day: files.get(day, ()) for day in chosen})
        elif weeks := self._rollups.unfolded():
            _log.info("rollups: %d weeks are to be folded", len(weeks))
            # What is shown stays true: of these weeks it has the rows.
            self._rollups.fold(weeks[:_WEEKS_AT_ONCE])
            self._folds_wait = True
            return True
        if len(stale) > len(chosen):
            _log.info("rollups: %d days are to be read", len(stale) - len(chosen))
            return True
        self._rollups.tidy()
        if stale or self._rolled is None or self._folds_wait:
            self._show()
        return bool(stale)

    def _trying(self, act: Callable[[DuckDBPyConnection], T]) -> T:
        import duckdb

        for left in reversed(range(_TRIES)):
            if self._is_stopped:
                self._give_up()
                raise StoppedError("statistics have been stopped")
            try:
                return act(self._opened())
            except duckdb.InterruptException:
                self._give_up()
                raise StoppedError("statistics have been stopped") from None
            except (duckdb.IOException, duckdb.HTTPException, OSError) as error:
                # A segment was shipped and removed, or a file of the table joined with others and deleted, since they were listed.
                self._give_up()
                if not left:
                    raise GatewayError(f"the lake cannot be read: {type(error).__name__}") from None
        raise AssertionError  # pragma: no cover - the last try returns or raises

    def _opened(self) -> DuckDBPyConnection:
        """Return a connection whose view `known` is all events that there are now."""
        if self._connection is not None and self._clock() - self._looked_at < FRESH_S:
            return self._connection
        state = self._look()
        if self._connection is None or self._state is None or state.version != self._state.version:
            self._give_up()
            self._connection, state = self._connect(state)
        elif state == self._state:
            self._looked_at = self._clock()
            return self._connection
        self._state = state
        names = [str(self._journal / name) for name, _ in state.segments]
        self._connection.execute(f"CREATE OR REPLACE TEMP TABLE tail AS {_tail(names)}")
        self._connection.execute("CREATE OR REPLACE TEMP VIEW known AS SELECT * FROM events UNION ALL BY NAME SELECT * FROM tail")
        self._show()
        self._looked_at = self._clock()
        return self._connection

    def _look(self) -> _State:
        from deltalake.exceptions import DeltaError

        version: int | None = None
        files: tuple[str, ...] = ()
        sized: Mapping[date, int] = {}
        if self._lake is not None:
            try:
                table = open_table(place_of(self._lake.path, self._lake.storage_options))
            except (OSError, DeltaError) as error:
                raise GatewayError(f"the lake cannot be reached: {type(error).__name__}") from None
            if table is not None:
                version = table.version()
                if self._path is not None:
                    files = tuple(table.file_uris())
                    sized = {day.day: sum(day.sizes) for day in house.days_of(table)}
        try:
            held = tuple(sorted((name, size) for name, size in sizes(self._journal) if size))
        except FileNotFoundError:
            held = ()
        return _State(version, held, files, sized)

    def _connect(self, state: _State) -> tuple[DuckDBPyConnection, _State]:
        """Return a connection with the view `events`, and the state that it is of: of a table that does not change meanwhile."""
        if self._lake is None:
            connection = connect()
            connection.execute(f"CREATE TEMP VIEW events AS SELECT {_NONE}, NULL::DATE AS {DAY} WHERE false")
        else:
            connection = open_lake(self._lake.path, self._lake.storage_options)
            while (again := self._look()).version != state.version:
                connection.close()
                connection, state = open_lake(self._lake.path, self._lake.storage_options), again
        self._rollups = self._attach(connection)
        return connection, state

    def _attach(self, connection: DuckDBPyConnection) -> Rollups | None:
        import duckdb

        if self._path is None:
            return None
        try:
            return Rollups(connection, self._path)
        except duckdb.Error as error:
            # Another process has it. The lake gives the same answers.
            _log.info("rollups are not used: %s", type(error).__name__)
            return None

    def _show(self) -> None:
        """Let questions go to the rollups, unless there are more days to be read anew than should be read for a question."""
        self._answers.clear()
        self._rolled, self._folds_wait = None, False
        if self._rollups is not None and self._state is not None:
            stale = self._rollups.stale(days_of(list(self._state.files)))
            if len(stale) <= _LIVE_DAYS:
                self._rolled = self._rollups.show(stale)

    def _give_up(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = self._state = self._rollups = self._rolled = None
        self._answers.clear()

    def close(self) -> None:
        """Close the files."""
        with self._lock:
            self._give_up()


def _chosen(days: Sequence[date], sizes: Mapping[date, int]) -> Sequence[date]:
    """Return the first of some days: those that are read in one go."""
    together = 0
    for number, day in enumerate(days[:_DAYS_AT_ONCE]):
        together += sizes.get(day, 0)
        if number and together > _BYTES_AT_ONCE:
            return days[:number]
    return days[:_DAYS_AT_ONCE]


def _tail(names: list[str]) -> str:
    """Return the query for the events of the journal that the lake does not have."""
    if not names:
        return f"SELECT {_NONE}, NULL::DATE AS {DAY} WHERE false"
    lines = f"{events_in(names, _LINE_BYTES)} QUALIFY row_number() OVER (PARTITION BY id) = 1"
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
