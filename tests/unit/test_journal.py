"""The journal: what is appended stays, whole and in order, and nothing that goes wrong costs more than the event itself."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gatewaycore import commits as committing
from gatewaycore import journal as room
from gatewaycore import segments as files
from gatewaycore.commits import GroupCommit
from gatewaycore.journal import Journal, JournalSettings
from gatewaycore.segments import Span, find_span, is_closed, read_lines, remove, segments

LINE = b'{"id":"x"}\n'


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Journal]]:
    opened: list[Journal] = []

    def made(**settings: Any) -> Journal:
        opened.append(Journal(tmp_path / "journal", "node-1.example", JournalSettings(**settings)))
        return opened[-1]

    yield made
    for journal in opened:
        journal.close()


def lines(journal: Journal) -> list[bytes]:
    return [line for segment in segments(journal.directory) for line in read_lines(segment)[0]]


def test_lines_are_in_the_file_as_soon_as_they_are_appended(make: Callable[..., Journal]) -> None:
    journal = make()
    assert [journal.append(b"%d\n" % number) for number in range(3)] == [True] * 3
    assert lines(journal) == [b"0\n", b"1\n", b"2\n"]
    assert (journal.tally.appended, journal.tally.lost) == (3, 0)
    (segment,) = segments(journal.directory)
    assert segment.name.startswith(f"node_1.example-{os.getpid()}-")
    assert (segment.stat().st_mode & 0o777, journal.directory.stat().st_mode & 0o777) == (0o600, 0o700)


def test_without_events_there_is_no_file(make: Callable[..., Journal]) -> None:
    make().close()
    assert segments(make().directory) == []
    assert segments(make().directory / "nowhere") == []


@pytest.mark.parametrize(("node", "expected"), [("a-b/c", "a_b_c"), ("", "node"), ("n_1.x", "n_1.x")])
def test_a_nodes_name_fits_into_a_files(tmp_path: Path, node: str, expected: str) -> None:
    assert Journal(tmp_path, node).node == expected


def test_a_segment_is_closed_when_it_is_large(make: Callable[..., Journal]) -> None:
    journal = make(segment_bytes=2 * len(LINE))
    for _ in range(5):
        assert journal.append(LINE)
    assert [segment.stat().st_size // len(LINE) for segment in segments(journal.directory)] == [2, 2, 1]
    assert [is_closed(segment) for segment in segments(journal.directory)] == [True, True, False]


def test_a_segment_is_closed_when_it_is_old(make: Callable[..., Journal], clock: list[float]) -> None:
    journal = make(segment_age_s=60)
    journal.append(LINE)
    clock[0] += 59
    journal.append(LINE)
    clock[0] += 1
    journal.append(LINE)
    assert [len(read_lines(segment)[0]) for segment in segments(journal.directory)] == [2, 1]


def test_a_segment_without_a_line_is_used_when_it_is_old(make: Callable[..., Journal], clock: list[float]) -> None:
    journal = make(segment_age_s=60, max_bytes=len(LINE))
    assert not journal.append(LINE * 2)
    clock[0] += 61
    assert journal.append(LINE)
    assert len(segments(journal.directory)) == 1


def test_the_oldest_segment_comes_first_and_other_files_are_none(tmp_path: Path) -> None:
    for name in ("b-1-20.jsonl", "a-10-100.jsonl", "a-9-3.jsonl", "notes.txt", "a-b-c.jsonl"):
        (tmp_path / name).touch()
    assert [segment.name for segment in segments(tmp_path)] == ["a-9-3.jsonl", "b-1-20.jsonl", "a-10-100.jsonl"]
    assert files._start("notes.txt") == (0, "notes.txt")


# --- what goes wrong -----------------------------------------------------------------------------------------------------


def test_over_its_max_bytes_events_are_lost_and_counted_and_said_once(
    make: Callable[..., Journal], clock: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    journal = make(max_bytes=3 * len(LINE), segment_bytes=2 * len(LINE))
    assert [journal.append(LINE) for _ in range(6)] == [True] * 3 + [False] * 3
    assert (journal.tally.appended, journal.tally.lost) == (3, 3)
    assert [record.message for record in caplog.records] == ["events are being lost: the journal is at its max-bytes"]
    # Shipped segments are removed, and there is room again.
    segments(journal.directory)[0].unlink()
    assert not journal.append(LINE)
    clock[0] += 1
    assert journal.append(LINE)
    # It is said again for the next time it begins.
    clock[0] += 1
    assert [journal.append(LINE) for _ in range(2)] == [True, False]
    assert len(caplog.records) == 2


def test_what_other_processes_wrote_counts_too(make: Callable[..., Journal]) -> None:
    first, second = make(), make(max_bytes=4 * len(LINE))
    for _ in range(3):
        first.append(LINE)
    assert [second.append(LINE) for _ in range(2)] == [True, False]


def test_a_full_disk_loses_events_and_half_a_line_is_cut_back(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """In a process of its own: its files may take 25 bytes, so that the third line of 10 is written by half."""
    code = f"""
