"""Salts: the secret keys of the identifiers. They come from the operating system, are shared by a node's processes, and do not live long.

An identifier can be recomputed, and so turned back into an address by trying them all, only by who holds the key. A rotated key is
overwritten and removed: from then on nobody can.
"""

from __future__ import annotations

import logging
import os
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal, TypeAlias

_log = logging.getLogger("gatewaycore.salts")
_BYTES = 32

Rotation: TypeAlias = Literal["month", "day"]


class Salts:
    """The keys of one node.

    Args:
        directory: where the current key lies, readable by its owner only; None keeps it in memory alone, for tests and dry runs.
        rotation: "month" or "day", by the calendar in UTC.

    Attributes:
        key: the current key, 32 bytes.
        until_ns: when it is over, in nanoseconds since the epoch: time for `rotate`.
    """

    def __init__(self, directory: Path | None, rotation: Rotation = "month") -> None:
        self._directory = directory
        self._daily = rotation == "day"
        self._lock = threading.Lock()
        self.key = b""
        self.until_ns = 0
        if directory is not None:
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)

    def rotate(self, now_ns: int) -> None:
        """Take the key of the period that `now_ns` lies in, and destroy those before it."""
        with self._lock:
            if now_ns < self.until_ns:
                return
            today = datetime.fromtimestamp(now_ns // 1_000_000_000, UTC).date()
            first = today if self._daily else today.replace(day=1)
            following = first + timedelta(days=1 if self._daily else 32)
            if not self._daily:
                following = following.replace(day=1)
            fresh = os.urandom(_BYTES)
            if self._directory is not None:
                try:
                    fresh = _shared(self._directory, first.isoformat(), fresh)
                    _destroy_all(self._directory, first.isoformat(), today.isoformat())
                except OSError as error:
                    # Identifiers then differ between this node's processes until the next rotation; an address is safe either way.
                    _log.error("the salt cannot be kept on disk: %s", error.strerror)
            self.key = fresh
            self.until_ns = int(datetime(following.year, following.month, following.day, tzinfo=UTC).timestamp()) * 1_000_000_000


def _shared(directory: Path, period: str, fresh: bytes) -> bytes:
    """Return this node's key of `period`: the first process to come makes it."""
    path = directory / f"{period}.salt"
    draft = directory / f".{period}.{os.getpid()}.{os.urandom(4).hex()}"
    draft.touch(mode=0o600)
    try:
        draft.write_bytes(fresh)
        # link() fails when the name is taken, and never shows a half-written key.
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
    key = path.read_bytes()
    return key if len(key) == _BYTES else fresh


def _destroy_all(directory: Path, period: str, today: str) -> None:
    """Destroy every key but that of `period`, those of days too where months have followed them. ISO dates sort as dates do."""
    for old in directory.glob("*.salt"):
        if old.stem != period and old.stem <= today:
            try:
                _destroy(old)
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
