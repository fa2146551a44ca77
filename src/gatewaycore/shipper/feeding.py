"""Feeding: the lane of one sink. Lines are gathered over segments, written in one piece, and the cursor is saved once for each piece.

A sink that reads segments by itself is told where the lines lie, and no line becomes an object here. Only when something is wrong with one
of them is the batch taken apart.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from attrs import frozen

from gatewaycore.segments import Span, find_span, is_at_end
from gatewaycore.shipper.cursor import Cursor
from gatewaycore.shipper.lanes import Turn
from gatewaycore.sinks.protocols import Sink, wishes
from gatewaycore.sinks.set_aside import SetAside
from gatewaycore.sinks.sifting import REFUSALS, Sieve


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
        self._sieve = Sieve(sink)
        self._batch_bytes, self._linger_s = wishes(sink)
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
            self.shipped += self._sieve.feed(batch.lines(), self.set_aside.add)
        self._cursor.move(batch.ends)
        self._waits_since = None

    def _feed_whole(self, batch: _Batch) -> bool:
        """Let the sink read the batch by itself; False when it cannot, or when some line of it is to be found."""
        if self._write_spans is None:
            return False
        try:
            self.shipped += self._write_spans(batch.spans)
        except REFUSALS:
            return False
        return True

    def has_read(self, segment: Path, size: int) -> bool:
        """Tell whether the sink has every whole line of `segment`."""
        return is_at_end(segment, self._cursor[segment.name], size)

    def unread_bytes(self, sizes: Mapping[str, int]) -> int:
        """Return how much the sink has not taken of segments of these sizes."""
        return sum(max(0, size - self._cursor[name]) for name, size in sizes.items())

    def close(self) -> None:
        """Close the sink."""
        self._sink.close()
