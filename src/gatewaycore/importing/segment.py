"""Segments of an import: lines into the journal, as far as there is room, and nothing is ever lost.

They are the import's own, by name, too: the counter of pulls passes them over. Live events come first: an import leaves half of what the
journal may take to them, and waits until what it has written is shipped and removed.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from gatewaycore.errors import GatewayError
from gatewaycore.journal import JournalSettings, begin_segment, node_name
from gatewaycore.segments import IMPORTED, sizes

Wait = Callable[[int], None]
"""Is called with the bytes that the journal may take, again and again while there is no room; raises what ends the import."""


class ImportSegments:
    """Writes lines.

    Args:
        directory: the journal.
        node: names this machine.
        settings: of the journal.
        wait: see `Wait`.
    """

    def __init__(self, directory: Path, node: str, settings: JournalSettings, wait: Wait) -> None:
        self._directory = directory
        self._node = node_name(node)
        self._segment_bytes = settings.segment_bytes
        self._most = settings.max_bytes // 2
        self._wait = wait
        self._room = 0
        self._fd = -1
        self._size = 0
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)

    def write(self, block: bytes) -> None:
        """Write whole lines.

        Raises:
            GatewayError: the disk takes no more; nothing of the block is there.
        """
        if self._fd >= 0 and self._size >= self._segment_bytes:
            self._close()
        if len(block) > self._room:
            self._make_room(len(block))
        with _told():
            if self._fd < 0:
                self._fd, _ = begin_segment(self._directory, self._node, IMPORTED)
                self._size = 0
            written = os.write(self._fd, block)
            if written != len(block):
                os.ftruncate(self._fd, self._size)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._size += written
        self._room -= written

    def _make_room(self, wanted: int) -> None:
        self._room = self._count()
        while wanted > self._room:
            # What is open cannot be removed.
            self._close()
            self._wait(self._most)
            self._room = self._count()

    def _count(self) -> int:
        return self._most - sum(size for _, size in sizes(self._directory))

    def sync(self) -> None:
        """Have what was written on disk, and look anew how much room there is.

        Raises:
            GatewayError: the disk fails.
        """
        if self._fd >= 0:
            with _told():
                os.fdatasync(self._fd)
        self._room = self._count()

    def _close(self) -> None:
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            try:
                with _told():
                    os.fdatasync(fd)
            finally:
                os.close(fd)

    def close(self) -> None:
        """Close the segment.

        Raises:
            GatewayError: the disk fails.
        """
        self._close()


@contextmanager
def _told() -> Iterator[None]:
    """Say what becomes of an import when the disk fails: it was saved before how far it has come, which is where it goes on."""
    try:
        yield
    except OSError as error:
        raise GatewayError(f"the journal takes nothing now ({error.strerror}): nothing is lost, and the next run goes on here") from error
