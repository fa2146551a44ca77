"""State: what is kept beside the journal, in one SQLite file: the images that were pulled, and how far the counting of pulls has come.

Both are written in one transaction. So what is counted twice after a crash is counted into numbers that do not hold the first time.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import frozen

from gatewaycore.errors import GatewayError
from gatewaycore.event import Event
from gatewaycore.sqlitefile import open_to_look, open_to_write

if TYPE_CHECKING:
    import sqlite3

_log = logging.getLogger("gatewaycore.state")

MOST_PACKAGES = 100_000
"""Names that are kept. Where a collection redirects, anybody may ask for images that there are not."""

_SCHEMA = (
    """CREATE TABLE IF NOT EXISTS packages (
        domain TEXT NOT NULL, name TEXT NOT NULL, package_type TEXT NOT NULL, rule TEXT NOT NULL,
        first_pulled_at TEXT NOT NULL, last_pulled_at TEXT NOT NULL, pulls INTEGER NOT NULL,
        PRIMARY KEY (domain, name)) WITHOUT ROWID""",
    "CREATE TABLE IF NOT EXISTS progress (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID",
)
_PULLED_AGAIN = """UPDATE packages SET package_type = :type, rule = :rule, pulls = pulls + 1,
    first_pulled_at = min(first_pulled_at, :at), last_pulled_at = max(last_pulled_at, :at) WHERE domain = :domain AND name = :name"""
_PULLED_FIRST = "INSERT INTO packages VALUES (:domain, :name, :type, :rule, :at, :at, 1)"


@frozen
class PulledPackage:
    """An image that was pulled.

    Attributes:
        domain: it was asked for.
        name: the package of its events: its id where it has one, else the image's name.
        package_type: "container".
        rule: the label of the rule that has answered last.
        first_pulled_at, last_pulled_at: UTC.
        pulls: how many.
    """

    domain: str
    name: str
    package_type: str
    rule: str
    first_pulled_at: datetime
    last_pulled_at: datetime
    pulls: int


class State:
    """One SQLite file. One process of a node writes it, in one thread at a time; any may read.

    Args:
        path: the file; made when something is written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self._names = 0
        self._is_full = False

    def packages(self) -> list[PulledPackage]:
        """Return the images that were pulled, by domain and name.

        Raises:
            GatewayError: the file is broken.
        """
        rows = self._look("SELECT * FROM packages ORDER BY domain, name")
        return [
            PulledPackage(domain, name, kind, rule, datetime.fromisoformat(first), datetime.fromisoformat(last), pulls)
            for domain, name, kind, rule, first, last, pulls in rows
        ]

    def _look(self, query: str, *values: str) -> list[tuple[Any, ...]]:
        """Return rows of one of the tables, and write nothing."""
        import sqlite3

        if not self._path.exists():
            return []
        try:
            with closing(open_to_look(self._path)) as connection:
                # Another process may have made the file a moment ago, and not both tables yet.
                if connection.execute("SELECT count(*) FROM sqlite_master WHERE name IN ('packages', 'progress')").fetchone() != (2,):
                    return []
                return connection.execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise GatewayError(f"{self._path} cannot be read: {error}") from error

    def peek(self, name: str) -> bytes | None:
        """Return what was saved under `name`, while another process may write; None when nothing was.

        Raises:
            GatewayError: the file is broken.
        """
        rows = self._look("SELECT value FROM progress WHERE name = ?", name)
        return bytes(rows[0][0]) if rows else None

    def progress(self, name: str) -> bytes | None:
        """Return what was saved under `name`; None when nothing was.

        Raises:
            OSError: the file cannot be opened.
        """
        if not self._path.exists():
            return None
        row = self._opened().execute("SELECT value FROM progress WHERE name = ?", (name,)).fetchone()
        return None if row is None else bytes(row[0])

    def save(self, name: str, progress: bytes, pulls: Sequence[Event]) -> None:
        """Keep how far somebody has come, and count the pulls that were found on the way: both or neither."""
        connection, known = self._opened(), self._names
        connection.execute("BEGIN IMMEDIATE")
        try:
            connection.execute("INSERT OR REPLACE INTO progress VALUES (?, ?)", (name, progress))
            self._count(connection, pulls)
            connection.execute("COMMIT")
        except BaseException:
            self._names = known
            # After some failures it has been rolled back already.
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise

    def _count(self, connection: sqlite3.Connection, pulls: Iterable[Event]) -> None:
        for pull in pulls:
            at = pull.time.astimezone(UTC).isoformat(timespec="microseconds")
            row = {"domain": pull.domain, "name": pull.package, "type": pull.package_type, "rule": pull.rule, "at": at}
            if connection.execute(_PULLED_AGAIN, row).rowcount:
                continue
            if self._names < MOST_PACKAGES:
                connection.execute(_PULLED_FIRST, row)
                self._names += 1
            elif not self._is_full:
                self._is_full = True
                _log.warning("%d images are known, and no further ones are noted; their pulls are events all the same", MOST_PACKAGES)

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            import sqlite3

            try:
                self._connection = self._open()
            except sqlite3.DatabaseError as error:
                if error.sqlite_errorcode not in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
                    raise
                _log.error("%s is broken, is put aside, and begins anew from the journal", self._path.name)
                self._path.replace(self._path.with_suffix(".broken"))
                self._connection = self._open()
        return self._connection

    def _open(self) -> sqlite3.Connection:
        # Closed by another thread than that which writes, after it has ended.
        connection = open_to_write(self._path, _SCHEMA)
        try:
            (self._names,) = connection.execute("SELECT count(*) FROM packages").fetchone()
        except BaseException:
            connection.close()
            raise
        return connection

    def close(self) -> None:
        """Close the file; whoever needs it opens it again."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
