"""Survey: what a journal holds, how old it is, and how far its readers are behind. Looks, and changes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from attrs import frozen

from gatewaycore.segments import is_closed, is_imported, read_block, recorded_ms, segments, started_ms

# What is read of each end of a segment; the lines in between are taken to be as long as those.
_SAMPLE_BYTES = 64 * 1024
_BLOCK_BYTES = 1024 * 1024


@frozen
class Reader:
    """How far one reader is behind.

    Attributes:
        name: of the lane.
        segments: that it has not read to their end.
        bytes: that it has not read, of whole lines.
        since_ms: when the first line was recorded that it has not read; None when there is none, or when the line does not say.
    """

    name: str
    segments: int
    bytes: int
    since_ms: int | None


@frozen
class Survey:
    """What there is.

    Attributes:
        segments: how many files.
        open_segments: those of them that a process writes to.
        bytes: all of them together.
        events: how many lines; near enough, unless `is_exact`.
        is_exact: whether the lines were counted.
        oldest_ms: when the first line was recorded that is there; None without lines.
        newest_ms: the last.
        torn: closed segments that end in half a line.
        lost: events that processes could not write, as far as they could leave word of it.
        readers: in the order in which they were asked for.
    """

    segments: int
    open_segments: int
    bytes: int
    events: int
    is_exact: bool
    oldest_ms: int | None
    newest_ms: int | None
    torn: int
    lost: int
    readers: tuple[Reader, ...]


@frozen
class _File:
    path: Path
    size: int
    end: int
    """Behind its last whole line."""
    events: int
    is_open: bool
    first_ms: int
    last_ms: int


def survey(journal: Path, readers: Mapping[str, Mapping[str, int]], exact: bool = False) -> Survey:
    """Look at the journal in the folder `journal`.

    Args:
        journal: the folder; it need not be there.
        readers: how many bytes each has read of which segment.
        exact: count the lines, which reads all of them.
    """
    files = list(_files(journal, exact))
    times = [ms for file in files for ms in (file.first_ms, file.last_ms) if ms]
    return Survey(
        segments=len(files),
        open_segments=sum(file.is_open for file in files),
        bytes=sum(file.size for file in files),
        events=sum(file.events for file in files),
        is_exact=exact,
        oldest_ms=min(times, default=None),
        newest_ms=max(times, default=None),
        torn=sum(file.end < file.size and not file.is_open for file in files),
        lost=sum(map(_number, journal.glob("*.lost"))),
        readers=tuple(_reader(name, offsets, files) for name, offsets in readers.items()),
    )


def _files(journal: Path, exact: bool) -> Iterator[_File]:
    for path in segments(journal):
        try:
            yield _look(path, exact)
        except FileNotFoundError:
            # Shipped and removed meanwhile.
            continue


def _look(path: Path, exact: bool) -> _File:
    is_open = not is_closed(path)
    with path.open("rb") as file:
        head = file.read(_SAMPLE_BYTES)
        size = file.seek(0, 2)
        start = max(0, size - _SAMPLE_BYTES)
        file.seek(start)
        tail = file.read(size - start)
        end = start + tail.rfind(b"\n") + 1
        if exact or size <= 2 * _SAMPLE_BYTES:
            file.seek(0)
            events = sum(block.count(b"\n") for block in iter(lambda: file.read(_BLOCK_BYTES), b""))
        else:
            lines = head.count(b"\n") + tail.count(b"\n")
            events = round(size * lines / (len(head) + len(tail)))
    last = tail.rfind(b"\n", 0, end - start - 1) + 1
    if is_imported(path):
        # Its ids tell when something happened, which may be years ago.
        return _File(path, size, end, events, is_open, started_ms(path), started_ms(path))
    return _File(path, size, end, events, is_open, recorded_ms(head, 0), recorded_ms(tail, last))


def _reader(name: str, offsets: Mapping[str, int], files: list[_File]) -> Reader:
    behind = [(file, offsets.get(file.path.name, 0)) for file in files if offsets.get(file.path.name, 0) < file.end]
    times = [ms for file, offset in behind if (ms := _first_unread(file, offset))]
    return Reader(name, len(behind), sum(file.end - offset for file, offset in behind), min(times, default=None))


def _first_unread(file: _File, offset: int) -> int:
    if is_imported(file.path):
        return file.first_ms
    try:
        return recorded_ms(read_block(file.path, offset, 1), 0)
    except FileNotFoundError:
        return 0


def _number(path: Path) -> int:
    try:
        return int(path.read_bytes())
    except (OSError, ValueError):
        # It is being written, or there was no room for it.
        return 0
