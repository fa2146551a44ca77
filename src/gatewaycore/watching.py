"""Watching: a service serves its file and its sources as they are now, a moment after they have changed; in every process of every node.

The system tells of changes at once, where `watchfiles` is installed; a look every second finds them on any file system.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from gatewaycore.errors import words_of
from gatewaycore.service import Service

_log = logging.getLogger("gatewaycore.watching")

LOOK_S: Final = 1.0
SETTLED_S: Final = 0.1
"""For how long nothing may change before it is read: whoever writes a file may do so in several steps."""

_MOST_STEPS: Final = 50


class Watcher:
    """Lets a service take what has changed, in threads.

    Args:
        service: opened from a file.
        watches: look by itself; otherwise only when it is asked to.
        around: what the work is done in; a process that is the service's alone does it `gently`.
    """

    def __init__(
        self, service: Service, *, watches: bool = True, around: Callable[[], AbstractContextManager[object]] = nullcontext
    ) -> None:
        self._service = service
        self._watches = watches
        self._around = around
        self._wake = threading.Event()
        self._asked = False
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._seen: object = None

    def start(self) -> None:
        """Begin, in threads."""
        if self._threads:
            return
        self._stop.clear()
        book = self._service.rulebook
        # Not as it is by now: it may have changed since it was read.
        self._seen = None if book is None else book.seen
        self._threads = [threading.Thread(target=self._run, name="gatewaycore-reload", daemon=True)]
        if self._watches and book is not None:
            names = [threading.Thread(target=self._listen, args=(self._folders(),), name="gatewaycore-watch", daemon=True)]
            feeds = [
                threading.Thread(target=one.run, args=(self._stop, self._wake.set), name="gatewaycore-source", daemon=True)
                for one in book.feeds
            ]
            self._threads += [*(names if find_spec("watchfiles") else []), *feeds]
        for thread in self._threads:
            thread.start()

    def ask(self) -> None:
        """Read everything again, whether or not it seems to have changed. Safe in a signal handler."""
        self._asked = True
        self._wake.set()

    def look(self) -> bool:
        """Take what has changed, if anything has; tell whether something was taken."""
        if not self._asked and self._signature() == self._seen:
            return False
        asked, self._asked = self._asked, False
        # What is asked for is there; what is seen may still be being written.
        self._seen = self._signature() if asked else self._settled()
        with self._around():
            taken = self._service.reload()
        book = self._service.rulebook
        # What is at hand first: a URL may not answer for a while.
        for feed in book.feeds if asked and book is not None else ():
            if feed.refresh():
                self._wake.set()
        if taken:
            _log.info("the rules have been read again: %d routes", self._service.gateway.router.count)
        return taken

    def close(self) -> None:
        """Look no more."""
        self._stop.set()
        self._wake.set()
        for thread in self._threads:
            thread.join(timeout=10)
        self._threads = []

    def _run(self) -> None:
        while not self._stop.is_set():
            self._wake.wait(LOOK_S if self._watches else None)
            # Cleared first: what is asked for while rules are being read is done after them.
            self._wake.clear()
            if self._stop.is_set():
                return
            try:
                self.look()
            except Exception as error:  # noqa: BLE001 - the next one must still be heard; a rule may hold a secret
                _log.error("the rules could not be read again: %s", words_of(error))

    def _signature(self) -> object:
        book = self._service.rulebook
        return None if book is None else book.signature()

    def _settled(self) -> object:
        """Return the signature when it has been the same for a moment."""
        seen = self._signature()
        for _ in range(_MOST_STEPS):
            if self._stop.wait(SETTLED_S):
                break
            last, seen = seen, self._signature()
            if last == seen:
                break
        return seen

    def _folders(self) -> list[Path]:
        book = self._service.rulebook
        if book is None:
            return []
        found = [book.path.parent, book.path.resolve().parent, *(folder for feed in book.feeds for folder in feed.folders())]
        return [folder for folder in dict.fromkeys(found) if folder.is_dir()]

    def _listen(self, folders: list[Path]) -> None:
        from watchfiles import watch

        with _told_once():
            for _ in watch(*folders, stop_event=self._stop, recursive=False, debounce=100, step=20, raise_interrupt=False):
                self._wake.set()


@contextmanager
def _told_once() -> Iterator[None]:
    """Go on without what the system tells: a look every second is enough."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        # Too many watches on this machine, or a folder that has gone.
        _log.warning("changes are not told by the system (%s), and are looked for every second", type(error).__name__)
