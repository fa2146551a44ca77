"""Lanes: what reads the whole journal, each at its own pace, and what drives one."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from attrs import frozen

from gatewaycore.errors import words_of
from gatewaycore.pausing import next_pause_s
from gatewaycore.segments import segments

_log = logging.getLogger("gatewaycore.shipper")
_HANGS_S = 60.0
_CLOSE_S = 1.0


@frozen
class Turn:
    """One look at the journal.

    Attributes:
        began_ms: when, in milliseconds since the epoch; what was written before is in these segments.
        segments: that there were then, the oldest first.
        is_last: nobody looks again soon: there is no use in waiting for more.
    """

    began_ms: int
    segments: Sequence[Path]
    is_last: bool = False


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

    def has_read(self, segment: Path, size: int) -> bool:
        """Tell whether `segment`, which has `size` bytes and gets no more, may be removed as far as this lane is concerned."""
        ...

    def close(self) -> None:
        """Let go of files and connections."""
        ...


class Driver:
    """Gives one lane its turns: after a pause, where it has failed, and in a thread, where it might hang.

    Args:
        lane: is driven.
        journal: the folder of segments.

    Attributes:
        failure: what was wrong when the lane was last asked; "" when it went well.
    """

    def __init__(self, lane: Lane, journal: Path) -> None:
        self.lane = lane
        self.failure = ""
        self._journal = journal
        self._pause_s = 0.0
        self._resumes_at = 0.0
        self._thread: threading.Thread | None = None
        self._asked_at = 0.0
        self._is_told = False
        self._is_ending = False
        self._has_begun = False

    def begin(self) -> None:
        """Take up the lane's cursor; where that cannot be done, each turn tries it again before anything else."""
        self._is_ending = self._has_begun = False
        try:
            self._begin()
        except Exception as error:  # noqa: BLE001 - as below: one lane's trouble delays that lane alone
            self._fail(error)

    def _begin(self) -> None:
        if not self._has_begun:
            self.lane.begin()
            self._has_begun = True

    def is_due(self) -> bool:
        """Tell whether the lane is neither at work nor paused."""
        return time.monotonic() >= self._resumes_at and not self.is_busy

    @property
    def is_busy(self) -> bool:
        """Whether the lane's thread is at work."""
        return self._thread is not None and self._thread.is_alive()

    def turn(self, is_last: bool = False) -> bool:
        """Let the lane get one share done; True when there is more at once."""
        lane, before = self.lane, self.lane.shipped
        self._asked_at = time.monotonic()
        try:
            self._begin()
            began_ms = time.time_ns() // 1_000_000
            more = lane.ship(Turn(began_ms, segments(self._journal), is_last))
        except Exception as error:  # noqa: BLE001 - whatever a sink of another distribution raises delays that sink alone
            if lane.shipped > before:
                self._pause_s = 0.0
            self._fail(error)
            return False
        self._pause_s = 0.0
        self.failure = ""
        return more

    def _fail(self, error: Exception) -> None:
        """Say what is wrong, and let the lane pause."""
        self._pause_s = next_pause_s(self._pause_s)
        # Nodes that lost the same store at the same time would come back to it at the same time.
        self._resumes_at = time.monotonic() + self._pause_s * random.uniform(0.75, 1.25)  # noqa: S311 - nobody guesses it
        self.failure = words_of(error)
        _log.warning("%s takes nothing now, and is tried again in %.0f s: %s", self.lane.name, self._pause_s, self.failure)

    def drain(self, is_last: bool = False) -> None:
        """Let the lane get everything done, or until it fails or is told to end."""
        while self.turn(is_last) and not self._is_ending:
            pass

    def start(self, is_last: bool = False) -> None:
        """Do the same in a thread; nothing when it is still at work."""
        if not self.is_busy:
            self._is_told = False
            self._run(lambda: self.drain(is_last))

    def _run(self, work: Callable[[], None]) -> None:
        # A daemon, so that a sink which hangs does not keep the process from ending; and a new one each time, so that none can have died.
        thread = threading.Thread(target=work, name=f"gatewaycore-{self.lane.name}", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            # There is none to be had: too many, or the interpreter is ending. Then this one waits.
            work()
        else:
            self._thread = thread

    def wait(self, until: float | None = None) -> bool:
        """Wait for the thread, at most until this time of the monotonic clock; True when it is done."""
        if self._thread is not None:
            self._thread.join(None if until is None else max(0.0, until - time.monotonic()))
        return not self.is_busy

    def watch(self) -> None:
        """Say it, once, when the lane has been at one share for long."""
        if self.is_busy and not self._is_told and time.monotonic() >= self._asked_at + _HANGS_S:
            self._is_told = True
            _log.warning("%s has not answered for %.0f s; the others go on", self.lane.name, _HANGS_S)

    def end(self) -> None:
        """Let the lane get no further share done than the one it is at."""
        self._is_ending = True

    def close(self, until: float) -> None:
        """Close the lane, if it can be done by then: a sink that hangs is left behind."""
        self.end()
        # However long others have hung, this one has a moment.
        if self.wait(max(until, time.monotonic() + _CLOSE_S)):
            self._run(self._close)
            if self.wait(max(until, time.monotonic() + _CLOSE_S)):
                return
        _log.warning("%s hangs, and is left as it is", self.lane.name)

    def _close(self) -> None:
        try:
            self.lane.close()
        except Exception as error:  # noqa: BLE001 - as above; its batches are safe, or are sent again
            _log.warning("%s cannot be closed: %s", self.lane.name, words_of(error))
