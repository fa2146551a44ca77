"""Ledger: which imports there were, and how far each has come, in one SQLite file beside the journal. Nothing that they brought is in it.

How far an import has come and what it has counted until then are saved in one transaction, after what was written is safe. So an import
that goes on where it was makes the same ids as one that was never interrupted.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TypeAlias

import msgspec
from attrs import define, field

from gatewaycore.errors import GatewayError
from gatewaycore.importing.counters import SEEN, Counters
from gatewaycore.locks import Lock, is_locked
from gatewaycore.sqlitefile import open_to_look, open_to_write

FILE = "imports.sqlite3"
"""Where, under the data-dir, the ledger is."""

MOST_ERRORS = 100
"""Errors that are kept of an import; the others are counted."""

Status: TypeAlias = Literal["queued", "running", "done", "aborted"]
STATUSES: tuple[Status, ...] = ("queued", "running", "done", "aborted")

_SCHEMA = (
    """CREATE TABLE IF NOT EXISTS imports (
        number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, fingerprint TEXT NOT NULL, name TEXT NOT NULL, status TEXT NOT NULL,
        is_to_abort INTEGER NOT NULL DEFAULT 0, queued_at TEXT NOT NULL, changed_at TEXT NOT NULL, total INTEGER NOT NULL,
        imported INTEGER NOT NULL, failed INTEGER NOT NULL, left_out TEXT NOT NULL, errors TEXT NOT NULL, first TEXT, last TEXT,
        offset INTEGER NOT NULL, line INTEGER NOT NULL)""",
    "CREATE INDEX IF NOT EXISTS imports_by_fingerprint ON imports (fingerprint)",
    SEEN,
)
_COLUMNS = "id, name, status, queued_at, changed_at, total, imported, failed, left_out, errors, first, last, offset, line, number"


@define
class Import:
    """One import.

    Attributes:
        id: a UUIDv7.
        name: of the file, without its folders; "-" for standard input.
        status: "queued", "running", "done" or "aborted".
        queued_at, changed_at: UTC.
        total: records that were read.
        imported: events that were kept.
        failed: records that could not be taken.
        left_out: records of which nothing is kept, by the reason: "opted-out", "own-traffic", "replaced".
        errors: the first of what was wrong: number of the line, and reason.
        first, last: the times of the earliest and the latest event.
        offset, line: how far it has come.
        number: of its row.
    """

    id: str
    name: str
    status: Status
    queued_at: datetime
    changed_at: datetime
    total: int = 0
    imported: int = 0
    failed: int = 0
    left_out: dict[str, int] = field(factory=dict)
    errors: list[tuple[int, str]] = field(factory=list)
    first: datetime | None = None
    last: datetime | None = None
    offset: int = 0
    line: int = 0
    number: int = 0

    def fail(self, line: int, reason: str) -> None:
        """Count a record that cannot be taken."""
        self.failed += 1
        if len(self.errors) < MOST_ERRORS:
            self.errors.append((line, reason))

    def leave_out(self, why: str) -> None:
        """Count a record of which nothing is kept."""
        self.left_out[why] = self.left_out.get(why, 0) + 1

    def keep(self, time: datetime) -> None:
        """Count an event."""
        self.imported += 1
        if self.first is None or time < self.first:
            self.first = time
        if self.last is None or time > self.last:
            self.last = time


class Ledger:
    """The imports of one data-dir. One process imports at a time; any may look.

    Args:
        data: the data-dir.
    """

    def __init__(self, data: Path) -> None:
        self._path = data / FILE
        self._lock_path = data / "imports.lock"
        self._lock = Lock(self._lock_path)
        self._connection: sqlite3.Connection | None = None

    def acquire(self) -> bool:
        """Take the lock of those who import; False when another process has it."""
        self._lock_path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not self._lock.take():
            return False
        # Whoever was at it was killed.
        self._opened().execute("UPDATE imports SET status = 'aborted' WHERE status IN ('queued', 'running')")
        return True

    def imports(self) -> list[Import]:
        """Return all imports, the latest first. One whose process was killed is told as aborted.

        Raises:
            GatewayError: the file is broken.
        """
        if not self._path.exists():
            return []
        try:
            with closing(open_to_look(self._path)) as connection:
                found = [_import(row) for row in connection.execute(f"SELECT {_COLUMNS} FROM imports ORDER BY number DESC")]  # noqa: S608
        except sqlite3.Error as error:
            raise GatewayError(f"{self._path} cannot be read: {error}") from error
        if not is_locked(self._lock_path):
            for one in found:
                one.status = "aborted" if one.status in ("queued", "running") else one.status
        return found

    def ask_to_abort(self, number: str) -> bool:
        """Ask whoever runs this import to abort it; False when nobody runs it."""
        if not any(one.id == number and one.status in ("queued", "running") for one in self.imports()):
            return False
        self._opened().execute("UPDATE imports SET is_to_abort = 1 WHERE id = ?", (number,))
        return True

    def find(self, fingerprint: str) -> Import | None:
        """Return the last import of the same file with the same options."""
        query = f"SELECT {_COLUMNS} FROM imports WHERE fingerprint = ? ORDER BY number DESC LIMIT 1"  # noqa: S608
        row = self._opened().execute(query, (fingerprint,)).fetchone()
        return None if row is None else _import(row)

    def begin(self, fingerprint: str, name: str, new_id: str) -> Import:
        """Note an import that begins."""
        now = datetime.now(UTC)
        one = Import(new_id, name, "queued", now, now)
        cursor = self._opened().execute(_BEGIN, (one.id, fingerprint, name, one.status, now.isoformat(), now.isoformat()))
        one.number = cursor.lastrowid or 0
        return one

    def counters(self, one: Import) -> Counters:
        """Return what an import has counted so far."""
        return Counters(self._opened(), one.number)

    def save(self, one: Import, counters: Counters) -> bool:
        """Save how far an import has come, and what it has counted; True when somebody asks that it be aborted."""
        connection = self._opened()
        one.changed_at = datetime.now(UTC)
        connection.execute("BEGIN IMMEDIATE")
        try:
            if one.status == "done":
                connection.execute("DELETE FROM seen WHERE import = ?", (one.number,))
            else:
                counters.save()
            connection.execute(_SAVE, _values(one))
            (asked,) = connection.execute("SELECT is_to_abort FROM imports WHERE number = ?", (one.number,)).fetchone()
            if one.status == "aborted":
                connection.execute("UPDATE imports SET is_to_abort = 0 WHERE number = ?", (one.number,))
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        if one.status == "done":
            self._shrink(connection)
        return bool(asked)

    def _shrink(self, connection: sqlite3.Connection) -> None:
        """Give back the room of what was counted: of a large import it is some gigabytes."""
        # Somebody may be looking at it; then the next one does it.
        with suppress(sqlite3.OperationalError):
            connection.execute("VACUUM")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def abort(self, one: Import) -> None:
        """Note that an import has ended where it was saved last."""
        self._opened().execute("UPDATE imports SET status = 'aborted', is_to_abort = 0 WHERE number = ?", (one.number,))

    def restart(self, one: Import) -> None:
        """Forget how far an import has come."""
        self._opened().execute("DELETE FROM seen WHERE import = ?", (one.number,))

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            try:
                self._connection = open_to_write(self._path, _SCHEMA)
            except sqlite3.DatabaseError as error:
                raise GatewayError(f"{self._path} cannot be used: {error}") from error
        return self._connection

    def close(self) -> None:
        """Close the file, and let go of the lock."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._lock.let_go()


