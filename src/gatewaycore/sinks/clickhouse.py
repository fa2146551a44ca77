"""Sink `clickhouse`: lines of the journal as they are (``JSONEachRow``), into a table that forgets what comes twice.

Twice over: an insert that comes again has the same token, and is dropped by the server; and the table replaces rows of one package, time
and id by each other when it merges them. What has no value is an empty text there, which such a database reads faster than NULL.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from attrs import field, frozen

from gatewaycore.errors import ConfigError, MissingExtraError, PoisonError, Problem, RefusedError, SinkError
from gatewaycore.event import COLUMNS, Event
from gatewaycore.sinks.quiet import quiet
from gatewaycore.sinks.rows import Part, Parts, check_name, check_positive, pair
from gatewaycore.sinks.urls import is_url

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

_WORD = "LowCardinality(String)"
_COLUMNS: Mapping[str, str] = {
    "id": "UUID",
    "schema": "UInt16",
    "time": "DateTime64(6, 'UTC') CODEC(Delta, ZSTD)",
    "domain": _WORD,
    "package": _WORD,
    "package_type": _WORD,
    "rule": _WORD,
    "kind": _WORD,
    "method": _WORD,
    "status": "Int32",
    "decision": _WORD,
    "target": _WORD,
    "version": "String",
    "platform": _WORD,
    "platform_recognised": "Nullable(Bool)",
    "arch": _WORD,
    "page": "String",
    "variables": f"Map({_WORD}, String)",
    "client": _WORD,
    "client_version": _WORD,
    "client_runtime": _WORD,
    "os": _WORD,
    "device": _WORD,
    "agent": _WORD,
    "agent_reason": _WORD,
    "user_agent": "String",
    "country": _WORD,
    "region": _WORD,
    "city": _WORD,
    "company": "String",
    "company_domain": "String",
    "connection": _WORD,
    "cloud": _WORD,
    "confidence": "Nullable(Float64)",
    "origin_id": "String",
    "endpoint_id": "String",
    "bytes": "Int64",
}
# A table with such a comment is ours, and gets the columns that it lacks; one of somebody else's is used as it is.
_OURS = "gatewaycore"
_COMMENT = "SELECT comment FROM system.tables WHERE database = currentDatabase() AND name = '{table}' FORMAT TabSeparated"
_DESCRIBE = "DESCRIBE TABLE `{table}` FORMAT TabSeparated"
_TABLE = """
    CREATE TABLE IF NOT EXISTS `{table}` ({columns})
    ENGINE = ReplacingMergeTree PARTITION BY toYYYYMM(time) ORDER BY (package, time, id)
    SETTINGS non_replicated_deduplication_window = 10000 COMMENT '{ours}: new columns of events are added by themselves'
