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
from typing import Self, cast

from gatewaycore.errors import GatewayError
from gatewaycore.importing.names import RefusedError

LINE_BYTES = 1_048_576
"""The longest line that is read; of longer ones nothing is held."""

_GZIP = b"\x1f\x8b"
_BOM = b"\xef\xbb\xbf"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_PIECE = 1024 * 1024
_TORN = (EOFError, zlib.error, gzip.BadGzipFile)


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
        self._raw = os.fdopen(os.dup(sys.stdin.fileno()), "rb") if path is None else path.open("rb")
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
        self._file: io.BufferedReader = (
            # With a buffer of its own, which is faster than asking it for each line.
            io.BufferedReader(cast(io.RawIOBase, gzip.GzipFile(fileobj=self._raw)), _PIECE) if self._is_packed else self._raw
        )
        try:
            self.head = self._file.peek(4096)[:4096]
        except _TORN:
            self.head = b""
        if self.head[:2] in _UTF16:
            raise GatewayError(f"{self.name} is UTF-16: iconv -f UTF-16 -t UTF-8 makes it readable")
        if self.head.startswith(_BOM):
            self.offset += len(self._file.read(len(_BOM)))
            self.head = self.head[len(_BOM) :]

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

    def lines(self) -> Iterator[bytes | RefusedError]:
        """Iterate over lines with their ends, or what is wrong with one. `line` tells its number, `offset` where the next begins."""
        readline = self._file.readline
        while True:
            try:
                line = readline(LINE_BYTES + 1)
            except _TORN:
                # Half a line before it may look whole.
                self.line += 1
                yield RefusedError("the gzip stream is torn or damaged here: what comes behind it cannot be read")
                return
            if not line:
                return
            self.line += 1
            self.offset += len(line)
            if len(line) > LINE_BYTES:
                if not self._pass(line):
                    yield RefusedError("the gzip stream is torn or damaged here: what comes behind it cannot be read")
                    return
                yield RefusedError(f"longer than {LINE_BYTES:,} bytes")
            else:
                yield line

    def _pass(self, line: bytes) -> bool:
        """Read to the end of a line that is too long; False where that cannot be read."""
        while line and not line.endswith(b"\n"):
            try:
                line = self._file.readline(_PIECE)
            except _TORN:
                return False
            self.offset += len(line)
        return True

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        self._raw.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
