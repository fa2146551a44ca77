"""Records: numbered lines -> objects or rows, each with the line that it begins on. The one place that knows which form a file has."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, TypeAlias

from attrs import define, frozen

from gatewaycore.errors import ConfigError, GatewayError, Problem
from gatewaycore.importing.fields import from_row, is_own, read_object
from gatewaycore.importing.names import LineError
from gatewaycore.importing.reading import LINE_BYTES, Source

Form: TypeAlias = Literal["ndjson", "csv"]

_DELIMITERS = ",;\t|"
_SPACE = b" \t\r\n"


@frozen
class Table:
    """How the rows of a CSV are read.

    Attributes:
        header: the names of its columns.
        delimiter: between cells.
        is_own: whether it is of our own export.
    """

    header: Sequence[str]
    delimiter: str
    is_own: bool


@define
class Record:
    """One record, or what is wrong with it.

    Attributes:
        line: the number of the line that it begins on.
        value: a JSON object, or the cells of a row by their column.
    """

    line: int
    value: Mapping[str, Any] | LineError


def form_of(head: bytes) -> Form:
    """Return which form a file has that begins so.

    Raises:
        GatewayError: it is a JSON array.
    """
    first = head.lstrip(_SPACE)[:1]
    if first == b"[":
        raise GatewayError("this is one JSON array: jq -c '.[]' makes lines of it")
    return "ndjson" if first in (b"{", b"") else "csv"


def check_encoding(name: str) -> None:
    """Hold an encoding to those whose lines end as those of ASCII do.

    Raises:
        ConfigError: it is another one, or none.
    """
    try:
        is_fit = 'a"\n,'.encode(name) == b'a"\n,' and bytes(range(32, 127)).decode(name).isascii()
    except (LookupError, UnicodeError):
        is_fit = False
    if not is_fit:
        raise ConfigError([Problem("--encoding", f"{name!r} cannot be read", "utf-8, latin-1, cp1252 and the like")])


def read_objects(source: Source, encoding: str) -> Iterator[Record]:
    """Iterate over the objects of NDJSON. Blank lines are passed over."""
    recode = encoding not in ("utf-8", "utf8")
    for line in source.lines():
        number = source.line
        if isinstance(line, LineError):
            yield Record(number, line)
            continue
        if line.isspace():
            continue
        try:
            yield Record(number, read_object(line.decode(encoding).encode() if recode else line))
        except UnicodeDecodeError as error:
            yield Record(number, LineError(f"not {encoding} at byte {error.start}"))
        except LineError as error:
            yield Record(number, error)


def read_table(source: Source, encoding: str, delimiter: str | None) -> Table:
    """Read the header of a CSV.

    Raises:
        GatewayError: there is none, or one that cannot be used.
    """
    for line in source.lines():
        if isinstance(line, LineError):
            raise GatewayError(f"line {source.line}: {line}")
        if line.isspace():
            continue
        try:
            text = line.decode(encoding)
        except UnicodeDecodeError as error:
            raise GatewayError(f"line {source.line}: not {encoding} at byte {error.start}") from error
        found = delimiter or max(_DELIMITERS, key=text.count)
        header = [name.strip() for name in next(csv.reader([text], delimiter=found))]
        twice = sorted({name for name in header if name and header.count(name) > 1})
        if twice:
            raise GatewayError(f"line {source.line}: the column {twice[0][:80]!r} is there twice")
        return Table(header, found, is_own(header))
    raise GatewayError("there is nothing in it")


def read_rows(source: Source, table: Table, encoding: str) -> Iterator[Record]:
    """Iterate over the rows of a CSV behind its header; a cell may hold line breaks."""
    lines = _Lines(source, encoding)
    csv.field_size_limit(LINE_BYTES)
    while not lines.is_over:
        # After something that is no CSV, begun anew on the next line.
        rows = csv.reader(lines, delimiter=table.delimiter, strict=True)
        while True:
            lines.begin()
            try:
                row = next(rows)
            except StopIteration:
                break
            except csv.Error as error:
                yield Record(lines.first or source.line, LineError(f"not CSV: {_words(error)}"))
                break
            except LineError as error:
                yield Record(lines.first or source.line, error)
                break
            if not row:
                continue
            try:
                yield Record(lines.first, from_row(table.header, row))
            except LineError as error:
                yield Record(lines.first, error)


def _words(error: csv.Error) -> str:
    # None of its messages quotes what it has read, but for those that name the delimiter.
    return str(error).replace("unexpected end of data", "a quote that is never closed")


class _Lines:
    """Lines as text, for the reader of CSV."""

    def __init__(self, source: Source, encoding: str) -> None:
        self.first = self._characters = 0
        self.is_over = False
        self._source = source
        self._lines = source.lines()
        self._encoding = encoding

    def begin(self) -> None:
        """Begin another record."""
        self.first = self._characters = 0

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        try:
            line = next(self._lines)
        except StopIteration:
            self.is_over = True
            raise
        if isinstance(line, LineError):
            raise line
        self.first = self.first or self._source.line
        try:
            text = line.decode(self._encoding)
        except UnicodeDecodeError as error:
            raise LineError(f"not {self._encoding} at byte {error.start}") from None
        self._characters += len(text)
        if self._characters > LINE_BYTES:
            raise LineError(f"a record of more than {LINE_BYTES:,} characters: most likely a quote that is never closed")
        return text
