"""Counting: journal -> pulls -> journal. A lane of the shipper, so that one process of a node does it.

Segments are read in the order in which their lines were written, several at a time where several processes wrote them, also long
afterwards: the requests of one pull may lie in as many files. The pulls that are found are appended to the journal, so that every sink
gets them like any other event, and then it is saved how far all this has come. After a crash in between they are appended again, with the
same ids.

Segments that an import wrote are passed over: what is imported was counted where it was recorded, and its ids do not tell when it came to
stand here.
"""

from __future__ import annotations

import heapq
import logging
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from attrs import define

from gatewaycore.event import Event
from gatewaycore.pulls import Pulls
from gatewaycore.recorder import decode, encode
from gatewaycore.segments import UNREADABLE, is_at_end, is_imported, read_block, recorded_ms, segments, started_ms
from gatewaycore.state import State

if TYPE_CHECKING:
    from gatewaycore.shipper import Turn

_log = logging.getLogger("gatewaycore.counting")

LATENESS_MS = 2_000
"""How long after its id was made an event may come to stand in its file: what is younger is not looked at yet."""

_NAME = "pulls"
_MARK = b'"package_type":"container"'
# So small that a server whose process this is does not stand still; so large that opening files costs nothing beside it.
_PIECE_BYTES = 256 * 1024
# Between two looks at the sinks; and, without an event of a container in it, between two notes of how far this has come.
_SHARE_BYTES = 64 * 1024 * 1024
_UNSAVED_BYTES = 16 * 1024 * 1024
# Whoever asks how far this has come is told the truth of a minute ago.
_SAVE_S = 60.0


class _Progress(msgspec.Struct):
    offsets: dict[str, int]
    pulls: bytes


@define(order=True)
class _Unread:
    """A segment that has more, and no line that was recorded before `since_ms`."""

    since_ms: int
    name: str
    path: Path
    size: int


