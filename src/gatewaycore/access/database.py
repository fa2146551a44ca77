"""Database: connections to the state database, its migrations, and who holds the pen."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from gatewaycore.errors import ConfigError, GatewayError, Problem

_WAIT_S = 15
# A server that has gone without a word is given up after half a minute, and not after hours.
_ALIVE = {"connect_timeout": _WAIT_S, "keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3, "tcp_user_timeout": 30_000}
# Any number, the same in all processes: they migrate one after another.
_MIGRATING = 0x67_77_63


class Database:
    """The state database: a SQLite file, or PostgreSQL. Threads share it, and so do processes.

    Args:
        url: of PostgreSQL, ``postgresql://user:password@host/database``; or the path of a SQLite file.

    Raises:
        ConfigError: it cannot be reached or used.
    """

    def __init__(self, url: str | Path) -> None:
        self._is_file = isinstance(url, Path) or "://" not in url
        self._engine = self._of_file(Path(url)) if self._is_file else _of_server(str(url))
        try:
            self._migrate()
        except (SQLAlchemyError, OSError) as error:
            self._engine.dispose()
            what = f"the state database cannot be used: {_words(error)}{_reason(error, self._engine.url.password)}"
            raise ConfigError([Problem("console.state", what, "a path that can be written to, or postgresql://…")]) from None

    def _of_file(self, path: Path) -> sa.Engine:
        try:
            # Readable by its owner only, and so are the files that SQLite puts beside it.
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        except OSError as error:
            raise ConfigError([Problem("console.state", f"{path} cannot be opened: {error.strerror}")]) from error
        engine = sa.create_engine(
            sa.URL.create("sqlite", database=str(path.absolute())), connect_args={"timeout": _WAIT_S, "check_same_thread": False}
        )
        sa.event.listen(engine, "connect", _set_up)
        sa.event.listen(engine, "begin", _begin)
        return engine

    def _migrate(self) -> None:
        from alembic import command
        from alembic.config import Config

        with as_file(files("gatewaycore.access") / "migrations") as place, self._engine.connect() as connection:
            if not self._is_file:
                connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATING})
            config = Config()
            config.set_main_option("script_location", str(place))
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            connection.commit()

    @property
    def engine(self) -> sa.Engine:
        """What connections are made by."""
        return self._engine

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """Return a connection that only looks.

        Raises:
            GatewayError: the database cannot be reached.
        """
        with _told(), self._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """Return a connection whose changes are all made when the block is left, or none of them.

        Raises:
            GatewayError: the database cannot be reached.
        """
        with _told(), self._engine.begin() as connection:
            yield connection

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()


def _of_server(url: str) -> sa.Engine:
    try:
        parsed = sa.make_url(url)
        if parsed.get_backend_name() != "postgresql":
            raise ConfigError([Problem("console.state", "is no URL of PostgreSQL", "postgresql://user:password@host/database, or a path")])
        settings = {name: value for name, value in _ALIVE.items() if name not in parsed.query}
        return sa.create_engine(parsed.set(drivername="postgresql+psycopg"), pool_pre_ping=True, connect_args=settings)
    except (SQLAlchemyError, ValueError):
        raise ConfigError([Problem("console.state", "is no URL", "postgresql://user:password@host/database, or a path")]) from None
    except ImportError as error:
        hint = "pip install 'gatewaycore[postgres]'"
        raise ConfigError([Problem("console.state", "needs gatewaycore[postgres]", hint)]) from error


def _set_up(connection: Any, _: object) -> None:
    # The driver's own transactions begin late, and do not lock: see SQLAlchemy's notes on SQLite.
    connection.isolation_level = None
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA foreign_keys = ON")


def _begin(connection: sa.Connection) -> None:
    if connection.get_execution_options().get("isolation_level") != "AUTOCOMMIT":
        connection.exec_driver_sql("BEGIN IMMEDIATE")


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except SQLAlchemyError as error:
        # A statement's parameters are in its words.
        raise GatewayError(f"the state database: {_words(error)}") from None


def _words(error: BaseException) -> str:
    cause = getattr(error, "orig", None) or error
    return type(cause).__name__


def _reason(error: BaseException, password: str | None) -> str:
    """Return what the driver says of a connection that could not be made, in one line and without the password."""
    cause = getattr(error, "orig", None)
    if cause is None or getattr(cause, "sqlstate", None):
        return ""
    told = " ".join(str(cause).split())
    return f": {told.replace(password, '…') if password else told}"[:300]
