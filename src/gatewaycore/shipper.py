"""Shipper: journal -> sinks, with a cursor for each, so that a dead sink delays only itself.

At least once: a cursor moves after its sink has said that a batch is safe. Runs as one thread of one process of a node (the others find the
lock taken), or by itself. A sink is one lane; what counts pulls is another.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from attrs import define, frozen

from gatewaycore.journal import read_lines, segments
from gatewaycore.sinks import Sink

_log = logging.getLogger("gatewaycore.shipper")
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 60.0


@frozen
class Turn:
    """One look at the journal.

    Attributes:
        began_ms: when, in milliseconds since the epoch; what was written before is in these segments.
        segments: that there were then, the oldest first.
    """

    began_ms: int
    segments: Sequence[Path]


class Lane(Protocol):
    """What reads the whole journal, at a pace and with a cursor of its own.

    Attributes:
        name: what it is called in the log.
        shipped: how much it has got done so far.
    """

    name: str
    shipped: int

    def begin(self) -> None:
        """Take up the cursor: the lock has been taken, and until now another process may have moved it."""
        ...

    def ship(self, turn: Turn) -> bool:
        """Get one share of the work done; True when there is more at once. Whatever is raised means that it goes on later."""
        ...

    def close(self) -> None:
        """Let go of files and connections."""
        ...


class _SinkLane:
    """One sink, and how far it has come in each segment (bytes)."""

    def __init__(self, name: str, sink: Sink, cursor_file: Path) -> None:
        self.name = f"sink {name}"
        self.shipped = 0
        self._sink = sink
        self._cursor_file = cursor_file
        self._offsets: dict[str, int] = {}

    def begin(self) -> None:
        try:
            self._offsets = _offsets(self._cursor_file.read_bytes())
        except FileNotFoundError:
            self._offsets = {}
        except (ValueError, AttributeError, TypeError):
            # Everything is sent again; sinks recognise what they have by its id.
            _log.warning("the cursor of %s cannot be read and begins anew", self.name)
            self._offsets = {}

    def ship(self, turn: Turn) -> bool:
        for gone in self._offsets.keys() - {segment.name for segment in turn.segments}:
            del self._offsets[gone]
        for segment in turn.segments:
            while self._take(segment):
                pass
        return False

    def _take(self, segment: Path) -> bool:
        """Ship one batch of `segment`; False when there is none."""
        try:
            lines, end = read_lines(segment, self._offsets.get(segment.name, 0))
        except FileNotFoundError:
            # Everybody had it, and it was removed.
            return False
        if not lines:
            return False
        self._sink.write(lines)
        self._offsets[segment.name] = end
        self._save()
        self.shipped += len(lines)
        return True

    def _save(self) -> None:
        draft = self._cursor_file.with_suffix(".new")
        with draft.open("w") as file:
            json.dump(self._offsets, file)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self._cursor_file)

    def close(self) -> None:
        self._sink.close()


@define
class _Pace:
    """When a lane is tried again that could not go on."""

    pause_s: float = 0.0
    resumes_at: float = 0.0

    def postpone(self) -> None:
        self.pause_s = min(max(self.pause_s * 2, _FIRST_PAUSE_S), _LONGEST_PAUSE_S)
        self.resumes_at = time.monotonic() + self.pause_s


def _offsets(text: bytes) -> dict[str, int]:
    offsets = {str(name): int(offset) for name, offset in json.loads(text).items()}
    if any(offset < 0 for offset in offsets.values()):
        raise ValueError("an offset lies before the file")
    return offsets


class Shipper:
    """Feeds the sinks, and whatever else reads the whole journal.

    Args:
        journal: the folder of segments.
        cursors: the folder of cursors; made when it is not there.
        sinks: by name; a name keeps its cursor, so it must not change from run to run.
        lanes: what has its turn before the sinks, which so get at once what it appends to the journal.
    """

    def __init__(self, journal: Path, cursors: Path, sinks: Mapping[str, Sink], lanes: Sequence[Lane] = ()) -> None:
        self._journal = journal
        self._cursors = cursors
        cursors.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._sinks = [_SinkLane(name, sink, cursors / f"{re.sub(r'[^A-Za-z0-9_.-]', '_', name)}.json") for name, sink in sinks.items()]
        self._lanes: list[tuple[Lane, _Pace]] = [(lane, _Pace()) for lane in (*lanes, *self._sinks)]
        self._lock_fd = -1

    def acquire(self) -> bool:
        """Take the node's shipping lock; False when another process ships already."""
        if self._lock_fd >= 0:
            return True
        fd = os.open(self._cursors / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return False
        self._lock_fd = fd
        for lane, _ in self._lanes:
            lane.begin()
        return True

    def ship(self) -> int:
        """Ship what is there now; return the number of lines that the sinks took. Needs the lock."""
        before = sum(sink.shipped for sink in self._sinks)
        for lane, pace in self._lanes:
            while self._ship(lane, pace):
                pass
        return sum(sink.shipped for sink in self._sinks) - before

    def _ship_due(self) -> None:
        now = time.monotonic()
        for lane, pace in self._lanes:
            if now >= pace.resumes_at:
                self._ship(lane, pace)

    def _ship(self, lane: Lane, pace: _Pace) -> bool:
        before, began_ms = lane.shipped, time.time_ns() // 1_000_000
        turn = Turn(began_ms, segments(self._journal))
        try:
            more = lane.ship(turn)
        except Exception as error:  # noqa: BLE001 - whatever a sink of another distribution raises delays that sink alone
            if lane.shipped > before:
                pace.pause_s = 0.0
            pace.postpone()
            _log.warning("%s takes nothing now, and is tried again in %.0f s: %s", lane.name, pace.pause_s, type(error).__name__)
            return False
        pace.pause_s = 0.0
        return more

    def run(self, stop: threading.Event, interval_s: float = 1.0) -> None:
        """Ship until `stop` is set, and once more then, to sinks that are paused too."""
        while not stop.wait(interval_s):
            self._turn(self._ship_due)
        self._turn(self.ship)

    def _turn(self, ship: Callable[[], object]) -> None:
        try:
            if self.acquire():
                ship()
        except OSError as error:
            _log.error("shipping has failed and is tried again: %s", error.strerror or type(error).__name__)

    def close(self) -> None:
        """Close the lanes and let go of the lock."""
        for lane, _ in self._lanes:
            lane.close()
        if self._lock_fd >= 0:
            os.close(self._lock_fd)
            self._lock_fd = -1
