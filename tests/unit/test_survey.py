"""The survey: what is told of a journal is what is there."""

from __future__ import annotations

import fcntl
from pathlib import Path

import pytest

from gatewaycore import survey as room
from gatewaycore.segments import read_block, recorded_ms
from gatewaycore.survey import Reader, survey

START_MS = 1_700_000_000_000


def line(ms: int, more: int = 0) -> bytes:
    at = f"{START_MS + ms:012x}"
    return f'{{"id":"{at[:8]}-{at[8:]}-7000-8000-000000000000","more":"{"x" * more}"}}\n'.encode()


def put(folder: Path, number: int, *lines: bytes) -> Path:
    path = folder / f"n-{number}-{number}.jsonl"
    path.write_bytes(b"".join(lines))
    return path


def test_nothing(tmp_path: Path) -> None:
    seen = survey(tmp_path / "nowhere", {"a": {}})
    assert (seen.segments, seen.bytes, seen.events, seen.oldest_ms, seen.newest_ms) == (0, 0, 0, None, None)
    assert seen.readers == (Reader("a", 0, 0, None),)


def test_segments_their_times_and_what_is_torn(tmp_path: Path) -> None:
    put(tmp_path, 1, line(5_000), line(9_000), b'{"id":')
    put(tmp_path, 2)
    (tmp_path / "n-1-1.lost").write_bytes(b"12\n")
    (tmp_path / "n-2-1.lost").write_bytes(b"3\n")
    (tmp_path / "n-3-1.lost").write_bytes(b"")
    live = put(tmp_path, 3, line(1_000), line(7_000), b'{"id":')
    with live.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        seen = survey(tmp_path, {})
    assert (seen.segments, seen.open_segments, seen.events, seen.torn, seen.lost) == (3, 1, 4, 1, 15)
    assert seen.bytes == 4 * len(line(0)) + 12
    assert (seen.oldest_ms, seen.newest_ms) == (START_MS + 1_000, START_MS + 9_000)


def test_readers(tmp_path: Path) -> None:
    length = len(line(0))
    first = put(tmp_path, 1, line(5_000), line(9_000), b'{"id":')
    second = put(tmp_path, 2, line(6_000))
    done = {first.name: 2 * length, second.name: length}
    seen = survey(tmp_path, {"all": done, "none": {}, "some": {first.name: length, second.name: length, "gone": 7}})
    assert seen.readers == (
        Reader("all", 0, 0, None),
        Reader("none", 2, 3 * length, START_MS + 5_000),
        Reader("some", 1, length, START_MS + 9_000),
    )
    put(tmp_path, 1, b"what has no id\n")
    put(tmp_path, 2)
    assert survey(tmp_path, {"none": {}}).readers == (Reader("none", 1, 15, None),)


@pytest.mark.parametrize("number", [10, 3_000])
def test_events_are_estimated_and_counted(tmp_path: Path, number: int) -> None:
    put(tmp_path, 1, *(line(at, more=at % 300) for at in range(number)))
    exact, near = survey(tmp_path, {}, exact=True), survey(tmp_path, {})
    assert (exact.events, exact.is_exact, near.is_exact) == (number, True, False)
    assert abs(near.events - number) <= number * 0.1


def test_what_vanishes_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, gone = put(tmp_path, 1, line(1)), tmp_path / "n-9-9.jsonl"
    monkeypatch.setattr(room, "segments", lambda _: [gone, path])

    def late(segment: Path, offset: int, limit: int) -> bytes:
        path.unlink()
        return read_block(segment, offset, limit)

    monkeypatch.setattr(room, "read_block", late)
    assert survey(tmp_path, {"a": {}}).readers == (Reader("a", 1, len(line(1)), None),)


def test_when_a_line_was_recorded() -> None:
    assert recorded_ms(b"x\n" + line(7), 2) == START_MS + 7
    assert recorded_ms(b"", 0) == recorded_ms(b'{"id":"not one of ours"}\n', 0) == 0
    ours = b'{"id":"e677d21f-dbff-7000-8000-000000000000"}\n'
    assert recorded_ms(ours, 0) == 253_402_300_799_999
    # Of a year that no calendar has; of another version, which tells no time; of no number.
    for other in (ours.replace(b"dbff", b"dc00"), ours.replace(b"-7", b"-4"), ours.replace(b"e677", b"e_77"), ours.replace(b"e6", b"-6")):
        assert recorded_ms(other, 0) == 0
