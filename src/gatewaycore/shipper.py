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
from collections.abc import Mapping
from pathlib import Path

from attrs import define, field

from gatewaycore.errors import SinkError
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
    shipped: int = 0

    def load(self) -> None:
        try:
            self.offsets = {str(name): int(offset) for name, offset in json.loads(self.cursor_file.read_text()).items()}
        except FileNotFoundError:
            self.offsets = {}
        except (ValueError, AttributeError):
            # Everything is sent again; sinks recognise what they have by its id.
            _log.warning("the cursor of sink %s cannot be read and begins anew", self.name)
            self.offsets = {}

    def save(self) -> None:
        draft = self.cursor_file.with_suffix(".new")
        with draft.open("w") as file:
            json.dump(self.offsets, file)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self.cursor_file)


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

    def _ship(self, lane: _Lane) -> int:
        shipped = 0
        present = segments(self._journal)
        for gone in lane.offsets.keys() - {segment.name for segment in present}:
            del lane.offsets[gone]
        for segment in present:
            while True:
                offset = lane.offsets.get(segment.name, 0)
                try:
                    lines, end = read_lines(segment, offset)
                    if not lines:
                        break
                    lane.sink.write(lines)
                except FileNotFoundError:
                    break
                except (SinkError, OSError) as error:
                    lane.pause_s = min(max(lane.pause_s * 2, _FIRST_PAUSE_S), _LONGEST_PAUSE_S)
                    _log.warning(
                        "sink %s takes nothing now, and is tried again in %.0f s: %s", lane.name, lane.pause_s, type(error).__name__
                    )
                    return shipped
                lane.offsets[segment.name] = end
                lane.save()
                lane.pause_s = 0.0
                shipped += len(lines)
        lane.shipped += shipped
        return shipped

    def run(self, stop: threading.Event, interval_s: float = 1.0) -> None:
        """Ship until `stop` is set, and once more then."""
        while not stop.wait(max([interval_s, *(lane.pause_s for lane in self._lanes)])):
            self._turn()
        self._turn()

    def _turn(self) -> None:
        try:
            if self.acquire():
                self.ship()
        except OSError as error:
            _log.error("shipping has failed and is tried again: %s", error.strerror or type(error).__name__)

    def close(self) -> None:
        """Close the sinks and let go of the lock."""
        for lane in self._lanes:
            lane.sink.close()
        if self._lock_fd >= 0:
            os.close(self._lock_fd)
            self._lock_fd = -1
