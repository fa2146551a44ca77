"""Uploads: what was sent to be imported, on disk until it is, and what has become of it.

Below the data-dir, each upload has a file with what was sent, one that says what has become of it, and one that the process which is to
import it has locked. So every process of a node can tell about all of them, and a killed one leaves an upload that is aborted, and can be
gone on with: the ledger of `gatewaycore.importing` knows how far it has come.
"""

from __future__ import annotations

import logging
import os
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import attrs
import msgspec
from attrs import define, field, frozen

from gatewaycore.config import Config
from gatewaycore.console_limits import DEFAULT_CONSOLE_LIMITS
from gatewaycore.errors import ConflictError, GatewayError, UnknownError, words_of
from gatewaycore.importing import BusyError, Import, ImportOptions, ImportSession, Watch
from gatewaycore.importing.ledger import Status
from gatewaycore.importing.reading import Source
from gatewaycore.intake import open_import
from gatewaycore.locks import Lock, is_locked
from gatewaycore.route import package_of

_log = logging.getLogger("gatewaycore.console")

FOLDER: Final = "uploads"
"""Where, under the data-dir, they are."""

WAITING: Final = 16
"""Uploads that may wait to be imported or be on their way, of one process."""

_KEPT = 200
_SENT_S = 24 * 3600
_SAVE_S = 0.5
_WAIT_S = 0.5


@frozen(kw_only=True)
class UploadBounds:
    """How much may be sent.

    Attributes:
        most_bytes: of one upload, as it is sent.
        kept_bytes: of all together that are on disk.
    """

    most_bytes: int = DEFAULT_CONSOLE_LIMITS.import_bytes
    kept_bytes: int = DEFAULT_CONSOLE_LIMITS.imports_bytes


@define(kw_only=True)
class Upload:
    """Something that was sent to be imported.

    Attributes:
        id: a UUIDv7.
        user_id: who has sent it.
        organisation_id: their token reached this one alone; None where it reached all of theirs.
        options: how it is to be understood.
        is_dry_run: whether it is only looked at.
        status: as an import's.
        reason: why it was aborted, in words; empty where nobody knows.
        bytes: that were sent.
        events: of a dry run, the first ones as the journal would have them.
    """

    id: str
    user_id: str
    options: ImportOptions
    is_dry_run: bool
    status: Status
    created_at: datetime
    changed_at: datetime
    organisation_id: str | None = None
    reason: str = ""
    bytes: int = 0
    total: int = 0
    imported: int = 0
    failed: int = 0
    left_out: dict[str, int] = field(factory=dict)
    errors: list[tuple[int, str]] = field(factory=list)
    first: datetime | None = None
    last: datetime | None = None
    events: list[dict[str, Any]] = field(factory=list)

    def take(self, one: Import) -> None:
        """Take over what has become of an import."""
        for name in ("total", "imported", "failed", "left_out", "errors", "first", "last"):
            value = getattr(one, name)
            setattr(self, name, value.copy() if isinstance(value, dict | list) else value)


