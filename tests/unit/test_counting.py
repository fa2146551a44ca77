"""Counting: pulls are found in the journal of all of a node's processes, appended to it, and never counted twice or forgotten."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import pytest

from gatewaycore import counting as room
from gatewaycore.counting import LATENESS_MS, PullCounter, saved_offsets
from gatewaycore.event import Event
from gatewaycore.journal import Journal, JournalSettings
from gatewaycore.pulls import QUIET_MS, derive
from gatewaycore.recorder import decode, encode
from gatewaycore.segments import read_block, read_lines, segments, started_ms
from gatewaycore.shipper import Shipper, Turn
from gatewaycore.state import State
from tests.pulling import START_MS, Clock, steps


class Node:
    """A node's journal as several processes wrote it, and what counts in it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.journal = Journal(root / "journal", "n", JournalSettings())
        self.clock = Clock()
        self.state = State(root / "state.sqlite3")
        self.counter = self.start()

    def start(self) -> PullCounter:
        """Start another process, which knows what is on disk."""
        self.state.close()
        self.state = State(self.root / "state.sqlite3")
        self.counter = PullCounter(self.journal.append, self.state)
        return self.counter

    def write(self, events: Sequence[Event], process: int = 1, begun: int = 0) -> None:
        """Append to a segment that `process` began so many milliseconds after the start."""
        with self.segment(process, begun).open("ab") as file:
            file.write(b"".join(map(encode, events)))

    def segment(self, process: int, begun: int = 0) -> Path:
        return self.journal.directory / f"n-{process}-{(START_MS + begun) * 1_000_000}.jsonl"

    def turn(self, at: int) -> bool:
        return self.counter.ship(Turn(START_MS + at, segments(self.journal.directory)))

    @property
    def pulls(self) -> list[Event]:
        """The pulls in the journal."""
        lines = [line for segment in segments(self.journal.directory) for line in read_lines(segment)[0] if b'"pull"' in line]
        return [decode(line) for line in lines]

    def close(self) -> None:
        self.counter.close()
        self.journal.close()


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    made = Node(tmp_path)
    yield made
    made.close()


def test_a_pull_is_an_event_like_any_other(node: Node) -> None:
    node.write(node.clock.ask(*steps("dockerd", "T")).events)
    quiet = node.clock.now - 20 + QUIET_MS
    node.turn(quiet + LATENESS_MS - 1)
    assert node.pulls == []
    node.turn(quiet + LATENESS_MS)
    assert node.pulls == list(derive(node.clock.events))
    assert [(one.name, one.pulls) for one in node.state.packages()] == [("acme/rocket-skates", 1)]
    assert node.counter.shipped == 1
    # Its own line, which it reads in the next turn, is none of a client's.
    node.turn(quiet + LATENESS_MS + 60_000)
    assert len(node.pulls) == 1


def test_processes_whose_files_are_read_one_after_the_other(node: Node) -> None:
    head, get = node.clock.ask("HEAD T", "D:T", gap=2_000).events
    # The first file had been read when the HEAD was written into it; the GET was in the second then.
    node.write([get], process=2)
    assert not node.turn(4_001)
    node.write([head], process=1)
    for second in range(5, 15):
        node.turn(second * 1_000)
    assert [pull.version for pull in node.pulls] == ["T"]


def test_what_lies_there_for_long_is_read_in_its_order(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "_PIECE_BYTES", 2_000)
    for _ in range(60):
        node.clock.ask(*steps("containerd", "T"), gap=300)
    for number, event in enumerate(node.clock.events):
        # Three processes, one of which began anew in the middle.
        process = number % 3
        node.write([event], process, 60_000 if process == 2 and number > 210 else 0)
    node.turn(node.clock.now + 100_000)
    assert len(node.pulls) == 60
    assert {pull.version for pull in node.pulls} == {"T"}
    assert node.pulls == list(derive(node.clock.events))


