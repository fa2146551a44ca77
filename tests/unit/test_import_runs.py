"""Imports as their users run them: into a journal and out of it, interrupted, repeated, and out of room."""

from __future__ import annotations

import errno
import gzip
import json
import os
import signal
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from rich.console import Console

from gatewaycore.counting import PullCounter
from gatewaycore.errors import GatewayError
from gatewaycore.event import Event
from gatewaycore.importing import Ledger
from gatewaycore.importing.running import Run
from gatewaycore.importing.segment import ImportSegments
from gatewaycore.journal import JournalSettings
from gatewaycore.recorder import decode
from gatewaycore.segments import is_imported, segments
from gatewaycore.shipper import Turn
from gatewaycore.sinks.lake import open_lake
from gatewaycore.state import State
from gatewaycore.survey import survey
from tests.pulling import Clock
from tests.unit.test_cli import run, write

CONFIG = """\
packages:
  - {name: usage, type: event, domain: in.acme.example, incoming-path: "/v1/{event}"}
  - {name: docs, type: pixel, domain: px.acme.example}
  - {name: acme/rocket, type: container, domain: docker.acme.example, backend: ghcr.io/acme/rocket}
"""
ADDRESS = "203.0.113.77"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "gateway.yaml", CONFIG + "sinks: []\n")
    return tmp_path


@pytest.fixture
def lake(here: Path) -> Path:
    pytest.importorskip("duckdb")
    write(here / "gateway.yaml", CONFIG)
    return here / "gatewaycore-data" / "lake"


def line(number: int, **more: Any) -> str:
    time = (datetime(2024, 5, 6, tzinfo=UTC) + timedelta(seconds=number)).isoformat()
    return json.dumps({"$time": time, "$remote_address": ADDRESS, "$user_agent": f"curl/8 ({ADDRESS})", "n": number, **more})