"""
# They are worked out, and nothing may be put into them.
_WORKED_OUT = ("MATERIALIZED", "ALIAS")
_SETTINGS = {
    "async_insert": 0,  # Acknowledged when it is stored, and not before.
    "insert_deduplicate": 1,
    "max_partitions_per_insert_block": 0,  # What was imported may be of any number of months.
    "date_time_input_format": "best_effort",
    "input_format_null_as_default": 1,
    "input_format_skip_unknown_fields": 1,
}
_EVENTS = 100_000
_CONNECT_S = 10
# They speak of what a line holds: it cannot be parsed (6, 25-27, 38, 41, 72, 117, 130, 376, 441, 467, 582, 675, 676), or is not for its
# column (69, 131, 321, 349, 407, 469, 691), which may be of another type in a table of somebody else's.
_OF_THE_LINES = frozenset([6, 25, 26, 27, 38, 41, 69, 72, 117, 130, 131, 321, 349, 376, 407, 441, 467, 469, 582, 675, 676, 691])
_CODE = re.compile(r"\bcode:? (\d+)", re.IGNORECASE)


@frozen(kw_only=True)
class ClickhouseStorage:
    """Settings of the sink `clickhouse`.

    Attributes:
        url: of the server's HTTP interface, ``https://user:password@host:8443/database``; better ``url-env``.
        table: what the table is called; made when it is not there.
        timeout_s: for each step of a request.
    """

    url: str = field(repr=False)
    table: str = field(default="events", validator=check_name)
    timeout_s: float = field(default=60.0, validator=check_positive)

    def open(self) -> ClickhouseSink:
        """Make the sink. It connects when it is first written to.

        Raises:
            ConfigError: clickhouse-connect is not installed, or the URL is none.
        """
        self.check()
        return ClickhouseSink(self)

    def check(self) -> None:
        """Find out whether the settings can be used.

        Raises:
            ConfigError: as `open`.
        """
        if not is_url(self.url, "http", "https"):
            raise ConfigError([Problem("sinks: clickhouse: url", "is not a URL", "write https://user:password@host:8443/database")])
        try:
            import clickhouse_connect  # noqa: F401
        except ImportError as error:
            raise MissingExtraError.of("sinks: clickhouse", "clickhouse") from error


class ClickhouseSink:
    """Inserts events.

    Args:
        settings: where to, and how.
    """

    batch_bytes = 32 * 1024 * 1024
    linger_s = 5.0

    def __init__(self, settings: ClickhouseStorage) -> None:
        self._settings = settings
        self._parts = Parts(_EVENTS, self.batch_bytes)
        self._client: Client | None = None
        self._columns: Sequence[str] = ()

    def write(self, lines: Sequence[bytes]) -> None:
        """Insert a batch.

        Raises:
            SinkError: the server is not there, or does not take it now.
            PoisonError: some lines are no events, or hold numbers that it would store as others.
            RefusedError: the server refuses what some line holds.
        """
        from clickhouse_connect.driver.exceptions import ClickHouseError

        pairs = pair(lines)
        unfit = {line for line, event in pairs if not _fits(event)}
        if unfit:
            raise PoisonError([number for number, line in enumerate(lines) if line in unfit], "a number that its column does not hold")
        try:
            with quiet("clickhouse_connect", "urllib3"):
                for part in self._parts.cut(pairs):
                    if not part.taken:
                        part.sent = True
                        self._insert(part)
                        part.taken = True
        except (ClickHouseError, OSError) as error:
            # The server's words may quote what was to be stored, and the client's the URL.
            code = _CODE.search(str(error))
            words = f"clickhouse: {type(error).__name__}" + (f" {code[1]}" if code else "")
            if code and int(code[1]) in _OF_THE_LINES:
                raise RefusedError(words) from None
            self.close()
            raise SinkError(words) from None
        self._parts.forget()

    def _insert(self, part: Part) -> None:
        self._connected().raw_insert(
            f"`{self._settings.table}`",
            self._columns,
            b"".join(line for line, _ in part.pairs),
            {**_SETTINGS, "insert_deduplication_token": part.key},
            "JSONEachRow",
        )

    def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def _connected(self) -> Client:
        import clickhouse_connect

        if self._client is None:
            client = clickhouse_connect.get_client(
                dsn=self._settings.url,
                connect_timeout=_CONNECT_S,
                send_receive_timeout=max(1, round(self._settings.timeout_s)),
                query_retries=0,
                autogenerate_session_id=False,
                client_name="gatewaycore",
                dedicated_pool=True,
            )
            with contextlib.ExitStack() as undone:
                undone.callback(client.close)
                self._columns = _prepare(client, self._settings.table)
                undone.pop_all()
            self._client = client
        return self._client


def _prepare(client: Client, table: str) -> Sequence[str]:
    """Make the table, or bring it up to date where it is ours, and return the columns of an event that it has.

    Raises:
        SinkError: it has none.
    """
    # Asked first: whoever may not make a table may well use one.
    comment = client.raw_query(_COMMENT.format(table=table))
    if not comment:
        client.command(_TABLE.format(table=table, columns=", ".join(f"`{name}` {kind}" for name, kind in _COLUMNS.items()), ours=_OURS))
    there = _describe(client, table)
    missing = [name for name in COLUMNS if name not in there]
    if missing and comment.decode().startswith(_OURS):
        added = ", ".join(f"ADD COLUMN IF NOT EXISTS `{name}` {_COLUMNS[name]}" for name in missing)
        client.command(f"ALTER TABLE `{table}` {added}")
        there = _describe(client, table)
    found = [name for name in COLUMNS if there.get(name, _WORKED_OUT[0]) not in _WORKED_OUT]
    if not found:
        # The server would take none for all.
        raise SinkError("clickhouse: the table has no column of an event")
    return found


def _describe(client: Client, table: str) -> Mapping[str, str]:
    """Return the columns of a table, and whether something is worked out or stands there by default."""
    rows = client.raw_query(_DESCRIBE.format(table=table)).decode().splitlines()
    return {name: default for name, _, default, *_ in (row.split("\t") for row in rows)}


def _fits(event: Event) -> bool:
    """Tell whether its numbers are of their columns' types: the server would store others as one of these, and say nothing."""
    return 0 <= event.schema < 2**16 and -(2**31) <= event.status < 2**31 and -(2**63) <= event.bytes < 2**63
