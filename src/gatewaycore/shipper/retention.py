"""Retention: segments that everybody has read are removed, and in time what processes noted of what they lost; nothing else."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from gatewaycore.journal import JournalSettings
from gatewaycore.segments import is_closed, remove, segments
from gatewaycore.shipper.cursor import read_numbers, write_numbers
from gatewaycore.shipper.lanes import Lane

_log = logging.getLogger("gatewaycore.shipper")
_DAY_S = 86_400
_LOST_S = 30 * _DAY_S
"""How long after its last change is kept what a process noted: long enough to be seen, and no file for each process for ever."""


class Retention:
    """Removes segments.

    Args:
        journal: the folder of segments.
        notes: a file for when the last lane came to the end of each segment.
        settings: how long they are kept then.
        has_sinks: without, nothing has them but the journal: they are kept by their age.
    """

    def __init__(self, journal: Path, notes: Path, settings: JournalSettings, has_sinks: bool) -> None:
        self._journal = journal
        self._notes = notes
        self._settings = settings
        self._has_sinks = has_sinks
        self._read_at: dict[str, int] = {}

    def begin(self) -> None:
        """Read the notes of whoever did this last."""
        try:
            self._read_at = read_numbers(self._notes)
        except (OSError, ValueError):
            # Then the time begins anew, and they are kept longer.
            self._read_at = {}

    def sweep(self, lanes: Iterable[Lane]) -> None:
        """Remove what may be removed: closed, read to its end by all lanes, and old enough.

        Raises:
            OSError: the folder or the notes cannot be used.
        """
        now, readers = int(time.time()), tuple(lanes)
        self._remove_notes(now)
        if not self._has_sinks and self._settings.keep_days is None:
            return
        noted = dict(self._read_at)
        there = segments(self._journal)
        for segment in there:
            if not self._has_sinks:
                self._remove_old(segment, readers, now)
            elif self._since(segment, readers, now) + self._settings.keep_s <= now:
                remove(segment, lambda size, one=segment: _is_read(one, size, readers))  # type: ignore[misc]
        names = {segment.name for segment in there if segment.exists()}
        self._read_at = {name: at for name, at in self._read_at.items() if name in names}
        if self._read_at != noted:
            write_numbers(self._notes, self._read_at)

    def _remove_notes(self, now: int) -> None:
        for note in self._journal.glob("*.lost"):
            # Another process may have been faster; a process that lives and loses more writes it anew.
            with suppress(FileNotFoundError):
                if note.stat().st_mtime + _LOST_S <= now:
                    note.unlink()

    def _since(self, segment: Path, readers: tuple[Lane, ...], now: int) -> float:
        """Return since when the last lane has been at the end of `segment`; infinity when one is not."""
        at = self._read_at.get(segment.name)
        if at is not None:
            return at
        try:
            # What it is in the end is asked again when it is removed, and nobody else can have it.
            if not _is_read(segment, segment.stat().st_size, readers) or not is_closed(segment):
                return float("inf")
        except FileNotFoundError:
            return float("inf")
        self._read_at[segment.name] = now
        return now

    def _remove_old(self, segment: Path, readers: tuple[Lane, ...], now: int) -> None:
        try:
            is_old = segment.stat().st_mtime + (self._settings.keep_days or 0) * _DAY_S <= now
        except FileNotFoundError:
            return
        if is_old:
            remove(segment, lambda size: _is_read(segment, size, readers))


def _is_read(segment: Path, size: int, readers: tuple[Lane, ...]) -> bool:
    return all(lane.has_read(segment, size) for lane in readers)
