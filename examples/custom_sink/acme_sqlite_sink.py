"""Sink `sqlite`: a table in one file, for gateways that a laptop is large enough for."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from attrs import frozen

from gatewaycore.errors import ConfigError, Problem, SinkError

_TABLE = "CREATE TABLE IF NOT EXISTS events (id TEXT PRIMARY KEY, time TEXT NOT NULL, package TEXT, event TEXT NOT NULL) WITHOUT ROWID"
_INSERT = "INSERT OR IGNORE INTO events VALUES (?, ?, ?, ?)"


@frozen(kw_only=True)
class SqliteStorage:
    """Settings of the sink: its fields are the keys of gateway.yaml.

    Attributes:
        path: of the file.
    """

    path: str

    def open(self) -> SqliteSink:
        """Make the sink; whatever it needs is imported and looked at here."""
        self.check()
        try:
            with closing(sqlite3.connect(self.path)) as database:
                database.execute(_TABLE)
        except sqlite3.Error as error:
            raise ConfigError([Problem("sinks: sqlite: path", f"{self.path!r} cannot be opened", str(error))]) from error
        return SqliteSink(self.path)

    def check(self) -> None:
        """Find out whether the settings can be used, and make nothing: `gatewaycore check` asks, and `serve` before it starts workers."""
        if not Path(self.path).absolute().parent.is_dir():
            raise ConfigError([Problem("sinks: sqlite: path", f"{self.path!r} is in no folder")])


class SqliteSink:
    """Keeps each event once, by its id: a batch may come twice."""

    def __init__(self, path: str) -> None:
        self._path = path

    def write(self, lines: Sequence[bytes]) -> None:
        """Keep a batch; when this returns, the gateway forgets it."""
        rows = []
        for line in lines:
            event = json.loads(line)
            rows.append((event["id"], event["time"], event.get("package"), line.decode()))
        try:
            # The thread that ships may be another than the one that opened the sink.
            with closing(sqlite3.connect(self._path)) as database, database:
                database.executemany(_INSERT, rows)
        except sqlite3.Error as error:
            # "Not now": the gateway keeps the batch, and comes again.
            raise SinkError(f"sqlite: {error}") from error

    def close(self) -> None:
        """Nothing is open between two batches."""
