"""Locks: which process of a node does what only one may do. The system lets go of them for a process that was killed (``flock``)."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


class Lock:
    """A lock that one process has at a time.

    Args:
        path: of the file that stands for it; made when it is first taken, in a folder that is there.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = -1

    @property
    def is_ours(self) -> bool:
        """Whether this process has it."""
        return self._fd >= 0

    def take(self) -> bool:
        """Take it; False when another has it. Not for one that is ours already."""
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return False
        self._fd = fd
        return True

    def let_go(self) -> None:
        """Let others have it."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def is_locked(path: Path) -> bool:
    """Tell whether some process has a file locked; one that is not there is nobody's."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False
