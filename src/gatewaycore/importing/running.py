"""Running: one import from its first line to its last, in blocks, each of them safe before it is noted that it is done.

A block is written, and then it is saved how far that has come: after ``kill -9`` in between the block is written again, with the same ids.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from hashlib import blake2b
from typing import Any, Protocol

import msgspec
from attrs import define, field, frozen

from gatewaycore.errors import GatewayError
from gatewaycore.event import Event
from gatewaycore.importing.counters import Counters
from gatewaycore.importing.fields import flatten, is_own
from gatewaycore.importing.ledger import Import, Ledger
from gatewaycore.importing.making import LeftOut, Made, Maker, said_key
from gatewaycore.importing.names import LineError, Names
from gatewaycore.importing.own import from_cells, from_object
from gatewaycore.importing.reading import Source
from gatewaycore.importing.records import Form, Record, Table, form_of, read_objects, read_rows, read_table
from gatewaycore.recorder import encode

_BLOCK_RECORDS = 1_000
_BLOCK_BYTES = 1024 * 1024
_SAVE_S = 1.0
_SHOWN = 3
_UNIQUE = "$unique_id"


@frozen(kw_only=True)
class ImportOptions:
    """How a file is to be understood.

    Attributes:
        package: of lines that name none.
        renamed: what names mean; see `read_map`.
        form: "ndjson" or "csv"; None to find out.
        delimiter: between cells; None to find out.
        encoding: of the text.
        only: events of other packages than these are refused, also where they come out of our own export; None for those of all.
    """

    package: str | None = None
    renamed: Mapping[str, str] = field(factory=dict)
    form: Form | None = None
    delimiter: str | None = None
    encoding: str = "utf-8"
    only: frozenset[str] | None = None


class Writer(Protocol):
    """Where lines go."""

    def write(self, block: bytes) -> None:
        """Write whole lines, or none and raise GatewayError."""
        ...

    def sync(self) -> None:
        """Have them safe."""
        ...


@define
class Watch:
    """How somebody looks on, and stops it.

    Attributes:
        show: is called after each block.
        is_stopped: asked after each block.
    """

    show: Callable[[Import, Source], None]
    is_stopped: Callable[[], bool]


class Reader:
    """Reads one file as records, and records as events.

    Args:
        source: the file, at its beginning.
        options: how it is to be understood.

    Raises:
        GatewayError: it cannot be understood at all.
    """

    def __init__(self, source: Source, options: ImportOptions) -> None:
        self.source = source
        self._options = options
        self._names = Names(options.renamed)
        self._form: Form = options.form or form_of(source.head)
        self._table: Table | None = None
        self._begin()

    def _begin(self) -> None:
        if self._form == "csv":
            self._table = read_table(self.source, self._options.encoding, self._options.delimiter)
            if not self._table.is_own:
                self._check(self._table.header)

    def _check(self, header: Any) -> None:
        try:
            renamed = self._names.apply({name: name for name in header if name})
        except LineError as error:
            raise GatewayError(f"{self.source.name}: its header cannot be used: {error}") from None
        if "$time" not in renamed:
            columns = ", ".join(repr(name[:40]) for name in list(header)[:20])
            raise GatewayError(f"{self.source.name}: no column is $time: write --map 'COLUMN=$time' for one of {columns}")

    def rewind(self) -> None:
        """Begin anew."""
        self.source.rewind()
        self._begin()

    def records(self) -> Iterator[Record]:
        """Iterate over the records from here on."""
        if self._table is None:
            return read_objects(self.source, self._options.encoding)
        return read_rows(self.source, self._table, self._options.encoding)

    def event(self, record: Record, maker: Maker, latest: datetime, is_last: Callable[[bytes], bool] | None) -> Made | LeftOut:
        """Return the time and the line of a record's event.

        Raises:
            LineError: it is none.
        """
        value = record.value
        if isinstance(value, LineError):
            raise value
        if self._table is not None:
            if self._table.is_own:
                return self._own(from_cells(value, latest))
            return maker.make(self._names.apply(dict(value)), is_last)
        if is_own(value) and not self._options.renamed:
            return self._own(from_object(value, latest))
        return maker.make(self._names.apply(flatten(value)), is_last)

    def _own(self, event: Event) -> Made:
        only = self._options.only
        if only is not None and event.package not in only:
            raise LineError("an event of a package that may not be imported here")
        return event.time, encode(event)

    def last_ones(self) -> Counters | None:
        """Read the file once, and note the last record of each ``$unique_id``; None where no line has one."""
        wanted = {_UNIQUE, *(name for name, to in self._options.renamed.items() if to == _UNIQUE)}
        if self._table is not None and (self._table.is_own or wanted.isdisjoint(self._table.header)):
            return None
        last = Counters.temporary()
        found = False
        for record in self.records():
            if isinstance(record.value, LineError) or wanted.isdisjoint(record.value):
                continue
            try:
                fields = self._names.apply(flatten(record.value))
            except LineError:
                continue
            unique = fields.get(_UNIQUE)
            if unique is not None:
                found = True
                last.put(said_key(fields, unique), record.line)
        self.rewind()
        if found:
            return last
        last.close()
        return None


def fingerprint(source: Source, options: ImportOptions, key: bytes) -> str:
    """Return what tells a file, and how it is to be understood, from all others, as long as `key` lives. Reads the file.

    It is keyed like the identifiers: of a file with a single line, somebody could otherwise try all addresses.
    """
    told = [options.package, sorted(options.renamed.items()), options.form, options.delimiter, options.encoding]
    # What was refused for whom it came from is not done when somebody else brings it.
    said = msgspec.json.encode(told if options.only is None else [*told, sorted(options.only)])
    digest = blake2b(said, key=key, digest_size=16, person=b"import file")
    for piece in source.pieces():
        digest.update(piece)
    return digest.hexdigest()


@define
class Run:
    """One run of an import.

    Attributes:
        reader: of the file.
        maker: of lines.
        latest: what is later is refused.
        watch: who looks on.
        shown: the first lines that were made, of a dry run.
    """

    reader: Reader
    maker: Maker
    latest: datetime
    watch: Watch
    shown: list[bytes] = field(factory=list)

    def try_out(self, one: Import, last: Counters | None) -> None:
        """Read everything, and keep nothing."""
        for block in self._blocks(one, last):
            self.shown += block[: _SHOWN - len(self.shown)]
            self.watch.show(one, self.reader.source)
            if self.watch.is_stopped():
                one.status = "aborted"
                return
        one.status = "done"

    def write(self, one: Import, last: Counters | None, writer: Writer, ledger: Ledger, counters: Counters) -> None:
        """Write everything from where the import was.

        Raises:
            GatewayError: there is no room.
        """
        source, saved_at = self.reader.source, time.monotonic()
        if one.line:
            source.skip(one.offset, one.line)
        one.status = "running"
        ledger.save(one, counters)
        try:
            for block in self._blocks(one, last):
                if block:
                    writer.write(b"".join(block))
                self.watch.show(one, source)
                is_stopped = self.watch.is_stopped()
                if is_stopped or time.monotonic() >= saved_at + _SAVE_S:
                    one.status = "aborted" if is_stopped else "running"
                    writer.sync()
                    if ledger.save(one, counters) and not is_stopped:
                        one.status = "aborted"
                        ledger.save(one, counters)
                    if one.status == "aborted":
                        return
                    saved_at = time.monotonic()
            writer.sync()
            one.status = "done"
            ledger.save(one, counters)
        except GatewayError:
            # What was counted since it was saved last has not been written.
            ledger.abort(one)
            raise

    def _blocks(self, one: Import, last: Counters | None) -> Iterator[list[bytes]]:
        """Iterate over blocks of lines. `one` has counted them, and stands behind the last record of the block."""
        source, event = self.reader.source, self.reader.event
        block: list[bytes] = []
        size = records = 0
        for record in self.reader.records():
            one.total += 1
            records += 1
            is_last = None if last is None else _is_last(last, record.line)
            try:
                made = event(record, self.maker, self.latest, is_last)
            except LineError as error:
                one.fail(record.line, str(error))
            else:
                if isinstance(made, LeftOut):
                    one.leave_out(made.why)
                else:
                    one.keep(made[0])
                    block.append(made[1])
                    size += len(made[1])
            if records >= _BLOCK_RECORDS or size >= _BLOCK_BYTES:
                one.offset, one.line = source.offset, source.line
                yield block
                block, size, records = [], 0, 0
        one.offset, one.line = source.offset, source.line
        yield block


def _is_last(last: Counters, line: int) -> Callable[[bytes], bool]:
    return lambda key: last.get(key) == line