import resource, signal
from pathlib import Path
from gatewaycore.journal import Journal
resource.setrlimit(resource.RLIMIT_FSIZE, (25, 25))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
journal = Journal(Path({str(tmp_path)!r}), "n")
print([journal.append(b"%09d\\n" % number) for number in range(4)], journal.tally.lost)
"""
    done = run(code)
    assert done.stdout == "[True, True, False, False] 2\n"
    (segment,) = segments(tmp_path)
    assert segment.read_bytes() == b"000000000\n000000001\n"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full, which Linux has")
def test_a_device_that_is_full_costs_no_answer(make: Callable[..., Journal], monkeypatch: pytest.MonkeyPatch) -> None:
    journal = make()
    monkeypatch.setattr(room, "_create", lambda _: os.open("/dev/full", os.O_WRONLY))
    assert not journal.append(LINE)
    monkeypatch.undo()
    journal.close()
    assert journal.append(LINE)
    assert (journal.tally.appended, journal.tally.lost) == (1, 1)


def test_half_a_line_that_cannot_be_cut_back_ends_its_segment(make: Callable[..., Journal], monkeypatch: pytest.MonkeyPatch) -> None:
    journal = make()
    assert journal.append(LINE)
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[:4]))
    monkeypatch.setattr(os, "ftruncate", failing(errno.EIO))
    assert not journal.append(LINE)
    monkeypatch.undo()
    assert journal.append(LINE)
    first, second = segments(journal.directory)
    assert first.read_bytes() == LINE + LINE[:4]
    assert lines(journal) == [LINE, LINE]
    assert second.read_bytes() == LINE


@pytest.mark.parametrize("durable", ["process", "disk"])
@pytest.mark.parametrize("can_cut", [True, False])
def test_what_a_reader_has_seen_of_a_short_write_stays(
    make: Callable[..., Journal], monkeypatch: pytest.MonkeyPatch, durable: str, can_cut: bool
) -> None:
    journal = make(durable=durable)
    assert journal.append(LINE)
    write, seen = os.write, []

    def short(fd: int, data: bytes) -> int:
        written = write(fd, data[: 2 * len(LINE) + 4])
        # Somebody reads before it is cut back.
        seen.append(read_lines(segments(journal.directory)[0]))
        return written

    monkeypatch.setattr(os, "write", short)
    if not can_cut:
        monkeypatch.setattr(os, "ftruncate", failing(errno.EIO))
    assert not journal.append_all([b"%d\n" % number for number in range(100_000_000, 100_000_004)])
    monkeypatch.undo()
    assert (journal.tally.appended, journal.tally.lost) == (3, 2)
    assert journal.append_all([b"later\n", b"last\n"])
    journal.close()
    (read, offset), found = seen[0], segments(journal.directory)
    rest = read_lines(found[0], offset)[0] + (read_lines(found[1])[0] if len(found) > 1 else [])
    assert read + rest == [LINE, b"100000000\n", b"100000001\n", b"later\n", b"last\n"]


def failing(number: int) -> Callable[..., Any]:
    def fail(*_: Any) -> Any:
        raise OSError(number, os.strerror(number))

    return fail


def test_a_file_system_without_locks_leaves_nothing_open_and_nothing_behind(
    make: Callable[..., Journal], monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = make()
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    monkeypatch.setattr(fcntl, "flock", failing(errno.ENOLCK))
    assert [journal.append(LINE) for _ in range(20)] == [False] * 20
    assert (len(os.listdir("/proc/self/fd")) if before else 0) == before
    assert segments(journal.directory) == []


def test_a_folder_that_is_gone_costs_no_answer(make: Callable[..., Journal], caplog: pytest.LogCaptureFixture) -> None:
    journal = make()
    journal.directory.rmdir()
    with caplog.at_level(logging.ERROR):
        assert not journal.append(LINE)
    assert "No such file" in caplog.text
    assert str(journal.directory) not in caplog.text


def test_a_segment_that_vanishes_while_it_is_counted(tmp_path: Path) -> None:
    (tmp_path / "n-1-1.jsonl").symlink_to(tmp_path / "gone")
    assert list(files.sizes(tmp_path)) == []


# --- threads and processes -----------------------------------------------------------------------------------------------


def test_threads_share_a_journal(make: Callable[..., Journal]) -> None:
    journal = make(segment_bytes=1000)
    began = threading.Barrier(8)

    def write(name: int) -> None:
        began.wait()
        for number in range(200):
            journal.append(b"%d-%d\n" % (name, number))

    threads = [threading.Thread(target=write, args=(name,)) for name in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(lines(journal)) == sorted(b"%d-%d\n" % (name, number) for name in range(8) for number in range(200))
    assert journal.tally.appended == 1600


def run(code: str, **more: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60, **more)


def test_a_forked_child_writes_a_segment_of_its_own(tmp_path: Path) -> None:
    code = f"""
