"""Writing: rows -> CSV or NDJSON, one after another; nothing is held.

What a spreadsheet would take for a formula is somebody's User-Agent or query: in CSV such a cell gets a ``'`` in front, which an import
takes away again. NDJSON is exact.
"""

from __future__ import annotations

import csv
import gzip
import io
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self, cast

import msgspec

# Also behind a "'" that was there before, or nobody could tell which of them to take away.
_FORMULA = re.compile(r"'*[=+\-@\t\r]")
_encode = msgspec.json.Encoder().encode
_GZIP_LEVEL = 6
_PIECE_ROWS = 500


class Output(AbstractContextManager["Output"]):
    """A file that is there when it is whole, or standard output; packed where its name ends in ".gz".

    What is no file by itself, a device, a pipe or a link, is written as it is: a file in its place would be something else.

    Args:
        path: None for standard output.
        stdout: what that is.
    """

    def __init__(self, path: Path | None, stdout: BinaryIO) -> None:
        self._path = path
        self._stack = ExitStack()
        self._stdout = stdout
        self._is_drafted = path is not None and (not os.path.lexists(path) or (path.is_file() and not path.is_symlink()))

    def __enter__(self) -> Self:
        if self._path is None:
            self.file: BinaryIO = self._stdout
            return self
        if self._is_drafted:
            self.draft = self._path.with_name(f"{self._path.name}.part")
        else:
            self.draft = self._path
        # Readable by its owner only, like everything that the gateway keeps.
        fd = os.open(self.draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        raw = self._stack.enter_context(os.fdopen(fd, "wb"))
        self.file = raw
        if self._path.suffix == ".gz":
            packed = gzip.GzipFile(filename="", fileobj=raw, mode="wb", compresslevel=_GZIP_LEVEL)
            self.file = cast(BinaryIO, self._stack.enter_context(packed))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        is_whole = False
        try:
            # A full disk may be found out only here.
            self._stack.close()
            if self._path is None:
                self.file.flush()
            is_whole = kind is None
        finally:
            if self._path is not None and self._is_drafted:
                if is_whole:
                    self.draft.replace(self._path)
                else:
                    self.draft.unlink(missing_ok=True)


def write_ndjson(file: BinaryIO, columns: Mapping[str, str], rows: Iterable[Sequence[Any]]) -> int:
    """Write rows as JSON objects, without columns that are empty; return how many there were."""
    names, number = tuple(columns), 0
    for row in rows:
        file.write(_encode({name: value for name, value in zip(names, row, strict=True) if value is not None}) + b"\n")
        number += 1
    return number


def write_csv(file: BinaryIO, columns: Mapping[str, str], rows: Iterable[Sequence[Any]]) -> int:
    """Write rows as CSV (RFC 4180) with a header; return how many there were."""
    text = io.TextIOWrapper(cast(Any, file), encoding="utf-8", newline="", write_through=False)
    try:
        # Both characters of its end, so that a cell with either of them is quoted.
        writer = csv.writer(text, lineterminator="\r\n")
        writer.writerow(columns)
        number = 0
        for row in rows:
            writer.writerow(list(map(_cell, row)))
            number += 1
        return number
    finally:
        text.flush()
        text.detach()


def pieces(form: str, columns: Mapping[str, str], rows: Iterable[Sequence[Any]]) -> Iterator[bytes]:
    """Iterate over what a file would hold, "csv" or "ndjson", in pieces of some hundred rows: for those who send it as it is read."""
    left = iter(rows)
    names, is_first = tuple(columns), True
    while (batch := list(islice(left, _PIECE_ROWS))) or is_first:
        piece = io.BytesIO()
        if form == "ndjson":
            write_ndjson(piece, columns, batch)
        else:
            write_csv(piece, columns, batch)
        yield piece.getvalue() if is_first or form == "ndjson" else _without_header(piece, names)
        is_first = False


def _without_header(piece: io.BytesIO, names: Sequence[str]) -> bytes:
    header = io.BytesIO()
    write_csv(header, dict.fromkeys(names, ""), ())
    return piece.getvalue()[len(header.getvalue()) :]


def no_formula(text: str) -> str:
    """Return a text as it stands in a cell: what a spreadsheet would take for a formula has a ``'`` in front."""
    return f"'{text}" if _FORMULA.match(text) else text


def _cell(value: Any) -> Any:
    if type(value) is str:
        return no_formula(value)
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, msgspec.Raw):
        return bytes(value).decode()
    return value
