"""Shared salts: a table of PostgreSQL in which the nodes of one gateway find the same key for a period.

The first node to come lays its key down, and all others take it. What is over is truncated away, by whoever comes next: a deleted row would
stay in the table's file until something is written over it. The table is UNLOGGED, because the server's log of changes, its replicas and
its archives would keep every key for as long as they please; after a crash the table is empty, and the nodes lay down again what they have.
A key is in no statement and no parameter, which servers may write into their logs: it comes as COPY's data.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, LiteralString

from attrs import field, frozen

from gatewaycore.deadlines import cut_after
from gatewaycore.errors import ConfigError, GatewayError, MissingExtraError, Problem

if TYPE_CHECKING:
    import psycopg

    from gatewaycore.salts import Period

_TABLE = "gatewaycore_salts"
_MAKE: LiteralString = """
    CREATE UNLOGGED TABLE IF NOT EXISTS {table}
        (begins timestamptz, ends timestamptz, key bytea NOT NULL CHECK (length(key) = 32), PRIMARY KEY (begins, ends))
"""
_FIND: LiteralString = "SELECT key FROM {table} WHERE begins = %s AND ends = %s AND ends > now()"
_IS_OVER: LiteralString = "SELECT EXISTS (SELECT FROM {table} WHERE ends <= now())"
# By the server's clock alone, so that a node whose own is wrong neither destroys what others use nor brings back what is destroyed.
_OFFER: LiteralString = """
    INSERT INTO {table} SELECT * FROM pg_temp.offered WHERE ends > now() AND begins < now() + interval '1 day'
    ON CONFLICT DO NOTHING
"""
_OFFERED: LiteralString = "CREATE TEMPORARY TABLE offered (LIKE {table}) ON COMMIT DROP"
_DESTROY: tuple[LiteralString, ...] = (
    "LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE",
    "CREATE TEMPORARY TABLE living (LIKE {table}) ON COMMIT DROP",
    "INSERT INTO pg_temp.living SELECT * FROM {table} WHERE ends > now()",
    "TRUNCATE {table}",
    "INSERT INTO {table} SELECT * FROM pg_temp.living",
)


@frozen(kw_only=True)
class SharedSalts:
    """Settings: where nodes share their salts.

    Attributes:
        url: a connection string of libpq, ``postgresql://user:password@host/database``; better ``url-env``.
        schema: where the table lies; it must be there.
        timeout_s: for each look, which is once a minute.
    """

    url: str = field(repr=False)
    schema: str = "public"
    timeout_s: int = 10

    def open(self) -> SaltTable:
        """Make the store. It connects when it is asked: a database that is down keeps no gateway from starting.

        Raises:
            ConfigError: psycopg is not installed, or the URL is none.
        """
        try:
            import psycopg
            from psycopg.conninfo import conninfo_to_dict
        except ImportError as error:
            raise MissingExtraError.of("gateway.shared-salts", "postgres") from error
        try:
            found = conninfo_to_dict(self.url)
        except psycopg.ProgrammingError:
            # Its words quote the URL, password and all.
            hint = "write postgresql://user:password@host/database"
            raise ConfigError([Problem("gateway.shared-salts.url", "is not a connection string", hint)]) from None
        return SaltTable({"connect_timeout": max(2, self.timeout_s), "fallback_application_name": "gatewaycore", **found}, self)


class SaltTable:
    """The table. It keeps no connection: it is asked once a minute, and no driver is to hold a key for longer.

    Args:
        parameters: of the connection, as libpq calls them.
        settings: the rest.
    """

    def __init__(self, parameters: dict[str, Any], settings: SharedSalts) -> None:
        from psycopg.sql import Identifier

        self._parameters = parameters
        self._settings = settings
        self._table = Identifier(settings.schema, _TABLE)

    def take(self, period: Period, offered: bytes) -> bytes:
        """Return the key of `period`: the one that is there, else `offered`, which is so from then on. Destroy those that are over.

        Raises:
            GatewayError: the database is not there or does not let us, or for its clock the period is over, or a day away.
        """
        import psycopg

        try:
            with psycopg.connect(**self._parameters, autocommit=True, prepare_threshold=None) as connection:
                # Whoever has waited for another's row wants to see it.
                connection.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
                with cut_after(connection, self._settings.timeout_s):
                    key = self._exchange(connection, period, offered)
                    self._destroy(connection)
        except psycopg.Error as error:
            # The server's words may quote what it was given.
            raise GatewayError(f"PostgreSQL: {type(error).__name__} {error.sqlstate or ''}".rstrip()) from None
        if key is None:
            raise GatewayError("by the database's clock this period is over, or more than a day away: compare the clocks")
        return key

    def _exchange(self, connection: psycopg.Connection, period: Period, offered: bytes) -> bytes | None:
        of_period = (period.begins, period.ends)
        with connection.transaction():
            row = connection.execute("SELECT to_regclass(%s)", [self._table.as_string(connection)]).fetchone()
            if row is None or row[0] is None:
                # Of several nodes that start together, one makes it.
                connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [_TABLE])
                self._run(connection, _MAKE)
            found = self._run(connection, _FIND, *of_period).fetchone()
            if found is None:
                self._run(connection, _OFFERED)
                with connection.cursor() as cursor, cursor.copy("COPY pg_temp.offered FROM STDIN") as copy:
                    copy.write_row((*of_period, offered))
                self._run(connection, _OFFER)
                found = self._run(connection, _FIND, *of_period).fetchone()
        return None if found is None else bytes(found[0])

    def _destroy(self, connection: psycopg.Connection) -> None:
        """Let no file of the server hold a key that is over."""
        (is_over,) = self._run(connection, _IS_OVER).fetchone() or (False,)
        if is_over:
            with connection.transaction():
                # Before anything is read: two nodes that had read would wait for each other.
                for statement in _DESTROY:
                    self._run(connection, statement)

    def _run(self, connection: psycopg.Connection, statement: LiteralString, *values: object) -> psycopg.Cursor[Any]:
        from psycopg.sql import SQL

        return connection.execute(SQL(statement).format(table=self._table), values)
