"""Sink `postgres`, against a server of our own."""

from __future__ import annotations

import json
import sys
import threading
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from gatewaycore.config import read_config
from gatewaycore.errors import ConfigError, SinkError
from gatewaycore.shipper import Shipper
from gatewaycore.sinks.postgres import PostgresStorage
from gatewaycore.sinks.sifting import Sieve
from tests.databases import Postgres, stored
from tests.events import lines_of, make_event, make_events


@pytest.fixture
def url(postgres: Postgres) -> str:
    return postgres.create()


def test_each_month_has_a_partition_from_its_first_event_on(postgres: Postgres, url: str) -> None:
    west = timezone(timedelta(hours=-5))
    times = [datetime(2026, 1, 31, 23, 59, 59, 999999, UTC), datetime(2026, 12, 31, 20, tzinfo=west), datetime(2025, 12, 1, tzinfo=UTC)]
    events = [make_event(time=time) for time in times]
    sink = PostgresStorage(url=url).open()
    sink.write(lines_of(events[:1]))
    sink.write(lines_of(events))
    sink.close()
    assert stored(postgres, url) == sorted(events, key=lambda event: event.id)
    partitions = postgres.ask(url, "SELECT relname FROM pg_class WHERE relispartition AND relkind = 'r' ORDER BY 1")
    assert [name for (name,) in partitions] == ["events_2025_12", "events_2026_01", "events_2027_01"]
    kinds = postgres.ask(
        url, "SELECT DISTINCT amname FROM pg_class c JOIN pg_am a ON a.oid = relam WHERE relkind = 'i' AND relname ~ 'events'"
    )
    assert {kind for (kind,) in kinds} == {"btree", "brin"}


def test_a_schema_and_a_table_of_ones_own(postgres: Postgres, url: str) -> None:
    (event,) = events = make_events(1)
    sink = PostgresStorage(url=url, schema="Gate", table="pulls_and_all").open()
    sink.write(lines_of(events))
    sink.close()
    assert stored(postgres, url, '"Gate".pulls_and_all') == [event]


