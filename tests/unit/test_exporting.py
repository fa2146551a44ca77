"""Exports: what is in the lake and in the journal, each once, in every form; and back again."""

from __future__ import annotations

import contextlib
import csv
import errno
import gzip
import io
import json
import os
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import Result

from gatewaycore.config import read_config
from gatewaycore.errors import ConfigError, GatewayError, SinkError
from gatewaycore.event import Event
from gatewaycore.exporting import (
    JournalSource,
    LakeSource,
    Output,
    Selection,
    Source,
    StoreSource,
    pieces,
    read_columns,
    read_moment,
    read_where,
    write_csv,
    write_ndjson,
)
from gatewaycore.exporting import stores as stores_room
from gatewaycore.exporting.columns import OWN
from gatewaycore.importing.counters import Counters
from gatewaycore.keeping import event_source
from gatewaycore.plugins import rosters
from gatewaycore.recorder import encode
from gatewaycore.sinks import ClickhouseStorage, PostgresStorage
from gatewaycore.sinks.lake import LakeStorage
from tests.clickhouse import Clickhouse
from tests.databases import Postgres
from tests.events import lines_of, make_event, make_events
from tests.unit.test_cli import run, write

CONFIG = """\
packages:
  - {name: cli, type: file, domain: get.acme.example, incoming-path: "/{version}", outgoing-url: "https://cdn.acme.example/{version}"}
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "gateway.yaml", CONFIG)
    return tmp_path


def journal(lines: Iterable[bytes], name: str = "n-1-1") -> Path:
    folder = Path("gatewaycore-data/journal")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.jsonl").write_bytes(b"".join(lines))
    return folder


def export(*arguments: object) -> Result:
    result = run("export", *arguments)
    assert result.exit_code == 0, result.output
    return result


def ids(result: Result) -> list[str]:
    return sorted(json.loads(line)["id"] for line in result.stdout.splitlines())


# --- what is wanted --------------------------------------------------------------------------------------------------------


def test_columns_are_a_set_or_names() -> None:
    assert read_columns("all") == OWN
    assert list(read_columns("scarf"))[:4] == ["id", "type", "package", "pixel"]
    assert list(read_columns("id, time")) == ["id", "time"]
    with pytest.raises(ConfigError, match="'pixel' is no column of an event"):
        read_columns("id,pixel")


def test_moments_and_pairs() -> None:
    assert read_moment("--since", None) is None
    assert read_moment("--since", "2026-11-01") == datetime(2026, 11, 1, tzinfo=UTC)
    assert read_moment("--since", "2026-11-01T02:00+02:00") == datetime(2026, 11, 1, tzinfo=UTC)
    for text in ("yesterday", "0001-01-01T00:00:00+14:00"):
        with pytest.raises(ConfigError, match=r"--until: .* is no day and no time"):
            read_moment("--until", text)
    assert read_where(["a=b=c", "d="]) == (("a", "b=c"), ("d", ""))
    for text in ("a", "=b"):
        with pytest.raises(ConfigError, match=r"--where: .* is no pair"):
            read_where([text])


SELECTIONS = [
    {},
    {"since": datetime(2026, 11, 2, 3, 4, 6, tzinfo=UTC)},
    {"until": datetime(2026, 11, 2, 3, 4, 6, tzinfo=UTC)},
    {"since": datetime(2026, 11, 2, tzinfo=UTC), "until": datetime(2026, 11, 3, tzinfo=UTC)},
    {"package": ("cli", "it's")},
    {"package": ("nothing",)},
    {"kind": ("view",)},
    {"country": ("DE",), "agent": ("human", "ci")},
    {"where": (("it's", "o'clock"),)},
    {"where": (("from", "docs"), ("version", "1.1"))},
]


def various() -> list[Event]:
    return [
        make_event(time=datetime(2026, 11, 2, 3, 4, 5, 999999, tzinfo=UTC)),
        make_event(time=datetime(2026, 11, 2, 3, 4, 6, tzinfo=UTC), package="it's", kind="view"),
        make_event(time=datetime(2026, 11, 3, tzinfo=UTC), country=None, agent="ci"),
        make_event(time=datetime(2024, 11, 3, tzinfo=UTC), country="FR", variables={"it's": "o'clock"}),
        make_event(package=None, agent="bot", variables={"from": "docs", "version": "1.1"}),
        make_event(variables={}),
    ]


@pytest.mark.parametrize("wanted", SELECTIONS, ids=str)
def test_python_and_sql_select_the_same(here: Path, wanted: dict[str, Any]) -> None:
    pytest.importorskip("duckdb")
    events, selection = various(), Selection(**wanted)
    sink = LakeStorage("lake").open()
    sink.write(lines_of(events[:3]))
    sink.close()
    folder = journal(lines_of(events[2:]))
    found = LakeSource(LakeStorage("lake"), folder).rows({"id": "id"}, selection)
    assert sorted(row[0] for row in found) == sorted(event.id for event in events if selection.holds(event))


# --- where it is read from -------------------------------------------------------------------------------------------------


def test_what_is_in_both_is_exported_once(here: Path) -> None:
    pytest.importorskip("duckdb")
    events = make_events(50)
    sink = LakeStorage("gatewaycore-data/lake").open()
    sink.write(lines_of(events[:30]))
    sink.close()
    # Shipped and still there, not shipped yet, twice, torn, and nothing at all.
    journal([*lines_of(events[20:]), *lines_of(events[40:]), b"nothing\n", lines_of(events[:1])[0][:50]])
    journal([], "n-1-2")
    result = export()
    assert result.stderr == "50 events exported\n"
    assert ids(result) == sorted(event.id for event in events)


def test_without_a_lake_the_journal_is_what_there_is(here: Path) -> None:
    write(here / "gateway.yaml", CONFIG + "sinks: []\n")
    events = make_events(20)
    journal(lines_of(events))
    assert ids(export()) == sorted(event.id for event in events)
    assert ids(export("--data-dir", here / "nothing")) == []


def test_without_the_engine_the_journal_is_read_in_python(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gatewaycore.keeping.is_installed", lambda: False)
    events = [*make_events(20), make_event(variables={}, package_type="pixel", package="px")]
    journal([*lines_of(events), *lines_of(events[:3]), b"nothing\n"])
    assert ids(export()) == sorted(event.id for event in events)
    assert len(ids(export("--until", "2000-01-01"))) == 0
    rows = list(csv.DictReader(io.StringIO(export("--columns", "scarf", "--format", "csv").stdout)))
    assert (rows[-1]["package"], rows[-1]["pixel"], rows[-1]["variables"]) == ("", "px", "")
    assert (rows[0]["package"], rows[0]["pixel"], json.loads(rows[0]["variables"])) == ("cli", "", events[0].variables)
    refused = run("export", "-o", "x.parquet")
    assert (refused.exit_code, refused.output) == (
        2,
        "parquet needs a lake, or no sink and gatewaycore[lake]: pip install 'gatewaycore[lake]'\n",
    )


def test_the_last_events_from_wherever_they_are(here: Path) -> None:
    pytest.importorskip("duckdb")
    events = make_events(12)
    lake = LakeStorage("gatewaycore-data/lake")
    sink = lake.open()
    sink.write(lines_of(events[:8]))
    sink.close()
    # Some are in both, and one twice.
    folder = journal([*lines_of(events[5:]), *lines_of(events[11:])])
    columns, newest = {"which": "id", "variables": "variables"}, [event.id for event in reversed(events)]
    counters = Counters.temporary()
    for source, there in ((LakeSource(lake, folder), newest), (JournalSource(folder, counters.count), newest[:7])):
        assert [row[0] for row in source.latest(columns, Selection(), 5)] == there[:5]
        assert [row[0] for row in source.latest(columns, Selection(), 50, newest[2])] == there[3:]
        assert json.loads(bytes(source.latest(columns, Selection(), 1)[0][1])) == events[-1].variables
        assert source.latest(columns, Selection(package=("none",)), 5) == []
    counters.close()


STORED = [*various(), make_event(package_type="pixel", package="px", variables={}, bytes=7)]


@pytest.fixture(scope="module", params=["postgres", "clickhouse"])
def stored(request: pytest.FixtureRequest) -> PostgresStorage | ClickhouseStorage:
    """A database into which events have been shipped, some of them twice."""
    server: Postgres | Clickhouse = request.getfixturevalue(request.param)
    url = server.create()
    storage = PostgresStorage(url=url) if request.param == "postgres" else ClickhouseStorage(url=url)
    sink = storage.open()
    sink.write(lines_of(STORED))
    sink.write(lines_of(STORED[:2]))
    sink.close()
    return storage


def told(rows: Iterable[Iterable[Any]]) -> list[list[Any]]:
    return sorted(json.loads(msgspec.json.encode(list(row))) for row in rows)


@pytest.mark.parametrize("wanted", SELECTIONS, ids=str)
def test_a_database_tells_the_same_as_the_journal(
    here: Path, stored: PostgresStorage | ClickhouseStorage, wanted: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stores_room, "_ROWS", 2)
    pytest.importorskip("duckdb")
    columns, selection = {**read_columns("scarf"), **OWN}, Selection(**wanted)
    expected = told(LakeSource(None, journal(lines_of(STORED))).rows(columns, selection))
    assert told(StoreSource(stored).rows(columns, selection)) == expected


def test_the_last_events_of_a_database(here: Path, stored: PostgresStorage | ClickhouseStorage) -> None:
    source: Source = StoreSource(stored)
    newest = sorted((event.id for event in STORED), reverse=True)
    assert [row[0] for row in source.latest({"id": "id"}, Selection(), 3)] == newest[:3]
    assert [row[0] for row in source.latest({"id": "id"}, Selection(), 50, newest[2])] == newest[3:]


def test_without_a_lake_a_database_is_asked(here: Path, stored: PostgresStorage | ClickhouseStorage) -> None:
    kind = "postgres" if isinstance(stored, PostgresStorage) else "clickhouse"
    write(here / "gateway.yaml", f"{CONFIG}sinks: [{{type: {kind}, url: {json.dumps(stored.url)}}}]\n")
    assert event_source(read_config(here / "gateway.yaml", rosters=rosters()), here, lambda _: 0) == StoreSource(stored)
    assert ids(export()) == sorted(event.id for event in STORED)
    assert "parquet needs a lake" in run("export", "-o", "x.parquet").output


@pytest.mark.parametrize("number", [0, 1, 500, 1001])
def test_pieces_are_the_file(number: int) -> None:
    columns, rows = {"a": "id", "b": "package"}, [[str(one), "=x"] for one in range(number)]
    for form, write_all in (("csv", write_csv), ("ndjson", write_ndjson)):
        whole = io.BytesIO()
        write_all(whole, columns, rows)
        assert b"".join(pieces(form, columns, rows)) == whole.getvalue()


def test_segments_that_go_meanwhile_are_passed_over(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = journal(lines_of(make_events(2)))
    (folder / "n-1-0.jsonl").write_bytes(b"")
    with monkeypatch.context() as patched:
        patched.setattr("gatewaycore.exporting.sources.segments", lambda _: [folder / "n-1-7.jsonl", folder / "n-1-1.jsonl"])
        counters = Counters.temporary()
        assert len(list(JournalSource(folder, counters.count).rows({"id": "id"}, Selection()))) == 2
        counters.close()


@pytest.mark.parametrize("is_seen", [False, True], ids=["before it is looked at", "before it is read"])
def test_segments_that_go_while_the_engine_reads_are_passed_over(here: Path, monkeypatch: pytest.MonkeyPatch, is_seen: bool) -> None:
    pytest.importorskip("duckdb")
    folder = journal(lines_of(make_events(2)))
    there = [[folder / "n-1-0.jsonl", folder / "n-1-1.jsonl"], [folder / "n-1-1.jsonl"]]
    monkeypatch.setattr("gatewaycore.exporting.sources.segments", lambda _: there.pop(0))
    if is_seen:
        monkeypatch.setattr("gatewaycore.exporting.sources._holds_something", lambda _: True)
    assert len(list(LakeSource(None, folder).rows({"id": "id"}, Selection()))) == 2


def test_a_segment_that_cannot_be_read_is_no_segment_that_is_gone(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("duckdb")
    folder = journal(lines_of(make_events(2)))
    (folder / "n-1-2.jsonl").mkdir()
    with pytest.raises(GatewayError, match=r"^the events cannot be read or written: IOException"):
        list(LakeSource(None, folder).rows({"id": "id"}, Selection()))


def test_a_lake_that_cannot_be_reached_is_told(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError("somewhere secret")

    monkeypatch.setattr("gatewaycore.exporting.sources.open_lake", fail)
    with pytest.raises(GatewayError, match=r"^the lake cannot be reached: OSError$"):
        list(LakeSource(LakeStorage("lake"), here).rows({"id": "id"}, Selection()))
    assert issubclass(SinkError, GatewayError)


def test_a_lake_that_is_damaged_is_told(here: Path) -> None:
    pytest.importorskip("deltalake")
    log = here / "gatewaycore-data" / "lake" / "_delta_log" / f"{0:020}.json"
    log.parent.mkdir(parents=True)
    log.write_text("{nothing")
    journal(lines_of(make_events(2)))
    result = run("export", "-o", "e.ndjson")
    assert (result.exit_code, result.output) == (2, "the lake cannot be read: DeltaError\n")
    assert not list(here.glob("e.*"))


# --- what it is written as -------------------------------------------------------------------------------------------------


def test_a_cell_is_no_formula(here: Path) -> None:
    agents = ["=1+1", "+1", "-1", "@x", "\tx", "\rx", "'=1", "plain", "'plain", "a=1", 'q"uo,te\nd', "é"]
    journal(lines_of([make_event(user_agent=agent) for agent in agents]))
    export("--columns", "user_agent", "-o", "e.csv")
    with Path("e.csv").open(newline="") as file:
        cells = [row[0] for row in csv.reader(file)]
    guarded = ["'=1+1", "'+1", "'-1", "'@x", "'\tx", "'\rx", "''=1", "plain", "'plain", "a=1", 'q"uo,te\nd', "é"]
    assert sorted(cells) == sorted(["user_agent", *guarded])


def test_values_of_all_sorts_are_cells() -> None:
    out = io.BytesIO()
    assert write_csv(out, {"a": "a", "b": "b", "c": "c"}, [[True, 0.5, None], [False, 7, "x"]]) == 2
    assert out.getvalue() == b"a,b,c\r\ntrue,0.5,\r\nfalse,7,x\r\n"


@pytest.mark.parametrize("name", ["e.csv", "e.csv.gz", "e.ndjson", "e.jsonl.gz", "e.parquet", "e"])
def test_forms_go_by_the_name(here: Path, name: str) -> None:
    pytest.importorskip("duckdb")
    events = make_events(5)
    journal(lines_of(events))
    result = export("-o", name)
    assert (result.stdout, result.stderr) == ("", "5 events exported\n")
    assert [path.name for path in here.iterdir() if path.name.startswith("e")] == [name]
    assert Path(name).stat().st_mode & 0o777 == 0o600
    data = Path(name).read_bytes()
    if name.endswith(".gz"):
        data = gzip.decompress(data)
    if "parquet" in name:
        duckdb = pytest.importorskip("duckdb")
        rows = duckdb.sql(f"SELECT id, variables['version'], epoch_us(time) FROM '{name}' ORDER BY id").fetchall()
        assert rows == [(event.id, event.variables["version"], int(event.time.timestamp() * 1e6)) for event in events]
    elif "csv" in name:
        assert sorted(row["id"] for row in csv.DictReader(io.StringIO(data.decode()))) == [event.id for event in events]
    else:
        assert sorted(json.loads(line)["id"] for line in data.splitlines()) == [event.id for event in events]


def test_parquet_of_a_few_columns(here: Path) -> None:
    duckdb = pytest.importorskip("duckdb")
    journal(lines_of([make_event(), make_event(package_type="pixel", package="px")]))
    export("-o", "e.parquet", "--columns", "scarf", "--country", "DE")
    assert sorted(duckdb.sql("SELECT package, pixel FROM 'e.parquet'").fetchall(), key=str) == [("cli", None), (None, "px")]


@pytest.mark.parametrize("arguments", [("--format", "parquet"), ("--format", "parquet", "-o", "e.parquet.gz")])
def test_parquet_needs_a_file(here: Path, arguments: tuple[str, ...]) -> None:
    refused = run("export", *arguments)
    assert (refused.exit_code, "parquet needs a file" in refused.output) == (2, True)


def test_half_a_file_is_none(here: Path) -> None:
    def fail() -> None:
        with Output(here / "e", io.BytesIO()) as out:
            out.file.write(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert not list(here.glob("e*"))


def test_a_disk_that_fills_at_the_end_leaves_nothing(here: Path) -> None:
    # No file of Python's own, which is closed once more when it goes.
    class Full:
        def close(self) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

    def fail() -> None:
        with Output(here / "e", io.BytesIO()) as out:
            out._stack.enter_context(contextlib.closing(Full()))

    with pytest.raises(OSError, match="No space left"):
        fail()
    assert not list(here.glob("e*"))


@pytest.mark.parametrize("name", ["full.parquet", "full.ndjson", "full.csv"])
def test_a_full_disk_is_told(here: Path, name: str) -> None:
    pytest.importorskip("duckdb")
    journal(lines_of(make_events(5)))
    (here / name).symlink_to("/dev/full")
    result = run("export", "-o", name)
    assert (result.exit_code, "No space left on device" in result.output) == (2, True)


def test_what_is_no_file_is_written_as_it_is(here: Path) -> None:
    journal(lines_of(make_events(2)))
    (here / "real").write_text("before")
    (here / "link").symlink_to("real")
    os.mkfifo(here / "pipe")
    with os.fdopen(os.open(here / "pipe", os.O_RDONLY | os.O_NONBLOCK), "rb") as reader:
        export("-o", "pipe")
        assert reader.read().count(b"\n") == 2
    export("-o", "link")
    assert ((here / "real").read_bytes().count(b"\n"), (here / "link").is_symlink(), (here / "pipe").is_fifo()) == (2, True, True)


# --- and back again --------------------------------------------------------------------------------------------------------


def events_of(data: str) -> Mapping[str, Event]:
    from gatewaycore.recorder import decode
    from gatewaycore.segments import segments

    lines = [line for one in segments(Path(data) / "journal") for line in one.read_bytes().splitlines(keepends=True)]
    assert len(lines) == len({decode(line).id for line in lines})
    return {decode(line).id: decode(line) for line in lines}


@pytest.mark.parametrize("engine", [True, False])
@pytest.mark.parametrize("name", ["e.csv", "e.ndjson.gz"])
def test_what_was_exported_is_imported_as_it_was(here: Path, monkeypatch: pytest.MonkeyPatch, name: str, engine: bool) -> None:
    if engine:
        pytest.importorskip("duckdb")
    else:
        monkeypatch.setattr("gatewaycore.keeping.is_installed", lambda: False)
    full = dict.fromkeys(("page", "user_agent", "company", "city", "version", "arch", "device", "os"), '=text, "with"\n\rall\té')
    variables = {"=a": "'=b", "": "x", "null": "null", 'q"': "\u2028"}
    events = [*various(), make_event(**full, variables=variables, platform_recognised=False, bytes=7, status=0, connection="isp")]
    events.append(make_event(kind="pull", package_type="container"))
    journal(lines_of(events))
    export("-o", name)
    assert run("import", name, "--data-dir", "other").output == f"{len(events)} events imported, 0 failed\n"
    assert events_of("other") == {event.id: event for event in events}
    assert all(encode(event) for event in events)


def test_an_export_for_another_product_comes_back_too(here: Path) -> None:
    events = [make_event(company="Acme", region="BE", city="Berlin", connection="isp", page="https://a.example"), make_event(country=None)]
    journal(lines_of(events))
    export("-o", "e.csv", "--columns", "scarf")
    assert run("import", "e.csv", "--from", "scarf", "--data-dir", "other").output == "2 events imported, 0 failed\n"
    kept = ("time", "package", "kind", "version", "page", "user_agent", "country", "region", "city", "company", "connection", "confidence",
            "origin_id", "endpoint_id", "variables")  # fmt: skip
    told = [[getattr(event, name) for name in kept] for event in events]
    assert sorted(([getattr(event, name) for name in kept] for event in events_of("other").values()), key=str) == sorted(told, key=str)
