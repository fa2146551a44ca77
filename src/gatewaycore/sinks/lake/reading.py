"""Reading the table from Python: a DuckDB with the view `events` over the files that the table has now."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from gatewaycore.errors import SinkError
from gatewaycore.sinks.lake.place import Place, connect, open_table, place_of
from gatewaycore.sinks.lake.schema import COLUMNS, DAY, READ_DAY, quoted

if TYPE_CHECKING:
    from deltalake import DeltaTable
    from duckdb import DuckDBPyConnection

_NOTHING: Mapping[str, str] = {}


class _Scan:
    """A table that can be read again and again, through delta-rs: each time it is asked for, it begins anew."""

    def __init__(self, table: DeltaTable) -> None:
        self._table = table

    def __arrow_c_stream__(self, requested_schema: object = None) -> Any:
        from deltalake import QueryBuilder

        return QueryBuilder().register("lake", self._table).execute("SELECT * FROM lake").__arrow_c_stream__(requested_schema)


def open_lake(path: str, storage_options: Mapping[str, str] = _NOTHING) -> DuckDBPyConnection:
    """Return a DuckDB whose view `events` is the table as it is now; what is written later is seen by the next one that is opened.

    The view has the columns of this version, those that the table has besides, and `day`; it is empty where there is no table yet.
    In an object store, what a query does not need is left there if pyarrow is installed; without, all is read.

    Args:
        path: a folder or a URL, as in the settings.
        storage_options: as in the settings.

    Raises:
        ConfigError: the extra is not installed.
        OSError: the place cannot be reached.
        SinkError: what is there cannot be read as a table.
    """
    place = place_of(path, storage_options)
    table = _table(place)
    connection = connect()
    found: list[str] = []
    if table is not None:
        files = table.file_uris()
        is_plain = not _has_features(table)
        if files and place.is_local and is_plain:
            names = ", ".join(quoted(unquote(file)) for file in files)
            # Files that are older than a column do not have it.
            connection.execute(f"CREATE TEMP VIEW files AS SELECT * FROM read_parquet([{names}], {READ_DAY}, union_by_name = true)")
        elif files:
            connection.register("files", table.to_pyarrow_dataset() if is_plain and find_spec("pyarrow") else _Scan(table))
        if files:
            found = connection.sql("SELECT * FROM files").columns
    connection.execute(f"CREATE TEMP VIEW events AS {_select(found)}")
    return connection


def _table(place: Place) -> DeltaTable | None:
    from deltalake.exceptions import DeltaError

    try:
        return open_table(place)
    except DeltaError as error:
        # Its words may be a line of a file, or a trace of its own.
        raise SinkError(f"the lake cannot be read: {type(error).__name__}") from error


def _has_features(table: DeltaTable) -> bool:
    """Tell whether the files alone are not what the table holds: other engines delete rows beside a file, or rename columns."""
    protocol = table.protocol()
    return protocol.min_reader_version > 1 or bool(protocol.reader_features)


def _select(found: list[str]) -> str:
    columns = [(column.name, column.type) for column in COLUMNS] + [(DAY, "DATE")]
    known = [f'"{name}"::{kind} AS "{name}"' if name in found else f'NULL::{kind} AS "{name}"' for name, kind in columns]
    more = [f'"{name}"' for name in found if name not in dict(columns)]
    return f"SELECT {', '.join(known + more)} " + ("FROM files" if found else "WHERE false")
