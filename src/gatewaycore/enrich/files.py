"""Files that an enrichment was made of, and that are replaced while it is asked.

The disk is looked at when settings are opened, and when somebody who has a clock says that it is time to look again. Nothing here is called
for a request.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, Generic, Self, TypeAlias, TypeVar

from attrs import frozen

from gatewaycore.errors import ConfigError, Problem

__all__ = ["MOST_BYTES", "Refreshed", "Watched", "read_text", "refresh_all"]

MOST_BYTES: Final = 64 * 1024 * 1024
"""The longest file of text that is read: what it says is held in memory."""

_BLOCK: Final = 1024 * 1024

T = TypeVar("T")
_Stamp: TypeAlias = tuple[int, int, int, int] | None


@frozen
class Refreshed:
    """What came of looking at files again.

    Attributes:
        swapped: something is known from another file now: what was concluded before may no longer hold.
        problems: files that were replaced by what cannot be used, told once for each such file; what was there before goes on being asked.
        damaged: files that are asked although some of what they hold cannot be read, told when that has become much more.
        notes: what else their operator should know, told once: of a file that is read more slowly than it could be, or took long to check.
    """

    swapped: bool = False
    problems: tuple[Problem, ...] = ()
    damaged: tuple[Problem, ...] = ()
    notes: tuple[Problem, ...] = ()


_UNCHANGED: Final = Refreshed()


class Watched(Generic[T]):
    """What was made of files, and is made anew when there are others in their place.

    Attributes:
        value: what was made. Swapped whole: whoever has taken it may go on with it.
    """

    __slots__ = ("_paths", "_read", "_stamps", "value")

    def __init__(self, paths: Sequence[str], read: Callable[[Sequence[str]], T]) -> None:
        self._paths = tuple(paths)
        self._read = read
        # Before they are read: what is written meanwhile is another file.
        self._stamps = _stamps(self._paths)
        self.value = read(self._paths)

    @classmethod
    def open(cls, named: Mapping[str, str], read: Callable[[Sequence[str]], T]) -> Self:
        """Read files for the first time.

        Args:
            named: their paths, by the key of the settings that names each.
            read: makes something of the paths.

        Raises:
            ConfigError: some cannot be used; each with its key.
        """
        try:
            return cls(tuple(named.values()), read)
        except ConfigError as error:
            keys = {path: key for key, path in named.items()}
            problems = [Problem(keys[one.where], f"{one.where} {one.what}", one.hint) for one in error.problems]
            raise ConfigError(problems) from error

    def refresh(self) -> Refreshed:
        """Look whether the files are still the same, and read them if not."""
        stamps = _stamps(self._paths)
        if stamps == self._stamps:
            return _UNCHANGED
        self._stamps = stamps
        try:
            # What it replaces is let go of and not closed: another thread may be asking it.
            self.value = self._read(self._paths)
        except ConfigError as error:
            return Refreshed(problems=tuple(error.problems))
        return Refreshed(swapped=True)


def refresh_all(watched: Iterable[Watched[T]]) -> Refreshed:
    """Refresh each, and return what came of it all."""
    found = [one.refresh() for one in watched]
    return Refreshed(any(one.swapped for one in found), tuple(problem for one in found for problem in one.problems))


def read_text(path: str) -> str:
    """Return what a file of text holds.

    Raises:
        ConfigError: it cannot be read, is longer than `MOST_BYTES`, or is no UTF-8.
    """
    parts = []
    most = MOST_BYTES
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            while most >= 0 and (part := os.read(file, _BLOCK)):
                parts.append(part)
                most -= len(part)
        finally:
            os.close(file)
    except OSError as error:
        raise ConfigError([Problem(path, f"cannot be read: {error.strerror or error}")]) from error
    if most < 0:
        raise ConfigError([Problem(path, "is too long", f"at most {MOST_BYTES >> 20} MiB")])
    try:
        return b"".join(parts).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError([Problem(path, "is no text in UTF-8", "unpack it, if it is compressed")]) from error


def _stamps(paths: Sequence[str]) -> tuple[_Stamp, ...]:
    return tuple(map(_stamp, paths))


def _stamp(path: str) -> _Stamp:
    """Return what tells a file from the one that replaces it; None when there is none."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