class PullCounter:
    """Counts the pulls of a node.

    Args:
        append: takes a line of the journal; see `Journal.append`.
        state: where it is kept how far this has come.

    Attributes:
        shipped: pulls that were found.
    """

    name = "the counter of pulls"

    def __init__(self, append: Callable[[bytes], bool], state: State) -> None:
        self.shipped = 0
        self._append = append
        self._state = state
        self._pulls = Pulls()
        self._offsets: dict[str, int] = {}
        self._unsaved = 0
        self._saves_at = 0.0
        self._is_loaded = False

    def begin(self) -> None:
        """Continue where whoever did this last has ended."""
        self._is_loaded = False

    def _load(self) -> None:
        self._pulls, self._offsets, self._unsaved = Pulls(), {}, 0
        saved = self._state.progress(_NAME)
        if saved is not None:
            try:
                progress = msgspec.msgpack.decode(saved, type=_Progress)
                self._offsets = progress.offsets
                self._pulls = Pulls.restore(progress.pulls)
            except msgspec.DecodeError:
                # Another version wrote it: what was open then is at most a minute's.
                _log.warning("the pulls that were open cannot be read and are forgotten")
        self._is_loaded = True

    def ship(self, turn: Turn) -> bool:
        """Read one share of what is there, and append the pulls that are complete; True when there is more to read.

        Raises:
            OSError: the journal takes nothing now; what was found is found again.
        """
        if not self._is_loaded:
            self._load()
        try:
            found, more, is_news = self._read(turn)
            for pull in found:
                if not self._append(encode(pull)):
                    raise OSError("the journal takes nothing")
            if found or is_news or self._unsaved >= _UNSAVED_BYTES or (self._unsaved and not more and self._is_due(turn)):
                self._save(found)
        except BaseException:
            # What is in memory has gone on without what was saved.
            self._is_loaded = False
            raise
        self.shipped += len(found)
        # What was appended is to be read, too.
        return more or bool(found)

    def _is_due(self, turn: Turn) -> bool:
        return turn.is_last or time.monotonic() >= self._saves_at

    def _read(self, turn: Turn) -> tuple[list[Event], bool, bool]:
        """Return pulls, whether there is more to read, and whether anything was read that counts."""
        for gone in self._offsets.keys() - {segment.name for segment in turn.segments}:
            del self._offsets[gone]
        unread = self._unread(turn.segments)
        found: list[Event] = []
        room, is_news = _SHARE_BYTES, False
        while unread and room > 0:
            one = heapq.heappop(unread)
            events, since_ms, length = self._piece(one)
            room -= length
            is_news = is_news or bool(events)
            self._pulls.take(events)
            if length and self._offsets[one.name] < one.size:
                heapq.heappush(unread, _Unread(max(since_ms, one.since_ms), one.name, one.path, one.size))
            until = min(unread[0].since_ms, turn.began_ms) if unread else turn.began_ms
            # It never goes back within a turn: a segment that was silent for long says nothing of when its next line was written.
            found += self._pulls.settle(max(until - LATENESS_MS, self._pulls.clock) if unread else until - LATENESS_MS)
        if not unread:
            found += self._pulls.settle(turn.began_ms - LATENESS_MS)
        return found, bool(unread), is_news

    def _unread(self, segments: Sequence[Path]) -> list[_Unread]:
        unread = []
        for segment in segments:
            if is_imported(segment):
                continue
            try:
                size = segment.stat().st_size
            except FileNotFoundError:
                continue
            if size > self._offsets.get(segment.name, 0):
                unread.append(_Unread(max(started_ms(segment), self._pulls.clock), segment.name, segment, size))
        heapq.heapify(unread)
        return unread

    def _piece(self, one: _Unread) -> tuple[list[Event], int, int]:
        """Read on; return the events of containers, when the last line was recorded, and how many bytes there were."""
        start = self._offsets.get(one.name, 0)
        try:
            block = read_block(one.path, start, _PIECE_BYTES)
        except FileNotFoundError:
            block = b""
        if not block:
            return [], 0, 0
        self._offsets[one.name] = start + len(block)
        self._unsaved += len(block)
        return list(_events(block)), recorded_ms(block, block.rfind(b"\n", 0, -1) + 1), len(block)

    def _save(self, found: Sequence[Event]) -> None:
        self._state.save(_NAME, msgspec.msgpack.encode(_Progress(self._offsets, self._pulls.dump())), found)
        self._unsaved = 0
        self._saves_at = time.monotonic() + _SAVE_S

    def has_read(self, segment: Path, size: int) -> bool:
        """Tell whether `segment` has nothing left to read. What counts of what was read has been saved by then."""
        if is_imported(segment):
            return True
        # After a failure, what is in memory is ahead of what was saved.
        return self._is_loaded and is_at_end(segment, self._offsets.get(segment.name, 0), size)

    def close(self) -> None:
        """Close the state."""
        self._state.close()


def _events(block: bytes) -> Iterator[Event]:
    """Iterate over the events of containers. Lines without the mark are not even taken apart: most are."""
    at = block.find(_MARK)
    while at >= 0:
        end = block.index(b"\n", at) + 1
        # What cannot be read is none of ours; sinks get it as it is.
        with suppress(*UNREADABLE):
            yield decode(block[block.rfind(b"\n", 0, at) + 1 : end])
        at = block.find(_MARK, end)


def saved_offsets(state: State, journal: Path) -> Mapping[str, int]:
    """Return how far the counting has come in each segment of a journal, in bytes; nothing where another version wrote it.

    Raises:
        GatewayError: the state is broken.
    """
    saved = state.peek(_NAME)
    try:
        offsets = {} if saved is None else msgspec.msgpack.decode(saved, type=_Progress).offsets
    except msgspec.DecodeError:
        offsets = {}
    # It need not read them, so it is at their end, wherever that may be by now.
    return offsets | {segment.name: sys.maxsize for segment in segments(journal) if is_imported(segment)}