import os
from pathlib import Path
from gatewaycore.journal import Journal
from gatewaycore.segments import is_closed, segments
journal = Journal(Path({str(tmp_path)!r}), "n")
gone = Journal(Path({str(tmp_path)!r}), "gone")
del gone
journal.append(b"parent\\n")
child = os.fork()
if not child:
    journal.append(b"child\\n")
    os._exit(journal.tally.appended)
_, status = os.waitpid(child, 0)
journal.append(b"parent\\n")
print(os.waitstatus_to_exitcode(status), journal.tally.appended)
print([is_closed(segment) for segment in segments(Path({str(tmp_path)!r}))])
"""
    assert run(code).stdout == "1 2\n[False, True]\n"
    assert [segment.read_bytes() for segment in segments(tmp_path)] == [b"parent\nparent\n", b"child\n"]


def test_what_a_forked_child_forgets(make: Callable[..., Journal]) -> None:
    journal = make()
    journal.append(LINE)
    room._forget(weakref.ref(journal))
    assert (journal.tally.appended, journal._fd) == (0, -1)
    journal.append(LINE)
    assert len(segments(journal.directory)) == 2
    ours = weakref.ref(Journal(journal.directory, "gone"))
    room._forget(ours)
    assert ours() is None


def test_a_fork_in_the_middle_of_an_append_does_not_lock_the_child(tmp_path: Path) -> None:
    code = f"""
import os, threading
from pathlib import Path
from gatewaycore.journal import Journal
journal = Journal(Path({str(tmp_path)!r}), "n")
with journal._lock:
    child = os.fork()
    if not child:
        os._exit(0 if journal.append(b"child\\n") else 1)
_, status = os.waitpid(child, 0)
print(os.waitstatus_to_exitcode(status))
"""
    assert run(code).stdout == "0\n"


WRITER = """
import sys
from pathlib import Path
from gatewaycore.journal import Journal
journal = Journal(Path(sys.argv[1]), "n")
number = 0
while True:
    assert journal.append(b'{"number":%09d}\\n' % number)
    number += 1
    if number == 1000:
        print("begun", flush=True)
