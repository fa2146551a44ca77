"""Journal lines -> rows: read by DuckDB, and one by one only where something in them is strange.

A line that is no event (not JSON, or a column that every event has is missing) would stop its batch for ever: it is left out, and counted.

A column that this version does not know is written by a newer one's process beside it, while an update is rolled out. It is kept among the
`variables`, as ``extra.<name>``. Looking at every line for it would cost as much as reading it, so it is looked for in one of sixteen.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec
from attrs import frozen

from gatewaycore.sinks.lake.schema import COLUMNS, DAY, IS_EVENT, MAP, NAMES

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection, DuckDBPyRelation

_LOOKED_AT = 16
_PIECE = 1024
# What DuckDB reads at once is twice as much: with more, one of its threads would read all.
_LINE_BYTES, _LONG_LINE_BYTES = 16 * 1024 * 1024, 256 * 1024 * 1024
_SCHEMA = "{" + ", ".join(f"'{column.name}': '{column.type}'" for column in COLUMNS) + "}"
_DISTINCT = " QUALIFY row_number() OVER (PARTITION BY id) = 1"


@frozen
class Batch:
    """Lines that DuckDB reads, and what is known of them.

    Attributes:
        connection: reads them.
        source: the rows, as SQL; a row for each event, once for each id.
        events: how many.
        poison: how many lines are none.
        first_id, last_id: the least and the greatest id.
    """

    connection: DuckDBPyConnection
    source: str
    events: int
    poison: int
    first_id: str
    last_id: str

    def rows(self, known: bool = False) -> DuckDBPyRelation:
        """Return the rows, without those whose ids stand in the table `known`, if there is such a table."""
        return self.connection.sql(f"SELECT * FROM ({self.source}) AS batch{' ANTI JOIN known USING (id)' if known else ''}")


class Spool:
    """A file without a name, which DuckDB reads: nothing is left behind by a process that is killed."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by close()

    def fill(self, connection: DuckDBPyConnection, lines: Sequence[bytes]) -> Batch:
        """Put lines into the file, instead of those that were there, and look at them."""
        from duckdb import Error

        if not _looks_strange(lines):
            try:
                return self._fill(connection, lines, len(lines), _LINE_BYTES)
            except Error:
                # A line that is longer than what is read at once: found, and read, the other way.
                pass
        mended = [good for good in map(_mend, lines) if good is not None]
        return self._fill(connection, mended, len(lines), _LONG_LINE_BYTES)

    def _fill(self, connection: DuckDBPyConnection, lines: Sequence[bytes], count: int, line_bytes: int) -> Batch:
        self._file.seek(0)
        self._file.truncate()
        # Piece by piece: one of 64 MiB costs more in new pages of memory than in copying.
        for begin in range(0, len(lines), _PIECE):
            self._file.write(b"".join(lines[begin : begin + _PIECE]))
        self._file.flush()
        read = (
            f"read_json('/dev/fd/{self._file.fileno()}', format = 'newline_delimited', ignore_errors = true, "
            f"maximum_object_size = {line_bytes}, columns = {_SCHEMA})"
        )
        rows = f"SELECT *, CAST(time AS DATE) AS {DAY} FROM {read} WHERE {IS_EVENT}"
        ((events, distinct, first, last),) = connection.sql(
            f"SELECT count(*), count(DISTINCT id), min(id), max(id) FROM ({rows})"
        ).fetchall()
        source = rows if distinct == events else rows + _DISTINCT
        return Batch(connection, source, distinct, count - events, first or "", last or "")

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()


def _looks_strange(lines: Sequence[bytes]) -> bool:
    """Tell whether one of some lines has a column that this version does not know."""
    for line in (*lines[::_LOOKED_AT], *lines[-1:]):
        read = _read(line)
        if read is not None and not NAMES.issuperset(read):
            return True
    return False


def _read(line: bytes) -> dict[str, Any] | None:
    try:
        read = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return read if isinstance(read, dict) else None


def _is_time(value: Any) -> bool:
    try:
        return isinstance(value, str) and datetime.fromisoformat(value).tzinfo is not None
    except ValueError:
        return False


def _is_map(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(item, str) for item in value.values())


_FITS: Mapping[str, Callable[[Any], bool]] = {
    "VARCHAR": lambda value: isinstance(value, str),
    "BIGINT": lambda value: type(value) is int and -(1 << 63) <= value < 1 << 63,
    "DOUBLE": lambda value: type(value) in (int, float),
    "BOOLEAN": lambda value: isinstance(value, bool),
    "TIMESTAMPTZ": _is_time,
    MAP: _is_map,
}


def _mend(line: bytes) -> bytes | None:
    """Return a line with the columns of this version alone; None when it is no event."""
    read = _read(line)
    if read is None:
        return None
    for column in COLUMNS:
        value = read.get(column.name)
        if column.required if value is None else not _FITS[column.type](value):
            return None
    strange = {f"extra.{name}": _text(read.pop(name)) for name in read.keys() - NAMES}
    if strange:
        read["variables"] = {**strange, **(read.get("variables") or {})}
    return msgspec.json.encode(read) + b"\n"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