def test_two_that_start_at_once_make_one_table(postgres: Postgres, url: str) -> None:
    events = make_events(400)
    failed: list[BaseException] = []
    start = threading.Barrier(4)

    def run(lines: list[bytes]) -> None:
        sink = PostgresStorage(url=url, schema="new").open()
        try:
            start.wait()
            sink.write(lines)
        except BaseException as error:
            failed.append(error)
        finally:
            sink.close()

    threads = [threading.Thread(target=run, args=[lines_of(events)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert stored(postgres, url, "new.events") == events


@pytest.mark.parametrize("text", ["a\0b", "\0\0", "\\\0", "\\u0000", "\\", "\t\n\r", "ü\U0001f6fc", "\\N", '"'])
def test_text_is_held_as_it_is_but_for_nul(postgres: Postgres, url: str, text: str) -> None:
    event = make_event(version=text, variables={text: text, "x": f"'{text}"})
    sink = PostgresStorage(url=url).open()
    sink.write(lines_of([event]))
    sink.close()
    (found,) = stored(postgres, url)
    said = text.replace("\0", "\ufffd")
    assert (found.version, found.variables) == (said, {said: said, "x": f"'{said}"})


def test_what_the_database_refuses_is_set_aside_and_nothing_else(postgres: Postgres, url: str, tmp_path: Path) -> None:
    events = make_events(50)
    poison = [b'{"id":"x","not":"an event"}\n', *lines_of([make_event(bytes=2**62 * 2 - 1, status=2**40)])]
    journal = tmp_path / "journal"
    journal.mkdir()
    (journal / "n-1-1.jsonl").write_bytes(b"".join([*lines_of(events[:25]), *poison, *lines_of(events[25:])]))
    shipper = Shipper(journal, tmp_path / "cursors", tmp_path / "set-aside", {"postgres": PostgresStorage(url=url).open()})
    assert shipper.acquire()
    assert shipper.ship() == 50
    assert (shipper.set_aside, shipper.failing) == (2, {})
    shipper.close()
    assert stored(postgres, url) == events
    told = [json.loads(line) for line in (tmp_path / "set-aside" / "postgres.jsonl").read_text().splitlines()]
    assert [(one["line"].encode() + b"\n", one["reason"]) for one in told] == [
        (poison[0], "no event: a column is missing that every event has, or is of another type"),
        (poison[1], "postgres: NumericValueOutOfRange 22003"),
    ]


def test_characters_that_the_database_has_not(postgres: Postgres) -> None:
    url = postgres.create("ENCODING latin1 LOCALE 'C' TEMPLATE template0")
    events = [make_event(version="ü"), make_event(version="\U0001f6fc")]
    sink = PostgresStorage(url=url).open()
    assert [one.line for one in Sieve(sink).write(lines_of(events))] == lines_of(events[1:])
    sink.close()
    assert stored(postgres, url) == events[:1]


def test_a_partition_that_was_dropped_is_made_again(postgres: Postgres, url: str) -> None:
    first, second = make_events(2)
    sink = PostgresStorage(url=url).open()
    sink.write(lines_of([first]))
    postgres.ask(url, "DROP TABLE events_2026_11")
    with pytest.raises(SinkError, match="postgres: CheckViolation 23514"):
        sink.write(lines_of([second]))
    sink.write(lines_of([second]))
    sink.close()
    assert stored(postgres, url) == [second]


def test_commits_wait_for_the_disk_where_the_server_would_not(postgres: Postgres, url: str) -> None:
    database = postgres.ask(url, "SELECT current_database()")[0][0]
    postgres.ask(url, f"ALTER DATABASE {database} SET synchronous_commit TO off")
    postgres.ask(url, "CREATE TABLE seen (setting text)")
    sink = PostgresStorage(url=url).open()
    sink.write(lines_of(make_events(1)))
    postgres.ask(
        url,
        "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS "
        "'BEGIN INSERT INTO seen VALUES (current_setting(''synchronous_commit'')); RETURN NULL; END';"
        "CREATE TRIGGER note AFTER INSERT ON events FOR EACH ROW EXECUTE FUNCTION note()",
    )
    sink.write(lines_of(make_events(1)))
    sink.close()
    assert postgres.ask(url, "SELECT setting FROM seen") == [("on",)]


def test_a_server_that_is_not_there_is_a_reason_to_come_again(tmp_path: Path) -> None:
    sink = PostgresStorage(url=f"postgresql://gw:hunter2@/x?host={tmp_path}").open()
    with pytest.raises(SinkError, match="postgres: OperationalError") as caught:
        sink.write(lines_of(make_events(1)))
    assert "hunter2" not in str(caught.value)
    sink.close()


def test_a_statement_that_takes_too_long_is_given_up(postgres: Postgres, url: str) -> None:
    import psycopg

    (event,) = events = make_events(1)
    sink = PostgresStorage(url=url, timeout_s=0.2).open()
    sink.write([*lines_of(events)])
    with psycopg.connect(url) as other:
        other.execute("LOCK TABLE events")
        with pytest.raises(SinkError, match=r"postgres: (QueryCanceled|LockNotAvailable)"):
            sink.write(lines_of(make_events(1)))
    sink.close()
    assert stored(postgres, url) == [event]


def test_a_server_that_hangs_is_cut_off(url: str) -> None:
    events = make_events(2)
    with Postgres() as server:
        url = server.create()
        sink = PostgresStorage(url=url, timeout_s=0.2).open()
        sink.write(lines_of(events))
        server.hang()
        for why in ("OperationalError", "ConnectionTimeout"):
            with pytest.raises(SinkError, match=f"postgres: {why}"):
                sink.write(lines_of(events))
        server.go_on()
        sink.write(lines_of(events))
        sink.close()
        assert stored(server, url) == events


def test_settings() -> None:
    assert "hunter2" not in repr(PostgresStorage(url="postgresql://gw:hunter2@db/events"))
    with pytest.raises(ConfigError) as caught:
        PostgresStorage(url="postgresql://gw:hunter2@db/events?x=y&hunter2").open()
    assert str(caught.value) == "sinks: postgres: url: is not a connection string (write postgresql://user:password@host/database)"
    with pytest.raises(ConfigError) as caught:
        read_config({"sinks": [{"type": "postgres", "url": "x", "table": "a b", "timeout-s": 0}]})
    assert "'a b' is not a name" in str(caught.value)


def test_the_driver_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(ConfigError, match=r"needs gatewaycore\[postgres\] \(pip install 'gatewaycore\[postgres\]'\)"):
        PostgresStorage(url="").open()
