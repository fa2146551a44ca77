"""Sources: where events are read from: the lake and what of the journal it does not have yet; or the journal alone.

An event that is in both is read once, for its id is one. The lake is looked at first: what was shipped since then stays in the journal for
as long as ``journal: keep-s``, so that nothing falls in between.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from heapq import nlargest
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
from attrs import frozen

from gatewaycore.errors import GatewayError
from gatewaycore.event import Event
from gatewaycore.exporting.columns import PACKAGE, PIXEL
from gatewaycore.exporting.selection import Selection
from gatewaycore.recorder import decode
from gatewaycore.segments import UNREADABLE, read_lines, segments
from gatewaycore.sinks.lake import LakeStorage, open_lake
from gatewaycore.sinks.lake.place import answer_of, connect
from gatewaycore.sinks.lake.schema import COLUMNS, DAY, events_in, quoted

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_ROWS = 2_000
_LINE_BYTES = 16 * 1024 * 1024
_PIXEL_TYPE = "pixel"
_ORDER = "id_to_order_by"
_NONE = "SELECT " + ", ".join(f'NULL::{column.type} AS "{column.name}"' for column in COLUMNS) + f", NULL::DATE AS {DAY} WHERE false"
_encode = msgspec.json.Encoder().encode

Seen = Callable[[bytes], int]
"""Counts a key of 16 bytes up; returns how often it was counted before."""


class Source(Protocol):
    """Gives events, each once."""

    def rows(self, columns: Mapping[str, str], selection: Selection) -> Iterator[Sequence[Any]]:
        """Iterate over rows: text, numbers, and `variables` as JSON. A few thousand are held at a time."""
        ...

    def latest(self, columns: Mapping[str, str], selection: Selection, limit: int, before: str | None = None) -> list[Sequence[Any]]:
        """Return the last rows, the newest first.

        Args:
            columns: as `rows` has them.
            selection: of these events.
            limit: how many.
            before: an id; only events whose ids are smaller, which are older.
        """
        ...


@frozen
class JournalSource:
    """The journal alone, read in Python: for those who have no lake, and not its engine either.

    Attributes:
        journal: the folder.
        seen: tells what was there before.
    """

    journal: Path
    seen: Seen

    def rows(self, columns: Mapping[str, str], selection: Selection) -> Iterator[Sequence[Any]]:
        """Iterate over rows, in the order in which they were written."""
        getters = [_getter(column) for column in columns.values()]
        for event in self._events():
            if selection.holds(event) and not self.seen(blake2b(event.id.encode(), digest_size=16).digest()):
                yield [get(event) for get in getters]

    def latest(self, columns: Mapping[str, str], selection: Selection, limit: int, before: str | None = None) -> list[Sequence[Any]]:
        """Return the last rows, the newest first. Reads the whole journal."""
        getters = [_getter(column) for column in columns.values()]
        # In both, an event is one, whose id is one.
        found = {event.id: event for event in self._events() if selection.holds(event) and (before is None or event.id < before)}
        return [[get(found[id_]) for get in getters] for id_ in nlargest(limit, found)]

    def _events(self) -> Iterator[Event]:
        for segment in segments(self.journal):
            offset = 0
            while True:
                try:
                    lines, end = read_lines(segment, offset)
                except FileNotFoundError:
                    # Shipped and removed meanwhile.
                    break
                if end == offset:
                    break
                offset = end
                for line in lines:
                    try:
                        yield decode(line)
                    except UNREADABLE:
                        # No event: what a crash has left behind.
                        continue


def _getter(column: str) -> Callable[[Event], Any]:
    if column == PACKAGE:
        return lambda event: None if event.package_type == _PIXEL_TYPE else event.package
    if column == PIXEL:
        return lambda event: event.package if event.package_type == _PIXEL_TYPE else None
    if column == "time":
        return lambda event: msgspec.to_builtins(event.time)
    if column == "variables":
        return lambda event: msgspec.Raw(_encode(event.variables)) if event.variables else None
    return lambda event: getattr(event, column)


class LakeSource:
    """The lake, and what the journal has beside it, read by DuckDB.

    Args:
        lake: its settings; None where there is none, and the journal is all there is.
        journal: the folder of the journal.
    """

    def __init__(self, lake: LakeStorage | None, journal: Path) -> None:
        self._lake = lake
        self._journal = journal

    def rows(self, columns: Mapping[str, str], selection: Selection) -> Iterator[Sequence[Any]]:
        """Iterate over rows, in no particular order."""
        raw = _raw(columns)
        with _told(), self._opened(selection) as connection:
            asked = connection.execute(_query(columns, selection, _as_text))
            while rows := asked.fetchmany(_ROWS):
                if not raw:
                    yield from rows
                    continue
                for row in rows:
                    yield _mended(row, raw)

    def latest(self, columns: Mapping[str, str], selection: Selection, limit: int, before: str | None = None) -> list[Sequence[Any]]:
        """Return the last rows, the newest first."""
        raw = _raw(columns)
        older = "" if before is None else f"WHERE id < {quoted(before)}"
        with _told(), self._opened(selection) as connection:
            query = f"SELECT * EXCLUDE ({_ORDER}) FROM ({_query(columns, selection, _as_text, ordered=older)}) ORDER BY {_ORDER} DESC"
            return [_mended(row, raw) for row in connection.execute(f"{query} LIMIT {int(limit)}").fetchall()]

    def write_parquet(self, path: Path, columns: Mapping[str, str], selection: Selection) -> int:
        """Write a Parquet file, and return how many rows it has."""
        with _told(), self._opened(selection) as connection:
            query = _query(columns, selection, _as_is)
            # Into the very file that is there, with its permissions.
            how = "(FORMAT parquet, COMPRESSION zstd, USE_TMP_FILE false)"
            row = connection.execute(f"COPY ({query}) TO {quoted(str(path))} {how}").fetchone()
        return 0 if row is None else int(row[0])

    def _opened(self, selection: Selection) -> DuckDBPyConnection:
        """Return a DuckDB with the view `events`, of the lake, and the table `tail`, of the journal.

        Raises:
            GatewayError: the lake cannot be reached, or cannot be read.
        """
        try:
            connection = connect() if self._lake is None else open_lake(self._lake.path, self._lake.storage_options)
        except OSError as error:
            raise GatewayError(f"the lake cannot be reached: {type(error).__name__}") from error
        if self._lake is None:
            connection.execute(f"CREATE TEMP VIEW events AS {_NONE}")
        self._read_tail(connection, selection)
        return connection

    def _read_tail(self, connection: DuckDBPyConnection, selection: Selection) -> None:
        from duckdb import IOException

        once = "QUALIFY row_number() OVER (PARTITION BY id) = 1"
        while True:
            found = [segment for segment in segments(self._journal) if _holds_something(segment)]
            rows = events_in(map(str, found), _LINE_BYTES) if found else _NONE
            try:
                connection.execute(f"CREATE TEMP TABLE tail AS SELECT * FROM ({rows}) WHERE {selection.sql()} {once}")
            except IOException:
                if all(segment.exists() for segment in found):
                    raise
                # One was shipped and removed meanwhile, long after the lake had what was in it.
            else:
                return


@contextmanager
def _told() -> Iterator[None]:
    """Say what is wrong where the engine fails."""
    from duckdb import Error

    try:
        yield
    except Error as error:
        raise GatewayError(f"the events cannot be read or written: {answer_of(error)}") from error


def _holds_something(segment: Path) -> bool:
    try:
        return segment.stat().st_size > 0
    except FileNotFoundError:
        # It was shipped and removed meanwhile.
        return False


def _raw(columns: Mapping[str, str]) -> list[int]:
    """Return the numbers of the columns that come as JSON."""
    return [number for number, column in enumerate(columns.values()) if column == "variables"]


def _mended(row: Sequence[Any], raw: Sequence[int]) -> Sequence[Any]:
    mended = list(row)
    for number in raw:
        mended[number] = msgspec.Raw(row[number].encode()) if row[number] not in (None, "{}") else None
    return mended


def _query(columns: Mapping[str, str], selection: Selection, form: Callable[[str], str], ordered: str | None = None) -> str:
    chosen = ", ".join(f'{form(column)} AS "{name}"' for name, column in columns.items())
    if ordered is not None:
        chosen, lake, tail = f"{chosen}, id AS {_ORDER}", f"(FROM events {ordered})", f"(FROM tail {ordered})"
    else:
        lake, tail = "events", "tail"
    return f"SELECT {chosen} FROM {lake} ANTI JOIN tail USING (id) WHERE {selection.sql()} UNION ALL SELECT {chosen} FROM {tail}"


def _as_is(column: str) -> str:
    if column == PACKAGE:
        return f"CASE WHEN package_type <> '{_PIXEL_TYPE}' THEN package END"
    if column == PIXEL:
        return f"CASE WHEN package_type = '{_PIXEL_TYPE}' THEN package END"
    return f'"{column}"'


def _as_text(column: str) -> str:
    if column == "time":
        return "strftime(time, '%Y-%m-%dT%H:%M:%S.%fZ')"
    if column == "variables":
        return "CAST(to_json(variables) AS VARCHAR)"
    return _as_is(column)
