"""Spool: journal lines in a file without a name, which DuckDB reads. Nothing is left behind by a process that is killed.

A column that this version does not know is written by a newer one's process beside it, while an update is rolled out. To look at every line
for it would cost as much as to read it, so it is looked for in about one of sixteen.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterable

from gatewaycore.sinks.lake.mending import read
from gatewaycore.sinks.lake.schema import NAMES, events_in

PIECE_BYTES = 64 * 1024
"""What is put into the file at once; the first lines of each piece are looked at."""

_LOOKED_AT = 6
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)

LINE_BYTES, LONG_LINE_BYTES = 1024 * 1024, 256 * 1024 * 1024
"""How long a line may be, as a rule and at most. DuckDB reads twice as much at once; the less that is, the more of it is in a cache."""


class Spool:
    """The lines of one batch after the other: it is cheaper to write over a file than to make one.

    Attributes:
        lines: how many.
        is_strange: whether one that was looked at has a column that this version does not know.
    """

    def __init__(self) -> None:
        self.lines = 0
        self.is_strange = False
        self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - closed by close()

    def fill(self, pieces: Iterable[bytes]) -> None:
        """Put lines into the file, instead of those that were there; they may be cut anywhere into pieces."""
        self._file.seek(0)
        self.lines, self.is_strange = 0, False
        is_whole = True
        for piece in pieces:
            self._file.write(piece)
            # What bytes.count() finds byte by byte, replace() finds as fast as the memory is read.
            self.lines += len(piece) - len(piece.replace(b"\n", b""))
            self.is_strange = self.is_strange or _looks_strange(piece, 0 if is_whole else piece.find(b"\n") + 1)
            is_whole = piece.endswith(b"\n")
        self._file.truncate()

    def day(self) -> str | None:
        """Return the day that the first and the last line have, as text; None when they have two."""
        self._file.seek(0)
        first = self._file.read(PIECE_BYTES).partition(b"\n")[0]
        self._file.seek(max(0, self._file.seek(0, os.SEEK_END) - PIECE_BYTES))
        last = self._file.read(PIECE_BYTES).rstrip(b"\n").rpartition(b"\n")[2]
        days = {str((read(line) or {}).get("time"))[:10] for line in (first, last)}
        day = days.pop()
        return day if not days and _DAY.fullmatch(day) else None

    def rows(self, line_bytes: int) -> str:
        """Return SQL for the lines that are events, as rows.

        Args:
            line_bytes: DuckDB raises an error when one is longer.
        """
        return events_in([f"/dev/fd/{self._file.fileno()}"], line_bytes)

    def read_lines(self) -> list[bytes]:
        """Return the lines."""
        self._file.seek(0)
        return self._file.readall().splitlines(keepends=True)

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()


def _looks_strange(piece: bytes, begin: int) -> bool:
    for _ in range(_LOOKED_AT):
        end = piece.find(b"\n", begin)
        if end < 0:
            return False
        found = read(piece[begin:end])
        if found is not None and not NAMES.issuperset(found):
            return True
        begin = end + 1
    return False
