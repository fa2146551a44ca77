"""What the command line tells of the journal, and of shipping it."""

from __future__ import annotations

import json
import os
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from gatewaycore.cli.journal import _duration as duration_of
from gatewaycore.cli.journal import size as size_of
from gatewaycore.shipper.lanes import Driver
from gatewaycore.state import State
from tests.pulling import START_MS
from tests.unit.test_cli import CONFIG, IMAGES, run, write, write_pulls


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return write(tmp_path / "gateway.yaml", CONFIG)


# --- ship ------------------------------------------------------------------------------------------------------------------


def shipping(tmp_path: Path, lines: bytes, out: Path | None = None) -> tuple[object, ...]:
    """Return the arguments for a gateway with one sink, and these lines in its journal."""
    path = write(tmp_path / "gateway.yaml", CONFIG.replace("sinks: []", f"sinks: [{{type: jsonl, path: {out or tmp_path / 'out.jsonl'}}}]"))
    journal = tmp_path / "data" / "journal"
    journal.mkdir(parents=True)
    (journal / "node-1-1.jsonl").write_bytes(lines)
    return path, "--data-dir", tmp_path / "data"


def test_ship_once_tells_what_was_set_aside(tmp_path: Path) -> None:
    result = run("ship", *shipping(tmp_path, b'{"id":"a"}\nnothing\n'), "--once")
    assert result.exit_code == 0
    assert "1 event shipped, 1 line set aside\n" in result.output


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full, which Linux has")
def test_ship_once_ends_badly_when_a_sink_takes_nothing(tmp_path: Path) -> None:
    result = run("ship", *shipping(tmp_path, b'{"id":"a"}\n', Path("/dev/full")), "--once")
    assert result.exit_code == 2
    told = "sink jsonl takes nothing now (jsonl: [Errno 28] No space left on device): what is left is shipped by the next run"
    assert f"0 events shipped\n{told}" in result.output


def test_ship_once_shows_how_far_it_is_on_a_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = StringIO()
    monkeypatch.setattr("gatewaycore.cli.ship.console", lambda **_: Console(file=shown, force_terminal=True, width=80))
    monkeypatch.setattr("gatewaycore.shipper.shipping._WATCH_S", 0.0)
    wait = Driver.wait
    waits: list[float | None] = []

    def late(driver: Driver, until: float | None = None) -> bool:
        if driver._thread is None:
            return True
        # It is looked at a few times more after it has shipped everything.
        waits.append(until)
        return wait(driver) and len(waits) > 9

    monkeypatch.setattr(Driver, "wait", late)
    result = run("ship", *shipping(tmp_path, b'{"id":"a"}\n'), "--once")
    assert (result.exit_code, result.output) == (0, "1 event shipped\n")
    assert "shipping" in shown.getvalue()
    assert "11/11 bytes" in shown.getvalue()


# --- journal ---------------------------------------------------------------------------------------------------------------