def put(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n")
    return path


def kept(data: Path | None = None) -> list[Event]:
    folder = (data or Path("gatewaycore-data")) / "journal"
    return [decode(one) for segment in segments(folder) for one in segment.read_bytes().splitlines(keepends=True)]


def imports(*arguments: object) -> Result:
    return run("import", *arguments, "--package", "usage")


def listed() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(run("imports", "--json").output)["imports"]
    return found


# --- what becomes of a file ------------------------------------------------------------------------------------------------


def test_a_file_of_events(here: Path) -> None:
    result = imports(put(here / "e.ndjson", *map(line, range(3))))
    assert (result.exit_code, result.output) == (0, "3 events imported, 0 failed\n")
    assert [event.variables["n"] for event in kept()] == ["0", "1", "2"]
    # What was counted on the way is there no more.
    with closing(sqlite3.connect("gatewaycore-data/imports.sqlite3")) as connection:
        assert connection.execute("SELECT count(*) FROM seen").fetchone() == (0,)
    assert all(is_imported(segment) and segment.stat().st_mode & 0o777 == 0o600 for segment in segments(Path("gatewaycore-data/journal")))
    (one,) = listed()
    assert (one["name"], one["status"], one["total"], one["imported"], one["failed"]) == ("e.ndjson", "done", 3, 3, 0)
    assert (one["first"], one["last"]) == ("2024-05-06T00:00:00+00:00", "2024-05-06T00:00:02+00:00")
    assert run("imports").output.startswith(f"{one['id']}  done  3 events  0 failed  ")


def test_no_address_is_written_anywhere(here: Path) -> None:
    lines = [line(0), line(1, **{"$unique_id": ADDRESS}), line(2, **{"$tim": ADDRESS}), '{"ip": "203.0.113.77"', f'{{"{ADDRESS}": 1}}']
    file = put(here / "e.ndjson", *lines)
    for arguments in ((), ("--dry-run",), ("--restart",), ("--json", "--restart")):
        result = imports(file, *arguments)
        assert result.exit_code == 1
        assert ADDRESS not in result.output
    assert ADDRESS not in run("imports", "--json").output
    packed = bytes(map(int, ADDRESS.split(".")))
    for path in Path("gatewaycore-data").rglob("*"):
        if path.is_file() and path.suffix != ".salt":
            data = path.read_bytes()
            assert ADDRESS.encode() not in data
            assert packed not in data


def test_what_is_wrong_is_told_with_its_line(here: Path) -> None:
    bad = ["nope", '{"$time": 1}', '{"n": 1}', '{"$time": "2024-05-06", "$tim": 2}'] + ["nope"] * 200
    result = imports(put(here / "e.ndjson", line(0), *bad, line(1)))
    assert result.exit_code == 1
    told = result.output.splitlines()
    assert told[0] == "2 events imported, 204 failed"
    assert told[1:5] == [
        "  line 2: not JSON at character 1: Expecting value",
        "  line 3: $time lies before 1990",
        "  line 4: $time is missing",
        "  line 5: $tim is reserved, and none that is known",
    ]
    assert told[-1] == "  and 194 more: gatewaycore imports --json has more of them"
    (one,) = listed()
    assert len(one["errors"]) == 100
    assert one["errors"][0] == {"line": 2, "reason": "not JSON at character 1: Expecting value"}


def test_a_dry_run_keeps_nothing(here: Path) -> None:
    file = put(here / "e.ndjson", *map(line, range(5)), '{"$time": "2024-05-06", "$headers": {"DNT": 1}}')
    result = imports(file, "--dry-run")
    assert result.exit_code == 0
    assert result.output.endswith("5 events would be imported, 1 left out: opted out, 0 failed\n")
    assert result.output.count('"domain": "in.acme.example"') == 3
    assert sorted(path.name for path in here.iterdir()) == ["e.ndjson", "gateway.yaml"]
    told = json.loads(imports(file, "--dry-run", "--json").output)
    assert (told["imported"], told["left-out"], told["dry-run"], len(told["events"])) == (5, {"opted-out": 1}, True, 3)
    assert imports(put(here / "b.ndjson", *["{"] * 20), "--dry-run").output.endswith("  and 10 more\n")


def test_the_last_line_with_a_unique_id_is_the_event(here: Path) -> None:
    lines = [
        line(0, **{"$unique_id": "a", "v": 1}),
        line(1, **{"$unique_id": "b"}),
        line(0, **{"$unique_id": "a", "v": 2}),
        line(0, **{"$unique_id": "a", "$package": "docs"}),
        line(3, **{"$unique_id": "c", "$tim": 1}),
        "nope",
        line(4),
    ]
    result = imports(put(here / "e.ndjson", *lines))
    assert result.output.startswith("4 events imported, 1 left out: a later line has the same $unique_id, 2 failed\n")
    assert [event.variables.get("v") for event in kept()] == [None, "2", None, None]
    # In a table, too; and one that merely could have had some.
    rows = ["id,at,v", "a,2024-05-06,1", ",2024-05-06,2", "a,2024-05-06,3"]
    result = imports(put(here / "e.csv", *rows), "--map", "id=$unique_id", "--map", "at=$time", "--json")
    assert json.loads(result.output)["left-out"] == {"replaced": 1}
    rows = ["id,at,v", ",2024-05-06,2"]
    assert imports(put(here / "f.csv", *rows), "--map", "id=$unique_id", "--map", "at=$time").exit_code == 0


def test_tables_of_other_products(here: Path) -> None:
    text = 'Clicked At;Short Link;IP;Country\n2024-05-06 10:00:00;https://s.example/a;203.0.113.77;DE\n2024-05-06 10:00:01;"a;b";;\n'
    file = here / "clicks.csv"
    file.write_bytes(gzip.compress(text.encode()))
    result = imports(file, "--map", "Clicked At=$time")
    assert (result.exit_code, result.output) == (
        2,
        "clicks.csv: its header cannot be used: a field that is called an address: map it to $remote_address, or to nothing\n",
    )
    result = imports(file, "--map", "IP=$remote_address")
    assert (
        result.output
        == "clicks.csv: no column is $time: write --map 'COLUMN=$time' for one of 'Clicked At', 'Short Link', 'IP', 'Country'\n"
    )
    given = ["--map", "Clicked At=$time", "--map", "IP=$remote_address", "--map", "Country=$country", "--map", "Short Link=link"]
    assert imports(file, *given).output == "2 events imported, 0 failed\n"
    first, second = kept()
    assert (first.country, first.variables, first.endpoint_id is None) == ("DE", {"link": "https://s.example/a"}, False)
    assert (second.country, second.variables) == (None, {"link": "a;b"})


def test_an_export_of_another_product(here: Path) -> None:
    header = "id,type,package,pixel,version,time,referer,user_agent,variables,origin_id,country,city,state,connection_type,company"
    rows = [
        'one,download,usage,,1.2,2024-05-06T01:02:03Z,,curl/8,"{""a"":{""b"":1}}",' + "a" * 32 + ",DE,Berlin,BE,business,Acme",
        "two,view,,docs,,2024-05-06T01:02:03Z,https://a.example/,,,,,,,,",
    ]
    result = run("import", put(here / "export.csv", header, *rows), "--from", "scarf")
    assert result.output == "2 events imported, 0 failed\n"
    first, second = kept()
    assert (first.version, first.variables, first.origin_id, first.company) == ("1.2", {"a.b": "1"}, "a" * 32, "Acme")
    assert (first.region, first.connection, first.city, first.client) == ("BE", "business", "Berlin", "curl")
    assert (second.package, second.kind, second.page) == ("docs", "view", "https://a.example/")


def test_what_cannot_be_used_at_all(here: Path) -> None:
    file = put(here / "e.ndjson", line(0))
    for arguments, what in [
        ((here / "nothing", "--package", "usage"), "nothing: No such file or directory"),
        ((file, "--package", "nothing"), "--package: error: 'nothing': there is no such package"),
        ((file, "--map", "x"), "--map: error: 'x' is no pair"),
        ((file, "--encoding", "utf-16"), "--encoding: error: 'utf-16' cannot be read"),
        ((file, "--delimiter", ";;"), "--delimiter is one character"),
        ((file, "--config", "nothing.yaml"), "nothing.yaml"),
        ((put(here / "array.json", "[{}]"),), "jq -c"),
        ((file, "--format", "csv", "--package", "usage"), "no column is $time"),
    ]:
        result = run("import", *arguments)
        assert result.exit_code == 2
        assert what in result.output
    assert not Path("gatewaycore-data/journal").exists()


def test_a_table_by_its_delimiter(here: Path) -> None:
    result = imports(put(here / "e.csv", "$time,a:b", "2024-05-06,x:y"), "--delimiter", ":")
    assert result.exit_code == 2
    assert imports(here / "e.csv").output == "1 event imported, 0 failed\n"
    assert imports(put(here / "e.txt", "$time:a", "2024-05-06:x"), "--delimiter", ":", "--encoding", "UTF-8").exit_code == 0
    assert imports(put(here / "u.ndjson", '{"$time": "2024-05-06"}'), "--encoding", "latin-1").exit_code == 0


def test_through_a_pipe(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def piped(*lines: str) -> Result:
        reading, writing = os.pipe()
        with os.fdopen(writing, "w") as file:
            file.write("\n".join(lines))
        with os.fdopen(reading) as file:
            # What a test runner puts in its place has no descriptor.
            monkeypatch.setattr("gatewaycore.importing.reading.stdin_descriptor", file.fileno)
            return imports("-")

    lines = [line(0, **{"$unique_id": "a"}), line(1, **{"$unique_id": "a"}), line(2), line(2)]
    assert piped(*lines).output == "4 events imported, 0 failed\n"
    assert piped(*lines).output == "4 events imported, 0 failed\n"
    ids = [event.id for event in kept()]
    assert ids[:4] == ids[4:]
    assert len(set(ids)) == 4
    assert [one["name"] for one in listed()] == ["-", "-"]
    assert sys.stdin is not None


# --- again, and on -----------------------------------------------------------------------------------------------------------


def test_what_is_done_is_not_done_again_unless_asked(here: Path) -> None:
    file = put(here / "e.ndjson", *map(line, range(3)), "nope")
    assert imports(file).exit_code == 1
    again = imports(file)
    assert again.exit_code == 1
    assert again.output.startswith("e.ndjson was imported ")
    assert len(kept()) == 3
    assert imports(file, "--restart").output.startswith("3 events imported, 1 failed\n")
    ids = [event.id for event in kept()]
    assert ids[:3] == ids[3:]
    # With another package they are other events.
    run("import", file, "--package", "docs")
    assert len({event.id for event in kept()}) == 6


def stop_after(monkeypatch: pytest.MonkeyPatch, blocks: int, how: Callable[[], None]) -> None:
    """Do something behind so many blocks of ten lines."""
    monkeypatch.setattr("gatewaycore.importing.running._BLOCK_RECORDS", 10)
    plain = Run._blocks

    def counted(self: Run, *arguments: Any) -> Iterator[list[bytes]]:
        for number, block in enumerate(plain(self, *arguments)):
            yield block
            if number == blocks:
                how()

    monkeypatch.setattr(Run, "_blocks", counted)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_import_that_is_interrupted_goes_on_where_it_was(
    here: Path, monkeypatch: pytest.MonkeyPatch, packed: bool, number: signal.Signals
) -> None:
    # Lines that keep the same, on both sides of where it is interrupted.
    file = put(here / "e.ndjson", *(line(n % 7, m=n % 3) for n in range(100)), "nope")
    if packed:
        file.write_bytes(gzip.compress(file.read_bytes()))
    with monkeypatch.context() as patched:
        stop_after(patched, 3, lambda: os.kill(os.getpid(), number))
        stopped = imports(file)
    assert stopped.exit_code == 130
    assert stopped.output == "50 events imported, 0 failed\naborted: the next run goes on here\n"
    assert len(kept()) == 50
    (one,) = listed()
    assert (one["status"], one["total"]) == ("aborted", 50)
    assert imports(file).output.startswith("100 events imported, 1 failed\n  line 101: ")
    assert len(kept()) == 100
    whole = {event.id for event in kept()}
    assert len(whole) == 100
    assert imports(file, "--restart").exit_code == 1
    assert {event.id for event in kept()} == whole
    assert [one["status"] for one in listed()] == ["done", "done"]


def test_an_import_goes_on_in_a_table(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [f'2024-05-06,"{n % 4}\n,"' for n in range(60)]
    file = put(here / "e.csv", "$time,n", *rows)
    with monkeypatch.context() as patched:
        stop_after(patched, 2, lambda: os.kill(os.getpid(), signal.SIGINT))
        assert imports(file).exit_code == 130
    assert imports(file).output == "60 events imported, 0 failed\n"
    assert len({event.id for event in kept()}) == len(kept()) == 60


def test_an_import_that_is_begun_anew_forgets_where_it_was(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = put(here / "e.ndjson", *(line(0) for _ in range(60)))
    with monkeypatch.context() as patched:
        stop_after(patched, 2, lambda: os.kill(os.getpid(), signal.SIGINT))
        assert imports(file).exit_code == 130
    assert imports(file, "--restart").output == "60 events imported, 0 failed\n"
    assert len({event.id for event in kept()}) == 60


def test_an_import_is_aborted_from_elsewhere(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def ask() -> None:
        (one,) = listed()
        assert one["status"] == "running"
        assert run("imports", "--abort", one["id"]).output == f"{one['id']} ends within a second or so\n"
        busy = imports(put(here / "other.ndjson", line(0)))
        assert (busy.exit_code, busy.output) == (2, "another import is at it: they run one after another\n")

    monkeypatch.setattr("gatewaycore.importing.running._SAVE_S", 0.0)
    with monkeypatch.context() as patched:
        stop_after(patched, 2, ask)
        file = put(here / "e.ndjson", *map(line, range(100)))
        assert imports(file).exit_code == 130
    assert imports(file).output == "100 events imported, 0 failed\n"
    assert len(kept()) == 100
    missing = run("imports", "--abort", listed()[0]["id"])
    assert (missing.exit_code, missing.output) == (2, f"no import {listed()[0]['id']} is running\n")


def test_a_second_signal_ends_it_at_once(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def twice() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patched:
        stop_after(patched, 2, twice)
        file = put(here / "e.ndjson", *map(line, range(100)))
        assert imports(file).exit_code == 130
    assert [one["status"] for one in listed()] == ["aborted"]
    assert imports(file).exit_code == 0
    assert len({event.id for event in kept()}) == 100


def test_a_dry_run_is_interrupted(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stop_after(monkeypatch, 2, lambda: os.kill(os.getpid(), signal.SIGINT))
    result = imports(put(here / "e.ndjson", *map(line, range(100))), "--dry-run")
    assert (result.exit_code, result.output.splitlines()[-1]) == (130, "aborted")


def test_no_imports(here: Path) -> None:
    assert run("imports").output == "none\n"
    Path("gatewaycore-data").mkdir()
    Path("gatewaycore-data/imports.sqlite3").write_text("nothing that it should be" * 100)
    broken = run("imports")
    assert (broken.exit_code, "cannot be read" in broken.output) == (2, True)
    result = imports(put(here / "e.ndjson", line(0)))
    assert (result.exit_code, "cannot be used" in result.output) == (2, True)


def test_a_ledger_that_cannot_be_written_loses_nothing(here: Path) -> None:
    ledger = Ledger(here)
    assert ledger.acquire()
    one = ledger.begin("f", "e", "id")
    counters = ledger.counters(one)
    counters.count(b"x" * 16)
    counters._held.clear()
    with pytest.raises(KeyError):
        ledger.save(one, counters)
    ledger.restart(one)
    assert [found.id for found in ledger.imports()] == ["id"]
    ledger.close()
    ledger.close()


# --- how far it is ---------------------------------------------------------------------------------------------------------


def test_a_bar_on_a_terminal_and_lines_elsewhere(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = put(here / "e.ndjson", *map(line, range(2000)))
    monkeypatch.setattr("gatewaycore.cli.import_._TELL_S", 0.0)
    assert "1,000 events so far, " in imports(file).output
    shown = StringIO()
    terminal = Console(file=shown, force_terminal=True, width=100)
    plain = Console(file=StringIO())
    monkeypatch.setattr("gatewaycore.cli.import_.console", lambda *, stderr=False: terminal if stderr else plain)
    assert imports(file, "--restart").exit_code == 0
    assert "importing" in shown.getvalue()
    assert "events" in shown.getvalue()


# --- the journal, the sinks, the pulls -------------------------------------------------------------------------------------


def test_the_lake_has_each_event_once(here: Path, lake: Path) -> None:
    file = put(here / "e.ndjson", *(line(n % 10) for n in range(30)))
    for _ in range(2):
        assert imports(file, "--restart").exit_code == 0
        assert run("ship", "gateway.yaml", "--once").exit_code == 0
    with open_lake(str(lake)) as connection:
        assert connection.sql("SELECT count(*), count(DISTINCT id) FROM events").fetchall() == [(30, 30)]


def test_whoever_keeps_events_for_so_many_days_is_named(here: Path, lake: Path) -> None:
    write(here / "gateway.yaml", CONFIG + f"sinks: [{{type: lake, path: {lake}, retention-days: 30}}]\n")
    assert (
        "sink lake deletes what is older than 30 days, and the earliest event is of 2024-05-06\n"
        in imports(put(here / "e.ndjson", line(0))).output
    )


def test_pulls_are_not_derived_from_what_was_imported(here: Path) -> None:
    clock = Clock()
    clock.ask("T", "D:T")
    events = [
        json.dumps({**json.loads(one), "time": "2024-05-06T00:00:00Z", "origin_id": "a" * 32, "endpoint_id": "b" * 32})
        for one in map(_line_of, clock.events)
    ]
    assert run("import", put(here / "own.ndjson", *events)).output == f"{len(events)} events imported, 0 failed\n"
    folder = Path("gatewaycore-data/journal")
    counter = PullCounter(lambda _: pytest.fail("a pull was derived"), State(here / "state.sqlite3"))
    counter.begin()
    found = segments(folder)
    assert counter.ship(Turn(2_000_000_000_000, found)) is False
    assert all(counter.has_read(segment, segment.stat().st_size) for segment in found)
    # Nor does the journal look two years old.
    seen = survey(folder, {"sink x": {}})
    assert seen.oldest_ms is not None
    assert seen.oldest_ms > 1_750_000_000_000
    assert seen.readers[0].since_ms == seen.oldest_ms


def _line_of(event: Event) -> bytes:
    from gatewaycore.recorder import encode

    return encode(event)


def test_an_import_leaves_room_for_what_happens_meanwhile(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gatewaycore.importing.session._WAIT_S", 0.0)
    monkeypatch.setattr("gatewaycore.importing.session._NOBODY_S", 0.1)
    monkeypatch.setattr("gatewaycore.importing.running._BLOCK_RECORDS", 10)
    file = put(here / "e.ndjson", *map(line, range(200)))
    small = "gateway: {journal: {max-bytes: 40000}}\n"
    write(here / "gateway.yaml", small + CONFIG + "sinks: []\n")
    full = imports(file)
    assert full.exit_code == 2
    assert "the journal has the 20,000 bytes that an import may fill" in full.output
    assert "there are no sinks that take them away: raise max-bytes" in full.output
    assert 0 < sum(segment.stat().st_size for segment in segments(Path("gatewaycore-data/journal"))) <= 20_000
    (one,) = listed()
    assert one["status"] == "aborted"
    write(here / "gateway.yaml", small + CONFIG + "sinks: [{type: jsonl, path: out.jsonl}]\n")
    assert "and nobody ships them: start the server or gatewaycore ship" in imports(file).output
    write(here / "gateway.yaml", CONFIG + "sinks: []\n")
    assert imports(file).output == "200 events imported, 0 failed\n"
    assert len({event.id for event in kept()}) == 200


def test_an_import_waits_for_who_ships(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sink = "gateway: {journal: {max-bytes: 40000, keep-s: 0}}\n" + CONFIG + "sinks: [{type: jsonl, path: out.jsonl}]\n"
    write(here / "gateway.yaml", sink)
    monkeypatch.setattr("gatewaycore.importing.running._BLOCK_RECORDS", 10)
    # Where it would wait, somebody ships.
    monkeypatch.setattr("gatewaycore.importing.session._WAIT_S", 0.0)
    monkeypatch.setattr("gatewaycore.importing.session.time.sleep", lambda _: run("ship", "gateway.yaml", "--once"))
    file = put(here / "e.ndjson", *map(line, range(200)))
    assert imports(file).output.endswith("200 events imported, 0 failed\n")
    run("ship", "gateway.yaml", "--once")
    assert len({json.loads(one)["id"] for one in Path("out.jsonl").read_bytes().splitlines()}) == 200


def test_an_import_that_waits_can_be_stopped(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(here / "gateway.yaml", "gateway: {journal: {max-bytes: 40000}}\n" + CONFIG + "sinks: [{type: jsonl, path: out.jsonl}]\n")
    monkeypatch.setattr("gatewaycore.importing.running._BLOCK_RECORDS", 10)
    monkeypatch.setattr("gatewaycore.importing.session.time.sleep", lambda _: os.kill(os.getpid(), signal.SIGTERM))
    file = put(here / "e.ndjson", *map(line, range(200)))
    assert "aborted while waiting for room in the journal" in imports(file).output
    assert listed()[0]["status"] == "aborted"


def test_a_full_disk_ends_an_import_and_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    segments_ = ImportSegments(tmp_path, "node", JournalSettings(segment_bytes=100), lambda _: None)
    segments_.sync()
    segments_.write(b"x" * 60 + b"\n")
    written = os.write
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", lambda fd, data: written(fd, data[:7]))
        with pytest.raises(GatewayError, match="No space left on device"):
            segments_.write(b"y" * 60 + b"\n")
    segments_.write(b"z" * 60 + b"\n")
    segments_.write(b"a" * 60 + b"\n")
    segments_.sync()
    segments_.close()
    segments_.close()
    assert [one.read_bytes()[:1] + one.read_bytes()[-2:] for one in segments(tmp_path)] == [b"xz\n", b"aa\n"]


def test_a_disk_that_fails_when_it_is_to_be_safe_ends_an_import(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    file = put(here / "e.ndjson", *map(line, range(20)))
    with monkeypatch.context() as patched:
        patched.setattr(os, "fdatasync", fail)
        result = imports(file)
    assert (result.exit_code, "the journal takes nothing now (Input/output error)" in result.output) == (2, True)
    assert listed()[0]["status"] == "aborted"
    # The same ids again, for whoever had read what was written.
    assert "20 events imported" in imports(file).output
    assert len({event.id for event in kept()}) == 20
