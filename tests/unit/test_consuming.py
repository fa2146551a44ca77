"""Consuming: from a stream to other sinks, as the shipper feeds them from the journal; and the command that does it."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from gatewaycore import consuming as room
from gatewaycore import pausing
from gatewaycore.cli import consume as verb
from gatewaycore.cli.commands import commands
from gatewaycore.consuming import Consuming
from gatewaycore.errors import PoisonError, SinkError
from gatewaycore.sinks import NatsStorage, Sink
from gatewaycore.sinks.nats import consumer
from tests.e2e.running import DEADLINE_S
from tests.events import lines_of, make_events
from tests.queues import Nats


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pausing, "_FIRST_S", 0.05)
    monkeypatch.setattr(pausing, "_LONGEST_S", 0.1)
    monkeypatch.setattr(consumer, "_FETCH_S", 0.2)


@pytest.fixture
def source(nats: Nats) -> NatsStorage:
    name = nats.name()
    return NatsStorage(url=nats.url, stream=name, subject=f"{name}.events")


def publish(source: NatsStorage, lines: Sequence[bytes]) -> None:
    sink = source.open()
    sink.write(lines)
    sink.close()


class Memory:
    """Keeps lines, but for those that hold a word.

    Args:
        refused: the word.
        error: makes what is raised for it, of the batch.
    """

    batch_bytes = 1_000_000

    def __init__(self, refused: bytes = b"", error: Callable[[Sequence[bytes]], Exception] = lambda _: ValueError("hunter2")) -> None:
        self.lines: list[bytes] = []
        self.closed = 0
        self._refused, self._error = refused, error

    def write(self, lines: Sequence[bytes]) -> None:
        if self._refused and any(self._refused in line for line in lines):
            raise self._error(lines)
        self.lines += lines

    def close(self) -> None:
        self.closed += 1


def until(come: Callable[[], bool]) -> None:
    end = time.monotonic() + DEADLINE_S
    while not come():
        assert time.monotonic() < end
        time.sleep(0.02)


def run(source: NatsStorage, sinks: dict[str, Sink], data: Path, done: Callable[[], bool]) -> Consuming:
    """Consume until something is so."""
    stop, made = threading.Event(), Consuming(source, sinks, data)
    thread = threading.Thread(target=made.run, args=[stop])
    thread.start()
    try:
        until(done)
    finally:
        stop.set()
        thread.join()
    return made


def named(lines: Sequence[bytes]) -> PoisonError:
    return PoisonError([number for number, line in enumerate(lines) if b"1.7" in line], "no sevens")


@pytest.mark.parametrize(("error", "reason"), [(lambda _: ValueError("hunter2"), "ValueError"), (named, "no sevens")])
def test_a_line_that_a_sink_never_takes_is_set_aside(
    source: NatsStorage, tmp_path: Path, caplog: pytest.LogCaptureFixture, error: Callable[[Sequence[bytes]], Exception], reason: str
) -> None:
    events = make_events(20)
    (poison,) = lines_of([event for event in events if event.version == "1.7"])
    lines = lines_of(events)
    picky, calm = Memory(b'"version":"1.7"', error), Memory()
    publish(source, lines)
    made = run(source, {"picky": picky, "calm": calm}, tmp_path, lambda: len(calm.lines) == 20 and len(picky.lines) == 19)
    assert picky.lines == [line for line in lines if line != poison]
    assert calm.lines == lines
    (aside,) = [json.loads(line) for line in (tmp_path / "set-aside" / "picky.jsonl").read_text().splitlines()]
    assert (aside["line"].encode() + b"\n", aside["reason"]) == (poison, reason)
    assert (made.taken, made.set_aside) == (39, 1)
    assert (picky.closed, calm.closed) == (1, 1)
    assert "hunter2" not in caplog.text


def test_what_is_no_event_is_set_aside(nats: Nats, source: NatsStorage, tmp_path: Path) -> None:
    """Somebody else may publish there."""
    import asyncio

    import nats as client

    async def send() -> None:
        connection = await client.connect(nats.url)
        await connection.jetstream().publish(source.subject, b"no event\n")
        await connection.close()

    publish(source, lines_of(make_events(1)))
    asyncio.run(send())
    kept = Memory()
    file = tmp_path / "set-aside" / "kept.jsonl"
    run(source, {"kept": kept}, tmp_path, lambda: file.exists() and len(kept.lines) == 1)
    assert json.loads(file.read_text())["line"] == "no event"


def test_what_cannot_be_set_aside_delays_its_sink_and_is_not_counted(
    source: NatsStorage, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "set-aside").touch()
    lines = lines_of(make_events(20))
    publish(source, lines)
    picky = Memory(b'"version":"1.7"')
    stop, made = threading.Event(), Consuming(source, {"picky": picky}, tmp_path)
    thread = threading.Thread(target=made.run, args=[stop])
    thread.start()
    try:
        until(lambda: "sink picky takes nothing now: what it refuses cannot be set aside in picky.jsonl: File exists" in caplog.text)
        assert (made.taken, made.set_aside) == (0, 0)
        (tmp_path / "set-aside").unlink()
        until(lambda: made.set_aside == 1 and made.taken == 19)
    finally:
        stop.set()
        thread.join()
    assert set(picky.lines) == {line for line in lines if b'"version":"1.7"' not in line}


def test_a_sink_that_is_down_delays_only_itself(source: NatsStorage, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    down, calm = Memory(b"{", lambda _: SinkError("postgres: OperationalError 57P03")), Memory()
    lines = lines_of(make_events(3))
    publish(source, lines)
    run(source, {"down": down, "calm.er": calm}, tmp_path, lambda: len(calm.lines) == 3 and "tried again" in caplog.text)
    assert "sink down takes nothing now: postgres: OperationalError 57P03" in caplog.text
    # Nothing is lost: the next one of that name has it.
    again = Memory()
    run(source, {"down": again}, tmp_path, lambda: len(again.lines) == 3)
    assert again.lines == lines


def test_a_sink_that_refuses_everything_says_nothing_of_the_lines(
    source: NatsStorage, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    broken = Memory(b"{")
    publish(source, lines_of(make_events(3)))
    run(source, {"broken": broken}, tmp_path, lambda: "sink broken takes nothing now: ValueError" in caplog.text)
    assert not (tmp_path / "set-aside").exists()
    assert "hunter2" not in caplog.text


def test_a_sink_that_hangs_is_left_behind(
    source: NatsStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(room, "_LAST_S", 0.3)
    begun, go_on = threading.Event(), threading.Event()

    class Hanging(Memory):
        def write(self, lines: Sequence[bytes]) -> None:
            begun.set()
            go_on.wait(DEADLINE_S)
            super().write(lines)

    hanging = Hanging()
    publish(source, lines_of(make_events(1)))
    run(source, {"slow": hanging}, tmp_path, begun.is_set)
    assert "sink slow hangs, and is left as it is" in caplog.text
    assert hanging.closed == 0
    go_on.set()
    until(lambda: hanging.closed == 1)


# --- the command ---------------------------------------------------------------------------------------------------------


def write(folder: Path, *sinks: Any) -> str:
    file = folder / "consumer.yaml"
    file.write_text(yaml.safe_dump({"sinks": list(sinks), "gateway": {"data-dir": str(folder / "data")}}))
    return str(file)


def test_the_command_takes_events_until_it_is_stopped(source: NatsStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stop = threading.Event()
    monkeypatch.setattr(verb, "stop_event", lambda: stop)
    lines = lines_of(make_events(5))
    publish(source, [*lines])
    stream = {"type": "nats", "url": source.url, "stream": source.stream, "subject": source.subject}
    out, other = tmp_path / "out.jsonl", tmp_path / "other.jsonl"
    file = write(tmp_path, stream, {"type": "jsonl", "path": str(out)}, {"type": "jsonl", "path": str(other)})

    def watch() -> None:
        until(lambda: out.exists() and out.read_bytes().count(b"\n") == 5)
        stop.set()

    watcher = threading.Thread(target=watch)
    watcher.start()
    done = CliRunner().invoke(commands, ["consume", file, "--to", "jsonl", "--durable", "mine"])
    watcher.join()
    assert (done.exit_code, done.stderr) == (0, "from nats to jsonl\n5 events taken\n")
    assert sorted(out.read_bytes().splitlines(keepends=True)) == sorted(lines)
    assert not other.exists() or other.read_bytes() == b""


def test_the_command_says_what_was_set_aside(source: NatsStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picky = Memory(b'"version":"1.3"')

    class Ready(Consuming):
        def __init__(self, source: NatsStorage, sinks: dict[str, Sink], data: Path, durable: str) -> None:
            sinks["jsonl"].close()
            super().__init__(source, {"jsonl": picky}, data, durable)

    stop = threading.Event()
    monkeypatch.setattr(verb, "stop_event", lambda: stop)
    monkeypatch.setattr(verb, "Consuming", Ready)
    publish(source, lines_of(make_events(20)))
    stream = {"type": "nats", "url": source.url, "stream": source.stream, "subject": source.subject}

    def watch() -> None:
        until(lambda: len(picky.lines) == 19)
        stop.set()

    watcher = threading.Thread(target=watch)
    watcher.start()
    done = CliRunner().invoke(commands, ["consume", write(tmp_path, stream, {"type": "jsonl", "path": os.devnull})])
    watcher.join()
    assert done.stderr == "from nats to jsonl\n19 events taken, 1 line set aside\n"


NATS = {"type": "nats", "url": "nats://127.0.0.1:1"}
JSONL = {"type": "jsonl", "path": os.devnull}


@pytest.mark.parametrize(
    ("sinks", "options", "problem"),
    [
        ([JSONL], [], "names no sink of the type nats to take from"),
        ([NATS, NATS, JSONL], [], "there are several sinks of the type nats: write --from nats or --from nats-2"),
        ([NATS, JSONL], ["--from", "jsonl"], "there is no 'jsonl': write --from nats"),
        ([NATS], [], "names no sink beside nats to take to"),
        ([NATS, NATS], ["--from", "nats-2"], "names no sink beside nats-2 to take to"),
        ([NATS, JSONL], ["--to", "lake"], "there is no sink 'lake' to take to: write jsonl"),
        ([NATS], ["--to", "lake"], "there is no sink 'lake' to take to: write one into the file"),
        ([NATS, {"type": "postgres", "url": "hunter2"}], [], "is not a connection string"),
        ([{"type": "nats", "url": "hunter2"}, JSONL], [], "is not a list of servers"),
    ],
)
def test_what_cannot_be_consumed_is_told(tmp_path: Path, sinks: list[Any], options: list[str], problem: str) -> None:
    done = CliRunner().invoke(commands, ["consume", write(tmp_path, *sinks), *options])
    assert done.exit_code == 2
    assert problem in " ".join(done.stderr.split())
    assert "hunter2" not in done.output
