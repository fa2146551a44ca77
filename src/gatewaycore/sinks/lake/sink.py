"""The sink: batches of journal lines -> commits of a Delta table, each event once.

At least once in, exactly once out. Before a batch is committed, the ids that the table has between the batch's least and greatest are taken
out of it. Ids begin with their time, and Delta keeps the range of each file: for a batch that is new no file is read at all, and for one
that was sent again the few files that may hold it. The commit is made for that very state of the table, or not at all: where another writer
was faster, its rows are looked at too. So two processes may even ship the same lines.

The other way, to let duplicates in and remove them at compaction and in a view, would have made every other engine that reads the table see
them.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from gatewaycore.errors import PoisonError, SinkError
from gatewaycore.segments import Span
from gatewaycore.sinks.lake.house import House
from gatewaycore.sinks.lake.mending import mend
from gatewaycore.sinks.lake.place import Place, answer_of, connect, open_table
from gatewaycore.sinks.lake.schema import DAY, STATISTICS, delta_schema, quoted
from gatewaycore.sinks.lake.spool import LINE_BYTES, LONG_LINE_BYTES, PIECE_BYTES, Spool
from gatewaycore.sinks.lake.staging import Files, Rows, Staged

if TYPE_CHECKING:
    from deltalake import DeltaTable
    from duckdb import DuckDBPyConnection

_TRIES = 12
_PAUSE_S, _LONGEST_PAUSE_S = 0.05, 2.0
_LINES = 100
_CONFIGURATION = {
    "delta.dataSkippingStatsColumns": ",".join(STATISTICS),
    # A commit every few seconds makes thousands of files a day of the table's log.
    "delta.logRetentionDuration": "interval 2 days",
}


class UnreadableError(ValueError):
    """Some lines are events by all accounts but DuckDB's; the shipper looks for them."""


