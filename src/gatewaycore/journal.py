"""Journal: the append-only event log on local disk, and the only thing on the request path.

One file for each process, one ``write`` for the events of a request: what has been written survives ``kill -9`` of this process, for it is
the operating system's by then. With ``durable: disk`` it is on the disk, too, before the answer leaves, and survives a power cut. A file is
never shared between processes, because a killed writer's half line would swallow its neighbour's. A segment is locked (``flock``) while its
process lives: whoever gets the lock has found a segment that nobody writes to any more.
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
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal

from attrs import define, frozen

from gatewaycore.commits import Group, GroupCommit
from gatewaycore.segments import sizes

_log = logging.getLogger("gatewaycore.journal")
_COUNT_AGAIN_S = 1.0


@frozen
class JournalSettings:
    """How the journal is kept.

    Attributes:
        durable: what an event that was answered survives: the end of this "process", or a power cut, because it is on "disk".
        segment_bytes: a segment is closed when it is larger.
        segment_age_s: a segment is closed when it is older.
        max_bytes: what all segments together may take; beyond it events are lost, counted and shown, and answers are served all the same.
        keep_s: how long a segment that all sinks have read to its end is still kept.
        keep_days: without sinks, how long after its last line a segment is kept; for ever when it is None.
    """

    durable: Literal["process", "disk"] = "process"
    segment_bytes: int = 64 * 1024 * 1024
    segment_age_s: int = 3600
    max_bytes: int = 20 * 1024 * 1024 * 1024
    keep_s: int = 300
    keep_days: int | None = None


@define(slots=True)
class Tally:
    """What became of the events of this process.

    Attributes:
        appended: lines written.
        lost: lines that could not be written, or not be committed: disk full or failing, or over the journal's `max_bytes`.
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
        self.node = node_name(node)
        self.settings = settings or JournalSettings()
        self.tally = Tally()
        self._share()
        self._fd = -1
        self._size = 0
        self._others = 0
        self._counted_at = 0.0
        self._closes_at = 0.0
        self._failing = False
        self._told_at = 0.0
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        ours = weakref.ref(self)
        os.register_at_fork(after_in_child=lambda: _forget(ours))

    @property
    def is_failing(self) -> bool:
        """Whether the last event could not be appended."""
        return self._failing

    def _share(self) -> None:
        self._since_ns = time.time_ns()
        self._lock = threading.Lock()
        self._commits = GroupCommit(self._lock, self._uncommitted) if self.settings.durable == "disk" else None

    def append_all(self, lines: Sequence[bytes]) -> bool:
        """Append the lines of one request; False when some are lost: all of them, or those that a full disk had no room for."""
        return self.append(b"".join(lines), len(lines))

    def append(self, line: bytes, count: int = 1) -> bool:
        """Append one line, which ends in a newline; False when it is lost. Never raises for a full disk or a failing one.

        Args:
            line: a line, or several.
            count: how many.
        """
        with self._lock:
            try:
                if self._fd < 0 or self._size >= self.settings.segment_bytes or time.monotonic() >= self._closes_at:
                    self._rotate()
                if self._size + self._others + len(line) > self.settings.max_bytes:
                    self._make_sure(len(line))
                written = os.write(self._fd, line)
                if written != len(line):
                    count -= self._keep_whole(line[:written], count)
                    raise OSError(errno.ENOSPC, "short write")
            except OSError as error:
                self._lose(count, error)
                return False
            self._size += written
            self.tally.appended += count
            commits = self._commits
            if commits is None:
                if self._failing:
                    self._recover()
                return True
            group = commits.group
            group.lines += count
        return self._commit(commits, group)

    def _commit(self, commits: GroupCommit, group: Group) -> bool:
        is_safe = commits.wait(group, lambda: self._fd)
        if is_safe and self._failing:
            with self._lock:
                self._recover()
        return is_safe

    def _uncommitted(self, count: int, error: OSError) -> None:
        """Count lines as lost that may be in the file, but not on the disk, and begin another segment.

        What a system does with pages that it could not write is its own affair; the next fdatasync of that file may say that all is well.
        """
        self.tally.appended -= count
        self._lose(count, error)
        self._close()

    def _lose(self, count: int, error: OSError) -> None:
        self.tally.lost += count
        if not self._failing:
            # Said once for each time it begins: a full disk is not mended by filling it with log lines.
            _log.error("events are being lost: %s", error.strerror or type(error).__name__)
            self._failing = True
        if time.monotonic() >= self._told_at + _COUNT_AGAIN_S:
            self._tell()

    def _recover(self) -> None:
        self._failing = False
        self._tell()

    def _tell(self) -> None:
        """Leave word beside the segments of what was lost, for those who ask from other processes; if there is room for a number."""
        self._told_at = time.monotonic()
        path = self.directory / f"{self.node}-{os.getpid()}-{self._since_ns}.lost"
        # Whatever fails is told by the log and by the tally.
        with suppress(OSError), open(path, "wb", opener=_for_us, buffering=0) as file:
            file.write(b"%d\n" % self.tally.lost)

    def _keep_whole(self, part: bytes, most: int) -> int:
        """Cut half a line back to where it began: it would swallow the next event. Return how many are whole.

        Those stay: somebody may have read them, who would come back to a place where something else stands, or nothing.
        """
        kept = min(part.count(b"\n"), most)
        self._size += part.rfind(b"\n") + 1
        self.tally.appended += kept
        if self._commits is not None:
            # Nobody waits for them: they are committed with the next ones.
            self._commits.group.lines += kept
        try:
            os.ftruncate(self._fd, self._size)
        except OSError:
            # Then it must be the last of its segment, where readers skip it.
            self._close()
        return kept

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
        self._others = sum(size for _, size in sizes(self.directory)) - self._size
        self._counted_at = now

    def _rotate(self) -> None:
        now = time.monotonic()
        if self._fd < 0 or self._size:
            self._close()
            self._count(now)
            self._fd = self._begin()
        self._closes_at = now + self.settings.segment_age_s

    def _begin(self) -> int:
        fd, _ = begin_segment(self.directory, self.node, ".jsonl")
        if self._commits is not None:
            try:
                _commit_names(self.directory)
            except OSError:
                os.close(fd)
                raise
        return fd

    def _close(self) -> None:
        if self._fd >= 0 and self._commits is not None:
            # Which closes it, if that fails.
            self._commits.settle(self._fd)
        if self._fd >= 0:
            os.close(self._fd)
        self._fd, self._size = -1, 0

    def close(self) -> None:
        """Close this process's segment; `append` would open another."""
        with self._lock:
            self._close()
            if self._failing:
                self._tell()


def node_name(text: str) -> str:
    """Return a machine's name as the names of its segments have it."""
    return re.sub(r"[^A-Za-z0-9_.]", "_", text) or "node"


def begin_segment(directory: Path, node: str, ending: str) -> tuple[int, Path]:
    """Begin a segment of this process; return its descriptor, which holds its lock, and where it is.

    Raises:
        OSError: it cannot be made or locked.
    """
    while True:
        path = directory / f"{node}-{os.getpid()}-{time.time_ns()}{ending}"
        fd = _create(path)
        # Until it was locked, it was an empty one that nobody writes to, and `remove` may have taken it for one that was left behind.
        if os.fstat(fd).st_nlink:
            return fd, path
        os.close(fd)


def _for_us(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)


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


def _commit_names(directory: Path) -> None:
    """Make a new file survive a power cut: its name lies in the folder, not in the file."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _forget(journal: weakref.ref[Journal]) -> None:
    """Let a forked child open a segment of its own: the one it inherits is its parent's."""
    inherited = journal()
    if inherited is not None:
        if inherited._commits is not None:
            inherited._commits.close()
        # Its parent commits what its parent has written.
        inherited._share()
        inherited._close()
        inherited.tally = Tally()