def test_journal_stat_of_nothing(config: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    result = run("journal", "stat", config, "--data-dir", data)
    assert (result.exit_code, result.output) == (0, f"Journal  {data}/journal\n  empty\nReaders\n  none\n")
    assert not data.exists()
    told = json.loads(run("journal", "stat", config, "--data-dir", data, "--json").output)
    assert told == {
        "segments": 0,
        "open-segments": 0,
        "bytes": 0,
        "events": 0,
        "exact": False,
        "oldest": None,
        "newest": None,
        "torn": 0,
        "lost": 0,
        "readers": [],
    }


def test_journal_stat_takes_any_line(tmp_path: Path) -> None:
    """Somebody else may have put one there, with an id that tells no time."""
    lines = b'{"id":"ffffffff-ffff-4fff-8fff-ffffffffffff"}\n' + b'{"id":"ffffffff-ffff-7fff-8fff-ffffffffffff"}\n'
    result = run("journal", "stat", *shipping(tmp_path, lines))
    assert result.exit_code == 0
    assert "recorded" not in result.output


def test_journal_stat_says_of_what_the_counter_passes_over_that_it_is_read(tmp_path: Path) -> None:
    path, data = write(tmp_path / "gateway.yaml", IMAGES), tmp_path / "data"
    (data / "journal").mkdir(parents=True)
    (data / "journal" / "n-1-1.import.jsonl").write_bytes(b'{"id":"x"}\n')
    told = json.loads(run("journal", "stat", path, "--data-dir", data, "--json").output)
    assert [(one["name"], one["bytes-behind"]) for one in told["readers"]] == [("counter of pulls", 0)]


def test_journal_stat_tells_who_is_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sinks = "sinks:\n  - {type: jsonl, path: out.jsonl}\n  - {type: jsonl, path: more.jsonl}\n"
    path = write(tmp_path / "gateway.yaml", IMAGES.replace("sinks: []\n", sinks))
    data = tmp_path / "data"
    monkeypatch.chdir(tmp_path)
    write_pulls(data)
    run("ship", path, "--once", "--data-dir", data)
    # It has read the pulls that it has appended, too.
    assert "  counter of pulls  up to date\n" in run("journal", "stat", path, "--data-dir", data).output
    (segment,) = (one for one in (data / "journal").glob("*.jsonl") if one.name.startswith("n-1-"))
    size = segment.stat().st_size
    with segment.open("ab") as file:
        file.write(b'{"id":"torn')
    (data / "journal" / "n-1-1.lost").write_bytes(b"2\n")
    # One that was never begun, and one that cannot be read.
    (data / "cursors" / "jsonl-2.json").write_text("{")
    (data / "set-aside").mkdir()
    (data / "set-aside" / "jsonl-2.jsonl").write_bytes(b"{}\n")
    monkeypatch.setattr("time.time", lambda: (START_MS + 7_200_000) / 1000)
    shown = run("journal", "stat", path, "--data-dir", data).output.splitlines()
    assert shown[0] == f"Journal  {data}/journal"
    assert shown[1] == "  segments  2, 0 of them open"
    assert shown[3:6] == ["  events    about 12", "  recorded  " + shown[4][12:], "  torn      1 line"]
    assert shown[4].startswith("  recorded  2023-11-14 22:13:")
    assert shown[6:9] == ["  lost      2 events", "Readers", "  counter of pulls  up to date"]
    assert shown[9] == "  sink jsonl        up to date"
    assert shown[10].startswith("  sink jsonl-2      2 segments, ")
    assert shown[10].endswith(", 2.0 h behind  1 line set aside")
    told = json.loads(run("journal", "stat", path, "--data-dir", data, "--json", "--exact").output)
    assert (told["events"], told["exact"], told["torn"], told["lost"]) == (12, True, 1, 2)
    assert [one["name"] for one in told["readers"]] == ["counter of pulls", "sink jsonl", "sink jsonl-2"]
    assert told["readers"][1] == {"name": "sink jsonl", "segments-behind": 0, "bytes-behind": 0, "seconds-behind": 0, "set-aside": 0}
    assert told["readers"][2]["bytes-behind"] == told["bytes"] - 11
    assert told["oldest"].startswith("2023-11-14T22:13:")
    segment.write_bytes(b"no event\n")
    (data / "cursors" / "jsonl.json").unlink()
    told = json.loads(run("journal", "stat", path, "--data-dir", data, "--json").output)
    assert size > 9
    assert told["readers"][1]["segments-behind"] == 2
    for other in (data / "journal").glob("*.jsonl"):
        other.write_bytes(b"no event\n")
    told = json.loads(run("journal", "stat", path, "--data-dir", data, "--json").output)
    assert told["readers"][1]["seconds-behind"] is None
    assert told["newest"] is None
    assert ", 18 bytes behind" in run("journal", "stat", path, "--data-dir", data).output


def test_what_the_counter_of_another_version_has_read_is_not_known(tmp_path: Path) -> None:
    path = write(tmp_path / "gateway.yaml", IMAGES)
    state = State(tmp_path / "state.sqlite3")
    state.save("pulls", b"\xff", [])
    state.close()
    write_pulls(tmp_path)
    (reader,) = json.loads(run("journal", "stat", path, "--data-dir", tmp_path, "--json").output)["readers"]
    assert reader["segments-behind"] == 1


@pytest.mark.parametrize(
    ("number", "shown"),
    [(0, "0 bytes"), (1, "1 byte"), (1023, "1,023 bytes"), (1024, "1.0 KiB"), (5 * 1024**2, "5.0 MiB"), (3 * 1024**5, "3,072.0 TiB")],
)
def test_sizes(number: int, shown: str) -> None:
    assert size_of(number) == shown


@pytest.mark.parametrize(("seconds", "shown"), [(0, "0 s"), (59.4, "59 s"), (90, "1.5 min"), (7200, "2.0 h"), (129_600, "1.5 d")])
def test_durations(seconds: float, shown: str) -> None:
    assert duration_of(seconds) == shown
