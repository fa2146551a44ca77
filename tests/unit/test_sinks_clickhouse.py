"""Sink `clickhouse`, against ClickHouse as a library."""

from __future__ import annotations

import sys

import pytest

from gatewaycore.errors import ConfigError, SinkError
from gatewaycore.sinks import clickhouse as room
from gatewaycore.sinks.clickhouse import ClickhouseStorage
from tests.clickhouse import Clickhouse
from tests.events import lines_of, make_event, make_events


def count(server: Clickhouse, url: str) -> int:
    return int(server.ask("SELECT count() FROM events", url.rpartition("/")[2]))


def test_an_insert_that_comes_again_is_dropped_by_its_token(clickhouse: Clickhouse) -> None:
    url = clickhouse.create()
    lines = lines_of(make_events(50))
    sink = ClickhouseStorage(url=url).open()
    for _ in range(3):
        sink.write(lines)
    sink.close()
    assert count(clickhouse, url) == 50


def test_an_event_that_comes_again_in_another_batch_is_merged_away(clickhouse: Clickhouse) -> None:
    url = clickhouse.create()
    lines = lines_of(make_events(50))
    sink = ClickhouseStorage(url=url).open()
    sink.write(lines)
    sink.write([*lines, *lines_of(make_events(1)), b"{torn\n"])
    sink.close()
    database = url.rpartition("/")[2]
    assert clickhouse.ask("SELECT count() FROM events FINAL", database) == b"51\n"
    clickhouse.ask("OPTIMIZE TABLE events FINAL", database)
    assert count(clickhouse, url) == 51
    assert sink.skipped == 1


def test_how_the_table_is_laid_out(clickhouse: Clickhouse) -> None:
    url = clickhouse.create()
    sink = ClickhouseStorage(url=url, table="pulls").open()
    sink.write(lines_of([make_event()]))
    sink.close()
    database = url.rpartition("/")[2]
    told = clickhouse.ask(
        "SELECT engine, partition_key, sorting_key FROM system.tables WHERE name = 'pulls' AND database = currentDatabase()", database
    )
    assert told == b"ReplacingMergeTree\ttoYYYYMM(time)\tpackage, time, id\n"


def test_what_goes_wrong_is_a_reason_to_come_again_and_goes_on_where_it_was(
    clickhouse: Clickhouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "_EVENTS", 2)
    url = clickhouse.create()
    lines = lines_of(make_events(4))
    sink = ClickhouseStorage(url=url).open()
    before = clickhouse.inserts
    clickhouse.refuse = ["", "Code: 243. DB::Exception: Cannot reserve 1.00 MiB for hunter2. (NOT_ENOUGH_SPACE)"]
    with pytest.raises(SinkError, match="clickhouse: DatabaseError 243") as caught:
        sink.write(lines)
    assert "hunter2" not in str(caught.value)
    sink.write(lines)
    sink.close()
    assert count(clickhouse, url) == 4
    assert clickhouse.inserts - before == 3


def test_a_server_that_is_not_there_and_a_database_that_is_not(clickhouse: Clickhouse) -> None:
    for url in (clickhouse.create() + "none", "http://gw:hunter2@127.0.0.1:1/db"):
        sink = ClickhouseStorage(url=url).open()
        with pytest.raises(SinkError, match="clickhouse: ") as caught:
            sink.write(lines_of(make_events(1)))
        assert "hunter2" not in str(caught.value)
        sink.close()


def test_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "hunter2" not in repr(ClickhouseStorage(url="https://gw:hunter2@host/db"))
    for url in ("", "host", "clickhouse://host", "http://", "http://["):
        with pytest.raises(ConfigError, match="sinks: clickhouse: url: is not a URL"):
            ClickhouseStorage(url=url).open()
    monkeypatch.setitem(sys.modules, "clickhouse_connect", None)
    with pytest.raises(ConfigError, match=r"needs gatewaycore\[clickhouse\] \(pip install 'gatewaycore\[clickhouse\]'\)"):
        ClickhouseStorage(url="http://host").open()
