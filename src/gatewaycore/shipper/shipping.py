"""Shipping: lanes driven side by side, by one process of a node."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from gatewaycore.journal import JournalSettings
from gatewaycore.locks import Lock
from gatewaycore.segments import sizes
from gatewaycore.shipper.cursor import Cursor
from gatewaycore.shipper.feeding import SinkLane
from gatewaycore.shipper.lanes import Driver, Lane
from gatewaycore.shipper.retention import Retention
from gatewaycore.sinks.protocols import Sink
from gatewaycore.sinks.set_aside import SetAside

_log = logging.getLogger("gatewaycore.shipper")
_LAST_S = 8.0
"""How long, when it is told to stop, it waits for the sinks to take what is left: an orderly end must not wait for a dead one."""
_CLOSE_S = 4.0
_SWEEP_S = 10.0
_WATCH_S = 0.1


class Shipper:
    """Feeds the sinks, and whatever else reads the whole journal.

    Args:
        journal: the folder of segments.
        cursors: the folder of cursors; made when it is not there.
        set_aside: the folder of what sinks do not take; made when there is something.
        sinks: by name; a name keeps its cursor, so it must not change from run to run.
        lanes: what has its turn before the sinks, which so get at once what it appends to the journal. They do not hang.
        settings: how long segments are kept.
    """

    def __init__(
        self,
        journal: Path,
        cursors: Path,
        set_aside: Path,
        sinks: Mapping[str, Sink],
        lanes: Sequence[Lane] = (),
        settings: JournalSettings | None = None,
    ) -> None:
        self._journal = journal
        cursors.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._sinks = [SinkLane(name, sink, Cursor.of(cursors, name), SetAside.of(set_aside, name)) for name, sink in sinks.items()]
        self._first = [Driver(lane, journal) for lane in lanes]
        self._fed = [Driver(lane, journal) for lane in self._sinks]
        self._retention = Retention(journal, cursors / "read", settings or JournalSettings(), bool(sinks))
        self._swept_at = 0.0
        self._lock = Lock(cursors / "lock")

    @property
    def set_aside(self) -> int:
        """How many lines were set aside since this began."""
        return sum(lane.set_aside.count for lane in self._sinks)

    @property
    def failing(self) -> Mapping[str, str]:
        """The lanes that could not go on when they were last asked, and why."""
        return {driver.lane.name: driver.failure for driver in (*self._first, *self._fed) if driver.failure}

    @property
    def taken(self) -> Mapping[str, tuple[int, int]]:
        """How many lines each sink took since this began, and how many were set aside, by the name of its lane."""
        return {lane.name: (lane.shipped, lane.set_aside.count) for lane in self._sinks}

    @property
    def shipped(self) -> int:
        """How many lines the sinks took since this began."""
        return sum(lane.shipped for lane in self._sinks)

    def unread_bytes(self) -> int:
        """Return how much the sinks together have not taken yet."""
        there = dict(sizes(self._journal))
        return sum(lane.unread_bytes(there) for lane in self._sinks)

    def acquire(self) -> bool:
        """Take the node's shipping lock; False when another process ships already."""
        if self._lock.is_ours:
            return True
        if not self._lock.take():
            return False
        for driver in (*self._first, *self._fed):
            driver.begin()
        self._retention.begin()
        return True

    def ship(self, timeout_s: float | None = None, watch: Callable[[], None] | None = None) -> int:
        """Ship what is there now; return the number of lines that the sinks took. Needs the lock.

        Args:
            timeout_s: how long the sinks are waited for; those that are still at it go on.
            watch: is called again and again while they are.
        """
        until = None if timeout_s is None else time.monotonic() + timeout_s
        before = self.shipped
        # They may still be at a turn in which they wait for more.
        self._wait(until, watch)
        for driver in self._first:
            driver.drain(is_last=True)
        for driver in self._fed:
            driver.start(is_last=True)
        self._wait(until, watch)
        self._sweep()
        return self.shipped - before

    def _wait(self, until: float | None = None, watch: Callable[[], None] | None = None) -> None:
        for driver in self._fed:
            while watch is not None and not driver.wait(time.monotonic() + _WATCH_S):
                watch()
            driver.wait(until)

    def _ship_due(self) -> None:
        for driver in self._first:
            if driver.is_due():
                driver.turn()
        for driver in self._fed:
            driver.watch()
            if driver.is_due():
                driver.start()
        if time.monotonic() >= self._swept_at + _SWEEP_S:
            self._sweep()

    def _sweep(self) -> None:
        self._swept_at = time.monotonic()
        self._retention.sweep(driver.lane for driver in (*self._first, *self._fed))

    def run(self, stop: threading.Event, interval_s: float = 1.0) -> None:
        """Ship until `stop` is set, and once more then, to sinks that are paused too."""
        while not stop.wait(interval_s):
            self._turn(self._ship_due)
        self._turn(lambda: self.ship(_LAST_S))

    def _turn(self, ship: Callable[[], object]) -> None:
        try:
            if self.acquire():
                ship()
        except OSError as error:
            _log.error("shipping has failed and is tried again: %s", error.strerror or type(error).__name__)

    def close(self) -> None:
        """Close the lanes and let go of the lock. Sinks have a few seconds to end what they are at."""
        for driver in self._fed:
            driver.end()
        until = time.monotonic() + _CLOSE_S
        # Those that hang last: they take what time there is.
        for driver in sorted(self._fed, key=lambda driver: driver.is_busy):
            driver.close(until)
        for driver in self._first:
            driver.lane.close()
        self._lock.let_go()
