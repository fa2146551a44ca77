"""Health: how a process is, as it says itself; and how far sinks are behind, as the disk tells. Looks, and changes nothing."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from attrs import frozen

from gatewaycore.segments import is_imported, read_block, recorded_ms, segments, started_ms
from gatewaycore.shipper.cursor import file_in, read_numbers


@frozen
class SourceHealth:
    """How it stands with a source of rules.

    Attributes:
        name: its kind, with a number from the second of a kind on.
        is_stale: whether what is served is a copy, because it cannot be reached.
        error: the first words of why what it has now is not served; "" when it is.
    """

    name: str
    is_stale: bool = False
    error: str = ""


@frozen
class Health:
    """How one process is.

    Attributes:
        routes: that it serves.
        is_draining: whether it is about to end.
        is_reload_failed: whether it serves old rules, because the new ones cannot be used.
        is_losing: whether its events are being lost.
        appended: events in the journal.
        lost: events that are not.
        failures: of the recorder.
        shipped: lines that each sink has taken, where this process ships.
        set_aside: lines that each sink will never take.
        failing: sinks that take nothing.
        sources: of rules, beside the file that is served.
        domains: of organisations, by state, where this process looks at their records.
        looked: how often it has looked, by what was seen.
    """

    routes: int
    is_draining: bool = False
    is_reload_failed: bool = False
    is_losing: bool = False
    appended: int = 0
    lost: int = 0
    failures: int = 0
    shipped: Mapping[str, int] = {}
    set_aside: Mapping[str, int] = {}
    failing: frozenset[str] = frozenset()
    sources: tuple[SourceHealth, ...] = ()
    domains: Mapping[str, int] = {}
    looked: Mapping[str, int] = {}


@frozen
class Lag:
    """How far a sink is behind.

    Attributes:
        sink: its name.
        bytes: that it has not taken.
        seconds: since the first of them was recorded; 0.0 when there is none, or when the line does not say.
    """

    sink: str
    bytes: int
    seconds: float


def lags(data: Path, sinks: Sequence[str]) -> Iterator[Lag]:
    """Iterate over the sinks of a data-dir. Reads one line for each, however much it is behind."""
    there = [(path, size) for path in segments(data / "journal") if (size := _size(path))]
    for sink in sinks:
        try:
            offsets = read_numbers(file_in(data / "cursors", sink))
        except (OSError, ValueError):
            # As the shipper does: it begins anew.
            offsets = {}
        unread = [(path, offset, size - offset) for path, size in there if size > (offset := offsets.get(path.name, 0))]
        since = min((ms for path, offset, _ in unread[:1] if (ms := _recorded_ms(path, offset))), default=0)
        seconds = max(0.0, time.time() - since / 1000) if since else 0.0
        yield Lag(sink, sum(size for _, _, size in unread), seconds)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _recorded_ms(path: Path, offset: int) -> int:
    if is_imported(path):
        return started_ms(path)
    try:
        return recorded_ms(read_block(path, offset, 1), 0)
    except FileNotFoundError:
        return 0


def is_writable(folder: Path) -> bool:
    """Tell whether there is room for another line in a folder; the disk is asked, and nothing is written."""
    try:
        room = os.statvfs(folder)
    except OSError:
        return False
    return room.f_bavail > 0 and os.access(folder, os.W_OK | os.X_OK)
