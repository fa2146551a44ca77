"""Sink `clickhouse`: lines of the journal as they are (``JSONEachRow``), into a table that forgets what comes twice.

Twice over: an insert that comes again has the same token, and is dropped by the server; and the table replaces rows of one package, time
and id by each other when it merges them. What has no value is an empty text there, which such a database reads faster than NULL.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from attrs import field, frozen

from gatewaycore.errors import ConfigError, Problem, SinkError
from gatewaycore.sinks.rows import COLUMNS, Intake, Parts, check_name, check_positive, without_extra
from gatewaycore.sinks.urls import is_url

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

_TABLE = """
    CREATE TABLE IF NOT EXISTS `{table}` (
        id UUID, schema UInt16, time DateTime64(6, 'UTC') CODEC(Delta, ZSTD), domain LowCardinality(String), package LowCardinality(String),
        package_type LowCardinality(String), rule LowCardinality(String), kind LowCardinality(String), method LowCardinality(String),
        status Int32, decision LowCardinality(String), target LowCardinality(String), version String, platform LowCardinality(String),
        platform_recognised Nullable(Bool), arch LowCardinality(String), page String, variables Map(LowCardinality(String), String),
        client LowCardinality(String), client_version LowCardinality(String), client_runtime LowCardinality(String),
        os LowCardinality(String), device LowCardinality(String), agent LowCardinality(String),
        agent_reason LowCardinality(String), user_agent String,
        country LowCardinality(String), region LowCardinality(String), city LowCardinality(String), company String, company_domain String,
        connection LowCardinality(String), cloud LowCardinality(String), confidence Nullable(Float64), origin_id String,
        endpoint_id String, bytes Int64
    ) ENGINE = ReplacingMergeTree PARTITION BY toYYYYMM(time) ORDER BY (package, time, id)
    SETTINGS non_replicated_deduplication_window = 10000
"""
_SETTINGS = {
    "async_insert": 0,  # Acknowledged when it is stored, and not before.
    "insert_deduplicate": 1,
    "date_time_input_format": "best_effort",
    "input_format_null_as_default": 1,
    "input_format_skip_unknown_fields": 1,
}
_EVENTS = 100_000
_CONNECT_S = 10
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
        try:
            import clickhouse_connect  # noqa: F401
        except ImportError as error:
            raise without_extra("clickhouse", "clickhouse") from error
        if not is_url(self.url, "http", "https"):
            raise ConfigError([Problem("sinks: clickhouse: url", "is not a URL", "write https://user:password@host:8443/database")])
        return ClickhouseSink(self)


class ClickhouseSink:
    """Inserts events.

    Args:
        settings: where to, and how.
    """

    batch_bytes = 32 * 1024 * 1024
    linger_s = 5.0

    def __init__(self, settings: ClickhouseStorage) -> None:
        self._settings = settings
        self._intake = Intake("clickhouse")
        self._parts = Parts(_EVENTS, self.batch_bytes)
        self._client: Client | None = None

    @property
    def skipped(self) -> int:
        """Lines that the table will never have."""
        return self._intake.skipped

    def write(self, lines: Sequence[bytes]) -> None:
        """Insert a batch.

        Raises:
            SinkError: the server is not there, or does not take it now.
        """
        from clickhouse_connect.driver.exceptions import ClickHouseError

        try:
            for part in self._parts.cut(self._intake.pair(lines)):
                if part.taken:
                    continue
                part.sent = True
                self._connected().raw_insert(
                    f"`{self._settings.table}`",
                    COLUMNS,
                    b"".join(line for line, _ in part.pairs),
                    {**_SETTINGS, "insert_deduplication_token": part.key},
                    "JSONEachRow",
                )
                part.taken = True
        except (ClickHouseError, OSError) as error:
            self.close()
            # The server's words may quote what was to be stored, and the client's the URL.
            code = _CODE.search(str(error))
            raise SinkError(f"clickhouse: {type(error).__name__}" + (f" {code[1]}" if code else "")) from None
        self._parts.forget()
        self._intake.settle()

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
                client.command(_TABLE.format(table=self._settings.table))
                undone.pop_all()
            self._client = client
        return self._client
