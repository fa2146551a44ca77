"""Shared salts: nodes with one key, in a PostgreSQL of our own; and nothing of it there when it is over."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from gatewaycore.config import read_config
from gatewaycore.errors import ConfigError, GatewayError
from gatewaycore.event import Event
from gatewaycore.recorder import Sent
from gatewaycore.request import Request
from gatewaycore.salts import Period, Rotation, Salts
from gatewaycore.service import Service
from gatewaycore.shared_salts import SaltTable, SharedSalts
from tests.databases import Postgres
from tests.e2e.running import DEADLINE_S

DAY_NS = 86_400_000_000_000
FILE = {
    "name": "cli",
    "type": "file",
    "domain": "get.acme.example",
    "incoming-path": "/{version}",
    "outgoing-url": "https://cdn.x/{version}",
}


@pytest.fixture
def url(postgres: Postgres) -> str:
    return postgres.create()


@pytest.fixture
def server() -> Iterator[Postgres]:
    with Postgres() as started:
        yield started


def table(url: str, **more: Any) -> SaltTable:
    return SharedSalts(url=url, **more).open()


def salts(folder: Path | None, url: str, rotation: Rotation = "month") -> Salts:
    """Return the keys of a node that has just started."""
    made = Salts(folder, rotation, table(url))
    made.rotate(time.time_ns())
    return made


def period(begins: float = -60, ends: float = 3600) -> Period:
    """Return a period around now, in seconds from it."""
    now = datetime.now(UTC)
    return Period(now + timedelta(seconds=begins), now + timedelta(seconds=ends), "day")


def until(come: Callable[[], bool]) -> None:
    end = time.monotonic() + DEADLINE_S
    while not come():
        assert time.monotonic() < end
        time.sleep(0.02)


def rows(server: Postgres, url: str) -> list[tuple[Any, ...]]:
    return list(server.ask(url, "SELECT begins, ends, key FROM gatewaycore_salts ORDER BY begins"))


def node_at(folder: Path, url: str) -> Service:
    return Service.open(read_config({"packages": [FILE], "sinks": [], "gateway": {"shared-salts": {"url": url}}}), folder)


def asked(service: Service, version: str) -> Event:
    """Return the event of one and the same client."""
    outcome = service.gateway.decide(Request("GET", "get.acme.example", f"/{version}", client_ip="203.0.113.7"))
    (event,) = service.recorder.events(outcome, Sent(302))
    return event


def test_two_nodes_give_the_same_identifiers(tmp_path: Path, url: str) -> None:
    events: list[Event] = []
    for name in ("one", "two"):
        # Keeping house begins with asking for the key.
        with node_at(tmp_path / name, url) as service:
            until(lambda path=tmp_path / name / "salts": any("shared" in file.name for file in path.iterdir()))  # type: ignore[misc]
        events.append(asked(service, "1.0"))
    assert events[0].origin_id is not None
    assert (events[0].origin_id, events[0].endpoint_id) == (events[1].origin_id, events[1].endpoint_id)
    assert events[0].id != events[1].id


def test_the_first_to_come_lays_its_key_down_however_many_do(url: str) -> None:
    when, began = period(), threading.Barrier(6)
    offered = [os.urandom(32) for _ in range(6)]
    taken: list[bytes] = []

    def take(key: bytes) -> None:
        store = table(url)
        began.wait()
        taken.append(store.take(when, key))

    threads = [threading.Thread(target=take, args=(key,)) for key in offered]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == 6
    assert len(set(taken)) == 1
    assert taken[0] in offered


def test_a_node_that_cannot_reach_the_database_goes_on(tmp_path: Path, server: Postgres, caplog: pytest.LogCaptureFixture) -> None:
    url, now = server.create(), time.time_ns()
    first = salts(tmp_path / "one", url)
    assert first.refresh(now) is False  # Its own key has become everybody's.
    shared = first.key
    server.stop()
    alone = salts(tmp_path / "two", url)
    own = alone.key
    for _ in range(2):
        assert alone.refresh(now) is False
    assert alone.key == own != shared
    assert caplog.text.count("the shared salt cannot be asked for") == 1
    assert "OperationalError" in caplog.text
    assert url not in caplog.text
    # One that has it already needs nobody, even when it is started anew.
    again = salts(tmp_path / "one", url)
    assert again.key == shared
    server.start()
    # A crash empties the table; whoever comes first lays down again what it has.
    assert again.refresh(now) is False
    assert alone.refresh(now) is True
    assert alone.key == shared
    assert caplog.text.count("the shared salt is there again") == 1
    assert [path.name.partition(".")[2] for path in (tmp_path / "two").iterdir()] == ["shared-month.salt"]


def test_a_new_key_makes_new_identifiers_at_once(tmp_path: Path, url: str) -> None:
    service, now = node_at(tmp_path, url), time.time_ns()
    before = asked(service, "1.0").origin_id
    table(url).take(Period.of(now, "month"), os.urandom(32))
    assert asked(service, "1.1").origin_id == before
    service.recorder.keep_house(now)
    after = asked(service, "1.2").origin_id
    assert before != after == asked(service, "1.3").origin_id
    service.close()


def test_the_next_key_is_there_before_its_period_begins(tmp_path: Path, url: str) -> None:
    now = datetime.now(UTC)
    midnight = Period.of(time.time_ns(), "day").ends_ns
    nodes = [salts(tmp_path / name, url, "day") for name in ("one", "two")]
    for node in nodes:
        node.refresh(midnight - 2 * 3_600_000_000_000)
        assert len(list((tmp_path / "one").iterdir())) == 1
    for _ in range(2):
        for node in nodes:
            node.refresh(midnight - 1_800_000_000_000)
    before = nodes[0].key
    for node in nodes:
        # Nobody asks the database at midnight.
        node._store = table("postgresql://gw@/x?host=/nowhere")
        node.rotate(midnight)
    assert nodes[0].key == nodes[1].key != before
    tomorrow = f"{now.date() + timedelta(days=1)}.shared-day.salt"
    assert [path.name for path in (tmp_path / "two").iterdir()] == [tomorrow]


def test_months_and_days_have_keys_of_their_own(url: str) -> None:
    by_month, by_day = salts(None, url), salts(None, url, "day")
    for one in (by_month, by_day):
        one.refresh(time.time_ns())
    assert by_month.key != by_day.key


def test_a_file_that_holds_something_else_is_replaced(tmp_path: Path, url: str) -> None:
    node = salts(tmp_path, url)
    node.refresh(time.time_ns())
    (file,) = tmp_path.iterdir()
    for other in (b"short", bytes(32)):
        file.write_bytes(other)
        node.refresh(time.time_ns())
        assert file.read_bytes() == node.key


def test_a_failing_disk_costs_no_shared_key(tmp_path: Path, url: str, caplog: pytest.LogCaptureFixture) -> None:
    other = salts(None, url)
    other.refresh(time.time_ns())
    node = salts(tmp_path / "salts", url)
    for file in (tmp_path / "salts").iterdir():
        file.unlink()
    (tmp_path / "salts").rmdir()
    assert node.refresh(time.time_ns()) is True
    assert node.key == other.key
    assert "the shared salt cannot be kept on disk" in caplog.text


def test_it_is_rotated_by_whoever_asks_first(url: str) -> None:
    node = Salts(None, "month", table(url))
    assert node.refresh(time.time_ns()) is False
    assert len(node.key) == 32


def test_a_key_that_came_too_late_is_not_taken(tmp_path: Path) -> None:
    """Somebody rotates while the database is being asked."""
    now = time.time_ns()

    class Slow:
        def take(self, period: Period, offered: bytes) -> bytes:
            node.rotate(now + DAY_NS)
            return bytes(32)

    node = Salts(None, "day", Slow())
    node.rotate(now)
    assert node.refresh(now) is False
    assert node.key != bytes(32)


@pytest.mark.parametrize("when", [period(-7200, -3600), period(25 * 3600, 26 * 3600)])
def test_a_clock_that_is_wrong_brings_no_key_back(url: str, when: Period) -> None:
    with pytest.raises(GatewayError, match="compare the clocks"):
        table(url).take(when, os.urandom(32))


def test_a_server_that_hangs_is_cut_off(server: Postgres) -> None:
    store, when = table(server.create(), timeout_s=1), period()
    key = store.take(when, os.urandom(32))
    server.hang()
    with pytest.raises(GatewayError, match="PostgreSQL: "):
        store.take(when, key)
    server.go_on()
    assert store.take(when, os.urandom(32)) == key


# --- the end of a key ----------------------------------------------------------------------------------------------------


def holding(folder: Path, key: bytes) -> list[str]:
    """Return the files under `folder` that hold a key, as it is or in hexadecimal digits."""
    found = []
    for path in folder.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            if key in content or key.hex().encode() in content.lower():
                found.append(str(path.relative_to(folder)))
    return found


def test_a_key_that_is_over_is_in_no_file_of_the_server(server: Postgres) -> None:
    url = server.create()
    # Whatever a server can be told to write down.
    for setting in ("log_statement = 'all'", "log_min_duration_statement = 0", "log_error_verbosity = 'verbose'"):
        server.ask(url, f"ALTER SYSTEM SET {setting}")
    server.ask(url, "SELECT pg_reload_conf()")
    old, new, seen = os.urandom(32), os.urandom(32), os.urandom(32)
    when = period(ends=2)
    node, other = table(url), table(url)
    assert node.take(when, old) == other.take(when, new) == old
    assert rows(server, url)[0][2] == old
    until(lambda: _is_over(server, url))
    assert node.take(period(), new) == new
    (left,) = rows(server, url)
    assert left[2] == new
    # The search finds what is there: a table that is logged leaves its rows in the log for good.
    server.ask(url, f"CREATE TABLE logged AS SELECT '\\x{seen.hex()}'::bytea AS key")
    server.ask(url, "DROP TABLE logged")
    server.ask(url, "CHECKPOINT")
    assert any(name.startswith("data/pg_wal/") for name in holding(server.folder, seen))
    assert holding(server.folder, old) == []
    # Nor when everything that it has in memory is written down; the living key is where it should be, and nowhere else.
    server.stop("fast")
    assert holding(server.folder, old) == []
    (file,) = holding(server.folder, new)
    assert file.startswith("data/base/")
    server.start()
    assert rows(server, url)[0][2] == new


def _is_over(server: Postgres, url: str) -> bool:
    return bool(server.ask(url, "SELECT bool_and(ends <= now()) FROM gatewaycore_salts")[0][0])


def test_nodes_that_destroy_at_the_same_time_do_not_wait_for_each_other(server: Postgres) -> None:
    url, now = server.create(), period()
    table(url).take(period(ends=1), os.urandom(32))
    until(lambda: _is_over(server, url))
    keys: list[bytes] = []
    threads = [threading.Thread(target=lambda: keys.append(table(url).take(now, os.urandom(32)))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(keys) == 6
    assert len(set(keys)) == 1
    assert [row[2] for row in rows(server, url)] == keys[:1]


def test_an_old_key_is_gone_from_memory(tmp_path: Path, url: str) -> None:
    node, now = salts(tmp_path, url), time.time_ns()
    table(url).take(Period.of(now, "month"), os.urandom(32))
    own, alone = node.key, os.urandom(32)
    assert node.refresh(now) is True
    # No more is held of it than of a key that nobody but this test has seen.
    assert sys.getrefcount(own) == sys.getrefcount(alone)
    shared = node.key
    node.rotate(now + 40 * DAY_NS)
    assert sys.getrefcount(shared) == sys.getrefcount(alone)
    assert not {own, shared} & {path.read_bytes() for path in tmp_path.iterdir()}


# --- settings ------------------------------------------------------------------------------------------------------------


def test_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SALTS_URL", "postgresql://gw:hunter2@db/x")
    file = tmp_path / "gateway.yaml"
    file.write_text("gateway: {shared-salts: {url-env: SALTS_URL, schema: gw, timeout-s: 3}}\n")
    settings = read_config(file).gateway.shared_salts
    assert settings == SharedSalts(url="postgresql://gw:hunter2@db/x", schema="gw", timeout_s=3)
    assert "hunter2" not in repr(settings)
    for text, problem in (
        ("{}", "shared-salts.url: is missing"),
        ("{url-env: NOTHING}", "the environment has no NOTHING"),
        ("{url: x, timeout-s: 0}", "timeout-s: 0 is too small"),
        ("postgresql://x", "shared-salts: expected a mapping"),
    ):
        file.write_text(f"gateway: {{shared-salts: {text}}}\n")
        with pytest.raises(ConfigError) as caught:
            read_config(file)
        assert problem in str(caught.value)
    with pytest.raises(ConfigError, match=r"gateway.shared-salts.url: is not a connection string \(write postgresql://"):
        table("hunter2")
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(ConfigError, match=r"gateway.shared-salts: needs gatewaycore\[postgres\]"):
        table("postgresql://gw@/x")


def test_a_role_that_may_not_is_told(server: Postgres) -> None:
    url = server.create()
    server.ask(url, "CREATE ROLE poor LOGIN")
    with pytest.raises(GatewayError, match="PostgreSQL: InsufficientPrivilege 42501"):
        table(url.replace("gw@", "poor@")).take(period(), os.urandom(32))
    server.ask(url, "CREATE SCHEMA salted AUTHORIZATION poor")
    key = os.urandom(32)
    assert table(url.replace("gw@", "poor@"), schema="salted").take(period(), key) == key
