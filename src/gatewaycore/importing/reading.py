"""Reading: a file or standard input -> numbered lines, unpacked, with bounds on all of it. What is in a line is no affair of this room."""

from __future__ import annotations

import gzip
import io
import os
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from gatewaycore.errors import GatewayError
from gatewaycore.importing.names import LineError

LINE_BYTES = 1_048_576
"""The longest line that is read; of longer ones nothing is held."""

_GZIP = b"\x1f\x8b"
_BOM = b"\xef\xbb\xbf"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_PIECE = 1024 * 1024
_TORN = (EOFError, zlib.error, gzip.BadGzipFile)


def stdin_descriptor() -> int:
    """Return the descriptor of standard input."""
    return sys.stdin.fileno()


class _Unpacked(io.RawIOBase):
    """A gzip stream, up to its end or to where it is torn.

    Attributes:
        is_torn: whether it was.
    """

    def __init__(self, raw: io.BufferedReader) -> None:
        self.is_torn = False
        self._file = gzip.GzipFile(fileobj=raw)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            # Not more than there is at once: what stands before the tear would be lost with it.
            piece = self._file.read1(len(buffer))
        except _TORN:
            self.is_torn = True
            return 0
        buffer[: len(piece)] = piece
        return len(piece)


class Source:
    """What is imported, opened. Closed by its end as a context.

    Args:
        path: a file; None for standard input.

    Raises:
        OSError: it cannot be opened.
        GatewayError: it is UTF-16.

    Attributes:
        name: of the file, without its folders; "-" for standard input.
        size: in bytes, as it is on disk; None where that is not known.
        can_be_read_again: whether it is a file, and no pipe.
        offset: of the next line, in bytes, unpacked.
        line: how many lines were read.
        head: its first bytes, unpacked.
    """

    def __init__(self, path: Path | None) -> None:
        self.name = "-" if path is None else path.name
        self._raw = os.fdopen(os.dup(stdin_descriptor()), "rb") if path is None else path.open("rb")
        try:
            self.can_be_read_again = self._raw.seekable()
            self.size = os.fstat(self._raw.fileno()).st_size if self.can_be_read_again else None
            self._is_packed = self._raw.peek(2)[:2] == _GZIP
            self._open()
        except BaseException:
            self._raw.close()
            raise

    def _open(self) -> None:
        self.offset = self.line = 0
        self._unpacked = _Unpacked(self._raw) if self._is_packed else None
        self._file: io.BufferedReader = self._raw if self._unpacked is None else io.BufferedReader(self._unpacked, _PIECE)
        self.head = self._file.peek(4096)[:4096]
        if self.head[:2] in _UTF16:
            raise GatewayError(f"{self.name} is UTF-16: iconv -f UTF-16 -t UTF-8 makes it readable")
        if self.head.startswith(_BOM):
            self.offset += len(self._file.read(len(_BOM)))
            self.head = self.head[len(_BOM) :]

    @property
    def _is_torn(self) -> bool:
        return self._unpacked is not None and self._unpacked.is_torn

    def rewind(self) -> None:
        """Begin anew."""
        self._raw.seek(0)
        self._open()

    def skip(self, offset: int, line: int) -> None:
        """Go on at `offset`, where `line` lines have been read."""
        left = offset - self.offset
        if not self._is_packed:
            self._file.seek(offset)
            left = 0
        while left > 0:
            piece = self._file.read(min(left, _PIECE))
            if not piece:
                break
            left -= len(piece)
        self.offset, self.line = offset, line

    def pieces(self) -> Iterator[bytes]:
        """Iterate over what is on disk, as it is. To be rewound afterwards."""
        self._raw.seek(0)
        return iter(lambda: self._raw.read(_PIECE), b"")

    @property
    def position(self) -> int:
        """How many bytes were read from disk."""
        return self._raw.tell() if self.can_be_read_again else 0

    def lines(self) -> Iterator[bytes | LineError]:
        """Iterate over lines with their ends, or what is wrong with one. `line` tells its number, `offset` where the next begins."""
        readline = self._file.readline
        while line := readline(LINE_BYTES + 1):
            self.line += 1
            self.offset += len(line)
            is_whole = len(line) <= LINE_BYTES
            while len(line) > LINE_BYTES and not line.endswith(b"\n"):
                line = readline(LINE_BYTES + 1)
                self.offset += len(line)
            if self._is_torn and not line.endswith(b"\n"):
                # Half a line may look whole.
                self.line -= 1
                break
            yield line if is_whole else LineError(f"longer than {LINE_BYTES:,} bytes")
        if self._is_torn:
            self.line += 1
            yield LineError("the gzip stream is torn or damaged here: what comes behind it cannot be read")

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        self._raw.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
