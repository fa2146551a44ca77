"""Salts: the secret keys of the identifiers. They come from the operating system, are shared by a node's processes, and do not live long.

An identifier can be recomputed, and so turned back into an address by trying them all, only by who holds the key. A rotated key is
overwritten and removed: from then on nobody can. Nodes may share theirs through a `Store`, which nobody waits for who answers a request.
"""

from __future__ import annotations

import fcntl
import logging
import os
import threading
from contextlib import suppress
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Literal, Protocol, TypeAlias

from attrs import frozen

from gatewaycore.errors import GatewayError

_log = logging.getLogger("gatewaycore.salts")
_BYTES = 32
# So long before a period begins its key is asked for: a database that is down at midnight is nobody's trouble.
_AHEAD_NS = 3_600_000_000_000
# A clock that is set back by less goes on with the key that it has: two keys in turn are worth nothing to anybody.
_BACK_NS = 86_400_000_000_000

Rotation: TypeAlias = Literal["month", "day"]


@frozen
class Period:
    """What one key is for.

    Attributes:
        begins: when, in UTC.
        ends: when the next one begins.
        rotation: "month" or "day".
    """

    begins: datetime
    ends: datetime
    rotation: Rotation

    @classmethod
    def of(cls, now_ns: int, rotation: Rotation) -> Period:
        """Return the period that a time lies in, in nanoseconds since the epoch."""
        today = datetime.fromtimestamp(now_ns // 1_000_000_000, UTC).date()
        first = today if rotation == "day" else today.replace(day=1)
        following = first + timedelta(days=1) if rotation == "day" else (first + timedelta(days=32)).replace(day=1)
        return cls(_midnight(first), _midnight(following), rotation)

    @property
    def begins_ns(self) -> int:
        """The beginning, in nanoseconds since the epoch."""
        return int(self.begins.timestamp()) * 1_000_000_000

    @property
    def ends_ns(self) -> int:
        """The end, in nanoseconds since the epoch."""
        return int(self.ends.timestamp()) * 1_000_000_000

    @property
    def own(self) -> str:
        """The name of the file with a node's own key."""
        return f"{self.begins.date().isoformat()}.salt"

    @property
    def shared(self) -> str:
        """The name of the file with the key that nodes share. It says how long it holds: nodes may change from months to days."""
        return f"{self.begins.date().isoformat()}.shared-{self.rotation}.salt"


class Store(Protocol):
    """Where nodes share keys."""

    def take(self, period: Period, offered: bytes) -> bytes:
        """Return the key of `period`: the one that is there, else `offered`, which is so from then on. Destroy those that are over.

        Raises:
            GatewayError: it cannot be asked now, or gives none for this period.
        """
        ...


class Salts:
    """The keys of one node.

    Args:
        directory: where the current key lies, readable by its owner only; None keeps it in memory alone, for tests and dry runs.
        rotation: "month" or "day", by the calendar in UTC.
        store: where nodes share their keys; None where each has its own.

    Attributes:
        key: the current key, 32 bytes.
        until_ns: when it is over, in nanoseconds since the epoch: time for `rotate`.
    """

    def __init__(self, directory: Path | None, rotation: Rotation = "month", store: Store | None = None) -> None:
        self._directory = directory
        self._rotation = rotation
        self._store = store
        self._lock = threading.Lock()
        self._is_told = False
        self.key = b""
        self.until_ns = 0
        self._period: Period | None = None
        if directory is not None:
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)

    def is_over(self, now_ns: int) -> bool:
        """Tell whether it is time for `rotate`; also where a clock was set back that was far ahead: its key would live until then."""
        begins_ns = 0 if self._period is None else self._period.begins_ns
        return now_ns >= self.until_ns or now_ns < begins_ns - _BACK_NS

    def rotate(self, now_ns: int) -> None:
        """Take the key of the period that `now_ns` lies in, and destroy those before it. Asks nobody but this node's disk."""
        with self._lock:
            if not self.is_over(now_ns):
                return
            period, before = Period.of(now_ns, self._rotation), self._period
            fresh = os.urandom(_BYTES)
            if self._directory is not None:
                try:
                    fresh = self._kept(self._directory, period, fresh)
                except OSError as error:
                    # Identifiers then differ between this node's processes until the next rotation; an address is safe either way.
                    _log.error("the salt cannot be kept on disk: %s", error.strerror)
                else:
                    _destroy_all(self._directory, (period.own, period.shared), now_ns)
                    if before is not None and before.begins > period.begins:
                        # It was used, and nobody else has a use for it for as long as it would lie there.
                        _destroy_or_tell(self._directory / before.own)
            self.key = fresh
            self.until_ns, self._period = period.ends_ns, period

    def _kept(self, directory: Path, period: Period, fresh: bytes) -> bytes:
        """Return the key that this node has of `period`: the shared one where it has been told, else its own."""
        if self._store is not None:
            try:
                return _read(directory / period.shared)
            except (FileNotFoundError, ValueError):
                pass
        return _first(directory / period.own, fresh)

    def refresh(self, now_ns: int) -> bool:
        """Take the key that nodes share, and shortly before the end of a period that of the next one; True when `key` has changed.

        Waits for the store, so whoever answers requests calls `rotate` only. Without the store the node goes on with what it has: the
        shared key, or one of its own, which it offers as soon as the store is there.
        """
        if self._store is None:
            return False
        if self.is_over(now_ns):
            self.rotate(now_ns)
        period, has_changed = Period.of(now_ns, self._rotation), False
        try:
            has_changed = self._adopt(period, self._store.take(period, self.key), now_ns)
            if now_ns + _AHEAD_NS >= period.ends_ns:
                self._prepare(self._store, Period.of(period.ends_ns, self._rotation))
        except GatewayError as error:
            if not self._is_told:
                self._is_told = True
                _log.error("the shared salt cannot be asked for, and this node goes on with what it has: %s", error)
            return has_changed
        if self._is_told:
            self._is_told = False
            _log.warning("the shared salt is there again")
        return has_changed

    def _prepare(self, store: Store, coming: Period) -> None:
        if self._directory is not None and not (self._directory / coming.shared).exists():
            _keep(self._directory / coming.shared, store.take(coming, os.urandom(_BYTES)))

    def _adopt(self, period: Period, key: bytes, now_ns: int) -> bool:
        if self._directory is not None and _keep(self._directory / period.shared, key):
            # Its own, and those of before.
            _destroy_all(self._directory, (period.shared,), now_ns)
        with self._lock:
            # Somebody may have rotated it meanwhile.
            if self.until_ns != period.ends_ns or self.key == key:
                return False
            self.key = key
            return True


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def _read(path: Path) -> bytes:
    """Return the key in a file.

    Raises:
        ValueError: it was cut short, or is none.
    """
    key = path.read_bytes()
    if len(key) != _BYTES:
        raise ValueError("no whole key")
    return key


