"""Sink `postgres`: a table partitioned by month, each event in it once.

A batch is copied into a temporary table and goes from there into the events with ``ON CONFLICT DO NOTHING``, in one transaction: an event
that comes again has the same time and id, which are the primary key. Tables and partitions are made when they are first needed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import UTC
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import msgspec
from attrs import field, frozen

from gatewaycore.deadlines import cut_after
from gatewaycore.errors import ConfigError, MissingExtraError, Problem, RefusedError, SinkError
from gatewaycore.event import COLUMNS, Event
from gatewaycore.sinks.rows import check_name, check_positive, pair

if TYPE_CHECKING:
    import psycopg

# Names stand in braces; every one of them is quoted, and held to a pattern without quotes.
_VERSIONS = "CREATE TABLE IF NOT EXISTS {versions} (version integer PRIMARY KEY, applied timestamptz NOT NULL DEFAULT now())"
_MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE {events} (
        id uuid NOT NULL, schema smallint NOT NULL, time timestamptz NOT NULL, domain text NOT NULL, package text,
        package_type text NOT NULL, rule text NOT NULL, kind text NOT NULL, method text NOT NULL, status integer NOT NULL,
        decision text NOT NULL, target text, version text, platform text, platform_recognised boolean, arch text, page text,
        variables jsonb NOT NULL, client text, client_version text, client_runtime text, os text, device text, agent text NOT NULL,
        agent_reason text, user_agent text, country text, region text, city text, company text, company_domain text, connection text,
        cloud text, confidence double precision, origin_id text, endpoint_id text, bytes bigint NOT NULL,
        PRIMARY KEY (time, id)
    ) PARTITION BY RANGE (time);
    CREATE INDEX ON {events} USING brin (time);
    """,
)
_STAGING = "CREATE TEMPORARY TABLE staging (LIKE {events} INCLUDING DEFAULTS) ON COMMIT DELETE ROWS"
_COPY = "COPY pg_temp.staging ({columns}) FROM STDIN"
_INSERT = "INSERT INTO {events} ({columns}) SELECT {columns} FROM pg_temp.staging ON CONFLICT DO NOTHING"
# A partition is made beside the table and attached: making it in place would wait for all that read the table, and make others wait.
_PARTITION = """
    CREATE TABLE IF NOT EXISTS {partition} (LIKE {events} INCLUDING DEFAULTS INCLUDING CONSTRAINTS);
    ALTER TABLE {events} ATTACH PARTITION {partition} FOR VALUES FROM ('{since}') TO ('{until}');
"""
_ATTACHED = "SELECT (SELECT inhparent FROM pg_inherits WHERE inhrelid = to_regclass(%s) AND inhparent = to_regclass(%s))"
# Only what is known to lose events is changed: a server that waits for its standby goes on waiting.
_SESSION = """
    SET TimeZone TO 'UTC';
    SET statement_timeout TO {timeout_ms};
    SET lock_timeout TO {timeout_ms};
    SET idle_in_transaction_session_timeout TO {timeout_ms};
    SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off';
"""
# The least that libpq knows, and the most that anybody should wait.
_CONNECT_S = (2, 10)
# Data that it will not take (class 22), and more of it than it can (54): Appendix A of PostgreSQL's manual.
_REFUSED = ("22", "54")

# An escape of JSON: before its backslash stand only whole pairs of them.
_NUL = re.compile(rb"(?<!\\)((?:\\\\)*)\\u0000")
_VARIABLES = COLUMNS.index("variables")

_columns_of = attrgetter(*COLUMNS)
_encode = msgspec.json.Encoder().encode


@frozen(kw_only=True)
class PostgresStorage:
    """Settings of the sink `postgres`.

    Attributes:
        url: a connection string of libpq, ``postgresql://user:password@host/database``; better ``url-env``.
        table: what the table is called; its partitions are, too, with the month.
        schema: where it lies; made when it is not there.
        timeout_s: for each transaction; after that the connection is given up.
    """

    url: str = field(repr=False)
    table: str = field(default="events", validator=check_name)
    schema: str = field(default="public", validator=check_name)
    timeout_s: float = field(default=60.0, validator=check_positive)

    def open(self) -> PostgresSink:
        """Make the sink. It connects when it is first written to: a database that is down keeps no gateway from starting.

        Raises:
            ConfigError: psycopg is not installed, or the URL is none.
        """
        found = self._parameters()
        least, most = _CONNECT_S
        connect_s = max(least, min(most, round(self.timeout_s)))
        return PostgresSink({"connect_timeout": connect_s, "fallback_application_name": "gatewaycore", **found}, self)

    def check(self) -> None:
        """Find out whether the settings can be used.

        Raises:
            ConfigError: as `open`.
        """
        self._parameters()

    def _parameters(self) -> dict[str, Any]:
        try:
            import psycopg
            from psycopg.conninfo import conninfo_to_dict
        except ImportError as error:
            raise MissingExtraError.of("sinks: postgres", "postgres") from error
        try:
            return conninfo_to_dict(self.url)
        except psycopg.ProgrammingError:
            # Its words quote the URL, password and all.
            problem = Problem("sinks: postgres: url", "is not a connection string", "write postgresql://user:password@host/database")
            raise ConfigError([problem]) from None


