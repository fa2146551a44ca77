"""Files: one, or a folder with one for each team."""

from __future__ import annotations

import errno
import logging
import os
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Event

from attrs import frozen

from gatewaycore.errors import ConfigError, Problem
from gatewaycore.sources.copies import SUFFIX as _BEING_WRITTEN
from gatewaycore.sources.copies import folder_of, make_folder, write_whole
from gatewaycore.sources.protocols import Document, version_of

_SUFFIXES = (".yaml", ".yml", ".json")

_log = logging.getLogger("gatewaycore.sources")


def look(path: str | Path) -> tuple[int, int, int, int] | None:
    """Return what is another one when a file has changed, or who may read it; None when it is not there."""
    try:
        seen = os.stat(path)
    except (OSError, ValueError):
        return None
    # Whoever copies a file may copy its time, too, but not when that was done.
    return seen.st_mtime_ns, seen.st_ctime_ns, seen.st_size, seen.st_ino


@frozen(kw_only=True)
class FileSource:
    """A file with more packages and collections.

    Attributes:
        path: YAML or JSON; relative to the working directory.
    """

    path: str

    def open(self, data: Path) -> FilesFeed:
        """Make its feed."""
        return self.peek(data)

    def peek(self, data: Path) -> FilesFeed:
        """Make its feed: files are read again and again, and nothing is kept of them before they are served."""
        return FilesFeed("file", self.path, self._paths, folder_of(data, f"file {self.path}"))

    def _paths(self) -> list[str]:
        return [self.path]


@frozen(kw_only=True)
class DirectorySource:
    """A folder of such files, one for each team. Those whose names come first come first.

    Attributes:
        path: the folder; names that end in .yaml, .yml or .json count, those that begin with a dot do not, folders in it neither. One that
            has come in the place of a file is a fault.
    """

    path: str

    def open(self, data: Path) -> FilesFeed:
        """Make its feed."""
        return self.peek(data)

    def peek(self, data: Path) -> FilesFeed:
        """Make its feed: files are read again and again, and nothing is kept of them before they are served."""
        return FilesFeed("directory", self.path, self._paths, folder_of(data, f"directory {self.path}"))

    def _paths(self) -> list[str]:
        with os.scandir(self.path) as entries:
            # A link that leads nowhere counts: whoever has lost a file has not deleted its rules.
            named = [one.name for one in entries if one.name.endswith(_SUFFIXES) and not one.name.startswith(".")]
        paths = [os.path.join(self.path, name) for name in sorted(named)]
        return [path for path in paths if not os.path.isdir(path)]


def _read(path: str) -> bytes:
    # A pipe would be waited for, for ever.
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "it is no file")
        return file.read()


class FilesFeed:
    """Hands files over.

    Args:
        kind: the tag of the source.
        place: the file, or the folder.
        paths: finds the files, in order.
        folder: where copies of those lie that were served last, for whoever starts while they are bad.
    """

    has_environment = True
    is_stale = False

    def __init__(self, kind: str, place: str, paths: Callable[[], list[str]], folder: Path) -> None:
        self.kind = kind
        self.place = place
        self.error = ""
        self._paths = paths
        self._folder = folder
        self._read: dict[str, tuple[object, Document]] = {}
        # The versions of the copies, by the name of the file; what is told once when there can be none.
        self._copied: dict[str, str] = {}
        self._lacks_copies = False

    def documents(self) -> Sequence[Document]:
        """Return the files as they are now; those that have not changed are not read again."""
        try:
            paths = self._paths()
        except OSError as error:
            raise self._failed(f"cannot be read: {error.strerror}") from error
        # A folder that has come in the place of a file is a mistake, and takes no rules away.
        before = self._read.keys() or {path for path, _ in self._copies()}
        paths = sorted({*paths, *filter(os.path.isdir, before)})
        if before and not paths:
            # So does a disk that is not mounted.
            raise self._failed("holds no files any more", "a file with packages: [] in it says that there are none")
        self._read, self.error = {path: self._document(path) for path in paths}, ""
        return [document for _, document in self._read.values()]

    def _failed(self, why: str, hint: str = "") -> ConfigError:
        self.error = why
        return ConfigError([Problem(self.place, why, hint)])

    def _document(self, path: str) -> tuple[object, Document]:
        seen = look(path)
        known = self._read.get(path)
        if known is not None and known[0] == seen and not known[1].error:
            return known
        try:
            body = _read(path)
            return seen, Document(path, body.decode("utf-8-sig"), version_of(body))
        except UnicodeDecodeError as error:
            return seen, Document(path, "", "", f"not UTF-8 at byte {error.start}")
        except OSError as error:
            return seen, Document(path, "", "", f"cannot be read: {error.strerror}")

    def signature(self) -> object:
        """Return the names, times and sizes of the files."""
        try:
            return [(path, look(path)) for path in self._paths()]
        except OSError as error:
            return error.errno

    def kept(self) -> Sequence[Document]:
        """Return the copies, under the names of their files."""
        found: list[Document] = []
        for path, copy in self._copies():
            with suppress(OSError, UnicodeDecodeError):
                body = copy.read_bytes()
                found.append(Document(path, body.decode(), version_of(body)))
        return found

    def _copies(self) -> Iterator[tuple[str, Path]]:
        for copy in sorted(self._folder.glob("*")):
            # What another process writes right now is none.
            if not copy.name.endswith(_BEING_WRITTEN):
                yield self.place if self.kind == "file" else os.path.join(self.place, copy.name), copy

    def settle(self, used: Sequence[Document], wrong: str) -> None:
        """Keep copies of what is served, and of nothing else. Every process of a node does: those that are there are left as they are."""
        try:
            self._keep(self._folder, {os.path.basename(one.name): one for one in used})
        except OSError as error:
            if not self._lacks_copies:
                _log.warning("%s: no copies can be kept for whoever starts while it is bad: %s", self.place, error.strerror)
            self._lacks_copies = True
        else:
            self._lacks_copies = False

    def _keep(self, folder: Path, used: Mapping[str, Document]) -> None:
        make_folder(folder)
        for name in self._copied.keys() | {one.name for one in folder.glob("*")}:
            if name not in used and not name.endswith(_BEING_WRITTEN):
                (folder / name).unlink(missing_ok=True)
                self._copied.pop(name, None)
        for name, one in used.items():
            if self._copied.get(name) == one.version:
                continue
            body, copy = one.text.encode(), folder / name
            if look(copy) is None or copy.read_bytes() != body:
                write_whole(copy, body)
            self._copied[name] = one.version

    def refresh(self) -> bool:
        """Look nowhere else."""
        return False

    def run(self, stop: Event, wake: Callable[[], None]) -> None:
        """Look nowhere else."""

    def folders(self) -> Sequence[Path]:
        """Return the folder: editors, and whatever else writes a file whole, put another one in its place."""
        return [Path(self.place) if self.kind == "directory" else Path(self.place).parent]

    def close(self) -> None:
        """Let go of nothing."""
