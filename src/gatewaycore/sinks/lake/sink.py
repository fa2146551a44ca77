"""The sink: batches of journal lines -> commits of a Delta table, each event once.

At least once in, exactly once out. Before a batch is written, the ids that the table has between the batch's least and greatest are taken
out of it. Ids begin with their time, and Delta keeps the range of each file: for a batch that is new no file is read at all, and for one
that was sent again the few files that may hold it. The commit is made for that very state of the table, or not at all: where another writer
was faster, its rows are looked at too, and the batch is written again. So two processes may even ship the same lines.

The other way, to let duplicates in and remove them at compaction and in a view, would have made every other engine that reads the table see
them.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from gatewaycore.errors import SinkError
from gatewaycore.sinks.lake.batch import Batch, Spool
from gatewaycore.sinks.lake.house import House
from gatewaycore.sinks.lake.place import Place, connect, open_table
from gatewaycore.sinks.lake.schema import COLUMNS, DAY, delta_schema

if TYPE_CHECKING:
    from deltalake import DeltaTable
    from duckdb import DuckDBPyConnection

_log = logging.getLogger("gatewaycore.sinks.lake")
_TRIES = 12
_PAUSE_S, _LONGEST_PAUSE_S = 0.05, 2.0
_CONFIGURATION = {
    # What whole columns hold least and most is kept for those that queries are narrowed by.
    "delta.dataSkippingStatsColumns": "id,time,domain,package,kind",
    # A commit every few seconds makes thousands of files a day of the table's log.
    "delta.logRetentionDuration": "interval 2 days",
}


class LakeSink:
    """Writes the table.

    Args:
        place: where it is.
        house: keeps it in order, now and then, behind a write.

    Attributes:
        batch_bytes: how much it wants at once: a commit costs as much for one event as for thousands.
        linger_s: how long it may be waited for more.
        poison: lines that were left out because they are no events.
    """

    batch_bytes: int = 64 * 1024 * 1024
    linger_s: float = 5.0

    def __init__(self, place: Place, house: House) -> None:
        self.poison = 0
        self._place = place
        self._house = house
        self._connection: DuckDBPyConnection | None = None
        self._table: DeltaTable | None = None

    def write(self, lines: Sequence[bytes]) -> None:
        """Commit a batch; what the table has already is not written again.

        Raises:
            SinkError: the place cannot be reached, or others keep being faster.
        """
        if not lines:
            return
        try:
            with closing(Spool()) as spool:
                if self._connection is None:
                    self._connection = connect()
                batch = spool.fill(self._connection, lines)
                if batch.events:
                    self._commit(batch)
        except SinkError:
            raise
        except Exception as error:  # two engines and a cloud raise what they like: it is tried again
            self._table = None
            raise SinkError(f"lake: {type(error).__name__}: {str(error)[:400]}") from error
        if batch.poison:
            # Counted once they are passed over: a batch that fails comes again. What stands in them is not for the log.
            self.poison += batch.poison
            _log.warning("%d lines were left out because they are no events, %d so far", batch.poison, self.poison)
        if self._table is not None:
            self._house.keep(self._table, self._connection, datetime.now(UTC))

    def _commit(self, batch: Batch) -> None:
        from deltalake.exceptions import CommitFailedError

        for attempt in range(_TRIES):
            if self._table is None:
                self._table = self._open()
            else:
                self._table.update_incremental()
            try:
                self._append(self._table, batch)
            except CommitFailedError:
                # Another writer was faster. Both would be as fast again without a pause of their own.
                time.sleep(random.uniform(0, min(_PAUSE_S * 2**attempt, _LONGEST_PAUSE_S)))  # noqa: S311 - no secret
                continue
            return
        raise SinkError(f"lake: other writers were faster {_TRIES} times")

    def _append(self, table: DeltaTable, batch: Batch) -> None:
        from deltalake import CommitProperties, WriterProperties, write_deltalake

        rows = batch.rows()
        if self._find_known(table, batch):
            rows = batch.rows(known=True)
            if not rows.limit(1).fetchall():
                return
        names = {field.name for field in table.schema().fields}
        write_deltalake(
            table,
            rows,
            mode="append",
            schema_mode=None if names == {DAY, *(column.name for column in COLUMNS)} else "merge",
            writer_properties=WriterProperties(compression="ZSTD"),
            # Not on top of a state that was not looked at.
            commit_properties=CommitProperties(max_commit_retries=0),
        )

    def _find_known(self, table: DeltaTable, batch: Batch) -> bool:
        """Put the ids that the table has in the batch's range into the table `known`; False when there are none."""
        from deltalake import QueryBuilder

        low, high = (one.replace("'", "''") for one in (batch.first_id, batch.last_id))
        ids = QueryBuilder().register("lake", table).execute(f"SELECT id FROM lake WHERE id >= '{low}' AND id <= '{high}'")
        batch.connection.register("ids", ids)
        try:
            batch.connection.execute("CREATE OR REPLACE TEMP TABLE known AS SELECT id FROM ids")
        finally:
            batch.connection.unregister("ids")
        return bool(batch.connection.sql("SELECT 1 FROM known LIMIT 1").fetchall())

    def _open(self) -> DeltaTable:
        from deltalake import DeltaTable

        found = open_table(self._place)
        if found is not None:
            return found
        if self._place.is_local:
            # Readable by its owner only, like everything that the gateway keeps.
            Path(self._place.uri).mkdir(parents=True, exist_ok=True, mode=0o700)
        uri, options = self._place.uri, self._place.options
        return DeltaTable.create(uri, delta_schema(), "ignore", [DAY], configuration=_CONFIGURATION, storage_options=options)

    def close(self) -> None:
        """Let go of the engines."""
        self._table = None
        if self._connection is not None:
            self._connection.close()
            self._connection = None
