"""Sink `lake`: real tables in a folder, written by delta-rs and read by DuckDB."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from deltalake import DeltaTable, write_deltalake
from deltalake.exceptions import CommitFailedError

from gatewaycore.errors import ConfigError, PoisonError, SinkError, words_of
from gatewaycore.event import Event
from gatewaycore.recorder import encode
from gatewaycore.shipper import Shipper
from gatewaycore.sinks.lake import LakeSink, LakeStorage, house, open_lake, place, reading, sink, spool
from gatewaycore.sinks.lake.house import days_of
from gatewaycore.sinks.lake.place import connect
from gatewaycore.sinks.lake.schema import COLUMNS
from gatewaycore.sinks.lake.staging import Files

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
EVENT = Event(
    id="",
    time=NOON,
    domain="get.acme.example",
    package_type="file",
    rule="r",
    kind="download",
    method="GET",
    status=302,
    decision="redirect",
)


def event(number: int, time: datetime = NOON, **columns: Any) -> Event:
    return evolve(EVENT, id=f"{number:08d}", time=time, **columns)


def line(number: int, time: datetime = NOON, **columns: Any) -> bytes:
    return encode(event(number, time, **columns))


def strange(number: int, **columns: Any) -> bytes:
    """Return a line with columns that no event has."""
    return json.dumps({**json.loads(line(number)), **columns}).encode() + b"\n"


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    return tmp_path / "the lake"


@pytest.fixture
def opened(lake: Path) -> Iterator[Callable[..., LakeSink]]:
    """Opens sinks that are closed in the end."""
    sinks: list[LakeSink] = []

    def make(**settings: Any) -> LakeSink:
        sinks.append(LakeStorage(str(lake), **settings).open())
        return sinks[-1]

    yield make
    for one in sinks:
        one.close()


def ask(lake: Path, query: str) -> list[Any]:
    with open_lake(str(lake)) as connection:
        return connection.sql(query).fetchall()


def ids(lake: Path) -> list[str]:
    return [row[0] for row in ask(lake, "SELECT id FROM events ORDER BY id")]


def table(lake: Path) -> DeltaTable:
    return DeltaTable(str(lake))


# --- what is written -----------------------------------------------------------------------------------------------------


def test_every_column_comes_back_with_its_type(lake: Path, opened: Callable[..., LakeSink]) -> None:
    written = event(
        1,
        NOON.replace(microsecond=123456),
        platform_recognised=False,
        variables={"a": "ü\n'\"", "b": ""},
        confidence=0.25,
        bytes=1 << 40,
        page="",
    )
    opened().write([encode(written)])
    with open_lake(str(lake)) as connection:
        rows = connection.sql("SELECT * FROM events")
        assert rows.columns == [*(column.name for column in COLUMNS), "day"]
        assert [str(kind).replace("TIMESTAMP WITH TIME ZONE", "TIMESTAMPTZ") for kind in rows.types] == [
            *(column.type for column in COLUMNS),
            "DATE",
        ]
        (row,) = rows.fetchall()
        names = rows.columns[:-1]
    assert Event(**dict(zip(names, row, strict=False))) == written
    assert row[-1] == date(2026, 11, 22)


def test_days_are_partitions_and_folders_are_their_owners(lake: Path, opened: Callable[..., LakeSink]) -> None:
    opened().write([line(1), line(2, NOON.replace(hour=23, minute=59)), line(3, NOON + timedelta(hours=12))])
    assert sorted(path.name for path in lake.iterdir()) == ["_delta_log", "day=2026-11-22", "day=2026-11-23"]
    assert lake.stat().st_mode & 0o777 == 0o700
    assert table(lake).metadata().partition_columns == ["day"]


def test_what_finds_no_room_in_memory_is_its_owners_and_goes_with_the_connection() -> None:
    connection = connect()
    ((folder,),) = connection.sql("SELECT current_setting('temp_directory')").fetchall()
    spilled = Path(folder)
    assert spilled.stat().st_mode & 0o777 == 0o700
    connection.execute("SET memory_limit = '60MB'")
    many = "SELECT repeat('event', 20) || i AS text FROM range(1500000) AS t(i) ORDER BY text DESC"
    rows = connection.execute(f"SELECT count(*) FROM ({many})")
    assert rows.fetchall() == [(1_500_000,)]
    # Of another process, which a fork has left with the same connection.
    place._remove(folder, os.getpid() + 1)
    assert spilled.is_dir()
    connection.close()
    del connection, rows
    gc.collect()
    assert not spilled.exists()


def test_a_lake_without_a_table_or_without_rows_is_empty(lake: Path, opened: Callable[..., LakeSink]) -> None:
    assert ask(lake, "SELECT count(*), max(time), max(day) FROM events WHERE variables['a'] = 'b'") == [(0, None, None)]
    assert not lake.exists()
    opened().write([line(1)])
    table(lake).delete()
    assert ask(lake, "SELECT * FROM events") == []


def test_nothing_is_imported_or_made_before_the_first_batch(lake: Path) -> None:
    code = (
        "import sys\nfrom gatewaycore.sinks import LakeStorage\n"
        f"sink = LakeStorage({str(lake)!r}).open()\nsink.write([])\nsink.close()\n"
        "print(sorted({'duckdb', 'deltalake', 'pyarrow'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
    assert not lake.exists()


def test_neither_pyarrow_nor_a_network_is_needed(lake: Path) -> None:
    code = (
        "import sys\nsys.modules['pyarrow'] = None\nfrom gatewaycore.sinks.lake import LakeStorage, open_lake\n"
        f"sink = LakeStorage({str(lake)!r}).open()\nsink.write([{line(1)!r}])\nsink.write([{line(1)!r}])\nsink.close()\n"
        f"print(open_lake({str(lake)!r}).sql('SELECT count(*) FROM events').fetchall())"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[(1,)]\n"


# --- each event once -----------------------------------------------------------------------------------------------------


def test_what_comes_again_is_not_written_again(lake: Path, opened: Callable[..., LakeSink]) -> None:
    one, other = opened(), opened()
    one.write([line(1), line(2), line(2), line(5)])
    version = table(lake).version()
    other.write([line(1), line(2)])
    assert table(lake).version() == version
    other.write([line(2), line(3), line(5), line(4), line(3)])
    one.write([line(4), line(6)])
    assert ids(lake) == [f"{number:08d}" for number in (1, 2, 3, 4, 5, 6)]


def test_ids_may_be_any_text(lake: Path, opened: Callable[..., LakeSink]) -> None:
    written = [encode(evolve(EVENT, id=text)) for text in ("a'b", "ü", '"', "a" * 100, "a" * 100 + "b")]
    for _ in range(2):
        opened().write(written)
    assert len(ids(lake)) == len(written)


def test_two_writers_of_the_same_lines_write_them_once(
    lake: Path, opened: Callable[..., LakeSink], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between a writer's look at the table and its commit, the other one commits."""
    one, other = opened(), opened()
    one.write([line(1)])
    find = LakeSink._find_known
    raced: list[bool] = []

    def race(self: LakeSink, *arguments: Any) -> bool:
        found = find(self, *arguments)
        if self is one and not raced:
            raced.append(True)
            other.write([line(2), line(3)])
        return found

    monkeypatch.setattr(LakeSink, "_find_known", race)
    monkeypatch.setattr(sink, "_PAUSE_S", 0)
    one.write([line(2), line(4)])
    assert raced
    assert ids(lake) == [f"{number:08d}" for number in (1, 2, 3, 4)]


