"""Sink `jsonl`: one JSON object a line, to standard output or to a file, for whoever collects logs already."""

from __future__ import annotations

import contextlib
import os
import stat
import sys
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import BinaryIO

from attrs import frozen

from gatewaycore.errors import ConfigError, Problem, SinkError


@frozen
class JsonlStorage:
    """Settings of the sink `jsonl`.

    Attributes:
        path: the file to append to; "-" is standard output.
    """

    path: str = "-"

    def open(self) -> JsonlSink:
        """Make the sink.

        Raises:
            ConfigError: the file cannot be opened.
        """
        self.check()
        if self.path == "-":
            return JsonlSink(sys.stdout.buffer, owned=False)
        try:
            path = Path(self.path)
            path.parent.mkdir(parents=True, exist_ok=True)
            # Read, too: how it ends says whether somebody was killed while writing. A pipe that could be read would have a reader always.
            reading = os.O_WRONLY if path.exists() and not path.is_file() else os.O_RDWR
            fd = os.open(path, reading | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ConfigError([Problem("sinks: jsonl: path", f"{self.path!r} cannot be opened: {error.strerror}")]) from error
        # Without a buffer: what it held when a disk was full would be written later, in the middle of something else.
        return JsonlSink(os.fdopen(fd, "ab", buffering=0), owned=True)

    def check(self) -> None:
        """Find out whether there can be such a file; who may write it is told by `open`, for whoever checks may be somebody else.

        Raises:
            ConfigError: it is a folder, or would be in a file.
        """
        if self.path == "-":
            return
        path = Path(self.path)
        if "\0" in self.path or path.is_dir():
            raise ConfigError([Problem("sinks: jsonl: path", f"{self.path!r} cannot be opened: it is no file", "the path of a file, or -")])
        above = next((folder for folder in path.absolute().parents if folder.exists()), path.parent)
        if not above.is_dir():
            raise ConfigError([Problem("sinks: jsonl: path", f"{self.path!r} cannot be opened: {str(above)!r} is no folder")])

    def check_beside(self, journal: str | PathLike[str]) -> None:
        """Do as `check`, and hold the file to lie outside of a journal: by its name it may pass for a segment, and be shipped into itself.

        Args:
            journal: the folder of segments.

        Raises:
            ConfigError: as `check`; or it would lie in the journal.
        """
        self.check()
        if self.path != "-" and Path(self.path).resolve().is_relative_to(Path(journal).resolve()):
            raise ConfigError([Problem("sinks: jsonl: path", f"{self.path!r} lies in the journal", "a file outside of it")])


class JsonlSink:
    """Writes lines as they come. A line may come twice after a crash; its `id` tells.

    In a file of its own every line is whole: what was written of a batch when the disk was full is taken back, and what a kill has left
    of a line stays a line by itself.

    Args:
        file: where to.
        owned: it is ours alone: close it in the end.
    """

    def __init__(self, file: BinaryIO, *, owned: bool) -> None:
        self._file = file
        self._owned = owned
        self._is_regular = owned and stat.S_ISREG(os.fstat(file.fileno()).st_mode)

    def write(self, lines: Sequence[bytes]) -> None:
        """Write and flush a batch.

        Raises:
            SinkError: the file or the pipe is gone or full.
        """
        data = b"".join(lines)
        try:
            if self._is_regular:
                self._append(data)
            else:
                self._put(data)
        except (OSError, ValueError) as error:
            raise SinkError(f"jsonl: {error}") from error

    def _append(self, data: bytes) -> None:
        fd = self._file.fileno()
        size = os.fstat(fd).st_size
        if data and size and os.pread(fd, 1, size - 1) != b"\n":
            data = b"\n" + data
        try:
            self._put(data)
        except OSError:
            # A file that may only be appended to cannot be cut, and one that others write to must not be: the next batch mends it.
            with contextlib.suppress(OSError):
                if data.startswith(os.pread(fd, len(data) + 1, size)):
                    os.ftruncate(fd, size)
            raise

    def _put(self, data: bytes) -> None:
        left = memoryview(data)
        while left:
            written = self._file.write(left)
            if not written:
                # A pipe that does not block; a buffered one raises this by itself.
                raise BlockingIOError("it is full")
            left = left[written:]
        self._file.flush()

    def close(self) -> None:
        """Close the file, if it is ours."""
        if self._owned:
            self._file.close()
