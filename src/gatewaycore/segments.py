"""Segments: the files that a journal consists of, for those who read them. Nobody here writes a line.

A segment is locked (``flock``) as long as its process lives: whoever gets the lock has found one that nobody writes to any more.
"""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import msgspec
from attrs import frozen

from gatewaycore.locks import is_locked

IMPORTED = ".import.jsonl"
"""What the name of a segment ends in that an import has written: its ids tell when something happened, not when it was recorded here."""

UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for a line that is no event: no JSON, no text, or brackets without end. A crash leaves anything in a file."""

_LOOK_BYTES = 64 * 1024
_OURS = re.compile(rb'\{"id":"([0-9a-f]{8})-([0-9a-f]{4})-7')
# The end of the year 9999.
_LAST_MS = 253_402_300_799_999
_NAME = re.compile(r"(?P<node>[A-Za-z0-9_.]+)-(?P<process>\d+)-(?P<start>\d+)(?:\.import)?\.jsonl")


def sizes(directory: Path) -> Iterator[tuple[str, int]]:
    """Iterate over the segments in `directory`, in any order: name and bytes."""
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
        names = [name for name, _ in sizes(directory)]
    except FileNotFoundError:
        return []
    return [directory / name for name in sorted(names, key=_start)]


def _start(name: str) -> tuple[int, str]:
    match = _NAME.fullmatch(name)
    return (int(match["start"]) if match else 0, name)


def is_imported(segment: Path) -> bool:
    """Tell whether an import has written `segment`: pulls are not derived from it, for whoever recorded it has derived them."""
    return segment.name.endswith(IMPORTED)


def started_ms(segment: Path) -> int:
    """Return when a segment was begun, in milliseconds since the epoch: no line of it is older, but for those of pulls."""
    return _start(segment.name)[0] // 1_000_000


def is_closed(segment: Path) -> bool:
    """Tell whether nobody writes to `segment` any more: its process has rotated it away, ended or been killed."""
    return not is_locked(segment)


def remove(segment: Path, is_read: Callable[[int], bool]) -> bool:
    """Remove `segment` if nobody writes to it any more and `is_read`; False when it stays.

    Args:
        segment: the file.
        is_read: is asked with the segment's last size, behind which no line comes any more.
    """
    with suppress(FileNotFoundError, BlockingIOError), segment.open("rb") as file:
        # Alone: `Journal` looks, when it has locked a new segment, whether that is still there.
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if is_read(os.fstat(file.fileno()).st_size):
            segment.unlink()
            return True
    return False


@frozen
class Span:
    """Whole lines of a segment, where they lie. Nobody changes them, and they are there until all readers have moved on.

    Attributes:
        path: the segment.
        start: where the first line begins, in bytes.
        end: behind the last one's line break.
    """

    path: Path
    start: int
    end: int

    @property
    def size(self) -> int:
        """How many bytes they are."""
        return self.end - self.start

    def read(self) -> bytes:
        """Return them."""
        return b"".join(self.pieces(self.size))

    def pieces(self, size: int) -> Iterator[bytes]:
        """Iterate over them in pieces of so many bytes, which begin and end anywhere; the last one may be smaller.

        Raises:
            EOFError: the file has become shorter, which no journal does.
        """
        left = self.size
        with self.path.open("rb", buffering=0) as file:
            file.seek(self.start)
            while left:
                piece = file.read(min(size, left))
                if not piece:
                    raise EOFError(f"{self.path.name} is shorter than it was")
                left -= len(piece)
                yield piece


def find_span(segment: Path, offset: int, limit_bytes: int) -> Span:
    """Return whole lines of `segment` from `offset` on, and read no more than it takes to find their end; an empty one when there are none.

    Args:
        segment: the file.
        offset: where a line begins, in bytes.
        limit_bytes: about how much; a longer line is taken whole.
    """
    with segment.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        limit = at = min(size, offset + limit_bytes)
        while at > offset:
            before = max(offset, at - _LOOK_BYTES)
            file.seek(before)
            found = file.read(at - before).rfind(b"\n")
            if found >= 0:
                return Span(segment, offset, before + found + 1)
            at = before
        file.seek(max(limit, offset))
        rest = file.readline() if limit < size else b""
    return Span(segment, offset, limit + len(rest) if rest.endswith(b"\n") else offset)


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


def is_at_end(segment: Path, offset: int, size: int) -> bool:
    """Tell whether no whole line stands behind `offset`: of half a line at the end of a closed segment nobody was told that it is there."""
    return offset >= size or not read_block(segment, offset, 1)


def recorded_ms(block: bytes, at: int) -> int:
    """Return when the line at `at` was recorded, by its id; 0 when that is not where the recorder writes it, or none of its ids.

    Theirs are of version 7 (RFC 9562 §5.7), and of a time that a calendar has.
    """
    match = _OURS.match(block, at)
    found = int(match[1] + match[2], 16) if match else 0
    return found if found <= _LAST_MS else 0
