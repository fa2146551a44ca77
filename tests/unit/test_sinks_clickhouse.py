"""Sink `clickhouse`, against ClickHouse as a library."""

from __future__ import annotations

import logging
import sys
import threading
from datetime import UTC, datetime

import pytest

from gatewaycore.errors import ConfigError, RefusedError, SinkError
from gatewaycore.event import Event
from gatewaycore.sinks import clickhouse as room
from gatewaycore.sinks.clickhouse import ClickhouseStorage
from gatewaycore.sinks.quiet import quiet
from gatewaycore.sinks.sifting import Sieve
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
    sink.write([*lines, *lines_of(make_events(1))])
    sink.close()
    database = url.rpartition("/")[2]
    assert clickhouse.ask("SELECT count() FROM events FINAL", database) == b"51\n"
    clickhouse.ask("OPTIMIZE TABLE events FINAL", database)
    assert count(clickhouse, url) == 51


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


def test_a_table_of_somebody_elses_is_used_as_it_is(clickhouse: Clickhouse) -> None:
    url = clickhouse.create()
    database = url.rpartition("/")[2]
    clickhouse.ask(
        "CREATE TABLE events (time DateTime64(6, 'UTC'), package String, day Date MATERIALIZED toDate(time), domain ALIAS upper(package),"
        " version String DEFAULT 'none') ENGINE = MergeTree ORDER BY time",
        database,
    )
    sink = ClickhouseStorage(url=url).open()
    sink.write(lines_of([make_event(package="p", version="1.2")]))
    sink.close()
    assert clickhouse.ask("SELECT package, domain, version, day = toDate(time) FROM events", database) == b"p\tP\t1.2\t1\n"


def test_a_table_that_has_nothing_of_an_event(clickhouse: Clickhouse) -> None:
    url = clickhouse.create()
    clickhouse.ask("CREATE TABLE events (x String) ENGINE = MergeTree ORDER BY x", url.rpartition("/")[2])
    sink = ClickhouseStorage(url=url).open()
    with pytest.raises(SinkError, match="clickhouse: the table has no column of an event"):
        sink.write(lines_of([make_event()]))
    sink.close()
    assert count(clickhouse, url) == 0


@pytest.mark.parametrize("comment", [None, "ours"])
def test_our_own_table_gets_the_columns_that_it_lacks(clickhouse: Clickhouse, comment: str | None) -> None:
    url = clickhouse.create()
    database = url.rpartition("/")[2]
    write(url, make_event())
    clickhouse.ask("ALTER TABLE events DROP COLUMN agent_reason, DROP COLUMN confidence", database)
    if comment:
        # Somebody has made it his own.
        clickhouse.ask(f"ALTER TABLE events MODIFY COMMENT '{comment}'", database)
    write(url, make_event(agent_reason="said", confidence=0.5))
    assert count(clickhouse, url) == 2
    told = clickhouse.ask("SELECT name, type FROM system.columns WHERE table = 'events' AND database = currentDatabase()", database)
    assert (b"agent_reason\tLowCardinality(String)\n" in told, b"confidence\tNullable(Float64)\n" in told) == (not comment, not comment)
    if not comment:
        assert clickhouse.ask("SELECT agent_reason, confidence FROM events WHERE confidence > 0", database) == b"said\t0.5\n"


def write(url: str, *events: Event) -> None:
    sink = ClickhouseStorage(url=url).open()
    sink.write(lines_of(list(events)))
    sink.close()


def test_numbers_that_would_be_stored_as_others_are_refused(clickhouse: Clickhouse) -> None:
    url = clickhouse.create()
    bad = [make_event(**{name: value}) for name, value in (("status", 5_000_000_000), ("schema", -1), ("schema", 65_536), ("bytes", 2**63))]
    good = [make_event(status=-(2**31)), make_event(schema=65_535), make_event(bytes=2**63 - 1)]
    lines = lines_of([*good, *bad, *make_events(10)])
    sink = ClickhouseStorage(url=url).open()
    refused = Sieve(sink).write(lines)
    sink.close()
    assert [one.line for one in refused] == lines[3:7]
    assert {one.reason for one in refused} == {"a number that its column does not hold"}
    assert count(clickhouse, url) == 13


def test_a_batch_of_many_months(clickhouse: Clickhouse) -> None:
    url = clickhouse.create()
    write(url, *(make_event(time=datetime(2000 + number // 12, number % 12 + 1, 1, tzinfo=UTC)) for number in range(150)))
    assert count(clickhouse, url) == 150


def test_what_the_server_cannot_read_is_a_refusal_of_lines(clickhouse: Clickhouse) -> None:
    url = clickhouse.create()
    database = url.rpartition("/")[2]
    clickhouse.ask("CREATE TABLE events (id UUID, version UInt16) ENGINE = MergeTree ORDER BY id", database)
    events = [make_event(version="7") for _ in range(20)]
    events[5] = events[13] = make_event(version="hunter2")
    lines = lines_of(events)
    sink = ClickhouseStorage(url=url).open()
    with pytest.raises(RefusedError, match=r"clickhouse: DatabaseError [0-9]+") as caught:
        sink.write(lines)
    assert "hunter2" not in str(caught.value)
    refused = Sieve(sink).write(lines)
    sink.close()
    assert [one.line for one in refused] == [lines[5], lines[13]]
    assert clickhouse.ask("SELECT uniq(id) FROM events", database) == b"18\n"


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


def test_what_the_driver_logs_is_left_out_and_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    sink = ClickhouseStorage(url="http://gw:hunter2@127.0.0.1:1/db").open()
    for _ in range(2):
        with pytest.raises(SinkError):
            sink.write(lines_of(make_events(1)))
    assert "127.0.0.1" not in caplog.text
    # Of the application itself, in this thread and, while the sink is at work, in another one.
    driver = logging.getLogger("urllib3.connectionpool")
    driver.warning("one")
    with quiet("urllib3"):
        driver.warning("two")
        other = threading.Thread(target=driver.warning, args=["three"])
        other.start()
        other.join()
    assert [record.getMessage() for record in caplog.records if record.name.startswith("urllib3")] == ["one", "three"]
    sink.close()


def test_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "hunter2" not in repr(ClickhouseStorage(url="https://gw:hunter2@host/db"))
    for url in ("", "host", "clickhouse://host", "http://", "http://["):
        with pytest.raises(ConfigError, match="sinks: clickhouse: url: is not a URL"):
            ClickhouseStorage(url=url).open()
    monkeypatch.setitem(sys.modules, "clickhouse_connect", None)
    with pytest.raises(ConfigError, match=r"needs gatewaycore\[clickhouse\] \(pip install 'gatewaycore\[clickhouse\]'\)"):
        ClickhouseStorage(url="http://host").open()
