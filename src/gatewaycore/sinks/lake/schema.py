"""What the lake's table looks like: the columns of an `Event`, and the day that it is partitioned by.

The columns are read off `Event`, so that a new field there is a new column here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from types import NoneType
from typing import Any, get_args, get_origin, get_type_hints

from attrs import NOTHING, fields, frozen

from gatewaycore.event import Event

DAY = "day"
"""The column that the table is partitioned by: the date of `time`, UTC."""

READ_DAY = f"hive_partitioning = true, hive_types = {{'{DAY}': DATE}}"
"""What DuckDB is told of it: the column that the path holds, not of another type, and not instead of `time`, of which it is made."""

MAP = "MAP(VARCHAR, VARCHAR)"
_DUCKDB: Mapping[type, str] = {str: "VARCHAR", int: "BIGINT", bool: "BOOLEAN", float: "DOUBLE", datetime: "TIMESTAMPTZ"}
_DELTA: Mapping[str, str] = {"VARCHAR": "string", "BIGINT": "long", "BOOLEAN": "boolean", "DOUBLE": "double", "TIMESTAMPTZ": "timestamp"}


@frozen
class LakeColumn:
    """One column.

    Attributes:
        name: the field of `Event`.
        type: as DuckDB calls it.
        required: whether every line has it; one without is no event.
    """

    name: str
    type: str
    required: bool


def _type_of(hint: Any) -> str:
    if hint in _DUCKDB:
        return _DUCKDB[hint]
    if get_origin(hint) is Mapping:
        return MAP
    # A choice of words, or one type or nothing.
    first = next(one for one in get_args(hint) if one is not NoneType)
    return "VARCHAR" if isinstance(first, str) else _type_of(first)


def _columns() -> tuple[LakeColumn, ...]:
    hints = get_type_hints(Event)
    return tuple(LakeColumn(one.name, _type_of(hints[one.name]), one.default is NOTHING) for one in fields(Event))


COLUMNS = _columns()
_READ_AS = "{" + ", ".join(f"'{column.name}': '{column.type}'" for column in COLUMNS) + "}"

STATISTICS = ("id", "time", "domain", "package", "kind")
"""The columns of which is kept, for each file, what they hold least and most: those that queries are narrowed by."""

NAMES = frozenset(column.name for column in COLUMNS)
# One that is no JSON has become a row of NULLs.
_IS_EVENT = " AND ".join(f'"{column.name}" IS NOT NULL' for column in COLUMNS if column.required)


def delta_schema() -> Any:
    """Return the schema that a new table is made with. No column refuses NULL, so that columns can be added."""
    from deltalake.schema import Field, MapType, PrimitiveType, Schema

    text = PrimitiveType("string")
    kinds = [(one.name, MapType(text, text) if one.type == MAP else PrimitiveType(_DELTA[one.type])) for one in COLUMNS]
    return Schema([Field(name, kind) for name, kind in (*kinds, (DAY, PrimitiveType("date")))])


def events_in(paths: Iterable[str], line_bytes: int) -> str:
    """Return SQL for the lines of files that are events, as rows.

    Args:
        paths: of one file of lines at least.
        line_bytes: DuckDB raises an error when a line is longer.
    """
    files = ", ".join(map(quoted, paths))
    return (
        f"SELECT *, CAST(time AS DATE) AS {DAY} FROM read_json([{files}], format = 'newline_delimited', ignore_errors = true, "
        f"maximum_object_size = {line_bytes}, columns = {_READ_AS}) WHERE {_IS_EVENT}"
    )


def quoted(text: str) -> str:
    """Return a text as SQL has it, in its quotes."""
    return "'" + text.replace("'", "''") + "'"
