"""Sink `webhook`, against a receiver of our own."""

from __future__ import annotations

import gzip
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from gatewaycore.errors import ConfigError, RefusedError, SinkError
from gatewaycore.sinks import webhook
from gatewaycore.sinks.sifting import Sieve
from gatewaycore.sinks.webhook import WebhookSink, WebhookStorage, sign, verify
from tests.events import lines_of, make_event, make_events
from tests.receiver import SECRET, Receiver


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as started:
        yield started


def open_to(receiver: Receiver, *, batch: int = 1000, timeout_s: float = 10, gzip: bool = True, secret: str | None = SECRET) -> WebhookSink:
    return WebhookStorage(url=receiver.url, secret=secret, batch=batch, timeout_s=timeout_s, gzip=gzip, allow_private=True).open()


def test_a_batch_is_lines_of_json_and_signed(receiver: Receiver) -> None:
    lines = lines_of(make_events(3))
    sink = open_to(receiver)
    sink.write(lines)
    sink.close()
    (seen,) = receiver.seen
    assert seen.lines == lines
    assert (seen.headers["content-type"], seen.headers["content-encoding"]) == ("application/x-ndjson", "gzip")
    assert gzip.decompress(seen.body) == b"".join(lines)
    assert seen.headers["user-agent"].startswith("gatewaycore/")
    assert verify(SECRET, seen.headers, seen.body)


def test_what_is_not_signed_and_not_compressed(receiver: Receiver) -> None:
    lines = lines_of(make_events(3))
    sink = open_to(receiver, gzip=False, secret=None)
    sink.write(lines)
    sink.close()
    (seen,) = receiver.seen
    assert seen.body == b"".join(lines)
    assert not {"content-encoding", "gateway-signature", "gateway-timestamp"} & seen.headers.keys()


def test_signatures() -> None:
    headers = {"Gateway-Timestamp": "1000", "GATEWAY-SIGNATURE": sign("s", "1000", b"body")}
    assert verify("s", headers, b"body", now_s=1300)
    assert not verify("s", headers, b"body", now_s=1301)
    assert not verify("s", headers, b"body", now_s=699)
    assert verify("s", headers, b"body", now_s=1301, tolerance_s=301)
    assert not verify("s", headers, b"body")
    assert not verify("t", headers, b"body", now_s=1000)
    assert not verify("s", headers, b"bodies", now_s=1000)
    assert not verify("s", {**headers, "Gateway-Timestamp": "1001"}, b"body", now_s=1000)
    for timestamp in ("", "-1", "²", "1" * 21, "1e3"):
        assert not verify("s", {"gateway-timestamp": timestamp, "gateway-signature": sign("s", timestamp, b"")}, b"", now_s=1000)
    assert not verify("s", {"gateway-timestamp": "1000"}, b"", now_s=1000)
    assert not verify("s", {"gateway-timestamp": "1000", "gateway-signature": "ü"}, b"", now_s=1000)


@pytest.mark.parametrize("status", [0, 408, 500])
def test_what_comes_again_has_the_same_keys(receiver: Receiver, status: int) -> None:
    lines = lines_of(make_events(10))
    answers: list[tuple[int, dict[str, str]] | None] = [None, (status, {}), (status, {}), None, None, None]
    receiver.answer = lambda delivery: answers.pop(0)
    sink = open_to(receiver, batch=4)
    for more in (7, 8):
        with pytest.raises(SinkError, match=f"status {status}" if status else "RemoteProtocolError"):
            sink.write(lines[:more])
    sink.write(lines)
    sink.close()
    # The second part had three events when it was sent first, and still has: others have come meanwhile.
    assert [len(seen.lines) for seen in receiver.seen] == [4, 3, 3, 3, 3]
    assert len({seen.key for seen in receiver.seen}) == 3
    assert list(receiver.events.values()) == lines


def test_another_batch_than_the_one_that_was_refused(receiver: Receiver) -> None:
    lines, others = lines_of(make_events(3)), lines_of(make_events(6))
    receiver.answer = lambda delivery: (500, {})
    sink = open_to(receiver, batch=4)
    with pytest.raises(SinkError, match="status 500"):
        sink.write(lines)
    receiver.answer = lambda delivery: None
    sink.write(others)
    sink.close()
    assert [len(seen.lines) for seen in receiver.seen] == [3, 4, 2]


@pytest.mark.parametrize("after", ["100", "date"])
@pytest.mark.parametrize("status", [429, 503])
def test_a_receiver_says_when_to_come_again(receiver: Receiver, status: int, after: str, monkeypatch: pytest.MonkeyPatch) -> None:
    said = after if after != "date" else format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    receiver.answer = lambda delivery: (status, {"retry-after": said})
    lines = lines_of(make_events(1))
    sink = open_to(receiver)
    with pytest.raises(SinkError, match=f"status {status}"):
        sink.write(lines)
    receiver.answer = lambda delivery: None
    with pytest.raises(SinkError, match="left alone"):
        sink.write(lines)
    assert len(receiver.seen) == 1
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 101)
    sink.write(lines)
    sink.close()
    assert len({seen.key for seen in receiver.seen}) == 1


