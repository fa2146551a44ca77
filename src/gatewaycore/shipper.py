"""Shipper: journal -> sinks, with a cursor for each, so that a dead sink delays only itself.

At least once: a cursor moves after its sink has said that a batch is safe. Runs as one thread of one process of a node (the others find the
lock taken), or by itself.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import re
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from attrs import define, field

from gatewaycore.journal import read_lines, segments
from gatewaycore.sinks import Sink

_log = logging.getLogger("gatewaycore.shipper")
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 60.0


@define
class _Lane:
    """One sink, and how far it has come in each segment (bytes)."""

    name: str
    sink: Sink
    cursor_file: Path
    offsets: dict[str, int] = field(factory=dict)
    pause_s: float = 0.0
    resumes_at: float = 0.0
    shipped: int = 0

    def load(self) -> None:
        try:
            self.offsets = _offsets(self.cursor_file.read_bytes())
        except FileNotFoundError:
            self.offsets = {}
        except (ValueError, AttributeError, TypeError):
            # Everything is sent again; sinks recognise what they have by its id.
            _log.warning("the cursor of sink %s cannot be read and begins anew", self.name)
            self.offsets = {}

    def take(self, segment: Path) -> bool:
        """Ship one batch of `segment`; False when there is none."""
        try:
            lines, end = read_lines(segment, self.offsets.get(segment.name, 0))
        except FileNotFoundError:
            # Everybody had it, and it was removed.
            return False
        if not lines:
            return False
        self.sink.write(lines)
        self.offsets[segment.name] = end
        self.save()
        self.shipped += len(lines)
        self.pause_s = 0.0
        return True

    def postpone(self) -> None:
        self.pause_s = min(max(self.pause_s * 2, _FIRST_PAUSE_S), _LONGEST_PAUSE_S)
        self.resumes_at = time.monotonic() + self.pause_s

    def save(self) -> None:
        draft = self.cursor_file.with_suffix(".new")
        with draft.open("w") as file:
            json.dump(self.offsets, file)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self.cursor_file)


def _offsets(text: bytes) -> dict[str, int]:
    offsets = {str(name): int(offset) for name, offset in json.loads(text).items()}
    if any(offset < 0 for offset in offsets.values()):
        raise ValueError("an offset lies before the file")
    return offsets


class Shipper:
    """Feeds the sinks.

    Args:
        journal: the folder of segments.
        cursors: the folder of cursors; made when it is not there.
        sinks: by name; a name keeps its cursor, so it must not change from run to run.
    """

    def __init__(self, journal: Path, cursors: Path, sinks: Mapping[str, Sink]) -> None:
        self._journal = journal
        self._cursors = cursors
        cursors.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lanes = [_Lane(name, sink, cursors / f"{re.sub(r'[^A-Za-z0-9_.-]', '_', name)}.json") for name, sink in sinks.items()]
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
        for lane in self._lanes:
            lane.load()
        return True

    def ship(self) -> int:
        """Ship what is there now; return the number of lines that the sinks took. Needs the lock."""
        return sum(self._ship(lane) for lane in self._lanes)

    def _ship_due(self) -> None:
        now = time.monotonic()
        for lane in self._lanes:
            if now >= lane.resumes_at:
                self._ship(lane)

    def _ship(self, lane: _Lane) -> int:
        before = lane.shipped
        present = segments(self._journal)
        for gone in lane.offsets.keys() - {segment.name for segment in present}:
            del lane.offsets[gone]
        try:
            for segment in present:
                while lane.take(segment):
                    pass
        except Exception as error:  # noqa: BLE001 - whatever a sink of another distribution raises delays that sink alone
            lane.postpone()
            _log.warning("sink %s takes nothing now, and is tried again in %.0f s: %s", lane.name, lane.pause_s, type(error).__name__)
        return lane.shipped - before

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
        """Close the sinks and let go of the lock."""
        for lane in self._lanes:
            lane.sink.close()
        if self._lock_fd >= 0:
            os.close(self._lock_fd)
            self._lock_fd = -1