def test_much_is_read_in_shares(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "_PIECE_BYTES", 1_000)
    monkeypatch.setattr(room, "_SHARE_BYTES", 3_000)
    for _ in range(20):
        node.clock.ask(*steps("skopeo", "T"))
    node.write(node.clock.events[:40], 1)
    node.write(node.clock.events[40:], 2, 400)
    turns = 1
    while node.turn(60_000):
        turns += 1
        # What was read is kept each time.
        node.start()
    assert turns > 5
    assert len(node.pulls) == 20
    # A shipper that ships everything reads on by itself.
    node.write(node.clock.ask(*steps("skopeo", "U")).events[-5:], 3)
    shipper = Shipper(node.journal.directory, node.root / "cursors", node.root / "set-aside", {}, [node.counter])
    assert shipper.acquire()
    assert shipper.ship() == 0
    assert len(node.pulls) == 21
    shipper.close()


@pytest.mark.parametrize("cut", range(1, 6))
def test_who_starts_again_in_the_middle_of_a_pull_counts_it_once(node: Node, cut: int) -> None:
    events = node.clock.ask(*steps("dockerd", "T"), gap=1_000).events
    node.write(events[:cut])
    node.turn(cut * 1_000)
    node.start()
    node.write(events[cut:], process=2)
    for second in range(cut, 20):
        node.turn(second * 1_000)
        node.start()
    assert node.pulls == list(derive(events))
    assert [one.pulls for one in node.state.packages()] == [1]