"""


def test_a_writer_that_is_killed_loses_no_line_it_was_told_is_there(tmp_path: Path) -> None:
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    with writer.stdout as begun:
        assert begun.readline() == "begun\n"
    (segment,) = segments(tmp_path)
    assert not is_closed(segment)
    writer.send_signal(signal.SIGKILL)
    writer.wait(timeout=30)
    assert is_closed(segment)
    found = read_lines(segment)[0]
    assert len(found) >= 1000
    assert found == [b'{"number":%09d}\n' % number for number in range(len(found))]


def test_is_closed(tmp_path: Path) -> None:
    segment = tmp_path / "n-1-1.jsonl"
    assert is_closed(segment)
    with segment.open("wb") as file:
        assert is_closed(segment)
        fcntl.flock(file, fcntl.LOCK_EX)
        assert not is_closed(segment)
    assert is_closed(segment)


# --- until it is on the disk -----------------------------------------------------------------------------------------------


def test_what_is_durable_is_committed_before_append_returns(make: Callable[..., Journal], monkeypatch: pytest.MonkeyPatch) -> None:
    journal, seen = make(durable="disk", segment_bytes=2 * len(LINE)), []
    monkeypatch.setattr(os, "fdatasync", lambda fd: seen.append(os.fstat(fd).st_size))
    names: list[int] = []
    monkeypatch.setattr(os, "fsync", names.append)
    assert [journal.append(LINE) for _ in range(3)] == [True] * 3
    assert [size // len(LINE) for size in seen] == [1, 2, 1]
    # The folder, once for each file that is new in it.
    assert len(names) == 2
    assert journal.append_all([LINE] * 5)
    assert [size // len(LINE) for size in seen] == [1, 2, 1, 6]
    assert (journal.tally.appended, journal.tally.lost) == (8, 0)


def test_a_process_does_not_wait_for_the_disk_unless_told_to(make: Callable[..., Journal], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fdatasync", failing(errno.EIO))
    monkeypatch.setattr(os, "fsync", failing(errno.EIO))
    assert make().append(LINE)


def test_one_commit_serves_all_who_wait(make: Callable[..., Journal], monkeypatch: pytest.MonkeyPatch) -> None:
    journal = make(durable="disk")
    seen: list[int] = []
    is_begun, may_end = threading.Event(), threading.Event()

    def commit(fd: int) -> None:
        seen.append(os.fstat(fd).st_size // len(LINE))
        is_begun.set()
        assert may_end.wait(30)

    monkeypatch.setattr(os, "fdatasync", commit)
    kept: list[bool] = []
    threads = [threading.Thread(target=lambda: kept.append(journal.append(LINE))) for _ in range(9)]
    threads[0].start()
    assert is_begun.wait(30)
    for thread in threads[1:]:
        thread.start()
    # They have all written before the first commit ends, and wait.
    while journal.tally.appended < 9:
        time.sleep(0.001)
    assert kept == []
    may_end.set()
    for thread in threads:
        thread.join(30)
    assert kept == [True] * 9
    assert seen == [1, 9]


def test_a_full_segment_is_committed_before_it_is_closed(make: Callable[..., Journal], monkeypatch: pytest.MonkeyPatch) -> None:
    journal = make(durable="disk", segment_bytes=len(LINE))
    is_begun, may_end = threading.Event(), threading.Event()
    real = os.fdatasync
    seen: list[int] = []

    def commit(fd: int) -> None:
        if not seen:
            seen.append(0)
            is_begun.set()
            assert may_end.wait(30)
        seen.append(os.fstat(fd).st_ino)
        real(fd)

    monkeypatch.setattr(os, "fdatasync", commit)
    threads = [threading.Thread(target=journal.append, args=(LINE,)) for _ in range(3)]
    threads[0].start()
    assert is_begun.wait(30)
    for number, thread in enumerate(threads[1:], start=2):
        thread.start()
        while journal.tally.appended < number:
            time.sleep(0.001)
    may_end.set()
    for thread in threads:
        thread.join(30)
    inodes = [segment.stat().st_ino for segment in segments(journal.directory)]
    # The second was committed by who began the third, the first by who had begun with it, the third by its own.
    assert seen[1:] == [inodes[1], inodes[0], inodes[2]]


def test_what_cannot_be_committed_is_lost_and_said_once(
    make: Callable[..., Journal], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    journal = make(durable="disk")
    assert journal.append(LINE)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", failing(errno.EIO))
        assert [journal.append(LINE), journal.append_all([LINE] * 3)] == [False] * 2
    assert caplog.messages == ["events are being lost: Input/output error"]
    assert (journal.tally.appended, journal.tally.lost) == (1, 4)
    # What is said of that file from now on is not believed: each failure begins another.
    assert journal.append(LINE)
    assert [len(read_lines(segment)[0]) for segment in segments(journal.directory)] == [2, 3, 1]
    # Without anybody who waits: what is left when it is closed.
    commits = journal._commits
    assert commits is not None
    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", failing(errno.EIO))
        patch.setattr(commits, "wait", lambda *_: True)
        assert journal.append(LINE)
        journal.close()
    assert (journal.tally.appended, journal.tally.lost) == (2, 5)
    assert len(caplog.messages) == 2


def test_a_commit_that_cannot_begin_or_is_interrupted_keeps_nobody_waiting(
    make: Callable[..., Journal], monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = make(durable="disk")
    with monkeypatch.context() as patch:
        patch.setattr(os, "dup", failing(errno.EMFILE))
        assert not journal.append(LINE)

    def interrupted(_: int) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", interrupted)
        with pytest.raises(KeyboardInterrupt):
            journal.append(LINE)
    assert (journal.tally.appended, journal.tally.lost) == (0, 2)
    assert journal.append(LINE)


def test_a_file_whose_name_cannot_be_committed_is_not_used(make: Callable[..., Journal], monkeypatch: pytest.MonkeyPatch) -> None:
    journal = make(durable="disk")
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", failing(errno.EIO))
        assert not journal.append(LINE)
    (segment,) = segments(journal.directory)
    assert is_closed(segment)
    assert journal.append(LINE)


def test_a_forked_child_commits_for_itself(make: Callable[..., Journal]) -> None:
    journal = make(durable="disk")
    assert journal.append(LINE)
    commits = journal._commits
    assert isinstance(commits, GroupCommit)
    commits.close()
    commits._fd = os.open(os.devnull, os.O_RDONLY)
    room._forget(weakref.ref(journal))
    assert commits._fd == -1
    assert journal.append(LINE)
    assert committing.Group().error is None


def test_threads_commit_together(make: Callable[..., Journal]) -> None:
    journal = make(durable="disk", segment_bytes=400)
    kept: list[bool] = []

    def write() -> None:
        kept.extend(journal.append(LINE) for _ in range(50))

    threads = [threading.Thread(target=write) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert kept == [True] * 400
    assert lines(journal) == [LINE] * 400


# --- what was lost, and what is removed --------------------------------------------------------------------------------------


def test_word_is_left_of_what_was_lost(make: Callable[..., Journal], clock: list[float]) -> None:
    journal = make(max_bytes=2 * len(LINE))

    def told() -> list[bytes]:
        return [path.read_bytes() for path in journal.directory.glob("*.lost")]

    journal.append_all([LINE, LINE])
    assert told() == []
    assert not journal.append(LINE)
    assert not journal.append(LINE)
    # Not for every one of them.
    assert told() == [b"1\n"]
    clock[0] += 1
    assert not journal.append(LINE)
    assert told() == [b"3\n"]
    assert not journal.append(LINE)
    journal.close()
    assert told() == [b"4\n"]
    segments(journal.directory)[0].unlink()
    clock[0] += 1
    assert journal.append(LINE)
    assert told() == [b"4\n"]


def test_a_segment_is_removed_when_nobody_writes_to_it_and_it_is_read(make: Callable[..., Journal]) -> None:
    journal = make()
    journal.append(LINE)
    (segment,) = segments(journal.directory)
    assert not remove(segment, lambda _: True)
    journal.close()
    assert not remove(segment, lambda size: size != len(LINE))
    assert segment.exists()
    assert remove(segment, lambda size: size == len(LINE))
    assert not segment.exists()
    assert not remove(segment, lambda _: True)


def test_a_segment_that_was_removed_before_it_was_locked_is_not_written_to(
    make: Callable[..., Journal], monkeypatch: pytest.MonkeyPatch
) -> None:
    journal, flock = make(), fcntl.flock
    removed: list[Path] = []

    def late(fd: int, how: int) -> None:
        # Another process cleans up between the two calls that make a segment.
        if not removed:
            removed.extend(segments(journal.directory))
            removed[0].unlink()
        flock(fd, how)

    monkeypatch.setattr(fcntl, "flock", late)
    assert journal.append(LINE)
    assert len(removed) == 1
    assert lines(journal) == [LINE]


# --- reading -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "offset", "limit", "expected"),
    [
        (b"", 0, 100, ([], 0)),
        (b"a\nb\n", 0, 100, ([b"a\n", b"b\n"], 4)),
        (b"a\nb\n", 2, 100, ([b"b\n"], 4)),
        (b"a\nb\n", 4, 100, ([], 4)),
        (b"a\nb\n", 99, 100, ([], 99)),
        # A torn last line is left for later.
        (b"a\nb", 0, 100, ([b"a\n"], 2)),
        (b"b", 0, 100, ([], 0)),
        (b"a\nbc\n", 0, 3, ([b"a\n"], 2)),
        # A line longer than the limit is read whole.
        (b"abcdef\ng\n", 0, 2, ([b"abcdef\n"], 7)),
        (b"abcdef", 0, 2, ([], 0)),
    ],
)
def test_read_lines(tmp_path: Path, data: bytes, offset: int, limit: int, expected: tuple[list[bytes], int]) -> None:
    segment = tmp_path / "s"
    segment.write_bytes(data)
    assert read_lines(segment, offset, limit) == expected
    span = find_span(segment, offset, limit)
    assert (span.read().splitlines(keepends=True), span.end) == expected
    assert b"".join(span.pieces(1)) == span.read()


def test_the_end_of_a_span_is_looked_for_from_behind(tmp_path: Path) -> None:
    segment = tmp_path / "s"
    segment.write_bytes(b"a\n" + b"b" * 300_000 + b"\nc\n")
    assert find_span(segment, 0, 250_000) == Span(segment, 0, 2)
    assert find_span(segment, 2, 250_000) == Span(segment, 2, 300_003)
    assert find_span(segment, 0, 400_000).size == 300_005


def test_a_segment_does_not_become_shorter(tmp_path: Path) -> None:
    segment = tmp_path / "s"
    segment.write_bytes(b"a\n")
    with pytest.raises(EOFError, match="shorter"):
        Span(segment, 0, 3).read()