class LakeSink:
    """Writes the table.

    Args:
        place: where it is.
        house: keeps it in order, now and then, behind a write.

    Attributes:
        batch_bytes: how much it wants at once: a commit costs as much for one event as for thousands.
        linger_s: how long it may be waited for more.
    """

    batch_bytes: int = 64 * 1024 * 1024
    linger_s: float = 5.0

    def __init__(self, place: Place, house: House) -> None:
        self._place = place
        self._house = house
        self._spool: Spool | None = None
        self._connection: DuckDBPyConnection | None = None
        self._table: DeltaTable | None = None

    def write(self, lines: Sequence[bytes]) -> None:
        """Commit a batch; what the table has already is not written again.

        Raises:
            SinkError: the place cannot be reached, or others keep being faster.
            PoisonError: some lines are no events.
            UnreadableError: there is something the matter with some, and it is not known which.
        """
        if lines:
            self._keep(b"".join(lines[begin : begin + _LINES]) for begin in range(0, len(lines), _LINES))

    def write_spans(self, spans: Sequence[Span]) -> int:
        """Commit a batch that lies in segments, as `write` does; return how many lines it was.

        Raises:
            SinkError: as above.
            PoisonError: some lines are no events; it names none.
            UnreadableError: as above.
        """
        try:
            return self._keep(piece for span in spans for piece in span.pieces(PIECE_BYTES))
        except PoisonError as error:
            # Positions are those of lines, which nobody has counted.
            raise PoisonError((), error.reason) from error

    def tidy(self, now: datetime) -> None:
        """Put the whole table in order at once, as it is otherwise done piece by piece behind batches.

        Args:
            now: days that have ended by then, and an hour ago, are sorted.

        Raises:
            Exception: what the engines raise.
        """
        self._table = self._open()
        self._house.tidy(self._table, self._connected(), now)

    def _keep(self, pieces: Iterable[bytes]) -> int:
        try:
            if self._spool is None:
                self._spool = Spool()
            spool = self._spool
            spool.fill(pieces)
            if spool.lines:
                self._commit(self._stage(spool))
        except (SinkError, UnreadableError):
            raise
        except Exception as error:  # two engines and a cloud raise what they like: it is tried again
            self._table = None
            raise SinkError(f"lake: {answer_of(error)}") from error
        if self._table is not None:
            self._house.keep(self._table, self._connected(), datetime.now(UTC))
        return spool.lines

    def _connected(self) -> DuckDBPyConnection:
        if self._connection is None:
            self._connection = connect()
            # Rows of a batch may stand in any order.
            self._connection.execute("SET preserve_insertion_order = false")
        return self._connection

    def _stage(self, spool: Spool) -> Staged:
        """Read the lines; one by one only where something in them is strange.

        Raises:
            PoisonError: some are no events.
            UnreadableError: DuckDB does not take what we do.
        """
        from duckdb import Error

        if not spool.is_strange:
            # An error is a line that is longer than what is read at once: it is read the other way.
            with suppress(Error):
                staged = self._staged(spool.rows(LINE_BYTES), spool.day())
                if staged.events == spool.lines:
                    return staged
                staged.discard(offered=False)
        mended, poison = mend(spool.read_lines())
        if poison:
            raise PoisonError(poison, "no event: a column is missing that every event has, or is of another type")
        spool.fill([b"".join(mended)])
        staged = self._staged(spool.rows(LONG_LINE_BYTES), spool.day())
        if staged.events != spool.lines:
            staged.discard(offered=False)
            raise UnreadableError(f"{spool.lines - staged.events} lines cannot be read")
        return staged

    def _staged(self, rows: str, day: str | None) -> Staged:
        if not self._place.is_local:
            return Rows(self._connected(), rows)
        # Readable by its owner only, like everything that the gateway keeps.
        Path(self._place.uri).mkdir(parents=True, exist_ok=True, mode=0o700)
        return Files(self._connected(), rows, self._place.uri, day)

    def _commit(self, staged: Staged) -> None:
        from deltalake.exceptions import CommitFailedError

        offered = False
        try:
            distinct, first, last = self._look(staged)
            for attempt in range(_TRIES):
                if self._table is None:
                    self._table = self._open()
                else:
                    self._table.update_incremental()
                try:
                    self._add_columns(self._table)
                    if self._find_known(self._table, first, last) or distinct < staged.events:
                        before, staged = staged, self._without_known(staged)
                        before.discard(offered)
                        distinct, offered = staged.events, False
                    if staged.events:
                        offered = True
                        staged.commit(self._table)
                except CommitFailedError:
                    # Another writer was faster. Both would be as fast again without a pause of their own.
                    time.sleep(random.uniform(0, min(_PAUSE_S * 2**attempt, _LONGEST_PAUSE_S)))  # noqa: S311 - no secret
                    continue
                return
            raise SinkError(f"lake: other writers were faster {_TRIES} times")
        finally:
            staged.discard(offered)

    def _look(self, staged: Staged) -> tuple[int, str, str]:
        """Return how many ids there are, the least and the greatest."""
        query = f"SELECT count(DISTINCT id), min(id), max(id) FROM {staged.source}"
        ((distinct, first, last),) = self._connected().sql(query).fetchall()
        return distinct, first, last

    def _find_known(self, table: DeltaTable, first: str, last: str) -> bool:
        """Put the ids that the table has from `first` to `last` into the table `known`; False when there are none."""
        from deltalake import QueryBuilder

        connection = self._connected()
        ids = QueryBuilder().register("lake", table).execute(f"SELECT id FROM lake WHERE id >= {quoted(first)} AND id <= {quoted(last)}")
        connection.register("ids", ids)
        try:
            connection.execute("CREATE OR REPLACE TEMP TABLE known AS SELECT id FROM ids")
        finally:
            connection.unregister("ids")
        return bool(connection.sql("SELECT 1 FROM known LIMIT 1").fetchall())

    def _without_known(self, staged: Staged) -> Staged:
        """Stage again what is not in the table `known`, once for each id."""
        rows = f"SELECT * FROM {staged.source} ANTI JOIN known USING (id) QUALIFY row_number() OVER (PARTITION BY id) = 1"
        return self._staged(rows, staged.day)

    def _add_columns(self, table: DeltaTable) -> None:
        """Give a table of an older version the columns of this one.

        Raises:
            SinkError: a column has another type there, or the table is somebody else's.
        """
        if table.metadata().partition_columns != [DAY]:
            raise SinkError(f"lake: at its path is a table that is not partitioned by {DAY}, and is left as it is: give it another path")
        there = {field.name: field.type for field in table.schema().fields}
        ours = delta_schema().fields
        strange = [field.name for field in ours if there.get(field.name, field.type) != field.type]
        if strange:
            raise SinkError(f"lake: the table has another type for {', '.join(strange)}")
        missing = [field for field in ours if field.name not in there]
        if missing:
            table.alter.add_columns(missing)
            table.update_incremental()

    def _open(self) -> DeltaTable:
        from deltalake import DeltaTable

        found = open_table(self._place)
        if found is not None:
            return found
        uri, options = self._place.uri, self._place.options
        return DeltaTable.create(uri, delta_schema(), "ignore", [DAY], configuration=_CONFIGURATION, storage_options=options)

    def close(self) -> None:
        """Let go of the engines."""
        self._table = None
        if self._spool is not None:
            self._spool.close()
            self._spool = None
        if self._connection is not None:
            self._connection.close()
            self._connection = None
