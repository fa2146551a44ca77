"""Stores that questions are asked of: PostgreSQL and ClickHouse, as the sinks keep events there. The lake has a room of its own.

A query is compiled by SQLAlchemy and run by the store's own driver. One question at a time: a store has one connection, which is made when
the first one is asked and given up when anything goes wrong.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any, Protocol

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg

from gatewaycore.deadlines import cut_after
from gatewaycore.errors import GatewayError, MissingExtraError
from gatewaycore.sinks import ClickhouseStorage, PostgresStorage
from gatewaycore.stats.queries import Query, Relation, event_columns, relation

if TYPE_CHECKING:
    import psycopg
    from clickhouse_connect.driver.client import Client

Rows = Sequence[Sequence[Any]]

_CONNECT_S = 10
# Asked of each query, because a session has no other way to say it: every event once, even before its copies are merged away.
_FINAL = "SELECT * FROM `{table}` FINAL"


class Store(Protocol):
    """Answers questions. Threads share it."""

    def ask(self, build: Callable[[Relation], Query], columns: Collection[str] = ()) -> Rows:
        """Return the rows of an answer.

        Args:
            build: makes the query, of a relation that the store has.
            columns: what is asked for besides what counts, callers and companies; variables by their name too.

        Raises:
            GatewayError: the store is not there, or does not answer.
        """
        ...

    def refresh(self) -> None:
        """Do what makes later answers faster, and may take long."""
        ...

    def stop(self) -> None:
        """End what takes long, from another thread: it raises `StoppedError`."""
        ...

    def close(self) -> None:
        """Let go of connections and files."""
        ...


def compiled(query: Query, dialect: sa.Dialect) -> tuple[str, dict[str, Any]]:
    """Return a query's text, and the values in it by name."""
    found = query.compile(dialect=dialect, compile_kwargs={"render_postcompile": True})
    return str(found), dict(found.params)


class PostgresStore:
    """Events of a sink `postgres`.

    Args:
        settings: of the sink.

    Raises:
        ConfigError: psycopg is not installed.
    """

    def __init__(self, settings: PostgresStorage) -> None:
        settings.open().close()
        self._settings = settings
        self._dialect = PGDialect_psycopg()
        self._lock = threading.Lock()
        self._connection: psycopg.Connection | None = None
        self.events = relation(sa.table(settings.table, *event_columns(), schema=settings.schema))

    def refresh(self) -> None:
        """Do nothing: the database keeps itself."""

    def stop(self) -> None:
        """Do nothing: a question ends after the sink's `timeout-s`."""

    def ask(self, build: Callable[[Relation], Query], columns: Collection[str] = ()) -> Rows:
        """Return the rows of an answer.

        Args:
            build: makes the query.
            columns: of no interest here.

        Raises:
            GatewayError: the database is not there, or does not answer in time.
        """
        import psycopg

        text, values = compiled(build(self.events), self._dialect)
        with self._lock:
            try:
                connection = self._connected()
                with cut_after(connection, self._settings.timeout_s):
                    return connection.execute(text.encode(), values).fetchall()
            except psycopg.errors.UndefinedTable:
                # The sink makes it with the first event.
                return []
            except psycopg.Error as error:
                self._give_up()
                raise GatewayError(f"postgres: {type(error).__name__} {error.sqlstate or ''}".rstrip()) from None

    def _connected(self) -> psycopg.Connection:
        import psycopg

        if self._connection is None:
            self._connection = psycopg.connect(
                self._settings.url, autocommit=True, connect_timeout=_CONNECT_S, client_encoding="UTF8", prepare_threshold=None
            )
            with cut_after(self._connection, self._settings.timeout_s):
                self._connection.execute("SET default_transaction_read_only TO on")
        return self._connection

    def _give_up(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            self._give_up()


def events_once(settings: ClickhouseStorage, columns: Sequence[sa.ColumnClause[Any]]) -> sa.FromClause:
    """Return the table of a sink `clickhouse`, in which each event is there once."""
    return sa.text(_FINAL.format(table=settings.table)).columns(*columns).subquery("events")


class ClickhouseStore:
    """Events of a sink `clickhouse`.

    Args:
        settings: of the sink.

    Raises:
        ConfigError: clickhouse-connect is not installed.
    """

    def __init__(self, settings: ClickhouseStorage) -> None:
        try:
            from clickhouse_connect.cc_sqlalchemy.dialect import ClickHouseDialect
        except ImportError as error:
            raise MissingExtraError.of("statistics", "clickhouse") from error
        settings.open().close()
        self._settings = settings
        self._dialect = ClickHouseDialect(paramstyle="pyformat")
        self._lock = threading.Lock()
        self._client: Client | None = None
        self.events = relation(events_once(settings, event_columns()))

    def refresh(self) -> None:
        """Do nothing: the database keeps itself."""

    def stop(self) -> None:
        """Do nothing: a question ends after the sink's `timeout-s`."""

    def ask(self, build: Callable[[Relation], Query], columns: Collection[str] = ()) -> Rows:
        """Return the rows of an answer.

        Args:
            build: makes the query.
            columns: of no interest here.

        Raises:
            GatewayError: the server is not there, or does not answer.
        """
        from clickhouse_connect.driver.exceptions import ClickHouseError

        text, values = compiled(build(self.events), self._dialect)
        with self._lock:
            try:
                found: Rows = self._connected().query(text, parameters=values).result_rows
                return found
            except (ClickHouseError, OSError) as error:
                if "UNKNOWN_TABLE" in str(error):
                    return []
                with suppress(ClickHouseError, OSError):
                    self._give_up()
                raise GatewayError(f"clickhouse: {type(error).__name__}") from None

    def _connected(self) -> Client:
        import clickhouse_connect

        if self._client is None:
            self._client = clickhouse_connect.get_client(
                dsn=self._settings.url,
                connect_timeout=_CONNECT_S,
                send_receive_timeout=max(1, round(self._settings.timeout_s)),
                autogenerate_session_id=False,
                client_name="gatewaycore",
                dedicated_pool=True,
            )
        return self._client

    def _give_up(self) -> None:
        with ExitStack() as last:
            if self._client is not None:
                last.callback(self._client.close)
                self._client = None

    def close(self) -> None:
        """Close the connections."""
        with self._lock:
            self._give_up()
