"""Staging: a batch as the table will have it, before anybody sees it.

In a folder, DuckDB writes the files of the table themselves, on all its threads and in one pass over the lines; the commit then only names
them. To an object store delta-rs writes, in one thread, which waits for the network anyway: until then, the rows are a table of DuckDB.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from uuid import uuid4

from attrs import frozen

from gatewaycore.sinks.lake.schema import COLUMNS, DAY, READ_DAY, STATISTICS, quoted

if TYPE_CHECKING:
    from deltalake import DeltaTable
    from duckdb import DuckDBPyConnection

# Several for a batch, so that all threads have one to write; those of closed days are larger.
_GROUP_ROWS = 20_480


class Staged(Protocol):
    """A batch that can be committed.

    Attributes:
        source: its rows, as what SQL selects from.
        events: how many rows.
        day: of all of them; None where there are several, or where it does not matter.
    """

    source: str
    events: int
    day: str | None

    def commit(self, table: DeltaTable) -> None:
        """Make it part of `table`, on top of the very state that `table` is in.

        Raises:
            CommitFailedError: another writer was faster; nothing has changed.
        """
        ...

    def discard(self, offered: bool) -> None:
        """Leave nothing of it but what may be part of the table.

        Args:
            offered: there was an attempt to commit it. Whatever that has said, the table may know its files; if it does not, they go with
                the next vacuum.
        """
        ...


class Files:
    """A batch in files, which lie where the table has its own and are named by no commit yet.

    Args:
        connection: writes them.
        rows: what, as SQL.
        folder: of the table.
        day: that all rows have, as it seems. To sort rows into days costs half as much again as to read and to write them, and there is
            mostly nothing to sort.
    """

    def __init__(self, connection: DuckDBPyConnection, rows: str, folder: str, day: str | None) -> None:
        self._connection = connection
        self._folder = Path(folder)
        self._name = uuid4().hex
        self.day = day
        try:
            if day is not None and not self._write_day(rows, day):
                self._name, before = uuid4().hex, self._name
                self.day = None
                # The day that the path told is not that of all.
                self._write(f"SELECT * REPLACE (CAST(time AS DATE) AS {DAY}) FROM {self.source}")
                self._delete(before)
            elif day is None:
                self._write(rows)
        except BaseException:
            self._delete(self._name)
            raise

    def _write_day(self, rows: str, day: str) -> bool:
        """Write one file; False when it has rows of other days."""
        path = self._folder / f"{DAY}={day}" / f"{self._name}-0.parquet"
        path.parent.mkdir(exist_ok=True, mode=0o700)
        written = self._copy(f"SELECT * EXCLUDE ({DAY}) FROM ({rows})", path)
        self._files = [_File.of(self._folder, row, {DAY: day}) for row in written]
        self.source, self.events = self._reading(), sum(file.events for file in self._files)
        ((is_right,),) = self._connection.sql(
            f"SELECT coalesce(bool_and(CAST(time AS DATE) = DATE '{day}'), true) FROM {self.source}"
        ).fetchall()
        return bool(is_right)

    def _write(self, rows: str) -> None:
        """Write a file for each day."""
        written = self._copy(rows, self._folder, f", PARTITION_BY ({DAY}), APPEND, FILENAME_PATTERN '{self._name}-{{uuidv7}}'")
        self._files = [_File.of(self._folder, row, row[5]) for row in written]
        self.source, self.events = self._reading(), sum(file.events for file in self._files)

    def _copy(self, rows: str, path: Path, options: str = "") -> list[Any]:
        settings = f"FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {_GROUP_ROWS}, RETURN_STATS{options}"
        return self._connection.execute(f"COPY ({rows}) TO {quoted(str(path))} ({settings})").fetchall()

    def _reading(self) -> str:
        names = ", ".join(quoted(str(self._folder / file.name)) for file in self._files)
        return f"read_parquet([{names}], {READ_DAY})"

    def commit(self, table: DeltaTable) -> None:
        """Name the files in a commit."""
        from deltalake import CommitProperties
        from deltalake.transaction import AddAction, RemoveAction

        now = time.time_ns() // 1_000_000
        actions: list[AddAction | RemoveAction] = [
            AddAction(file.name, file.size, file.partition, now, True, file.statistics) for file in self._files
        ]
        # Not on top of a state that was not looked at.
        properties = CommitProperties(max_commit_retries=0)
        table.create_write_transaction(actions, "append", table.schema(), [DAY], commit_properties=properties)
        table.update_incremental()

    def discard(self, offered: bool) -> None:
        """Delete the files that nobody knows."""
        if not offered:
            self._delete(self._name)

    def _delete(self, name: str) -> None:
        for file in self._folder.glob(f"{DAY}=*/{name}-*"):
            with suppress(OSError):
                file.unlink()


@frozen
class _File:
    """One file.

    Attributes:
        name: below the table's folder.
        size: in bytes.
        events: how many rows.
        partition: the day.
        statistics: what Delta wants to know of it, as JSON.
    """

    name: str
    size: int
    events: int
    partition: Mapping[str, str]
    statistics: str

    @classmethod
    def of(cls, folder: Path, row: Sequence[Any], partition: Mapping[str, str]) -> _File:
        """Make one of what DuckDB says of a file that it has written."""
        path, events, size, _, columns, *_ = row
        return cls(str(Path(path).relative_to(folder)), size, events, partition, json.dumps(_statistics(events, columns)))


def _statistics(events: int, columns: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
    least: dict[str, str] = {}
    most: dict[str, str] = {}
    nulls: dict[str, int] = {}
    for name in STATISTICS:
        said = columns.get(f'"{name}"', {})
        if "null_count" in said:
            nulls[name] = int(said["null_count"])
        # Long text is cut, and then it is no bound.
        if said.get("min_is_exact") == said.get("max_is_exact") == "true":
            least[name], most[name] = said["min"], said["max"]
    if "time" in least:
        least["time"], most["time"] = _milliseconds(least["time"], math.floor), _milliseconds(most["time"], math.ceil)
    return {"numRecords": events, "minValues": least, "maxValues": most, "nullCount": nulls}


def _milliseconds(text: str, rounded: Any) -> str:
    """Return a time as Delta has it in statistics: in milliseconds, so that no time of the file is outside."""
    at = datetime.fromisoformat(text).astimezone(UTC)
    ms = rounded(at.microsecond / 1000)
    return (at.replace(microsecond=0) + timedelta(milliseconds=ms)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Rows:
    """A batch in a table of DuckDB.

    Args:
        connection: has it.
        rows: what, as SQL.
    """

    day: str | None = None

    def __init__(self, connection: DuckDBPyConnection, rows: str) -> None:
        self._connection = connection
        self.source = f"staged_{uuid4().hex}"
        connection.execute(f"CREATE TEMP TABLE {self.source} AS {rows}")
        ((self.events,),) = connection.sql(f"SELECT count(*) FROM {self.source}").fetchall()

    def commit(self, table: DeltaTable) -> None:
        """Let delta-rs write the rows."""
        from deltalake import CommitProperties, WriterProperties, write_deltalake

        names = {field.name for field in table.schema().fields}
        write_deltalake(
            table,
            self._connection.sql(f"SELECT * FROM {self.source}"),
            mode="append",
            schema_mode=None if names == {DAY, *(column.name for column in COLUMNS)} else "merge",
            writer_properties=WriterProperties(compression="ZSTD"),
            commit_properties=CommitProperties(max_commit_retries=0),
        )

    def discard(self, offered: bool) -> None:
        """Drop the table; what was committed lies elsewhere."""
        self._connection.execute(f"DROP TABLE IF EXISTS {self.source}")
