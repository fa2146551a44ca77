"""Sink `nats`, against a server of our own; and what takes events from there to another sink."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import nats
import pytest
from nats.js import JetStreamContext
from nats.js.api import StreamConfig

from gatewaycore import pausing
from gatewaycore.errors import ConfigError, PoisonError, RefusedError, SinkError
from gatewaycore.sinks import JsonlStorage, Sink
from gatewaycore.sinks.nats import NatsStorage, consume
from gatewaycore.sinks.nats import consumer as room
from gatewaycore.sinks.rows import Part
from gatewaycore.sinks.sifting import Sieve
from tests.e2e.running import DEADLINE_S, Programs
from tests.events import lines_of, make_event, make_events
from tests.queues import Nats, streamed


@pytest.fixture
def programs(tmp_path: Path) -> Iterator[Programs]:
    started = Programs(tmp_path)
    yield started
    started.stop()


def settings(server: Nats, **more: object) -> NatsStorage:
    name = server.name()
    return NatsStorage(**{"url": server.url, "stream": name, "subject": f"{name}.events", **more})  # type: ignore[arg-type]


def test_a_batch_that_comes_again_with_more_behind_it_is_there_once(nats: Nats) -> None:
    storage = settings(nats)
    lines = lines_of(make_events(450))
    sink = storage.open()
    sink._parts.forget = lambda: None  # type: ignore[method-assign]  # as if its acknowledgements had been lost
    sink.write(lines[:250])
    for part in sink._parts._before:
        part.taken = False
    sink.write(lines)
    sink.close()
    assert sorted(streamed(storage.url, storage.stream)) == sorted(lines)


@pytest.mark.parametrize("whose", ["server", "stream"])
def test_small_messages_only(programs: Programs, tmp_path: Path, whose: str) -> None:
    config = tmp_path / "nats.conf"
    config.write_text("max_payload: 3000\n" if whose == "server" else "")
    server = Nats(programs, "-c", str(config))
    storage = settings(server)
    if whose == "stream":
        make_stream(storage, max_msg_size=3000)
    lines = lines_of(make_events(300))
    large = lines_of([make_event(version="x" * 3000), make_event(version="y" * 3000)])
    sink = storage.open()
    refused = Sieve(sink).write([*lines[:120], large[0], *lines[120:280], large[1], *lines[280:]])
    sink.close()
    assert [one.line for one in refused] == large
    assert {one.reason for one in refused} == {"larger than a message may be (the server's max_payload, the stream's max_msg_size)"}
    # Each once: what there is of a batch when a line of it is found to be too large is not sent again in other messages.
    assert sorted(streamed(storage.url, storage.stream)) == sorted(lines)


def test_what_is_too_large_is_not_forgotten_when_something_else_goes_wrong(
    programs: Programs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "nats.conf"
    config.write_text("max_payload: 3000\n")
    storage = settings(Nats(programs, "-c", str(config)))
    lines = lines_of(make_events(150))
    (large,) = lines_of([make_event(version="x" * 3000)])
    sink = storage.open()
    send = sink._send

    async def fail_late(part: Part, context: JetStreamContext) -> None:
        if lines[149] in [line for line, _ in part.pairs]:
            # When the first message, with the large one in it, has been dealt with.
            while not sink._parts._before[0].taken:
                await asyncio.sleep(0.01)
            raise OSError
        await send(part, context)

    monkeypatch.setattr(sink, "_send", fail_late)
    with pytest.raises(SinkError, match="OSError"):
        Sieve(sink).write([large, *lines])
    monkeypatch.undo()
    assert [one.line for one in Sieve(sink).write([large, *lines])] == [large]
    sink.close()
    assert sorted(streamed(storage.url, storage.stream)) == sorted(lines)


def make_stream(storage: NatsStorage, **limits: int) -> None:
    async def make() -> None:
        client = await nats.connect(storage.url)
        await client.jetstream().add_stream(StreamConfig(name=storage.stream, subjects=[storage.subject], **limits))  # type: ignore[arg-type]
        await client.close()

    asyncio.run(make())


def test_a_server_that_hangs_or_is_gone_is_a_reason_to_come_again(programs: Programs, tmp_path: Path) -> None:
    server = Nats(programs)
    storage = settings(server, timeout_s=1)
    lines = lines_of(make_events(2))
    sink = storage.open()
    sink.write(lines[:1])
    server.hang()
    with pytest.raises(SinkError, match="nats: TimeoutError"):
        sink.write(lines[1:])
    # It finds the message before it was hung up on, and is sent it again.
    server.go_on()
    sink.write(lines[1:])
    assert streamed(storage.url, storage.stream) == lines
    server.program.stop()
    with pytest.raises(SinkError, match="nats: "):
        sink.write(lines)
    with pytest.raises(SinkError, match="nats: "):
        sink.write(lines)
    sink.close()


def test_whoever_waits_for_a_server_that_dies_is_told_at_once(programs: Programs) -> None:
    server = Nats(programs)
    storage = settings(server, timeout_s=60)
    sink = storage.open()
    sink.write(lines_of(make_events(1)))
    server.hang()
    killer = threading.Timer(0.3, server.kill)
    killer.start()
    with pytest.raises(SinkError, match="nats: ConnectionClosedError"):
        sink.write(lines_of(make_events(1)))
    killer.join()
    sink.close()


def test_nothing_of_the_client_outlives_its_event_loop(nats: Nats) -> None:
    sink = settings(nats).open()
    sink.write(lines_of(make_events(1)))
    loop = sink._session._loop
    assert loop is not None

    async def linger() -> None:
        await asyncio.Event().wait()

    asyncio.run_coroutine_threadsafe(linger(), loop)
    sink.close()
    assert not asyncio.all_tasks(loop)


def test_credentials_that_are_none_are_a_reason_to_come_again(programs: Programs, tmp_path: Path) -> None:
    config, file = tmp_path / "nats.conf", tmp_path / "gateway.creds"
    config.write_text("authorization: {users: [{nkey: UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4}]}")
    file.write_text("")
    # Whatever the client, or what it signs with, makes of such a file.
    sink = settings(Nats(programs, "-c", str(config)), credentials=str(file)).open()
    for _ in range(2):
        with pytest.raises(SinkError, match=r"\Anats: \w+\Z"):
            sink.write(lines_of(make_events(1)))
    sink.close()


def test_a_stream_of_another_subject_is_not_ours(nats: Nats) -> None:
    storage = settings(nats)
    for made in (storage, NatsStorage(url=storage.url, stream=storage.stream, subject=f"{storage.stream}.other", timeout_s=2)):
        sink = made.open()
        if made is storage:
            sink.write(lines_of(make_events(1)))
        else:
            with pytest.raises(SinkError, match="nats: NoStreamResponseError"):
                sink.write(lines_of(make_events(1)))
        sink.close()


def test_more_replicas_than_servers(nats: Nats) -> None:
    sink = settings(nats, replicas=3).open()
    with pytest.raises(SinkError, match=r"nats: ServerError [0-9]+"):
        sink.write(lines_of(make_events(1)))
    sink.close()


class Moody:
    """A sink that takes every second batch, and stops its consumer when it has enough."""

    def __init__(self, path: Path, enough: int, stop: threading.Event) -> None:
        self._sink = JsonlStorage(str(path)).open()
        self._left, self._stop, self._moods = enough, stop, 0

    def write(self, lines: Sequence[bytes]) -> None:
        self._moods += 1
        if self._moods % 2:
            raise SinkError("not now")
        self._sink.write(lines)
        self._left -= len(lines)
        if self._left <= 0:
            self._stop.set()

    def close(self) -> None:
        self._sink.close()


def test_events_are_taken_to_another_sink(nats: Nats, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pausing, "_FIRST_S", 0.05)
    monkeypatch.setattr(pausing, "_LONGEST_S", 0.1)
    monkeypatch.setattr(room, "_FETCH_S", 0.2)
    storage = settings(nats)
    lines = lines_of(make_events(1_000))
    source, stop = storage.open(), threading.Event()
    sink = Moody(tmp_path / "out.jsonl", len(lines), stop)
    source.write(lines[:500])
    late = threading.Timer(0.8, source.write, [lines[500:]])
    late.start()
    assert consume(storage, sink, stop) == len(lines)
    late.join()
    source.close()
    sink.close()
    assert sorted((tmp_path / "out.jsonl").read_bytes().splitlines(keepends=True)) == sorted(lines)
    # Nothing is left for another one of that name.
    stop.clear()
    threading.Timer(0.5, stop.set).start()
    assert consume(storage, sink, stop) == 0


class Held:
    """A sink that is at its first batch for as long as the test wants.

    Attributes:
        begun: set when it has one.
        go_on: lets it end.
        seen: the batches, in order.
    """

    batch_bytes = 1_000_000
    linger_s = 1.5

    def __init__(self) -> None:
        self.begun, self.go_on = threading.Event(), threading.Event()
        self.seen: list[list[bytes]] = []

    def write(self, lines: Sequence[bytes]) -> None:
        self.begun.set()
        assert self.go_on.wait(DEADLINE_S)
        self.seen.append(list(lines))

    def close(self) -> None:
        """Nothing is open."""


def run_consumer(storage: NatsStorage, sink: Sink, stop: threading.Event) -> tuple[threading.Thread, list[int]]:
    counts: list[int] = []
    thread = threading.Thread(target=lambda: counts.append(consume(storage, sink, stop)))
    thread.start()
    return thread, counts


def test_a_batch_is_gathered_and_is_nobody_elses_however_long_it_takes(nats: Nats, monkeypatch: pytest.MonkeyPatch) -> None:
    # Whoever is silent for a second is taken for dead.
    monkeypatch.setattr(room, "_ACK_S", 1.0)
    monkeypatch.setattr(room, "_ALIVE_S", 0.2)
    monkeypatch.setattr(room, "_FETCH_S", 0.2)
    storage, stop = settings(nats), threading.Event()
    source, held, other = storage.open(), Held(), Held()
    lines = lines_of(make_events(4))
    source.write(lines[:1])
    thread, counts = run_consumer(storage, held, stop)
    # It lingers for these.
    source.write(lines[1:3])
    assert held.begun.wait(DEADLINE_S)
    other.go_on.set()
    second, _ = run_consumer(storage, other, stop)
    source.write(lines[3:])
    assert other.begun.wait(DEADLINE_S)
    # Several times as long as a silent one has.
    assert not stop.wait(3)
    held.go_on.set()
    stop.set()
    thread.join()
    second.join()
    source.close()
    assert (held.seen, counts) == ([lines[:3]], [3])
    assert other.seen == [lines[3:]]


def test_whatever_a_sink_raises_the_batch_comes_again(
    nats: Nats, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(pausing, "_FIRST_S", 0.05)
    monkeypatch.setattr(room, "_FETCH_S", 0.2)
    storage, stop = settings(nats), threading.Event()
    lines = lines_of(make_events(3))
    source = storage.open()
    kept: list[bytes] = []
    failures = [RuntimeError("hunter2"), SinkError("not now")]

    class Failing(Held):
        linger_s = 0.0

        def write(self, lines: Sequence[bytes]) -> None:
            if failures:
                raise failures.pop()
            kept.extend(lines)
            stop.set()

    source.write(lines)
    source.close()
    assert consume(storage, Failing(), stop) == 3
    assert kept == lines
    assert "tried again in 0 s: the sink takes nothing now: not now" in caplog.text
    assert "tried again in 0 s: the sink takes nothing now: RuntimeError" in caplog.text
    assert "hunter2" not in caplog.text


class Picky(Held):
    """A sink that never takes one line, and ends the test when it has so many others.

    Args:
        poison: the line.
        count: of the others.
        stop: is set then.
    """

    linger_s = 0.0

    def __init__(self, poison: bytes, count: int, stop: threading.Event) -> None:
        super().__init__()
        self.kept: set[bytes] = set()
        self._poison, self._count, self._stop = poison, count, stop

    def write(self, lines: Sequence[bytes]) -> None:
        if self._poison in lines:
            raise RefusedError("store: 22003")
        self.kept.update(lines)
        if len(self.kept) == self._count:
            self._stop.set()


def test_what_a_sink_never_takes_is_set_aside_or_ends_it(nats: Nats, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(pausing, "_FIRST_S", 0.05)
    monkeypatch.setattr(room, "_FETCH_S", 0.2)
    storage, stop = settings(nats), threading.Event()
    lines = lines_of(make_events(20))
    source = storage.open()
    source.write(lines)
    source.close()
    picky = Picky(lines[7], 19, stop)
    with pytest.raises(PoisonError, match="the sink will never take 1 of 20 lines, and `set_aside` names no file for them"):
        consume(storage, picky, stop)
    # Nothing is lost: it was not acknowledged.
    stop.clear()
    again, file = Picky(lines[7], 19, stop), tmp_path / "kept" / "refused.jsonl"
    assert consume(storage, again, stop, set_aside=file) == 19
    assert again.kept == {*lines} - {lines[7]}
    (aside,) = [json.loads(line) for line in file.read_text().splitlines()]
    assert (aside["line"].encode() + b"\n", aside["reason"]) == (lines[7], "store: 22003")
    # And it is done with.
    stop.clear()
    threading.Timer(0.5, stop.set).start()
    assert consume(storage, again, stop) == 0


def test_a_server_that_is_gone_is_asked_again(
    programs: Programs, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(pausing, "_FIRST_S", 0.05)
    monkeypatch.setattr(pausing, "_LONGEST_S", 0.05)
    server, stop, held = Nats(programs), threading.Event(), Held()
    storage = settings(server, timeout_s=2)
    source = storage.open()
    source.write(lines_of(make_events(1)))
    thread, counts = run_consumer(storage, held, stop)
    assert held.begun.wait(DEADLINE_S)
    server.kill()
    held.go_on.set()
    end = time.monotonic() + DEADLINE_S
    while caplog.text.count("consuming is tried again") < 3 and time.monotonic() < end:
        time.sleep(0.02)
    stop.set()
    thread.join()
    source.close()
    # Whether it was acknowledged nobody knows; if not, it would come again.
    assert len(counts) == len(held.seen) == 1


def test_a_file_of_credentials(nats: Nats, tmp_path: Path) -> None:
    file = tmp_path / "gateway.creds"
    storage = settings(nats, credentials=str(file))
    with pytest.raises(ConfigError, match=r"sinks: nats: credentials: '.*/gateway.creds' cannot be read"):
        storage.open()
    # This server asks nobody for them.
    file.write_text("")
    sink = storage.open()
    sink.write(lines_of(make_events(1)))
    sink.close()


def test_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "hunter2" not in repr(NatsStorage(url="nats://gw:hunter2@host"))
    NatsStorage(url="nats://a:4222, tls://gw:x@b").check()
    for url in ("", "host", "http://host", "nats://", "nats://a,", "nats://[", "nats://a:99999"):
        with pytest.raises(ConfigError, match="sinks: nats: url: is not a list of servers"):
            NatsStorage(url=url).open()
    monkeypatch.setitem(sys.modules, "nats", None)
    with pytest.raises(ConfigError, match=r"needs gatewaycore\[nats\] \(pip install 'gatewaycore\[nats\]'\)"):
        NatsStorage(url="nats://a").open()
