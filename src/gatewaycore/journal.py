"""Journal: the append-only event log on local disk, and the only thing on the request path.

One file for each process, one ``write`` for each event: what has been written survives ``kill -9`` of this process, for it is the operating
system's by then. A file is never shared between processes, because a killed writer's half line would swallow its neighbour's. A segment is
locked (``flock``) as long as its process lives: whoever gets the lock has found a segment that nobody writes to any more.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import re
import threading
import time
import weakref
from collections.abc import Iterator
from pathlib import Path

from attrs import define, frozen

_log = logging.getLogger("gatewaycore.journal")
_NAME = re.compile(r"(?P<node>[A-Za-z0-9_.]+)-(?P<process>\d+)-(?P<start>\d+)\.jsonl")
_COUNT_AGAIN_S = 1.0


@frozen
class JournalSettings:
    """How the journal is kept.

    Attributes:
        segment_bytes: a segment is closed when it is larger.
        segment_age_s: a segment is closed when it is older.
        max_bytes: what all segments together may take; beyond it events are lost, counted and shown, and answers are served all the same.
    """

    segment_bytes: int = 64 * 1024 * 1024
    segment_age_s: int = 3600
    max_bytes: int = 20 * 1024 * 1024 * 1024


@define(slots=True)
class Tally:
    """What became of the events of this process.

    Attributes:
        appended: lines written.
        lost: lines that could not be written: disk full, or over the journal's `max_bytes`.
    """

    appended: int = 0
    lost: int = 0


class Journal:
    """Appends lines to this process's own segment. Safe to use from threads, and across a fork.

    Args:
        directory: where the segments lie; made when it is not there.
        node: names this machine; letters, digits, "_" and ".".
        settings: sizes and ages.
    """

    def __init__(self, directory: Path, node: str, settings: JournalSettings | None = None) -> None:
        self.directory = directory
        self.node = re.sub(r"[^A-Za-z0-9_.]", "_", node) or "node"
        self.settings = settings or JournalSettings()
        self.tally = Tally()
        self._lock = threading.Lock()
        self._fd = -1
        self._size = 0
        self._others = 0
        self._counted_at = 0.0
        self._closes_at = 0.0
        self._failing = False
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        ours = weakref.ref(self)
        os.register_at_fork(after_in_child=lambda: _forget(ours))

    def append(self, line: bytes) -> bool:
        """Append one line, which ends in a newline; False when it is lost. Never raises for a full disk or a failing one."""
        with self._lock:
            try:
                if self._fd < 0 or self._size >= self.settings.segment_bytes or time.monotonic() >= self._closes_at:
                    self._rotate()
                if self._size + self._others + len(line) > self.settings.max_bytes:
                    self._make_sure(len(line))
                written = os.write(self._fd, line)
                if written != len(line):
                    self._cut()
                    raise OSError(errno.ENOSPC, "short write")
            except OSError as error:
                self._lose(error)
                return False
            self._size += written
            self.tally.appended += 1
            self._failing = False
            return True

    def _lose(self, error: OSError) -> None:
        self.tally.lost += 1
        if not self._failing:
            # Said once for each time it begins: a full disk is not mended by filling it with log lines.
            _log.error("events are being lost: %s", error.strerror or type(error).__name__)
            self._failing = True

    def _cut(self) -> None:
        """Cut half a line back to where it began: it would swallow the next event."""
        try:
            os.ftruncate(self._fd, self._size)
        except OSError:
            # Then it must be the last of its segment, where readers skip it.
            self._close()

    def _make_sure(self, more: int) -> None:
        """Count the other segments again, for shipped ones are removed, but not at every lost event.

        Raises:
            OSError: there is no room for `more` bytes.
        """
        now = time.monotonic()
        if now >= self._counted_at + _COUNT_AGAIN_S:
            self._count(now)
        if self._size + self._others + more > self.settings.max_bytes:
            raise OSError(errno.EDQUOT, "the journal is at its max-bytes")

    def _count(self, now: float) -> None:
        self._others = sum(size for _, size in _sizes(self.directory)) - self._size
        self._counted_at = now

    def _rotate(self) -> None:
        now = time.monotonic()
        if self._fd < 0 or self._size:
            self._close()
            self._count(now)
            self._fd = _create(self.directory / f"{self.node}-{os.getpid()}-{time.time_ns()}.jsonl")
        self._closes_at = now + self.settings.segment_age_s

    def _close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
        self._fd, self._size = -1, 0

    def close(self) -> None:
        """Close this process's segment; `append` would open another."""
        with self._lock:
            self._close()


def _create(path: Path) -> int:
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
    except OSError:
        # A file system without locks: each attempt would otherwise leave an open file behind.
        os.close(fd)
        path.unlink()
        raise
    return fd


def _forget(journal: weakref.ref[Journal]) -> None:
    """Let a forked child open a segment of its own: the one it inherits is its parent's."""
    inherited = journal()
    if inherited is not None:
        inherited._lock = threading.Lock()
        inherited._close()
        inherited.tally = Tally()


def _sizes(directory: Path) -> Iterator[tuple[str, int]]:
    with os.scandir(directory) as entries:
        for entry in entries:
            if _NAME.fullmatch(entry.name):
                try:
                    yield entry.name, entry.stat().st_size
                except FileNotFoundError:
                    # Shipped and removed between the two calls.
                    continue


def segments(directory: Path) -> list[Path]:
    """Return the segments in `directory`, the oldest first; empty when there is no such folder."""
    try:
        names = [name for name, _ in _sizes(directory)]
    except FileNotFoundError:
        return []
    return [directory / name for name in sorted(names, key=_start)]


def _start(name: str) -> tuple[int, str]:
    match = _NAME.fullmatch(name)
    return (int(match["start"]) if match else 0, name)


def started_ms(segment: Path) -> int:
    """Return when a segment was begun, in milliseconds since the epoch: no line of it is older, but for those of pulls."""
    return _start(segment.name)[0] // 1_000_000


def is_closed(segment: Path) -> bool:
    """Tell whether nobody writes to `segment` any more: its process has rotated it away, ended or been killed."""
    try:
        fd = os.open(segment, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(fd)
    return True


def read_lines(segment: Path, offset: int = 0, limit_bytes: int = 4 * 1024 * 1024) -> tuple[list[bytes], int]:
    """Return whole lines of `segment` from `offset` on, and the offset behind them. A torn last line is left for later.

    Args:
        segment: the file.
        offset: where a line begins, in bytes.
        limit_bytes: about how much to read; a longer line is read whole.
    """
    block = read_block(segment, offset, limit_bytes)
    return block.splitlines(keepends=True), offset + len(block)


def read_block(segment: Path, offset: int, limit_bytes: int) -> bytes:
    """Return the same lines in one piece: for those who look for few of them, and need not take the others apart."""
    with segment.open("rb") as file:
        file.seek(offset)
        block = file.read(limit_bytes)
        if block and b"\n" not in block:
            block += file.readline()
    return block[: block.rfind(b"\n") + 1]