class PostgresSink:
    """Keeps events in a table.

    Args:
        parameters: of the connection, as libpq calls them.
        settings: the rest.
    """

    batch_bytes = 8 * 1024 * 1024
    linger_s = 1.0

    def __init__(self, parameters: dict[str, Any], settings: PostgresStorage) -> None:
        self._parameters = parameters
        self._settings = settings
        self._connection: psycopg.Connection | None = None
        self._months: set[tuple[int, int]] = set()
        self._names = {
            "schema": _quoted(settings.schema),
            "events": _quoted(settings.schema, settings.table),
            "versions": _quoted(settings.schema, f"{settings.table}_versions"),
            "columns": ", ".join(map(_quoted, COLUMNS)),
            "timeout_ms": str(round(settings.timeout_s * 1000)),
        }

    def write(self, lines: Sequence[bytes]) -> None:
        """Store a batch.

        Raises:
            SinkError: the database is not there, does not answer in time, or does not let us.
            PoisonError: some lines are no events.
            RefusedError: the database refuses what some line holds; it has none of them.
        """
        import psycopg

        events = [event for _, event in pair(list(map(_without_nul, lines)))]
        try:
            if events:
                self._store(events)
        except psycopg.Error as error:
            # The server's words may quote what was to be stored.
            words = f"postgres: {type(error).__name__} {error.sqlstate or ''}".rstrip()
            if (error.sqlstate or "")[:2] in _REFUSED:
                raise RefusedError(words) from None
            # Whatever went wrong: a new connection looks at everything anew.
            self.close()
            raise SinkError(words) from None

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._months.clear()

    def _store(self, events: Sequence[Event]) -> None:
        connection = self._connected()
        months = {(time.year, time.month) for time in (event.time.astimezone(UTC) for event in events)}
        with self._deadline(connection), connection.transaction():
            for month in sorted(months - self._months):
                self._partition(connection, *month)
            with connection.cursor() as cursor:
                with cursor.copy(self._sql(_COPY)) as copy:
                    for event in events:
                        copy.write_row(_row(event))
                cursor.execute(self._sql(_INSERT))
        self._months |= months

    def _connected(self) -> psycopg.Connection:
        """Return the connection, made with everything it needs when there is none."""
        import psycopg

        if self._connection is not None:
            return self._connection
        connection = psycopg.connect(**self._parameters, autocommit=True, prepare_threshold=None, client_encoding="UTF8")
        self._connection = connection
        with self._deadline(connection):
            connection.execute(self._sql(_SESSION))
            with connection.transaction():
                self._migrate(connection)
            connection.execute(self._sql(_STAGING))
        return connection

    def _migrate(self, connection: psycopg.Connection) -> None:
        """Bring the tables up to date; of several processes that start together, one does."""
        self._lock(connection)
        # Asked first: whoever may not make a schema may well use one.
        if _missing(connection, "SELECT to_regnamespace(%s)", self._names["schema"]):
            connection.execute(self._sql("CREATE SCHEMA {schema}"))
        if _missing(connection, "SELECT to_regclass(%s)", self._names["versions"]):
            connection.execute(self._sql(_VERSIONS))
        row = connection.execute(self._sql("SELECT coalesce(max(version), 0) FROM {versions}")).fetchone()
        for version, statements in enumerate(_MIGRATIONS[row[0] if row else 0 :], 1 + (row[0] if row else 0)):
            connection.execute(self._sql(statements))
            connection.execute(self._sql("INSERT INTO {versions} VALUES (%s)"), [version])

    def _partition(self, connection: psycopg.Connection, year: int, month: int) -> None:
        self._lock(connection)
        name = _quoted(self._settings.schema, f"{self._settings.table}_{year:04}_{month:02}")
        if _missing(connection, _ATTACHED, name, self._names["events"]):
            since, until = f"{year:04}-{month:02}-01 00:00Z", f"{year + month // 12:04}-{month % 12 + 1:02}-01 00:00Z"
            connection.execute(self._sql(_PARTITION, partition=name, since=since, until=until))

    def _lock(self, connection: psycopg.Connection) -> None:
        """Wait until no other gateway changes tables; held to the end of the transaction."""
        connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [self._names["events"]])

    def _sql(self, text: str, **more: str) -> bytes:
        return text.format_map({**self._names, **more}).encode()

    def _deadline(self, connection: psycopg.Connection) -> AbstractContextManager[None]:
        """Cut the connection when what is within takes too long; the server's own timeouts come a second before."""
        return cut_after(connection, self._settings.timeout_s + 1)


def _quoted(*names: str) -> str:
    return ".".join(f'"{name}"' for name in names)


def _missing(connection: psycopg.Connection, question: str, *names: str) -> bool:
    row = connection.execute(question.encode(), names).fetchone()
    return row is None or row[0] is None


def _row(event: Event) -> list[Any]:
    row = list(_columns_of(event))
    row[_VARIABLES] = _encode(event.variables).decode()
    return row


def _without_nul(line: bytes) -> bytes:
    """Put U+FFFD in the place of the one character that PostgreSQL has none for; a client may send it."""
    return _NUL.sub(rb"\1\\ufffd", line) if b"\\u0000" in line else line