def test_a_writer_that_is_never_fast_enough_gives_up(opened: Callable[..., LakeSink], monkeypatch: pytest.MonkeyPatch) -> None:
    def lose(*_: Any) -> None:
        raise CommitFailedError

    monkeypatch.setattr(Files, "commit", lose)
    monkeypatch.setattr(sink, "_PAUSE_S", 0)
    with pytest.raises(SinkError, match="faster 12 times"):
        opened().write([line(1)])


def test_what_fails_is_said_and_comes_again(lake: Path, opened: Callable[..., LakeSink]) -> None:
    lake.parent.mkdir(exist_ok=True)
    lake.write_text("a file")
    sink = opened()
    with pytest.raises(SinkError, match="lake: "):
        sink.write([line(1)])
    lake.unlink()
    sink.write([line(1)])
    assert ids(lake) == ["00000001"]


def test_files_that_nobody_knows_are_not_left_behind(lake: Path, opened: Callable[..., LakeSink], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise OSError("no room")

    made = opened()
    made.write([line(1)])
    with monkeypatch.context() as patch:
        patch.setattr(LakeSink, "_find_known", fail)
        with pytest.raises(SinkError):
            made.write([line(2)])
    assert len(list(lake.glob("day=*/*"))) == 1
    # The table may know those, whatever was answered.
    monkeypatch.setattr(DeltaTable, "create_write_transaction", fail)
    with pytest.raises(SinkError):
        made.write([line(2)])
    assert len(list(lake.glob("day=*/*"))) == 2


def test_a_file_that_cannot_be_written_leaves_nothing(lake: Path, opened: Callable[..., LakeSink]) -> None:
    lake.mkdir()
    in_the_way = lake / "day=2026-11-22"
    in_the_way.write_text("a file")
    made = opened()
    with pytest.raises(SinkError, match="FileExistsError"):
        made.write([line(1)])
    in_the_way.unlink()
    made.write([line(1)])
    assert len(list(lake.glob("day=*/*"))) == 1


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OSError("Generic S3 error: status code: 403, <Code>AccessDenied</Code> https://hunter2@x/"), "OSError: 403: AccessDenied"),
        (OSError(28, "No space left on device", "/hunter2"), "OSError: No space left on device"),
        (RuntimeError("cannot write hunter2 (os error 13)"), "RuntimeError: Permission denied"),
        (RuntimeError('{"exception_message":"hunter2","errno":"28"}'), "RuntimeError: No space left on device"),
        (RuntimeError('{"user_agent":"hunter2"}'), "RuntimeError"),
    ],
)
def test_of_an_engines_words_only_the_answer_is_told(
    opened: Callable[..., LakeSink], monkeypatch: pytest.MonkeyPatch, error: Exception, told: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(DeltaTable, "create_write_transaction", fail)
    with pytest.raises(SinkError) as caught:
        opened().write([line(1)])
    assert words_of(caught.value) == f"lake: {told}"


def test_a_day_in_the_middle_of_another_is_found(lake: Path, opened: Callable[..., LakeSink]) -> None:
    opened().write([line(1), line(2, NOON + timedelta(days=3)), line(3)])
    assert ask(lake, "SELECT id, day FROM events ORDER BY id") == [
        ("00000001", date(2026, 11, 22)),
        ("00000002", date(2026, 11, 25)),
        ("00000003", date(2026, 11, 22)),
    ]
    assert len(list(lake.glob("day=*/*"))) == 2


def test_what_files_hold_least_and_most_is_outside_of_no_row(lake: Path, opened: Callable[..., LakeSink]) -> None:
    opened().write([line(1, NOON.replace(microsecond=1500), package="x"), line(2, NOON.replace(microsecond=999_500), package="ü" * 500)])
    actions: Any = table(lake).get_add_actions(flatten=True)
    (row,) = actions.to_struct_array().to_pylist() if hasattr(actions, "to_struct_array") else [actions]
    assert row["num_records"] == 2
    assert (row["min.id"], row["max.id"]) == ("00000001", "00000002")
    assert row["min.time"] <= NOON.replace(microsecond=1500)
    assert row["max.time"] >= NOON.replace(microsecond=999_500)
    # Long text is no bound.
    assert row.get("max.package") is None


def test_the_shipper_sets_aside_what_the_lake_does_not_take(lake: Path, opened: Callable[..., LakeSink], tmp_path: Path) -> None:
    (tmp_path / "journal").mkdir()
    poison, odd = strange(9, time=None), strange(8, time="2026-W48-1T00:00:00Z")
    written = [line(1), b"torn\n", poison, line(2), odd, strange(3, shiny="x")]
    (tmp_path / "journal" / "n-1-1.jsonl").write_bytes(b"".join(written) + b'{"id":')
    shipper = Shipper(tmp_path / "journal", tmp_path / "cursors", tmp_path / "set-aside", {"lake": opened()})
    assert shipper.acquire()
    assert shipper.ship() == 3
    shipper.close()
    assert ids(lake) == ["00000001", "00000002", "00000003"]
    aside = (tmp_path / "set-aside" / "lake.jsonl").read_text().splitlines()
    assert sorted(json.loads(one)["line"].encode() + b"\n" for one in aside) == sorted([b"torn\n", poison, odd])


def test_a_batch_without_lines_is_none(lake: Path, opened: Callable[..., LakeSink]) -> None:
    assert opened().write_spans([]) == 0
    assert not lake.exists()


# --- lines that are no events, and columns that nobody knows -------------------------------------------------------------


POISON = {
    "no JSON": b"{torn\n",
    "empty": b"\n",
    "not UTF-8": b'{"id":"\xff"}\n',
    "a list": b"[1]\n",
    "a number": b"3\n",
    "no time": b'{"id":"x","schema":1}\n',
    "no id": strange(9, id=None),
    "a time that is none": strange(9, time="yesterday"),
    "very deep": b"[" * 100_000 + b"\n",
}


@pytest.mark.parametrize("careful", [False, True])
@pytest.mark.parametrize("bad", POISON.values(), ids=POISON)
def test_a_line_that_is_no_event_is_named_and_nothing_is_kept(
    lake: Path, opened: Callable[..., LakeSink], bad: bytes, careful: bool
) -> None:
    sink = opened()
    good = strange(1, shiny="x") if careful else line(1)
    with pytest.raises(PoisonError, match="no event") as caught:
        sink.write([good, bad, line(2), bad])
    assert caught.value.lines == (1, 3)
    assert not list(lake.rglob("*.parquet"))
    sink.write([good, line(2)])
    assert ids(lake) == ["00000001", "00000002"]


def test_a_column_that_nobody_knows_is_kept_among_the_variables(lake: Path, opened: Callable[..., LakeSink]) -> None:
    opened().write([strange(1, shiny="x", count=3, variables={"a": "1"}), strange(2, deep={"a": [None]}), line(3, variables={"b": "2"})])
    assert ask(lake, "SELECT variables FROM events ORDER BY id") == [
        ({"extra.shiny": "x", "extra.count": "3", "a": "1"},),
        ({"extra.deep": '{"a":[null]}'},),
        ({"b": "2"},),
    ]


WRONG = {
    "text": ("page", 3),
    "whole number": ("bytes", "3"),
    "large number": ("bytes", 1 << 63),
    "truth": ("platform_recognised", 1),
    "number": ("confidence", "x"),
    "time": ("time", 3),
    "time without a zone": ("time", "2026-11-22T08:00:00"),
    "variables": ("variables", [1]),
    "a variable": ("variables", {"a": 1}),
}


@pytest.mark.parametrize(("name", "value"), WRONG.values(), ids=WRONG)
def test_beside_such_a_column_each_value_must_be_its_columns(lake: Path, opened: Callable[..., LakeSink], name: str, value: object) -> None:
    sink = opened()
    with pytest.raises(PoisonError) as caught:
        sink.write([strange(1, shiny="x"), strange(2, **{name: value}), strange(3, confidence=1)])
    assert caught.value.lines == (1,)


def test_a_very_long_line_is_an_event(lake: Path, opened: Callable[..., LakeSink]) -> None:
    long = 3 * spool.LINE_BYTES
    opened().write([line(1), line(2, page="x" * long), line(3)])
    assert ask(lake, "SELECT id, length(page) FROM events ORDER BY id") == [("00000001", None), ("00000002", long), ("00000003", None)]


def test_where_there_is_nothing_else_no_table_is_made(lake: Path, opened: Callable[..., LakeSink]) -> None:
    with pytest.raises(PoisonError):
        opened().write([b"poison\n"])
    assert not list(lake.rglob("*.*"))


@pytest.mark.parametrize("has_pyarrow", [True, False])
def test_a_url_is_read_through_delta(lake: Path, monkeypatch: pytest.MonkeyPatch, has_pyarrow: bool) -> None:
    lake.mkdir()
    url = f"file://{lake.parent}/the%20lake"
    if not has_pyarrow:
        monkeypatch.setattr(reading, "find_spec", lambda name: None)
    made = LakeStorage(url).open()
    made.write([line(1, variables={"a": "b"}), line(2, NOON + timedelta(days=1))])
    made.close()
    with open_lake(url) as connection:
        for _ in range(2):
            found = connection.sql("SELECT id, day, variables['a'] FROM events ORDER BY id").fetchall()
            assert found == [("00000001", date(2026, 11, 22), "b"), ("00000002", date(2026, 11, 23), None)]


# --- a table of another version ------------------------------------------------------------------------------------------


def test_a_table_without_a_column_gets_it(lake: Path, opened: Callable[..., LakeSink]) -> None:
    with connect() as connection:
        old = connection.sql(
            "SELECT '0' AS id, TIMESTAMPTZ '2026-11-22 00:00:00Z' AS time, 302::BIGINT AS status, DATE '2026-11-22' AS day"
        )
        write_deltalake(str(lake), old, partition_by=["day"])
    assert ask(lake, "SELECT id, status, package FROM events") == [("0", 302, None)]
    opened().write([line(1, package="x")])
    assert ask(lake, "SELECT id, status, package FROM events ORDER BY id") == [("0", 302, None), ("00000001", 302, "x")]


def test_a_table_whose_column_has_another_type_is_left_alone(lake: Path, opened: Callable[..., LakeSink]) -> None:
    with connect() as connection:
        old = connection.sql("SELECT '0' AS id, '302' AS status, DATE '2026-11-22' AS day")
        write_deltalake(str(lake), old, partition_by=["day"])
    with pytest.raises(SinkError, match="another type for status"):
        opened().write([line(1)])
    assert ids(lake) == ["0"]


def test_a_table_with_another_column_keeps_it(lake: Path, opened: Callable[..., LakeSink]) -> None:
    opened().write([line(1)])
    with connect() as connection:
        new = connection.sql("SELECT '2' AS id, 'new' AS shiny, TIMESTAMPTZ '2026-11-22 00:00:00Z' AS time, DATE '2026-11-22' AS day")
        write_deltalake(str(lake), new, mode="append", schema_mode="merge")
    opened().write([line(3)])
    assert ask(lake, "SELECT id, shiny FROM events ORDER BY id") == [("00000001", None), ("00000003", None), ("2", "new")]


# --- settings ------------------------------------------------------------------------------------------------------------


def test_without_the_extra_there_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(place, "find_spec", lambda name: None)
    with pytest.raises(ConfigError) as caught:
        LakeStorage().open()
    assert str(caught.value) == "sinks: lake: needs gatewaycore[lake] (pip install 'gatewaycore[lake]')"


@pytest.mark.parametrize(
    ("settings", "wrong"),
    [
        (
            {"compact_after": 1, "retention_days": 0, "vacuum_hours": 0},
            "compact-after.*\n.*retention-days.*\n.*vacuum-hours: 0 is",
        ),
        ({"path": "a%20b"}, "cannot be used"),
        ({"path": "ftp://acme.example/lake"}, "cannot be used"),
        # The working directory, with whatever is in it.
        ({"path": ""}, "cannot be used"),
    ],
)
def test_settings_that_cannot_be(settings: dict[str, Any], wrong: str) -> None:
    with pytest.raises(ConfigError, match=wrong):
        LakeStorage(**settings).open()


def test_a_path_that_is_a_files_is_found_before_the_first_batch(lake: Path) -> None:
    lake.write_text("precious")
    with pytest.raises(ConfigError, match="is no folder"):
        LakeStorage(str(lake)).check()


def test_secrets_are_shown_nowhere() -> None:
    settings = LakeStorage("s3://x/y", {"aws-secret-access-key": "hush"})
    made = settings.open()
    assert made._place.options == {"aws_secret_access_key": "hush"}
    assert "hush" not in repr(settings) + repr(made._place)


def test_an_object_store_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    options = {"aws-endpoint-url": "http://127.0.0.1:9", "aws-allow-http": "true", "aws-region": "us-east-1", "max-retries": "0"}
    made = LakeStorage("s3://nowhere/lake", {**options, "aws-access-key-id": "x", "aws-secret-access-key": "y"}).open()
    with pytest.raises(SinkError, match="lake: OSError"):
        made.write([line(1)])
    made.close()


# --- keeping house -------------------------------------------------------------------------------------------------------


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks behind every write, as if it were noon of 25 November."""
    monkeypatch.setattr(house, "_LOOK_S", 0)
    keep = house.House.keep
    monkeypatch.setattr(house.House, "keep", lambda self, table, connection, now: keep(self, table, connection, NOW))


def files(lake: Path) -> list[tuple[str, int]]:
    return [(str(day.day), len(day.sizes)) for day in days_of(table(lake))]


def test_it_is_looked_at_now_and_then(lake: Path, opened: Callable[..., LakeSink], monkeypatch: pytest.MonkeyPatch) -> None:
    made = opened()
    for number in range(3):
        made.write([line(number)])
    assert files(lake) == [("2026-11-22", 3)]


@pytest.mark.usefixtures("at_once")
def test_many_files_of_an_open_day_are_joined(lake: Path, opened: Callable[..., LakeSink]) -> None:
    made = opened(compact_after=3)
    counts = []
    for number in range(4):
        made.write([line(number, NOW)])
        counts.append(files(lake))
    assert counts == [[("2026-11-25", count)] for count in (1, 2, 1, 2)]
    assert len(ids(lake)) == 4


@pytest.mark.usefixtures("at_once")
def test_a_closed_day_is_sorted(lake: Path, opened: Callable[..., LakeSink]) -> None:
    made = opened()
    made.write([line(1, package="b"), line(2, NOON + timedelta(hours=1), package="a"), line(3, NOON + timedelta(days=1))])
    made.write([line(4, package="a"), line(5, package="b", time=NOON - timedelta(hours=1))])
    assert files(lake) == [("2026-11-22", 1), ("2026-11-23", 1)]
    (written,) = [file for file in table(lake).file_uris() if "2026-11-22" in file]
    with connect() as connection:
        found = connection.sql(f"SELECT id FROM read_parquet('{written.replace('%20', ' ')}')").fetchall()
    assert [int(row[0]) for row in found] == [4, 2, 5, 1]
    # What is there is known by its id in the new file too.
    made.write([line(2), line(4), line(5)])
    assert len(ids(lake)) == 5


@pytest.mark.usefixtures("at_once")
def test_days_that_are_due_are_sorted_one_behind_each_batch(lake: Path, opened: Callable[..., LakeSink]) -> None:
    made = opened(compact_after=2)
    made._house._looks_at = float("inf")
    for number in range(2):
        made.write([line(number), line(number + 2, NOON + timedelta(days=1)), line(number + 4, NOW)])
    assert [count for _, count in files(lake)] == [2, 2, 2]
    made._house._looks_at = 0
    made.write([line(8, NOW)])
    assert [count for _, count in files(lake)] == [1, 2, 1]
    made.write([line(9, NOW)])
    assert [count for _, count in files(lake)] == [1, 1, 1]


def test_a_table_can_be_tidied_at_once(lake: Path, opened: Callable[..., LakeSink]) -> None:
    made = opened(retention_days=3, compact_after=2)
    made._house._looks_at = float("inf")
    for number in range(2):
        made.write([line(10 * number + day, NOW - timedelta(days=day)) for day in range(5)])
    made.tidy(NOW)
    assert files(lake) == [("2026-11-22", 1), ("2026-11-23", 1), ("2026-11-24", 1), ("2026-11-25", 1)]
    assert ids(lake) == [f"{number:08d}" for number in (0, 1, 2, 3, 10, 11, 12, 13)]


@pytest.mark.parametrize(("sizes", "most"), [([1], 2), ([64 << 20, 64 << 20], 2), ([128 << 20, 1], 4)])
def test_a_large_day_is_not_sorted_for_every_straggler(sizes: list[int], most: int) -> None:
    assert house.House(house.Rules(4, None, 24))._most(house.Day(NOON.date(), sizes)) == most


@pytest.mark.usefixtures("at_once")
def test_a_day_that_is_too_large_to_sort_is_joined(lake: Path, opened: Callable[..., LakeSink], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(house, "_MOST_SORTED", 0)
    monkeypatch.setattr(house, "_rewrite", lambda *_: pytest.fail("sorted"))
    made = opened()
    made.write([line(1)])
    made.write([line(2)])
    assert files(lake) == [("2026-11-22", 1)]


@pytest.mark.usefixtures("at_once")
def test_old_days_go_and_then_their_files(lake: Path, opened: Callable[..., LakeSink], monkeypatch: pytest.MonkeyPatch) -> None:
    # Files that are an hour old, without waiting for an hour.
    vacuum = DeltaTable.vacuum
    monkeypatch.setattr(DeltaTable, "vacuum", lambda self, hours, **options: vacuum(self, hours - 1, **options))
    monkeypatch.setattr(house, "_VACUUM_S", 0)
    made = opened(retention_days=2, vacuum_hours=1)
    made.write([line(1), line(2, NOON + timedelta(days=1)), line(3, NOW)])
    assert ids(lake) == ["00000002", "00000003"]
    made.write([line(4, NOW)])
    assert sorted(path.parent.name for path in lake.rglob("*.parquet") if path.parent.name != "_delta_log") == [
        "day=2026-11-23",
        "day=2026-11-25",
        "day=2026-11-25",
    ]


def age(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"precious")
        os.utime(path, (1, 1))


@pytest.mark.usefixtures("at_once")
def test_what_is_not_of_the_table_stays(
    lake: Path, opened: Callable[..., LakeSink], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Somebody has named a folder, or a bucket, in which there is more than the table."""
    monkeypatch.setattr(house, "_VACUUM_S", 0)
    others = [lake / "thesis.tex", lake / "data" / "journal" / "n-1-1.jsonl", lake / "other" / "day=2026-11-22" / "x.parquet"]
    killed = lake / "day=2026-11-22" / "killed-0.parquet"
    age(*others, killed)
    made = opened()
    made.write([line(1)])
    made.write([line(2)])
    assert [path.read_bytes() for path in (*others, killed)] == [b"precious"] * 4
    assert ["files that are not its own" in message for message in caplog.messages] == [True]
    assert ids(lake) == ["00000001", "00000002"]


@pytest.mark.usefixtures("at_once")
def test_what_killed_writers_leave_goes(lake: Path, opened: Callable[..., LakeSink], caplog: pytest.LogCaptureFixture) -> None:
    killed = lake / "day=2026-11-22" / "killed-0.parquet"
    age(killed)
    opened().write([line(1)])
    assert not killed.exists()
    assert not caplog.messages


@pytest.mark.parametrize("other", ["adds", "sorts"])
@pytest.mark.usefixtures("at_once")
def test_two_that_keep_house_lose_and_double_nothing(
    lake: Path, opened: Callable[..., LakeSink], monkeypatch: pytest.MonkeyPatch, other: str
) -> None:
    """While one sorts a day, another one adds to it, or sorts it too."""
    made, second = opened(), opened()
    made.write([line(1)])
    rewrite = house._rewrite
    raced: list[str] = []

    def race(found: DeltaTable, connection: Any, day: house.Day) -> None:
        if not raced:
            raced.append(other)
            if other == "adds":
                monkeypatch.setattr(house, "_LOOK_S", 60)
                second._house._looks_at = float("inf")
                second.write([line(3)])
            else:
                with connect() as own:
                    rewrite(table(lake), own, day)
        rewrite(found, connection, day)

    monkeypatch.setattr(house, "_rewrite", race)
    made.write([line(2)])
    assert raced == [other]
    assert made._house.conflicts == 1
    assert ids(lake) == [f"{number:08d}" for number in ((1, 2, 3) if other == "adds" else (1, 2))]
    made.write([line(4)])
    assert len(ids(lake)) == (4 if other == "adds" else 3)


def test_a_table_of_somebody_elses_is_left_as_it_is(lake: Path, opened: Callable[..., LakeSink]) -> None:
    with connect() as connection:
        write_deltalake(str(lake), connection.sql("SELECT 1 AS number, 'x' AS name"))
    with pytest.raises(SinkError, match="not partitioned by day, and is left as it is"):
        opened().write([line(1)])
    assert table(lake).version() == 0
    assert [field.name for field in table(lake).schema().fields] == ["number", "name"]
    assert len(list(lake.rglob("*.parquet"))) == 1


@pytest.mark.usefixtures("at_once")
def test_rows_without_a_day_are_left_to_whoever_wrote_them(
    lake: Path, opened: Callable[..., LakeSink], caplog: pytest.LogCaptureFixture
) -> None:
    made = opened()
    made.write([line(1)])
    with open_lake(str(lake)) as connection:
        rows = connection.sql("SELECT * REPLACE (NULL::DATE AS day, '00000009' AS id) FROM events")
        write_deltalake(table(lake), rows, mode="append")
    made.write([line(2)])
    assert ids(lake) == ["00000001", "00000002", "00000009"]
    assert ([day.day for day in days_of(table(lake))], made._house.failed, caplog.messages) == ([NOON.date()], 0, [])


def test_rows_that_another_engine_has_deleted_are_gone(lake: Path, opened: Callable[..., LakeSink]) -> None:
    """With a deletion vector, as Spark and Databricks do: the file is as it was. This one has the rows 3, 4, 7, 11, 18 and 29."""
    opened().write([line(number) for number in range(40)])
    log = sorted((lake / "_delta_log").glob("*.json"))
    (added,) = [action["add"] for path in log for action in map(json.loads, path.read_text().splitlines()) if "add" in action]
    features = ["deletionVectors"]
    protocol = {"minReaderVersion": 3, "minWriterVersion": 7, "readerFeatures": features, "writerFeatures": features}
    removed = {"path": added["path"], "dataChange": True, "deletionTimestamp": 1, "partitionValues": added["partitionValues"]}
    inline = "^Bg9^0rr910000000000iXQKl0rr91000f55c8Xg0@@D72lkbi5=-{L"
    vector = {"storageType": "i", "pathOrInlineDv": inline, "sizeInBytes": 44, "cardinality": 6}
    actions = [{"protocol": protocol}, {"remove": removed}, {"add": {**added, "deletionVector": vector}}]
    (lake / "_delta_log" / f"{len(log):020}.json").write_text("".join(json.dumps(action) + "\n" for action in actions))
    assert len(ids(lake)) == 34


@pytest.mark.usefixtures("at_once")
def test_a_house_that_cannot_be_kept_costs_no_event(
    lake: Path, opened: Callable[..., LakeSink], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any) -> None:
        raise OSError("s3://bucket/secret")

    monkeypatch.setattr(house, "days_of", fail)
    made = opened()
    made.write([line(1)])
    made.write([line(2)])
    assert len(ids(lake)) == 2
    assert made._house.failed == 2
    assert caplog.messages == ["the lake could not be kept in order, which is tried again: OSError"] * 2