def test_killed_between_appending_and_saving_it_appends_again_with_the_same_id(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    node.write(node.clock.ask(*steps("dockerd", "T")).events)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(node.state, "save", killed)
    with pytest.raises(KeyboardInterrupt):
        node.turn(60_000)
    node.start()
    node.turn(61_000)
    first, second = node.pulls
    assert first == second
    assert [one.pulls for one in node.state.packages()] == [1]


def test_a_journal_that_takes_nothing_is_tried_again(node: Node) -> None:
    node.write(node.clock.ask(*steps("dockerd", "T")).events)
    node.counter = PullCounter(lambda _: False, node.state)
    with pytest.raises(OSError, match="takes nothing"):
        node.turn(60_000)
    assert node.state.packages() == []
    node.counter._append = node.journal.append
    node.turn(61_000)
    assert len(node.pulls) == len(node.state.packages()) == node.counter.shipped == 1


def test_a_state_that_cannot_be_written_is_tried_again(
    node: Node, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    node.write(node.clock.ask(*steps("dockerd", "T")).events)
    shipper = Shipper(node.journal.directory, node.root / "cursors", node.root / "set-aside", {}, [node.counter])

    def locked(*_: object) -> None:
        raise sqlite3.OperationalError("database is locked")

    monkeypatch.setattr(node.state, "progress", locked)
    assert shipper.acquire()
    shipper.ship()
    assert "the counter of pulls takes nothing now, and is tried again in 1 s: OperationalError" in caplog.text
    monkeypatch.undo()
    shipper.ship()
    assert len(node.pulls) == 1
    shipper.close()


def test_a_file_that_cannot_be_read_costs_what_was_open(node: Node, caplog: pytest.LogCaptureFixture) -> None:
    first = list(node.clock.ask(*steps("dockerd", "T")).events)
    node.write(first)
    node.turn(60_000)
    node.write(node.clock.ask("HEAD U", gap=60_000).events[-1:])
    node.turn(node.clock.now)
    saved = msgspec.msgpack.decode(node.state.progress("pulls") or b"")
    node.state.save("pulls", msgspec.msgpack.encode({**saved, "pulls": b"\xff"}), [])
    node.start()
    node.write(node.clock.ask("D:U").events[-1:])
    with caplog.at_level(logging.WARNING):
        node.turn(node.clock.now + 60_000)
    assert "were open cannot be read and are forgotten" in caplog.text
    # It is another's pull now, and what was counted is not counted again.
    assert [pull.variables.get("tag") for pull in node.pulls] == ["T", None]


def test_what_is_no_containers_is_not_decoded(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [node.clock.add("download", number, package_type="file", variables={"package_type": "x"}) for number in range(20)]
    node.write(files)
    with node.segment(1).open("ab") as file:
        file.write(b'{"id":"x","package_type":"container"\n\nnothing\n{"id":"\xff","package_type":"container"}\n{"torn":')

    def never(_: bytes) -> Event:
        raise AssertionError

    saved = []
    monkeypatch.setattr(node.state, "save", lambda *arguments: saved.append(arguments))
    with monkeypatch.context() as patch:
        patch.setattr(room, "_MARK", b"\x00")
        patch.setattr(room, "decode", never)
        node.turn(60_000)
        node.write(files)
        node.turn(61_000)
    # Nor is it noted each second how far that was.
    assert len(saved) == 1
    monkeypatch.setattr(room, "_UNSAVED_BYTES", 1)
    node.start()
    monkeypatch.setattr(node.state, "save", lambda *arguments: saved.append(arguments))
    node.turn(62_000)
    node.turn(63_000)
    assert len(saved) == 2
    assert node.pulls == []


def test_how_far_it_has_come_is_saved_once_a_minute_whatever_it_has_read(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    segment = node.segment(1)

    def behind() -> int:
        return segment.stat().st_size - saved_offsets(node.state, node.journal.directory).get(segment.name, 0)

    def turn(is_last: bool = False) -> None:
        with segment.open("ab") as file:
            file.write(b'{"id":"x"}\n')
        node.counter.ship(Turn(START_MS, segments(node.journal.directory), is_last))

    turn()
    assert behind() == 0
    now[0] += 59
    turn()
    assert behind() == 11
    now[0] += 1
    node.turn(0)
    assert behind() == 0
    turn()
    turn(is_last=True)
    assert behind() == 0


def test_segments_that_vanish_are_forgotten(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    node.write(node.clock.ask(*steps("dockerd", "T")).events)
    gone = node.segment(9)
    node.counter.ship(Turn(START_MS + 60_000, [gone, node.segment(1)]))
    assert list(node.counter._offsets) == [node.segment(1).name]
    node.segment(1).unlink()
    node.turn(61_000)
    assert node.segment(1).name not in node.counter._offsets
    # Between being looked at and being read.
    node.write(node.clock.ask("T").events[-1:], 2)

    def late(path: Path, *arguments: int) -> bytes:
        path.unlink(missing_ok=True)
        return read_block(path, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(room, "read_block", late)
        assert not node.turn(62_000)


def test_a_segment_may_go_when_it_is_read_and_what_counts_of_it_is_saved(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    node.write(node.clock.ask(*steps("dockerd", "T")).events)
    segment = node.segment(1)
    size = segment.stat().st_size
    assert not node.counter.has_read(segment, size)
    node.turn(node.clock.now)
    assert node.counter.has_read(segment, size)
    with segment.open("ab") as file:
        file.write(b'{"id":')
    assert node.counter.has_read(segment, size + 6)
    node.write(node.clock.ask(*steps("dockerd", "U")).events, 2)
    assert not node.counter.has_read(node.segment(2), node.segment(2).stat().st_size)

    def failing(*_: object) -> None:
        raise OSError

    with monkeypatch.context() as patch:
        patch.setattr(node.state, "save", failing)
        with pytest.raises(OSError):
            node.turn(node.clock.now)
    # It was read, but nobody would know what it said.
    assert not node.counter.has_read(node.segment(2), node.segment(2).stat().st_size)
    # What is counted is the same without the file.
    segment.unlink()
    node.turn(node.clock.now + 60_000)
    assert [pull.variables.get("tag") for pull in node.pulls] == ["T", "U"]


def test_a_segment_says_when_it_was_begun(node: Node) -> None:
    assert started_ms(node.segment(1, 5)) == START_MS + 5
