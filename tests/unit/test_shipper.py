"""The shipper: every line reaches every sink at least once, and a dead sink delays only itself."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from gatewaycore.errors import SinkError
from gatewaycore.journal import Journal, JournalSettings
from gatewaycore.segments import segments
from gatewaycore.shipper import Shipper, Turn, lanes, retention, shipping
from gatewaycore.sinks import Sink


class Store:
    """A sink that can be told to fail."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.error: Exception | None = None
        self.asked = 0
        self.closed = 0
        self.taken = threading.Event()

    def write(self, lines: Sequence[bytes]) -> None:
        self.asked += 1
        if self.error is not None:
            raise self.error
        self.lines.extend(lines)
        self.taken.set()

    def close(self) -> None:
        self.closed += 1


class Home:
    """A node's folders, and what is in them."""

    def __init__(self, root: Path) -> None:
        self.journal = Journal(root / "journal", "n", JournalSettings(segment_bytes=40))
        self.cursors, self.set_aside = root / "cursors", root / "set-aside"
        self.opened: list[Shipper] = []

    def write(self, *numbers: int) -> list[bytes]:
        lines = [b'{"id":"%010d"}\n' % number for number in numbers]
        for line in lines:
            assert self.journal.append(line)
        return lines

    def shipper(self, settings: JournalSettings | None = None, **sinks: Sink) -> Shipper:
        self.opened.append(Shipper(self.journal.directory, self.cursors, self.set_aside, sinks, (), settings))
        return self.opened[-1]

    def cursor(self, name: str) -> dict[str, int]:
        found: dict[str, int] = json.loads((self.cursors / f"{name}.json").read_text())
        return found


@pytest.fixture
def home(tmp_path: Path) -> Any:
    made = Home(tmp_path)
    yield made
    made.journal.close()
    for shipper in made.opened:
        shipper.close()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def test_every_line_reaches_every_sink_in_order(home: Home) -> None:
    a, b = Store(), Store()
    lines = home.write(*range(5))
    shipper = home.shipper(a=a, b=b)
    assert shipper.acquire()
    assert shipper.ship() == 10
    assert a.lines == b.lines == lines
    assert shipper.ship() == 0
    # Three segments of two lines, the last one still written to.
    assert [offset for _, offset in sorted(home.cursor("a").items())] == [40, 40, 20]


def test_a_live_segment_is_followed_and_a_torn_line_awaited(home: Home) -> None:
    a = Store()
    shipper = home.shipper(a=a)
    assert shipper.acquire()
    seen = []
    for number in range(4):
        seen += home.write(number)
        assert shipper.ship() == 1
        assert a.lines == seen
    torn = home.journal.directory / "m-1-1.jsonl"
    torn.write_bytes(b'{"id":')
    assert shipper.ship() == 0
    torn.write_bytes(b'{"id":"half a line"}\n')
    assert shipper.ship() == 1
    assert a.lines[-1] == b'{"id":"half a line"}\n'


def test_another_run_continues_where_the_last_one_ended(home: Home) -> None:
    first, second = Store(), Store()
    home.write(1, 2, 3)
    shipper = home.shipper(a=first)
    assert shipper.acquire()
    shipper.ship()
    shipper.close()
    assert first.closed == 1
    after = home.write(4)
    shipper = home.shipper(a=second)
    assert shipper.acquire()
    assert shipper.ship() == 1
    assert second.lines == after