class Uploads:
    """Keeps uploads, and imports those of this process one after another, in a thread.

    Args:
        data: the data-dir.
        config: tells the configuration, as it is when an import begins.
        bounds: how much may be sent.
    """

    def __init__(self, data: Path, config: Callable[[], Config], bounds: UploadBounds) -> None:
        self.bounds = bounds
        self._data = data
        self._folder = data / FOLDER
        self._config = config
        self._queue: queue.Queue[str | None] = queue.Queue()
        self._held: dict[str, Lock] = {}
        self._coming = 0
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._sweep()

    # --- what there is -------------------------------------------------------------------------------------------------

    def place(self, number: str) -> Path:
        """Return where what was sent is to be written."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return self._folder / f"{number}.data"

    def all(self) -> list[Upload]:
        """Return all uploads, the newest first."""
        self._sweep()
        return [one for path in sorted(self._folder.glob("*.json"), reverse=True) if (one := self._read(path)) is not None]

    def find(self, number: str) -> Upload:
        """Return an upload.

        Raises:
            UnknownError: there is none.
        """
        # It comes out of a URL, and becomes part of a path.
        found = self._read(self._folder / f"{number}.json") if number.replace("-", "").isalnum() else None
        if found is None:
            raise UnknownError(f"there is no import {number[:80]!r} that you may see")
        return found

    def can_go_on(self, one: Upload) -> bool:
        """Tell whether what was sent is still there, and nobody is at it."""
        return one.status == "aborted" and not one.is_dry_run and (self._folder / f"{one.id}.data").exists()

    def _read(self, path: Path) -> Upload | None:
        try:
            found = msgspec.json.decode(path.read_bytes(), type=Upload)
        except (OSError, msgspec.MsgspecError):
            # Removed meanwhile, or torn by a crash.
            return None
        if found.status in ("queued", "running") and not is_locked(path.with_suffix(".lock")):
            found.status, found.reason = "aborted", "the process that imported it has ended"
        return found

    def _save(self, one: Upload) -> None:
        one.changed_at = datetime.now(UTC)
        path = self._folder / f"{one.id}.json"
        draft = path.with_suffix(".part")
        fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(msgspec.json.encode(attrs.asdict(one, recurse=False)))
        draft.replace(path)

    # --- what is done --------------------------------------------------------------------------------------------------

    def check_room(self) -> None:
        """Refuse another one where many wait.

        Raises:
            ConflictError: so it is.
        """
        if len(self._held) + self._coming >= WAITING:
            raise ConflictError(f"{WAITING} imports wait already: send it again when some of them are done")

    def check_bytes(self, more: int = 0) -> None:
        """Refuse more where much is on disk, whichever process has put it there.

        Args:
            more: bytes that are to come.

        Raises:
            ConflictError: so it is.
        """
        kept = more
        for path in self._folder.glob("*.data"):
            # It may be gone, by another process.
            with suppress(OSError):
                kept += path.stat().st_size
        if kept > self.bounds.kept_bytes:
            what = f"{self.bounds.kept_bytes:,} bytes wait to be imported already, the most that may be"
            raise ConflictError(f"{what}: send it again when some of it is done, or forget what was aborted")

    @contextmanager
    def coming(self) -> Iterator[None]:
        """Count what is being sent: it takes room on disk before it waits.

        Raises:
            ConflictError: many wait, or are being sent.
        """
        with self._lock:
            self.check_room()
            self._coming += 1
        try:
            yield
        finally:
            with self._lock:
                self._coming -= 1

    def add(self, one: Upload) -> None:
        """Import an upload when its turn comes; what was sent is in its place already.

        Raises:
            ConflictError: somebody is at it, or many wait.
        """
        with self._lock:
            self.check_room()
            lock = Lock(self._folder / f"{one.id}.lock")
            if not lock.take():
                raise ConflictError("somebody is at this import")
            self._held[one.id] = lock
            one.status, one.reason = "queued", ""
            self._folder.joinpath(f"{one.id}.abort").unlink(missing_ok=True)
            self._save(one)
            if self._thread is None:
                self._stop.clear()
                self._thread = threading.Thread(target=self._run, name="gatewaycore-imports", daemon=True)
                self._thread.start()
        self._queue.put(one.id)
        self._forget_old()

    def abort(self, one: Upload) -> None:
        """Ask whoever imports it to end.

        Raises:
            ConflictError: nobody is at it.
        """
        if one.status not in ("queued", "running"):
            raise ConflictError(f"this import is {one.status}")
        self._folder.joinpath(f"{one.id}.abort").touch(mode=0o600)

    def remove(self, one: Upload) -> None:
        """Forget an upload that nobody is at. What was imported stays.

        Raises:
            ConflictError: somebody is at it.
        """
        if one.status in ("queued", "running"):
            raise ConflictError("this import is not over: abort it first")
        for path in self._folder.glob(f"{one.id}.*"):
            path.unlink(missing_ok=True)

    def _sweep(self) -> None:
        """Remove what was sent a day ago and nobody is at: there may be addresses in it. What has become of it stays."""
        before = time.time() - _SENT_S
        for path in self._folder.glob("*.data"):
            # It may be gone, by another process.
            with suppress(OSError):
                if path.stat().st_mtime < before and not is_locked(path.with_suffix(".lock")):
                    path.unlink()

    def _forget_old(self) -> None:
        for one in self.all()[_KEPT:]:
            if one.status in ("done", "aborted"):
                self.remove(one)

    def close(self) -> None:
        """Import no more: what is going on stops after its block, and can be gone on with."""
        self._stop.set()
        with self._lock:
            thread, self._thread = self._thread, None
        if thread is not None:
            self._queue.put(None)
            thread.join(timeout=30)
        for lock in self._held.values():
            lock.let_go()
        self._held.clear()

    # --- the thread ------------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while (number := self._queue.get()) is not None and not self._stop.is_set():
            one = self._read(self._folder / f"{number}.json")
            if one is not None:
                self._import(one)
            held = self._held.pop(number, None)
            if held is not None:
                held.let_go()

    def _import(self, one: Upload) -> None:
        aborting = self._folder / f"{one.id}.abort"
        saved_at = 0.0

        def show(found: Import, _: Source) -> None:
            nonlocal saved_at
            if time.monotonic() >= saved_at + _SAVE_S:
                one.take(found)
                one.status = "running"
                self._save(one)
                saved_at = time.monotonic()

        def is_stopped() -> bool:
            return self._stop.is_set() or aborting.exists()

        try:
            found = self._done(one, Watch(show, is_stopped), is_stopped)
            one.take(found)
            one.status = found.status
            one.reason = "somebody has aborted it" if found.status == "aborted" else ""
        except GatewayError as error:
            one.status, one.reason = "aborted", words_of(error)
        except Exception as error:  # noqa: BLE001 - told as its reason, and logged: the next one is imported all the same
            _log.error("an import failed: %s", type(error).__name__)
            one.status, one.reason = "aborted", type(error).__name__
        self._save(one)
        if one.status == "done" or one.is_dry_run:
            self.place(one.id).unlink(missing_ok=True)
        aborting.unlink(missing_ok=True)

    def _done(self, one: Upload, watch: Watch, is_stopped: Callable[[], bool]) -> Import:
        path = self.place(one.id)
        with open_import(permitted(self._config(), one.options.only), self._data, one.options.package) as session:
            if one.is_dry_run:
                found, lines = session.try_out(path, one.options, watch)
                one.events = [msgspec.json.decode(line) for line in lines]
                return found
            return self._run_alone(session, path, one.options, watch, is_stopped)

    def _run_alone(
        self, session: ImportSession, path: Path, options: ImportOptions, watch: Watch, is_stopped: Callable[[], bool]
    ) -> Import:
        while True:
            try:
                return session.run(path, options, watch)
            except BusyError:
                if is_stopped():
                    raise
                self._stop.wait(_WAIT_S)


def permitted(config: Config, only: Iterable[str] | None) -> Config:
    """Return a configuration with those packages alone that may be imported into."""
    if only is None:
        return config
    wanted = frozenset(only)
    packages = tuple(rule for rule in config.packages if package_of(rule) in wanted)
    return attrs.evolve(config, packages=packages, collections=())
