"""Commits: what was written is made to survive a power cut, one fdatasync for all who wait for it.

There is no thread that commits and might die unseen. Whoever waits and finds nobody at it does it, for all who have written by then; the
others meanwhile write, and wait for the next one. So a commit takes as long as the disk needs, whether one thread waits or a hundred do.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable

from attrs import define


@define(slots=True, eq=False)
class Group:
    """Lines that are committed together.

    Attributes:
        lines: how many.
        is_settled: whether it is known what became of them.
        error: why they may not be on disk; None when they are.
    """

    lines: int = 0
    is_settled: bool = False
    error: OSError | None = None


class GroupCommit:
    """Commits what the holders of one lock write into one file at a time.

    Args:
        lock: is held by whoever writes; let go of while the disk works.
        failed: is told how many lines may not be on disk, and why, once for each group; the lock is held.

    Attributes:
        group: what is written now belongs to it.
    """

    def __init__(self, lock: threading.Lock, failed: Callable[[int, OSError], None]) -> None:
        self.group = Group()
        self._settled = threading.Condition(lock)
        self._failed = failed
        # A file of its own for the one that commits: the journal's may be closed meanwhile, when its segment is full.
        self._fd = -1

    def wait(self, group: Group, opened: Callable[[], int]) -> bool:
        """Return when `group` is on disk; False when it may not be. The lock is not held.

        Args:
            group: what the caller has written belongs to it.
            opened: gives the file that is written to.
        """
        with self._settled:
            while self._fd >= 0 and not group.is_settled:
                self._settled.wait()
            if group.is_settled:
                return group.error is None
            self.group = Group()
            try:
                self._fd = os.dup(opened())
            except OSError as error:
                self._settle(group, error)
                return False
        return self._commit(group)

    def _commit(self, group: Group) -> bool:
        # What it is when a signal ends this thread's wait: the others must not wait for it for ever.
        error: OSError | None = OSError(errno.EINTR, "a commit was interrupted")
        try:
            os.fdatasync(self._fd)
            error = None
        except OSError as refused:
            error = refused
        finally:
            with self._settled:
                os.close(self._fd)
                self._fd = -1
                self._settle(group, error)
        return error is None

    def settle(self, fd: int) -> None:
        """Commit what nobody has committed yet, before `fd` is closed. The lock is held."""
        group = self.group
        if not group.lines:
            return
        self.group, error = Group(), None
        try:
            os.fdatasync(fd)
        except OSError as refused:
            error = refused
        self._settle(group, error)

    def _settle(self, group: Group, error: OSError | None) -> None:
        group.error = error
        group.is_settled = True
        self._settled.notify_all()
        if error is not None:
            self._failed(group.lines, error)

    def close(self) -> None:
        """In a forked child: let go of the file that a thread of the parent was committing."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