@pytest.mark.parametrize("error", [SinkError("no"), OSError(5, "I/O"), FileNotFoundError(2, "gone"), RuntimeError("a bug")])
def test_a_dead_sink_delays_only_itself(home: Home, error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    dead, alive = Store(), Store()
    dead.error = error
    lines = home.write(1, 2, 3)
    shipper = home.shipper(dead=dead, alive=alive)
    assert shipper.acquire()
    assert shipper.ship() == 3
    assert (dead.lines, alive.lines) == ([], lines)
    # Others may quote a line, or the password of a store.
    told = "no" if isinstance(error, SinkError) else type(error).__name__
    assert caplog.messages == [f"sink dead takes nothing now, and is tried again in 1 s: {told}"]
    dead.error = None
    lines += home.write(4)
    assert shipper.ship() == 5
    assert dead.lines == alive.lines == lines


def test_what_a_sink_took_before_it_failed_is_not_sent_again(home: Home) -> None:
    store = Store()
    lines = home.write(1, 2, 3)
    write = store.write
    store.write = lambda lines: write(lines) if not store.lines else fail(SinkError("full"))  # type: ignore[method-assign]
    store.batch_bytes = 40  # type: ignore[attr-defined]
    shipper = home.shipper(a=store)
    assert shipper.acquire()
    assert shipper.ship() == 2
    store.write = write  # type: ignore[method-assign]
    assert shipper.ship() == 1
    assert store.lines == lines


def fail(error: Exception) -> None:
    raise error


def due(shipper: Shipper) -> None:
    """Give those their turn whose turn it is, and wait until they have had it."""
    shipper._ship_due()
    shipper._wait()


@pytest.fixture
def steady(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses that are as long as they are said to be."""
    monkeypatch.setattr("random.uniform", lambda *_: 1.0)


def test_a_dead_sink_is_asked_ever_more_rarely(home: Home, clock: list[float], steady: None) -> None:
    dead, alive = Store(), Store()
    dead.error = SinkError("no")
    shipper = home.shipper(dead=dead, alive=alive)
    home.write(0)
    assert shipper.acquire()
    tried = []
    for second in range(200):
        before = dead.asked
        due(shipper)
        if dead.asked > before:
            tried.append(second)
        home.write(second)
        clock[0] += 1
    # The other one had everything all the time.
    assert len(alive.lines) == 200
    assert tried == [0, 1, 3, 7, 15, 31, 63, 123, 183]
    dead.error = None
    clock[0] += 60
    due(shipper)
    assert len(dead.lines) == 201
    # And what comes next is told without delay.
    home.write(1)
    due(shipper)
    assert len(dead.lines) == 202


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"a": "x"}', '{"a": null}', '{"a": -5}', "\x00", '"x"', '{"a": [1]}'])
def test_a_damaged_cursor_begins_anew(home: Home, text: str, caplog: pytest.LogCaptureFixture) -> None:
    store = Store()
    lines = home.write(1, 2, 3)
    shipper = home.shipper(a=store)
    (home.cursors / "a.json").write_text(text)
    assert shipper.acquire()
    assert shipper.ship() == 3
    assert store.lines == lines
    assert "the cursor of sink a is damaged and begins anew" in caplog.text


def test_segments_that_vanish_are_forgotten(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store()
    home.write(1, 2, 3)
    shipper = home.shipper(a=store)
    assert shipper.acquire()
    shipper.ship()
    oldest = segments(home.journal.directory)[0]
    oldest.unlink()
    home.write(4)
    shipper.ship()
    assert oldest.name not in home.cursor("a")
    # One that vanishes between being found and being read is no failure.
    monkeypatch.setattr(lanes, "segments", lambda _: [oldest, *segments(home.journal.directory)])
    home.write(5)
    assert shipper.ship() == 1
    assert len(store.lines) == 5


def test_a_cursor_that_cannot_be_read_delays_its_sink_alone(home: Home, caplog: pytest.LogCaptureFixture) -> None:
    a, b = Store(), Store()
    first = home.write(1, 2)
    shipper = home.shipper(a=a, b=b)
    assert shipper.acquire()
    assert shipper.ship() == 4
    shipper.close()
    file = home.cursors / "a.json"
    kept = file.read_bytes()
    file.unlink()
    file.mkdir()
    second = home.write(3)
    shipper = home.shipper(a=a, b=b)
    assert shipper.acquire()
    assert shipper.ship() == 1
    # The other one gets what is new, and nothing again.
    assert (a.lines, b.lines) == (first, first + second)
    told = "its cursor, a.json, cannot be read: Is a directory"
    assert caplog.messages[0] == f"sink a takes nothing now, and is tried again in 1 s: {told}"
    assert shipper.failing == {"sink a": told}
    file.rmdir()
    file.write_bytes(kept)
    assert shipper.ship() == 1
    assert (a.lines, shipper.failing) == (first + second, {})


def test_notes_that_cannot_be_read_begin_anew(home: Home) -> None:
    (home.cursors / "read").mkdir(parents=True)
    lines, store = home.write(1), Store()
    shipper = home.shipper(a=store)
    assert shipper.acquire()
    shipper._ship_due()
    shipper._wait()
    assert store.lines == lines


def test_a_cursor_that_cannot_be_kept_delays_its_sink(
    home: Home, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store = Store()
    home.write(1)
    shipper = home.shipper(a=store)
    assert shipper.acquire()
    monkeypatch.setattr(os, "fsync", lambda _: fail(OSError(28, "No space left on device")))
    shipper.ship()
    told = "its cursor, a.json, cannot be saved: No space left on device"
    assert caplog.messages == [f"sink a takes nothing now, and is tried again in 1 s: {told}"]
    assert shipper.failing == {"sink a": told}
    monkeypatch.undo()
    home.write(2)
    shipper.ship()
    assert home.cursor("a")


def test_odd_names_have_cursors_in_the_folder_all_the_same(home: Home) -> None:
    shipper = home.shipper(None, **{"../up/down": Store()})
    home.write(1)
    assert shipper.acquire()
    shipper.ship()
    assert sorted(path.name for path in home.cursors.iterdir()) == [".._up_down.json", "lock"]


# --- a thread for each -----------------------------------------------------------------------------------------------------


class Hanging(Store):
    """A sink that does not answer until it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.begun, self.goes_on = threading.Event(), threading.Event()

    def write(self, lines: Sequence[bytes]) -> None:
        self.begun.set()
        assert self.goes_on.wait(60)
        super().write(lines)


def test_a_sink_that_hangs_delays_only_itself(
    home: Home, clock: list[float], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shipping, "_CLOSE_S", 0.0)
    hanging, alive = Hanging(), Store()
    shipper = home.shipper(hanging=hanging, alive=alive)
    assert shipper.acquire()
    lines: list[bytes] = []
    for number in range(7):
        lines += home.write(number)
        shipper._ship_due()
        assert hanging.begun.wait(30)
        shipper._fed[1].wait()
        assert alive.lines == lines
        clock[0] += 11
    assert shipper.failing == {}
    assert caplog.messages == ["sink hanging has not answered for 60 s; the others go on"]
    # Who wants everything shipped does not wait for ever, either.
    assert shipper.ship(timeout_s=0.0) == 0
    shipper._fed[1].wait()
    shipper.close()
    assert caplog.messages[-1] == "sink hanging hangs, and is left as it is"
    assert (hanging.closed, alive.closed) == (0, 1)
    hanging.goes_on.set()
    shipper._wait()
    # It has ended after the share that it was at.
    assert hanging.lines == lines[:1]
    shipper.close()
    assert hanging.closed == 1


def test_it_is_watched_while_it_ships(home: Home) -> None:
    hanging = Hanging()
    home.write(1)
    shipper = home.shipper(a=hanging)
    assert shipper.acquire()
    unread: list[int] = []

    def watch() -> None:
        unread.append(shipper.unread_bytes())
        hanging.goes_on.set()

    assert shipper.ship(watch=watch) == shipper.shipped == 1
    assert unread[0] == 20
    assert shipper.unread_bytes() == 0


def test_without_a_thread_to_be_had_it_ships_all_the_same(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store()
    lines = home.write(1)
    shipper = home.shipper(a=store)
    assert shipper.acquire()
    monkeypatch.setattr(threading.Thread, "start", lambda _: fail(RuntimeError("can't start new thread")))
    assert shipper.ship() == 1
    assert store.lines == lines
    shipper.close()
    assert store.closed == 1


def test_a_sink_that_cannot_be_closed_is_no_obstacle(home: Home, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    bad, good = Store(), Store()
    monkeypatch.setattr(bad, "close", lambda: fail(OSError(5, "I/O")))
    home.shipper(bad=bad, good=good).close()
    assert caplog.messages == ["sink bad cannot be closed: OSError"]
    assert good.closed == 1
    monkeypatch.undo()


def test_a_sink_that_hangs_in_the_end_is_left_behind(home: Home, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(shipping, "_CLOSE_S", 0.0)
    monkeypatch.setattr(lanes, "_CLOSE_S", 0.0)
    store, goes_on = Store(), threading.Event()
    shipper = home.shipper(a=store)
    with monkeypatch.context() as patch:
        patch.setattr(store, "close", lambda: goes_on.wait(60))
        shipper.close()
        assert caplog.messages == ["sink a hangs, and is left as it is"]
        goes_on.set()
        shipper._wait()


# --- what is removed ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def today(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [time.time()]
    monkeypatch.setattr(time, "time", lambda: now[0])
    return now


def test_what_all_have_read_is_removed(home: Home) -> None:
    a, b = Store(), Store()
    b.error = SinkError("no")
    home.write(1, 2, 3, 4, 5)
    shipper = home.shipper(JournalSettings(keep_s=0), a=a, b=b)
    assert shipper.acquire()
    shipper.ship()
    assert len(segments(home.journal.directory)) == 3
    b.error = None
    shipper.ship()
    # The last is still written to.
    (live,) = segments(home.journal.directory)
    lines = home.write(6)
    shipper.ship()
    assert a.lines[-1:] == lines
    home.journal.close()
    shipper.ship()
    assert segments(home.journal.directory) == []
    # Its cursor goes, too.
    shipper.ship()
    assert home.cursor("a") == home.cursor("b") == {}
    assert len(a.lines) == len(b.lines) == 6
    assert not live.exists()


def test_it_is_still_kept_for_a_while(home: Home, today: list[float]) -> None:
    home.write(1, 2, 3)
    for kept in (0, 299):
        today[0] += kept
        shipper = home.shipper(a=Store())
        assert shipper.acquire()
        shipper.ship()
        shipper.close()
        assert len(segments(home.journal.directory)) == 2
    # Whoever ships next knows since when, unless it cannot be read.
    today[0] += 1
    shipper = home.shipper(a=Store())
    (home.cursors / "read").write_text("{" + (home.cursors / "read").read_text())
    assert shipper.acquire()
    shipper.ship()
    assert len(segments(home.journal.directory)) == 2
    today[0] += 300
    shipper.ship()
    assert len(segments(home.journal.directory)) == 1
    assert json.loads((home.cursors / "read").read_text()) == {}


def test_a_lane_that_has_not_read_it_keeps_it(home: Home) -> None:
    lane = Counter(home, shares=0)
    lane.reads = False
    home.write(1)
    home.journal.close()
    shipper = Shipper(home.journal.directory, home.cursors, home.set_aside, {"a": Store()}, [lane], JournalSettings(keep_s=0))
    assert shipper.acquire()
    shipper.ship()
    assert len(segments(home.journal.directory)) == 1
    lane.reads = True
    shipper.ship()
    assert segments(home.journal.directory) == []
    shipper.close()


def test_half_a_line_keeps_nothing(home: Home) -> None:
    home.write(1)
    home.journal.close()
    with segments(home.journal.directory)[0].open("ab") as file:
        file.write(b'{"id":')
    shipper = home.shipper(JournalSettings(keep_s=0), a=Store())
    assert shipper.acquire()
    assert shipper.ship() == 1
    assert segments(home.journal.directory) == []
    assert shipper.set_aside == 0


@pytest.mark.parametrize(("keep_days", "kept"), [(None, [True, True]), (2, [True, False])])
def test_without_sinks_age_decides(home: Home, today: list[float], keep_days: int | None, kept: list[bool]) -> None:
    lane = Counter(home, shares=0)
    home.write(1)
    home.journal.close()
    shipper = Shipper(home.journal.directory, home.cursors, home.set_aside, {}, [lane], JournalSettings(keep_days=keep_days))
    assert shipper.acquire()
    found = []
    today[0] += 10
    for _ in range(2):
        shipper.ship()
        found.append(bool(segments(home.journal.directory)))
        today[0] += 2 * 86_400
    assert found == kept
    shipper.close()


@pytest.mark.parametrize("keep_days", [None, 1])
def test_notes_of_what_was_lost_go_after_a_month(home: Home, today: list[float], keep_days: int | None) -> None:
    old, new = (home.journal.directory / f"n-{number}-1.lost" for number in (1, 2))
    for note, age in ((old, 30 * 86_400 + 1), (new, 30 * 86_400 - 10)):
        note.write_bytes(b"3\n")
        os.utime(note, (today[0] - age, today[0] - age))
    shipper = Shipper(home.journal.directory, home.cursors, home.set_aside, {}, (), JournalSettings(keep_days=keep_days))
    assert shipper.acquire()
    shipper.ship()
    assert (old.exists(), new.exists()) == (False, True)
    shipper.close()


def test_segments_that_vanish_while_they_are_looked_at(home: Home, monkeypatch: pytest.MonkeyPatch, today: list[float]) -> None:
    gone = home.journal.directory / "n-1-1.jsonl"
    monkeypatch.setattr(retention, "segments", lambda _: [gone])
    for sinks, settings in (({"a": Store()}, JournalSettings(keep_s=0)), ({}, JournalSettings(keep_days=1))):
        shipper = Shipper(home.journal.directory, home.cursors, home.set_aside, sinks, (), settings)
        assert shipper.acquire()
        shipper.ship()
        shipper.close()


# --- other lanes ---------------------------------------------------------------------------------------------------------


class Counter:
    """A lane that appends one line for each share of its work."""

    name = "the counter"

    def __init__(self, home: Home, shares: int) -> None:
        self.shipped = 0
        self.shares = shares
        self.closed = self.begun = 0
        self.reads = True
        self.error: Exception | None = None
        self._home = home

    def begin(self) -> None:
        self.begun += 1

    def ship(self, turn: Turn) -> bool:
        assert turn.segments == segments(self._home.journal.directory)
        assert turn.began_ms <= time.time_ns() // 1_000_000
        if self.shares:
            self.shares -= 1
            self.shipped += 1
            self._home.write(self.shares)
        if self.error is not None:
            raise self.error
        return self.shares > 0

    def has_read(self, segment: Path, size: int) -> bool:
        return self.reads

    def close(self) -> None:
        self.closed += 1


def test_what_a_lane_appends_reaches_the_sinks_in_the_same_turn(home: Home) -> None:
    lane, store = Counter(home, shares=3), Store()
    shipper = Shipper(home.journal.directory, home.cursors, home.set_aside, {"a": store}, [lane])
    assert shipper.acquire()
    # One share at a time, so that the sinks need not wait for the last.
    due(shipper)
    assert (len(store.lines), lane.shares) == (1, 2)
    # What the sinks took is what is counted.
    assert shipper.ship() == len(store.lines) - 1 == 2
    shipper.close()
    assert (lane.begun, lane.closed) == (1, 1)


def test_a_lane_that_fails_delays_only_itself(home: Home, caplog: pytest.LogCaptureFixture, clock: list[float], steady: None) -> None:
    lane, store = Counter(home, shares=0), Store()
    lane.error = RuntimeError("a bug")
    shipper = Shipper(home.journal.directory, home.cursors, home.set_aside, {"a": store}, [lane])
    lines = home.write(1)
    assert shipper.acquire()
    due(shipper)
    assert store.lines == lines
    assert caplog.messages == ["the counter takes nothing now, and is tried again in 1 s: RuntimeError"]
    lane.shares = 5
    due(shipper)
    assert lane.shares == 5
    # It had got something done before it failed: no reason to wait longer than the first time.
    clock[0] += 1
    due(shipper)
    assert lane.shares == 4
    assert caplog.messages[-1] == "the counter takes nothing now, and is tried again in 1 s: RuntimeError"
    shipper.close()


# --- one process at a time -----------------------------------------------------------------------------------------------


TRIES = """
import sys
from pathlib import Path
from gatewaycore.shipper import Shipper
print(Shipper(Path(sys.argv[1]), Path(sys.argv[2]), Path("set-aside"), {}).acquire())
"""


def test_a_second_process_does_not_ship(home: Home) -> None:
    shipper = home.shipper(a=Store())

    def another() -> str:
        arguments = [sys.executable, "-c", TRIES, str(home.journal.directory), str(home.cursors)]
        return subprocess.run(arguments, capture_output=True, text=True, check=True, timeout=60).stdout

    assert another() == "True\n"
    assert shipper.acquire()
    assert shipper.acquire()
    assert another() == "False\n"
    shipper.close()
    assert another() == "True\n"


def test_who_waits_takes_over(home: Home) -> None:
    first, second = Store(), Store()
    one, two = home.shipper(a=first), home.shipper(a=second)
    home.write(1)
    assert one.acquire()
    one.ship()
    two._turn(two.ship)
    assert second.lines == []
    one.close()
    lines = home.write(2)
    two._turn(two.ship)
    # It reads the cursor only now, and so sends nothing twice.
    assert second.lines == lines


# --- running -------------------------------------------------------------------------------------------------------------


def running(shipper: Shipper) -> tuple[threading.Thread, threading.Event]:
    stop = threading.Event()
    thread = threading.Thread(target=shipper.run, args=(stop, 0.001))
    thread.start()
    return thread, stop


def test_it_ships_until_it_is_stopped_and_once_more_then(home: Home) -> None:
    alive, dead = Store(), Store()
    dead.error = SinkError("no")
    thread, stop = running(home.shipper(alive=alive, dead=dead))
    lines = home.write(1)
    assert alive.taken.wait(30)
    lines += home.write(2, 3)
    dead.error = None
    stop.set()
    thread.join(30)
    assert not thread.is_alive()
    assert alive.lines == dead.lines == lines


def test_a_disk_that_fails_is_no_end(home: Home, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    store, failed = Store(), threading.Event()

    def failing(_: Path) -> Any:
        failed.set()
        raise OSError(5, "Input/output error")

    shipper = home.shipper(a=store)
    monkeypatch.setattr(retention, "segments", failing)
    monkeypatch.setattr(shipping, "_SWEEP_S", 0.0)
    with caplog.at_level(logging.ERROR):
        thread, stop = running(shipper)
        assert failed.wait(30)
        monkeypatch.undo()
        home.write(1)
        assert store.taken.wait(30)
        stop.set()
        thread.join(30)
    assert "shipping has failed and is tried again: Input/output error" in caplog.text


def test_closing_without_having_begun(home: Home) -> None:
    store = Store()
    home.shipper(a=store).close()
    assert store.closed == 1
