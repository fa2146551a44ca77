"""Keeping the table in order: small files become larger ones, old days go, and what nobody refers to any more is deleted.

- The **open** days (today, and yesterday for an hour) get a file with every commit. As soon as there are many, they are joined as they are.
- A **closed** day is written anew once, sorted by package and time: queries then read little of it.
- Each step is one commit. Where another writer has changed the same files, it comes to nothing, and is tried again later.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from attrs import define, frozen

from gatewaycore.sinks.lake.schema import DAY

if TYPE_CHECKING:
    from deltalake import DeltaTable
    from duckdb import DuckDBPyConnection

_log = logging.getLogger("gatewaycore.sinks.lake")
_LOOK_S, _VACUUM_S = 60.0, 3600.0
_GRACE = timedelta(hours=1)
_MIB = 1024 * 1024
_TARGET = 128 * _MIB
_OPEN_TARGET = 16 * _MIB
# A day that is larger takes too long to sort between two batches: its files are joined as they are.
_MOST_SORTED = 1024 * _MIB
# What writers of such a table leave behind when they are killed; Spark has a checksum beside each.
_OURS = re.compile(rf"{DAY}=[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}/[^/]+\.parquet(?:\.crc)?")


@define
class Day:
    """The files of one day.

    Attributes:
        day: which.
        sizes: of its files, in bytes.
    """

    day: date
    sizes: list[int]

    def small(self, than: int) -> int:
        """Count the files that are smaller."""
        return sum(size < than for size in self.sizes)


@frozen
class Rules:
    """When something is done.

    Attributes:
        compact_after: so many small files of a day are joined.
        retention_days: a day is deleted when it is as old; None keeps all.
        vacuum_hours: a file that nothing refers to any more is deleted when it is as old: readers may still be at it before.
    """

    compact_after: int
    retention_days: int | None
    vacuum_hours: int


class House:
    """Keeps one table.

    Attributes:
        conflicts: steps that came to nothing because another writer was faster.
        failed: steps that failed otherwise.
    """

    def __init__(self, rules: Rules) -> None:
        self.conflicts = 0
        self.failed = 0
        self._rules = rules
        self._looks_at = 0.0
        self._vacuums_at = 0.0
        self._is_told = False

    def keep(self, table: DeltaTable, connection: DuckDBPyConnection, now: datetime) -> None:
        """Do what is due. What was written is safe by now, so nothing is raised: it is counted, and tried again."""
        from deltalake.exceptions import CommitFailedError

        clock = time.monotonic()
        if clock < self._looks_at:
            return
        self._looks_at = clock + _LOOK_S
        try:
            self._forget(table, now)
            self._join(table, now)
            if self._sort(table, connection, now):
                # The next day has its turn behind the next batch, for batches are waiting.
                self._looks_at = clock
            if clock >= self._vacuums_at:
                self._vacuums_at = clock + _VACUUM_S
                self._vacuum(table)
        except CommitFailedError:
            self.conflicts += 1
        except Exception as error:  # noqa: BLE001 - two engines and a cloud raise what they like, and the events are written
            self.failed += 1
            _log.warning("the lake could not be kept in order, which is tried again: %s", type(error).__name__)

    def _vacuum(self, table: DeltaTable) -> None:
        """Delete what the table no longer refers to, and what it never did: but that only where nothing else lies.

        Delta takes every file below a table for its own, and whoever names a bucket as the path may have far more in it than a table.
        """
        hours = self._rules.vacuum_hours
        found = table.vacuum(hours, dry_run=True, enforce_retention_duration=False, full=True)
        is_ours = all(map(_OURS.fullmatch, found))
        if not is_ours and not self._is_told:
            self._is_told = True
            _log.warning(
                "the lake lies among files that are not its own: they stay, and what killed writers leave does; give it a path of its own"
            )
        table.vacuum(hours, dry_run=False, enforce_retention_duration=False, full=is_ours)

    def _forget(self, table: DeltaTable, now: datetime) -> None:
        if self._rules.retention_days is not None:
            first = now.date() - timedelta(days=self._rules.retention_days)
            if any(day.day < first for day in days_of(table)):
                table.delete(f"{DAY} < '{first}'")

    def _join(self, table: DeltaTable, now: datetime) -> None:
        """Join the small files of open days."""
        for day in days_of(table):
            if not _is_closed(day, now) and day.small(_OPEN_TARGET) >= self._rules.compact_after:
                _compact(table, day, _OPEN_TARGET)

    def tidy(self, table: DeltaTable, connection: DuckDBPyConnection, now: datetime) -> None:
        """Do all of it at once, however long that takes, and whatever others are doing.

        Raises:
            Exception: what the engines raise.
        """
        self._forget(table, now)
        self._join(table, now)
        while self._sort(table, connection, now):
            pass

    def _sort(self, table: DeltaTable, connection: DuckDBPyConnection, now: datetime) -> bool:
        """Write one closed day anew; True when others are due."""
        due = [day for day in days_of(table) if _is_closed(day, now) and day.small(_TARGET // 2) >= self._most(day)]
        if not due:
            return False
        day = due[0]
        if sum(day.sizes) > _MOST_SORTED:
            _compact(table, day, _TARGET)
        else:
            _rewrite(table, connection, day)
        return len(due) > 1

    def _most(self, day: Day) -> int:
        # A large day is not written anew for every straggler.
        return 2 if sum(day.sizes) <= _TARGET else max(self._rules.compact_after, 2)


def days_of(table: DeltaTable) -> list[Day]:
    """Return the days of a table, the oldest first, with the files of each."""
    found: dict[date, Day] = {}
    for day, size in _files(table):
        if day is None:
            # Rows that another writer has put there without one are no affair of ours.
            continue
        found.setdefault(day, Day(day, [])).sizes.append(size)
    return [found[day] for day in sorted(found)]


def _files(table: DeltaTable) -> Iterator[tuple[date | None, int]]:
    actions: Any = table.get_add_actions(flatten=True)
    return zip(actions.column(f"partition.{DAY}").to_pylist(), actions.column("size_bytes").to_pylist(), strict=True)


def _is_closed(day: Day, now: datetime) -> bool:
    return day.day < (now - _GRACE).date()


def _compact(table: DeltaTable, day: Day, target: int) -> None:
    from deltalake import WriterProperties

    table.optimize.compact([(DAY, "=", str(day.day))], target_size=target, writer_properties=WriterProperties(compression="ZSTD"))


def _rewrite(table: DeltaTable, connection: DuckDBPyConnection, day: Day) -> None:
    from deltalake import QueryBuilder, WriterProperties, write_deltalake

    query = f"SELECT * FROM lake WHERE {DAY} = '{day.day}'"
    connection.register("unsorted", QueryBuilder().register("lake", table).execute(query))
    try:
        write_deltalake(
            table,
            connection.sql("SELECT * FROM unsorted ORDER BY package, time"),
            mode="overwrite",
            # What others have added to this day meanwhile makes the commit fail, and is not overwritten.
            predicate=f"{DAY} = '{day.day}'",
            target_file_size=_TARGET,
            writer_properties=WriterProperties(compression="ZSTD", compression_level=3),
        )
    finally:
        connection.unregister("unsorted")