def test_how_long_a_receiver_may_want_to_be_left_alone() -> None:
    assert [webhook._pause_s(text) for text in ("", "soon", "-5", "9" * 40, "Thu, 01 Jan 1970 00:00:00 GMT")] == [0, 0, 0, 3600, 0]


@pytest.mark.parametrize(
    "bad", [{3, 17, 999}, set(range(15)), set(range(1, 40)), set(range(985, 1000))], ids=["few", "first", "many", "last"]
)
def test_events_that_are_refused_are_found_and_no_others(receiver: Receiver, bad: set[int]) -> None:
    lines = lines_of([make_event(version="bad") if number in bad else make_event() for number in range(1000)])
    receiver.answer = lambda delivery: (422, {}) if any(b'"version":"bad"' in line for line in delivery.lines) else None
    sink = open_to(receiver, batch=400)
    refused = Sieve(sink).write(lines)
    sink.close()
    assert sorted(one.line for one in refused) == sorted(line for line in lines if b'"version":"bad"' in line)
    assert sorted(receiver.events.values()) == sorted(line for line in lines if b'"version":"bad"' not in line)


@pytest.mark.parametrize("count", [1, 1000])
def test_a_receiver_that_refuses_everything_loses_nothing(receiver: Receiver, count: int) -> None:
    lines = lines_of(make_events(count))
    receiver.answer = lambda delivery: (400, {})
    sink = open_to(receiver)
    with pytest.raises(RefusedError, match="webhook: status 400"):
        Sieve(sink).write(lines)
    assert len(receiver.seen) < 100
    receiver.answer = lambda delivery: None
    # With another one, as it comes: the part is not the same any more.
    lines += lines_of(make_events(1))
    sink.write(lines)
    sink.close()
    assert len(receiver.events) == count + 1


@pytest.mark.parametrize("status", [301, 401, 403, 404, 410, 500])
def test_a_receiver_that_is_not_where_it_should_be_loses_nothing(receiver: Receiver, status: int) -> None:
    receiver.answer = lambda delivery: (status, {"location": receiver.url})
    sink = open_to(receiver)
    with pytest.raises(SinkError, match=f"webhook: status {status}"):
        sink.write(lines_of(make_events(3)))
    sink.close()
    assert len(receiver.seen) == 1


def test_a_receiver_that_talks_much(receiver: Receiver) -> None:
    receiver.said = b"x" * 1_000_000
    receiver.answer = lambda delivery: (200, {})
    sink = open_to(receiver)
    for _ in range(2):
        sink.write(lines_of(make_events(1)))
    sink.close()


def test_a_receiver_that_says_nothing(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    over = time.monotonic() + 0.5
    receiver.answer = lambda delivery: time.sleep(max(0.0, over - time.monotonic()))
    sink = open_to(receiver, timeout_s=0.1)
    with pytest.raises(SinkError, match="webhook: ReadTimeout"):
        sink.write(lines_of(make_events(1)))
    sink.close()


@contextmanager
def trickle(answer: bytes) -> Iterator[tuple[str, list[int]]]:
    """Answer one request with a byte now and then; yield the URL, and how many were sent before the client had enough."""
    sent: list[int] = []

    def serve() -> None:
        client, _ = listener.accept()
        with client:
            client.recv(65_536)
            for position in range(len(answer)):
                try:
                    client.sendall(answer[position : position + 1])
                except OSError:
                    break
                sent.append(position)
                # As slow as this, all of it would take far longer than a request may.
                time.sleep(0.02)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/", sent
        thread.join()


@pytest.mark.parametrize(
    "answer",
    [b"HTTP/1.1 200 OK\r\nX-A: " + b"a" * 500, b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n" + b"a" * 500],
    ids=["head", "body"],
)
def test_a_receiver_that_answers_a_byte_now_and_then(answer: bytes) -> None:
    with trickle(answer) as (url, sent):
        sink = WebhookStorage(url=url, allow_private=True, timeout_s=0.5).open()
        with pytest.raises(SinkError, match="webhook: ReadTimeout"):
            sink.write(lines_of(make_events(1)))
        sink.close()
    assert 0 < len(sent) < 500


def test_an_address_inside_wants_to_be_allowed(receiver: Receiver) -> None:
    sink = WebhookStorage(url=receiver.url).open()
    with pytest.raises(SinkError, match="webhook: ConnectError") as caught:
        sink.write(lines_of(make_events(1)))
    assert "hunter2" not in str(caught.value)
    sink.close()
    assert receiver.seen == []


def test_settings() -> None:
    assert "hunter2" not in repr(WebhookStorage(url="https://x/?hunter2", secret="hunter2"))
    for url in ("", "x", "ftp://x/", "https://", "https://x:99999/", "http://[/"):
        with pytest.raises(ConfigError, match=r"sinks: webhook: url: is not a URL \(write https://host/path\)"):
            WebhookStorage(url=url).open()
