"""Files: one, or a folder with one for each team."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Event

from attrs import frozen

from gatewaycore.errors import ConfigError, GatewayError, Problem
from gatewaycore.sources.protocols import Document, version_of

_SUFFIXES = (".yaml", ".yml", ".json")


def look(path: str | Path) -> tuple[int, int, int] | None:
    """Return what is another one when a file has changed; None when it is not there."""
    try:
        seen = os.stat(path)
    except (OSError, ValueError):
        return None
    return seen.st_mtime_ns, seen.st_size, seen.st_ino


@frozen(kw_only=True)
class FileSource:
    """A file with more packages and collections.

    Attributes:
        path: YAML or JSON; relative to the working directory.
    """

    path: str

    def open(self, data: Path) -> FilesFeed:
        """Make its feed."""
        return _opened(FilesFeed("file", self.path, self._paths))

    def peek(self) -> Sequence[Document]:
        """Return the file as it is now."""
        return FilesFeed("file", self.path, self._paths).documents()

    def _paths(self) -> list[str]:
        return [self.path]


@frozen(kw_only=True)
class DirectorySource:
    """A folder of such files, one for each team. Those whose names come first come first.

    Attributes:
        path: the folder; names that end in .yaml, .yml or .json count, those that begin with a dot do not, folders in it neither.
    """

    path: str

    def open(self, data: Path) -> FilesFeed:
        """Make its feed."""
        return _opened(FilesFeed("directory", self.path, self._paths))

    def peek(self) -> Sequence[Document]:
        """Return its files as they are now."""
        return FilesFeed("directory", self.path, self._paths).documents()

    def _paths(self) -> list[str]:
        with os.scandir(self.path) as entries:
            names = [one.name for one in entries if one.name.endswith(_SUFFIXES) and not one.name.startswith(".") and one.is_file()]
        return [os.path.join(self.path, name) for name in sorted(names)]


class FilesFeed:
    """Hands files over. They are their own copies.

    Args:
        kind: the tag of the source.
        place: the file, or the folder.
        paths: finds the files, in order.
    """

    has_environment = True
    is_stale = False
    # What is bad is handed over again, and found to be bad again.
    is_refused = False

    def __init__(self, kind: str, place: str, paths: Callable[[], list[str]]) -> None:
        self.kind = kind
        self.place = place
        self.error = ""
        self._paths = paths
        self._read: dict[str, tuple[object, Document]] = {}

    def documents(self) -> Sequence[Document]:
        """Return the files as they are now; those that have not changed are not read again."""
        try:
            read = {path: self._document(path) for path in self._paths()}
        except UnicodeDecodeError as error:
            raise self._failed(f"not UTF-8 at byte {error.start}") from error
        except OSError as error:
            raise self._failed(f"{error.filename or self.place} cannot be read: {error.strerror}") from error
        self._read, self.error = read, ""
        return [document for _, document in read.values()]

    def _document(self, path: str) -> tuple[object, Document]:
        seen = look(path)
        known = self._read.get(path)
        if known is not None and known[0] == seen:
            return known
        body = Path(path).read_bytes()
        return seen, Document(path, body.decode("utf-8-sig"), version_of(body))

    def _failed(self, why: str) -> GatewayError:
        self.error = why
        return ConfigError([Problem(self.place, why)])

    def signature(self) -> object:
        """Return the names, times and sizes of the files."""
        try:
            return [(path, look(path)) for path in self._paths()]
        except OSError as error:
            return error.errno

    def settle(self, *, good: bool) -> None:
        """Take note of nothing."""

    def run(self, stop: Event, wake: Callable[[], None]) -> None:
        """Look nowhere else."""

    def folders(self) -> Sequence[Path]:
        """Return the folder: editors, and whatever else writes a file whole, put another one in its place."""
        return [Path(self.place) if self.kind == "directory" else Path(self.place).parent]

    def close(self) -> None:
        """Let go of nothing."""


def _opened(feed: FilesFeed) -> FilesFeed:
    # What cannot be read is told when a service starts, and not when it is looked at first.
    feed.documents()
    return feed