def _keep(path: Path, key: bytes) -> bool:
    """Let a file hold this key, and no other one; False, with the reason logged, when it cannot."""
    try:
        if path.exists() and path.read_bytes() != key:
            _destroy(path)
        return _first(path, key) == key
    except OSError as error:
        _log.error("the shared salt cannot be kept on disk: %s", error.strerror)
        return False


def _first(path: Path, fresh: bytes) -> bytes:
    """Return the key in a file: the first process to come makes it, or makes it anew where it was cut short."""
    draft = path.with_name(f".{path.stem}.{os.getpid()}.{os.urandom(4).hex()}")
    draft.touch(mode=0o600)
    try:
        with draft.open("wb") as file:
            file.write(fresh)
            file.flush()
            # Else a power cut may leave the name, and nothing behind it. Where it cannot be done, the node has the key all the same.
            with suppress(OSError):
                os.fsync(file.fileno())
        # link() fails when the name is taken, and never shows a half-written key.
        os.link(draft, path)
    except FileExistsError:
        _mend(path, draft)
    finally:
        draft.unlink(missing_ok=True)
    return _read(path)


def _mend(path: Path, draft: Path) -> None:
    """Put `draft` in the place of a key that was cut short; nothing where there is a whole one."""
    with suppress(ValueError):
        _read(path)
        return
    with path.open("r+b", buffering=0) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        # Another process of this node may have been faster: there is another file then.
        with suppress(ValueError):
            _read(path)
            return
        _log.error("%s holds no whole key and is made anew: identifiers change within their period", path.name)
        # What there is of it, if the node has ever used it.
        file.write(bytes(os.fstat(file.fileno()).st_size))
        os.fsync(file.fileno())
        draft.replace(path)


def _destroy_all(directory: Path, kept: tuple[str, ...], now_ns: int) -> None:
    """Destroy every key but those `kept`, those of days too where months have followed them. ISO dates sort as dates do."""
    today = datetime.fromtimestamp(now_ns // 1_000_000_000, UTC).date().isoformat()
    for old in directory.glob("*.salt"):
        if old.name not in kept and old.name.partition(".")[0] <= today:
            _destroy_or_tell(old)


def _destroy_or_tell(path: Path) -> None:
    try:
        _destroy(path)
    except OSError as error:
        _log.error("an old salt cannot be destroyed, and its identifiers could be recomputed: %s", error.strerror)


def _destroy(path: Path) -> None:
    try:
        with path.open("r+b", buffering=0) as file:
            file.write(bytes(_BYTES))
            os.fsync(file.fileno())
        path.unlink()
    except FileNotFoundError:
        # Another process of this node was faster.
        return