_BEGIN = """INSERT INTO imports
    (id, fingerprint, name, status, queued_at, changed_at, total, imported, failed, left_out, errors, offset, line)
    VALUES (?, ?, ?, ?, ?, ?, 0, 0, 0, '{}', '[]', 0, 0)"""
_SAVE = """UPDATE imports SET status = :status, changed_at = :changed_at, total = :total, imported = :imported, failed = :failed,
    left_out = :left_out, errors = :errors, first = :first, last = :last, offset = :offset, line = :line WHERE number = :number"""


def _values(one: Import) -> Mapping[str, Any]:
    return {
        "status": one.status,
        "changed_at": one.changed_at.isoformat(),
        "total": one.total,
        "imported": one.imported,
        "failed": one.failed,
        "left_out": msgspec.json.encode(one.left_out).decode(),
        "errors": msgspec.json.encode(one.errors).decode(),
        "first": one.first and one.first.isoformat(),
        "last": one.last and one.last.isoformat(),
        "offset": one.offset,
        "line": one.line,
        "number": one.number,
    }


def _import(row: Sequence[Any]) -> Import:
    found, name, status, queued, changed, total, imported, failed, left_out, errors, first, last, offset, line, number = row
    return Import(
        found,
        name,
        status,
        datetime.fromisoformat(queued),
        datetime.fromisoformat(changed),
        total,
        imported,
        failed,
        msgspec.json.decode(left_out),
        [(at, reason) for at, reason in msgspec.json.decode(errors)],
        first and datetime.fromisoformat(first),
        last and datetime.fromisoformat(last),
        offset,
        line,
        number,
    )
