"""Where the table is: a folder, or a URL of an object store; and the engine that reads what is there."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import weakref
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import field, frozen

from gatewaycore.errors import ConfigError, MissingExtraError, Problem

if TYPE_CHECKING:
    from deltalake import DeltaTable
    from duckdb import DuckDBPyConnection

# What the two engines take for something else: an escape, and patterns of names.
_UNUSABLE = frozenset("%*?[]")
# Of any other delta-rs says that there is no table.
_SCHEMES = frozenset(["s3", "s3a", "gs", "az", "adl", "azure", "abfs", "abfss", "lakefs", "file"])
# What an object store or the system has answered, as the engines' words have it.
_ANSWER = re.compile(
    r"\bstatus(?: code)?:? (?P<status>\d{3})\b|<Code>(?P<code>[A-Za-z]{1,60})</Code>"
    r'|(?:\(os error |"errno":")(?P<number>\d{1,5})[)"]'
)
# The server's own work comes first: not all the memory and all the processors of its machine.
_MEMORY, _THREADS = "1GB", 2


@frozen
class Place:
    """Where a table is.

    Attributes:
        uri: an absolute path, or a URL.
        options: as delta-rs wants them; secrets among them.
    """

    uri: str
    options: dict[str, str] = field(factory=dict, repr=False)

    @property
    def is_local(self) -> bool:
        """Whether it is a folder."""
        return "://" not in self.uri


def place_of(path: str, options: Mapping[str, str]) -> Place:
    """Return the place that settings name. Nothing is looked at there.

    Raises:
        ConfigError: an engine is not installed, or the path is none, or of a store that nobody knows.
    """
    scheme, mark, _ = path.partition("://")
    if not path.strip() or (mark and scheme.lower() not in _SCHEMES):
        raise ConfigError([Problem("sinks: lake: path", f"{path!r} cannot be used", "a folder, or s3://, gs:// or abfss://")])
    found = Place(path if "://" in path else str(Path(path).absolute()), {key.replace("-", "_"): value for key, value in options.items()})
    if found.is_local and not is_usable(found.uri):
        raise ConfigError([Problem("sinks: lake: path", f"{path!r} cannot be used", f"a path without any of {''.join(sorted(_UNUSABLE))}")])
    if not is_installed():
        raise MissingExtraError.of("sinks: lake", "lake")
    return found


def is_usable(path: str) -> bool:
    """Tell whether both engines take the path of a folder as it is."""
    return _UNUSABLE.isdisjoint(path)


def is_installed() -> bool:
    """Tell whether the extra `lake` is there; imports nothing."""
    return all(find_spec(name) is not None for name in ("duckdb", "deltalake"))


def connect() -> DuckDBPyConnection:
    """Return a DuckDB in memory: no more of it than a server can spare, and no extension is downloaded.

    What finds no room there lies in a folder of its own, readable by its owner only, and goes with the connection.
    """
    import duckdb

    spilled = tempfile.mkdtemp(prefix="gatewaycore-lake-")
    connection = duckdb.connect(
        ":memory:",
        config={
            "threads": _THREADS,
            "memory_limit": _MEMORY,
            "temp_directory": spilled,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
        },
    )
    weakref.finalize(connection, _remove, spilled, os.getpid())
    connection.execute("SET TimeZone = 'UTC'")
    # What takes seconds would be drawn on the standard output of whoever serves.
    connection.execute("SET enable_progress_bar = false")
    return connection


def _remove(folder: str, owner: int) -> None:
    # A forked child that ends lets go of the connection too, which is its parent's.
    if os.getpid() == owner:
        shutil.rmtree(folder, ignore_errors=True)


def open_table(place: Place) -> DeltaTable | None:
    """Return the table; None when there is none yet.

    ``DeltaTable.is_deltatable`` would hold the interpreter's lock while it waits for a store, and every request with it.
    """
    from deltalake import DeltaTable
    from deltalake.exceptions import TableNotFoundError

    try:
        return DeltaTable(place.uri, storage_options=place.options)
    except TableNotFoundError:
        return None


def answer_of(error: Exception) -> str:
    """Return what may be told of an engine's error: its name, and what it was answered. Its words may hold a URL, or a piece of a line."""
    if isinstance(error, OSError) and error.strerror:
        return f"{type(error).__name__}: {error.strerror}"
    answers = [
        os.strerror(int(found["number"])) if found["number"] else found["status"] or found["code"] for found in _ANSWER.finditer(str(error))
    ]
    return ": ".join([type(error).__name__, *answers[:2]])
