"""What a sink gets at once, and what becomes of lines that it never takes."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from gatewaycore.errors import PoisonError, RefusedError, SinkError
from gatewaycore.segments import Span
from gatewaycore.shipper import Shipper
from gatewaycore.sinks import set_aside as room
from gatewaycore.sinks import sifting
from gatewaycore.sinks.set_aside import count_lines


class Store:
    """A sink that refuses some lines."""

    batch_bytes = 10_000
    linger_s = 0.0

    def __init__(self, refuses: Callable[[Sequence[bytes]], Exception | None] = lambda _: None) -> None:
        self.refuses = refuses
        self.batches: list[list[bytes]] = []
        self.asked = 0

    @property
    def lines(self) -> list[bytes]:
        return [line for batch in self.batches for line in batch]

    def write(self, lines: Sequence[bytes]) -> None:
        self.asked += 1
        error = self.refuses(lines)
        if error is not None:
            raise error
        self.batches.append(list(lines))

    def close(self) -> None: ...


class Home:
    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "journal").mkdir()
        self.shippers: list[Shipper] = []

    def write(self, *numbers: int, segment: int = 1) -> list[bytes]:
        return self.put(*(b'{"id":"%02d"}\n' % number for number in numbers), segment=segment)

    def put(self, *lines: bytes, segment: int = 1) -> list[bytes]:
        with (self.root / "journal" / f"n-1-{segment}.jsonl").open("ab") as file:
            file.write(b"".join(lines))
        return list(lines)

    def shipper(self, store: Store) -> Shipper:
        self.shippers.append(Shipper(self.root / "journal", self.root / "cursors", self.root / "set-aside", {"a": store}))
        assert self.shippers[-1].acquire()
        return self.shippers[-1]

    def aside(self) -> list[dict[str, str]]:
        return [json.loads(line) for line in (self.root / "set-aside" / "a.jsonl").read_text().splitlines()]

    def cursor(self) -> dict[str, int]:
        found: dict[str, int] = json.loads((self.root / "cursors" / "a.json").read_text())
        return found


@pytest.fixture
def home(tmp_path: Path) -> Any:
    made = Home(tmp_path)
    yield made
    for shipper in made.shippers:
        shipper.close()


class Reader(Store):
    """A sink that reads segments by itself."""

    def __init__(self, error: Callable[[], Exception | None] = lambda: None) -> None:
        super().__init__()
        self.error = error
        self.read: list[list[tuple[str, int, int]]] = []

    def write_spans(self, spans: Sequence[Span]) -> int:
        error = self.error()
        if error is not None:
            raise error
        self.read.append([(span.path.name, span.start, span.end) for span in spans])
        return sum(span.read().count(b"\n") for span in spans)


# --- batches -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("batch_bytes", "sizes"),
    [
        (10_000, [9]),
        # Lines of 12 bytes, three to a segment: over the end of one, and never more than asked for.
        (60, [5, 4]),
        (71, [5, 4]),
        (36, [3, 3, 3]),
        (37, [3, 3, 3]),
        (12, [1] * 9),
        # A line is never cut.
        (1, [1] * 9),
        (0, [1] * 9),
    ],
)
def test_a_batch_is_of_several_segments_and_as_large_as_a_sink_wants(home: Home, batch_bytes: int, sizes: list[int]) -> None:
    lines = [line for segment in (1, 2, 3) for line in home.write(*range(3), segment=segment)]
    home.put(b'{"torn', segment=1)
    store = Store()
    store.batch_bytes = batch_bytes
    assert home.shipper(store).ship() == 9
    assert store.lines == lines
    assert [len(batch) for batch in store.batches] == sizes
    assert list(home.cursor().values()) == [36, 36, 36]


def test_a_long_line_waits_for_a_batch_of_its_own(home: Home) -> None:
    home.write(1, 2)
    home.put(b'{"id":"%0100d"}\n' % 1, segment=2)
    store = Store()
    store.batch_bytes = 50
    assert home.shipper(store).ship() == 3
    assert [len(batch) for batch in store.batches] == [2, 1]


def test_a_sink_that_reads_segments_is_told_where_the_lines_lie(home: Home) -> None:
    home.write(1, 2)
    home.put(b'{"torn', segment=1)
    home.write(3, segment=2)
    store = Reader()
    shipper = home.shipper(store)
    assert shipper.ship() == 3
    home.write(4, segment=2)
    assert shipper.ship() == 1
    assert store.read == [[("n-1-1.jsonl", 0, 24), ("n-1-2.jsonl", 0, 12)], [("n-1-2.jsonl", 12, 24)]]
    assert store.batches == []


@pytest.mark.parametrize("error", [PoisonError((), "x"), ValueError()], ids=repr)
def test_when_a_line_is_to_be_found_it_gets_the_lines(home: Home, error: Exception) -> None:
    good = home.write(1)
    home.put(b"junk\n")
    good += home.write(2)
    store = Reader(lambda: error)
    assert home.shipper(store).ship() == 2
    assert store.lines == good
    assert [one["line"] for one in home.aside()] == ["junk"]


def test_when_it_is_down_it_gets_them_later(home: Home) -> None:
    home.write(1)
    down: list[Exception | None] = [SinkError("no"), None]
    store = Reader(lambda: down.pop(0))
    shipper = home.shipper(store)
    assert (shipper.ship(), shipper.failing) == (0, {"sink a": "no"})
    assert (shipper.ship(), store.batches) == (1, [])


def test_a_cursor_is_saved_once_for_a_batch(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    saved: list[object] = []
    monkeypatch.setattr("gatewaycore.shipper.cursor.write_numbers", lambda *numbers: saved.append(numbers))
    for segment in range(5):
        home.write(1, segment=segment)
    shipper = home.shipper(Store())
    assert shipper.ship() == 5
    assert len(saved) == 1
    shipper.ship()
    assert len(saved) == 1


def test_a_sink_may_wait_for_a_fuller_batch(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    store = Store()
    store.linger_s, store.batch_bytes = 5.0, 36
    shipper = home.shipper(store)

    def turn() -> int:
        before = len(store.batches)
        shipper._ship_due()
        shipper._wait()
        return len(store.batches) - before

    assert turn() == 0
    home.write(1)
    assert turn() == 0
    now[0] += 4.9
    home.write(2, segment=2)
    assert turn() == 0
    now[0] += 0.1
    assert turn() == 1
    assert store.batches == [[b'{"id":"01"}\n', b'{"id":"02"}\n']]
    # It waits anew for the next, but not when there is enough.
    home.write(3)
    assert turn() == 0
    home.write(4, 5)
    assert turn() == 1
    # Nor when nothing is to come.
    home.write(6)
    assert turn() == 0
    assert shipper.ship() == 1


# --- what is no event ------------------------------------------------------------------------------------------------------


TORN = [b"\x00\x00\x00\xff\n", b'{"id":"\xff"}\n', b'{"id":"1","torn":{"id":"2"}\n']
JUNK = [*TORN, b"[" * 5000 + b"\n", b"[]\n", b"{}\n", b'{"id":5}\n', b"\n", b"null\n"]


def test_lines_that_are_no_events_are_set_aside(home: Home, caplog: pytest.LogCaptureFixture) -> None:
    lines = home.write(1)
    home.put(*JUNK)
    lines += home.write(2)
    store = Store()
    shipper = home.shipper(store)
    assert shipper.ship() == 2
    assert store.lines == lines
    assert shipper.set_aside == len(JUNK)
    told = home.aside()
    assert [one["line"] for one in told][:3] == ["\x00\x00\x00\\xff", '{"id":"\\xff"}', '{"id":"1","torn":{"id":"2"}']
    assert {one["reason"] for one in told} == {"no event: not one JSON object with an id"}
    assert caplog.messages == ["sink a cannot take 9 lines, which are set aside in a.jsonl"]
    assert count_lines(home.root / "set-aside" / "a.jsonl") == len(JUNK)
    assert (home.root / "set-aside" / "a.jsonl").stat().st_mode & 0o777 == 0o600
    assert shipper.ship() == 0
    assert shipper.set_aside == len(JUNK)


def test_a_batch_of_nothing_else_asks_nobody(home: Home) -> None:
    home.put(b"junk\n")
    store = Store()
    shipper = home.shipper(store)
    assert shipper.ship() == store.asked == 0
    assert shipper.set_aside == 1
    assert list(home.cursor().values()) == [5]


def test_nothing_is_set_aside_again_and_again_while_a_sink_is_down(home: Home) -> None:
    home.put(b"junk\n")
    home.write(1)
    store = Store(lambda _: SinkError("down"))
    shipper = home.shipper(store)
    for _ in range(3):
        shipper.ship()
    assert shipper.set_aside == 0
    store.refuses = lambda _: None
    assert shipper.ship() == 1
    assert len(home.aside()) == 1


# --- what a sink does not take -----------------------------------------------------------------------------------------------


def bad(*numbers: int, error: Callable[[], Exception] = lambda: ValueError("secret")) -> Callable[[Sequence[bytes]], Exception | None]:
    poison = {b'{"id":"%02d"}\n' % number for number in numbers}
    return lambda lines: error() if poison & set(lines) else None


def test_lines_that_a_sink_names_are_set_aside(home: Home) -> None:
    lines = home.write(*range(10))

    def named(batch: Sequence[bytes]) -> Exception | None:
        found = [number for number, line in enumerate(batch) if line in (lines[3], lines[7])]
        return PoisonError([*found, -1, 99], "no such column") if found else None

    store = Store(named)
    shipper = home.shipper(store)
    assert shipper.ship() == 8
    assert store.lines == [line for line in lines if line not in (lines[3], lines[7])]
    assert [(one["line"].encode() + b"\n", one["reason"]) for one in home.aside()] == [(lines[n], "no such column") for n in (3, 7)]
    assert shipper.failing == {}


def test_a_sink_that_names_no_line_is_asked_again_later(home: Home) -> None:
    home.write(1)
    store = Store(lambda _: PoisonError([5], "x"))
    shipper = home.shipper(store)
    assert shipper.ship() == 0
    assert (shipper.failing, shipper.set_aside) == ({"sink a": "PoisonError"}, 0)


@pytest.mark.parametrize("poison", [(0,), (9,), (4, 5), (1, 3, 5, 7), (0, 1, 2, 3, 4, 5, 6, 7, 8)])
@pytest.mark.parametrize("error", [ValueError, TypeError, KeyError, lambda: UnicodeError("x"), ZeroDivisionError])
def test_lines_that_a_sink_refuses_without_a_name_are_found(
    home: Home, poison: tuple[int, ...], error: Any, caplog: pytest.LogCaptureFixture
) -> None:
    lines = home.write(*range(10))
    store = Store(bad(*poison, error=error))
    shipper = home.shipper(store)
    assert shipper.ship() == 10 - len(poison)
    assert store.lines == [line for number, line in enumerate(lines) if number not in poison]
    assert sorted(one["line"].encode() + b"\n" for one in home.aside()) == [lines[number] for number in poison]
    assert "secret" not in caplog.text
    assert "secret" not in json.dumps(home.aside())
    assert list(home.cursor().values()) == [120]


def test_a_reason_is_kept_where_it_is_meant_to_be(home: Home) -> None:
    home.write(*range(4))

    def mixed(batch: Sequence[bytes]) -> Exception | None:
        if b'{"id":"02"}\n' not in batch:
            return None
        return PoisonError([0], "x" * 1000) if len(batch) == 1 else ValueError()

    home.shipper(Store(mixed)).ship()
    assert [one["reason"] for one in home.aside()] == ["x" * 500]


def test_a_sink_that_refuses_everything_says_nothing_of_the_lines(home: Home) -> None:
    home.write(*range(99))
    store = Store(lambda _: ValueError())
    shipper = home.shipper(store)
    assert shipper.ship() == 0
    assert (shipper.set_aside, shipper.failing) == (0, {"sink a": "ValueError"})
    # Nor is it asked for each of them.
    assert store.asked < 60
    store.refuses = lambda _: None
    assert shipper.ship() == 99


@pytest.mark.parametrize("bad_ones", [range(15), range(16), range(40), [*range(16), 98], [*range(17), *range(30, 99)]], ids=str)
def test_many_bad_lines_at_the_front_do_not_stop_a_sink(home: Home, bad_ones: Sequence[int]) -> None:
    lines = home.write(*range(99))
    store = Store(bad(*bad_ones))
    shipper = home.shipper(store)
    # Where few are good, it is chance that meets one, the next time at the latest but a few.
    for _ in range(50):
        shipper.ship()
    assert sorted(store.lines) == [line for number, line in enumerate(lines) if number not in bad_ones]
    assert sorted(one["line"].encode() + b"\n" for one in home.aside()) == [lines[number] for number in bad_ones]


def test_a_line_by_itself_waits_for_others_to_be_compared_with(home: Home) -> None:
    home.write(1)
    store = Store(bad(1))
    shipper = home.shipper(store)
    assert shipper.ship() == 0
    assert shipper.set_aside == 0
    home.write(2)
    assert shipper.ship() == 1
    assert shipper.set_aside == 1


def test_the_words_of_a_refusal_are_kept_where_they_are_our_own(home: Home) -> None:
    home.write(1, 2)
    home.shipper(Store(bad(1, error=lambda: RefusedError("store: 22003")))).ship()
    assert [one["reason"] for one in home.aside()] == ["store: 22003"]


def test_a_bad_moment_is_no_bad_line(home: Home) -> None:
    lines = home.write(1, 2, 3, 4)
    refusals = [ValueError()] * 3
    store = Store(lambda _: refusals.pop() if refusals else None)
    shipper = home.shipper(store)
    assert shipper.ship() == 4
    assert sorted(store.lines) == lines
    assert shipper.set_aside == 0


def test_a_sink_that_goes_down_meanwhile_gets_them_all_again(home: Home) -> None:
    home.write(1, 2, 3, 4)
    store = Store()
    answers: list[Exception | None] = [ValueError(), None, SinkError("down")]
    store.refuses = lambda _: answers.pop(0) if answers else None
    shipper = home.shipper(store)
    assert shipper.ship() == 0
    assert shipper.ship() == 4
    # At least once.
    assert len(store.lines) == 6


# --- the file ------------------------------------------------------------------------------------------------------------------


def test_what_is_set_aside_is_bounded(home: Home, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(room, "MOST_BYTES", 300)
    home.put(*(b"junk %d\n" % number for number in range(5)))
    shipper = home.shipper(Store())
    with caplog.at_level(logging.ERROR):
        shipper.ship()
        home.put(b"more junk\n")
        shipper.ship()
    assert len(home.aside()) == 2
    assert shipper.set_aside == 6
    assert [message for message in caplog.messages if "full" in message] == [
        "a.jsonl is full: further lines that sink a cannot take are lost"
    ]
    assert list(home.cursor().values()) == [45]


def test_a_file_that_cannot_be_written_delays_its_sink(home: Home) -> None:
    (home.root / "set-aside").touch()
    home.put(b"junk\n")
    lines = home.write(1)
    store = Store()
    shipper = home.shipper(store)
    shipper.ship()
    assert shipper.failing == {"sink a": "what it refuses cannot be set aside in a.jsonl: File exists"}
    # The same lines come again, and are counted once.
    assert (shipper.shipped, shipper.set_aside) == (0, 0)
    (home.root / "set-aside").unlink()
    shipper.ship()
    assert (store.lines[-1:], shipper.shipped, shipper.set_aside) == (lines, 1, 1)


def test_lines_of_a_file_that_is_not_there(tmp_path: Path) -> None:
    assert count_lines(tmp_path / "nothing") == 0


def test_what_is_asked_of_a_line_is_little() -> None:
    good = [b'{"id":"x"}\n'] * 3
    assert sifting.sort_out(good) == (good, [])
