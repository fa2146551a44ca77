"""SQLite files of the data-dir: what one process writes, and any may look at. Imported when there is something to write or to read."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3


def open_to_write(path: Path, schema: Iterable[str]) -> sqlite3.Connection:
    """Return a connection in which every statement stands for itself, and which any thread may use; several not at once.

    Args:
        path: the file; made when it is not there.
        schema: statements that make what is missing.

    Raises:
        sqlite3.DatabaseError: it is no such file, or cannot be used.
        OSError: nor be opened.
    """
    import sqlite3

    # Readable by its owner only, and so are the files that SQLite puts beside it.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        for statement in schema:
            connection.execute(statement)
    except BaseException:
        connection.close()
        raise
    return connection


def open_to_look(path: Path) -> sqlite3.Connection:
    """Return a connection that writes nothing, while another process may.

    Raises:
        sqlite3.Error: the file is not there, or cannot be read.
    """
    import sqlite3

    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
