"""Feeding: the lane of one sink. Lines are gathered over segments, written in one piece, and the cursor is saved once for each piece.

A sink that reads segments by itself is told where the lines lie, and no line becomes an object here. Only when something is wrong with one
of them is the batch taken apart.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec
from attrs import frozen

from gatewaycore.errors import PoisonError
from gatewaycore.segments import Span, find_span, is_at_end
from gatewaycore.shipper.cursor import Cursor
from gatewaycore.shipper.lanes import Turn
from gatewaycore.shipper.set_aside import Refused, SetAside
from gatewaycore.sinks import Sink

BATCH_BYTES = 4 * 1024 * 1024
"""How much is written at once to a sink that has no `batch_bytes`."""

_REFUSALS = (ValueError, TypeError, LookupError, ArithmeticError, PoisonError)
"""What speaks of the lines rather than of the store; only where the store takes other lines is it believed."""

# So many lines are refused one by one, and none is taken: then it is the store.
_MOST_SUSPECTS = 16


class _Line(msgspec.Struct):
    id: str


_decode = msgspec.json.Decoder(_Line).decode


@frozen
class _Batch:
    """What is written at once.

    Attributes:
        spans: where its lines lie, each in another segment.
        is_full: whether there was more.
    """

    spans: tuple[Span, ...]
    is_full: bool

    @property
    def ends(self) -> Mapping[str, int]:
        """Where the next batch begins, by segment."""
        return {span.path.name: span.end for span in self.spans}

    def lines(self) -> list[bytes]:
        """Return its lines."""
        return [line for span in self.spans for line in span.read().splitlines(keepends=True)]


class SinkLane:
    """Feeds one sink.

    Args:
        name: of the sink.
        sink: takes the lines; its `batch_bytes`, `linger_s` and `write_spans` hold, where it has them.
        cursor: how far it has come.
        set_aside: takes what the sink does not.
    """

    def __init__(self, name: str, sink: Sink, cursor: Cursor, set_aside: SetAside) -> None:
        self.name = f"sink {name}"
        self.shipped = 0
        self.set_aside = set_aside
        self._sink = sink
        self._batch_bytes: int = max(1, getattr(sink, "batch_bytes", BATCH_BYTES))
        self._linger_s: float = getattr(sink, "linger_s", 0.0)
        self._write_spans: Callable[[Sequence[Span]], int] | None = getattr(sink, "write_spans", None)
        self._waits_since: float | None = None
        self._cursor = cursor

    def begin(self) -> None:
        """Read the cursor."""
        self._cursor.load()

    def ship(self, turn: Turn) -> bool:
        """Write one batch; True when it was full, so that there is more.

        Raises:
            Exception: what the sink raises, or the disk: the batch is gathered again.
        """
        self._cursor.keep_only(segment.name for segment in turn.segments)
        batch = self._gather(turn.segments)
        if batch.spans and (batch.is_full or turn.is_last or self._has_waited()):
            self._feed(batch)
        self._cursor.save()
        return batch.is_full

    def _has_waited(self) -> bool:
        now = time.monotonic()
        if self._waits_since is None:
            self._waits_since = now
        return now >= self._waits_since + self._linger_s

    def _gather(self, segments: Sequence[Path]) -> _Batch:
        spans: list[Span] = []
        room, is_full = self._batch_bytes, False
        for segment in segments:
            start = self._cursor[segment.name]
            try:
                size = segment.stat().st_size
                span = find_span(segment, start, room) if size > start else None
            except FileNotFoundError:
                # Everybody had it, and it was removed.
                continue
            if not span or not span.size:
                continue
            if spans and span.size > room:
                # One line, longer than the room that was left.
                is_full = True
                break
            spans.append(span)
            is_full = size > start + room or span.size >= room
            room -= span.size
            if is_full:
                break
        return _Batch(tuple(spans), is_full)

    def _feed(self, batch: _Batch) -> None:
        if not self._feed_whole(batch):
            good, junk = _sorted_out(batch.lines())
            refused = self._write(good)
            self.shipped += len(good) - len(refused)
            # Not before: as long as the sink is down, the batch comes again and again.
            if junk or refused:
                self.set_aside.add([*junk, *refused])
        self._cursor.move(batch.ends)
        self._waits_since = None

    def _feed_whole(self, batch: _Batch) -> bool:
        """Let the sink read the batch by itself; False when it cannot, or when some line of it is to be found."""
        if self._write_spans is None:
            return False
        try:
            self.shipped += self._write_spans(batch.spans)
        except _REFUSALS:
            return False
        return True

    def _write(self, lines: list[bytes]) -> list[Refused]:
        """Write lines, and return those that are not to be taken."""
        refused: list[Refused] = []
        while lines:
            try:
                self._sink.write(lines)
                break
            except PoisonError as error:
                named = {number for number in error.lines if 0 <= number < len(lines)}
                if not named:
                    raise
                refused += [Refused(lines[number], error.reason) for number in sorted(named)]
                lines = [line for number, line in enumerate(lines) if number not in named]
            except _REFUSALS as error:
                return refused + self._sift(lines, error)
        return refused

    def _sift(self, lines: list[bytes], error: Exception) -> list[Refused]:
        """Write lines that were refused together by halves, until it is known which of them it is.

        Args:
            lines: that were refused.
            error: is raised when none of them is taken: a store that refuses everything says nothing of the lines.
        """
        suspects: list[list[bytes]] = []
        is_taken = False
        left = _halves(lines)
        while left:
            piece = left.pop()
            try:
                self._sink.write(piece)
                is_taken = True
            except _REFUSALS:
                if len(piece) > 1:
                    left += _halves(piece)
                    continue
                suspects.append(piece)
                if len(suspects) >= _MOST_SUSPECTS and not is_taken:
                    break
        if not is_taken:
            raise error
        return [one for piece in suspects for one in self._again(piece)]

    def _again(self, piece: list[bytes]) -> list[Refused]:
        """Write a line again, after others were taken: it may have been a bad moment."""
        try:
            self._sink.write(piece)
        except _REFUSALS as error:
            return [Refused(piece[0], error.reason if isinstance(error, PoisonError) else type(error).__name__)]
        return []

    def has_read(self, segment: Path, size: int) -> bool:
        """Tell whether the sink has every whole line of `segment`."""
        return is_at_end(segment, self._cursor[segment.name], size)

    def unread_bytes(self, sizes: Mapping[str, int]) -> int:
        """Return how much the sink has not taken of segments of these sizes."""
        return sum(max(0, size - self._cursor[name]) for name, size in sizes.items())

    def close(self) -> None:
        """Close the sink."""
        self._sink.close()


def _halves(lines: list[bytes]) -> list[list[bytes]]:
    """Return both halves, the first last: that is written next."""
    middle = len(lines) // 2
    return [half for half in (lines[middle:], lines[:middle]) if half]


def _sorted_out(lines: list[bytes]) -> tuple[list[bytes], list[Refused]]:
    """Return the lines that are events, and those that are not: a crash of the machine may leave anything in a file."""
    try:
        for line in lines:
            _decode(line)
    except msgspec.DecodeError:
        pass
    else:
        return lines, []
    good: list[bytes] = []
    junk: list[Refused] = []
    for line in lines:
        try:
            _decode(line)
        except msgspec.DecodeError:
            junk.append(Refused(line, "no event: not one JSON object with an id"))
        else:
            good.append(line)
    return good, junk
