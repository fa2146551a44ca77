"""Session: everything around one import, put together: the file, the packages, the keys, the journal, the ledger."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from pathlib import Path

from attrs import frozen

from gatewaycore.callers import Callers
from gatewaycore.enrich import Enricher
from gatewaycore.enrich.agent import ClientEnricher
from gatewaycore.errors import GatewayError
from gatewaycore.importing.counters import Counters
from gatewaycore.importing.ids import content_key, event_id
from gatewaycore.importing.ledger import Import, Ledger
from gatewaycore.importing.making import Maker, keys_of_periods
from gatewaycore.importing.packages import Packages
from gatewaycore.importing.reading import Source
from gatewaycore.importing.records import check_encoding
from gatewaycore.importing.running import ImportOptions, Reader, Run, Watch, fingerprint
from gatewaycore.importing.segment import ImportSegments
from gatewaycore.importing.times import AHEAD
from gatewaycore.journal import JournalSettings
from gatewaycore.locks import is_locked
from gatewaycore.owntraffic import OwnTraffic
from gatewaycore.salts import Rotation, Salts

_WAIT_S = 1.0
_NOBODY_S = 10.0


class BusyError(GatewayError):
    """Another import is at it."""


@frozen(kw_only=True)
class ImportSession:
    """What imports into one gateway's journal.

    Attributes:
        packages: that events can be imported into.
        enrichers: what can be known of a caller.
        own: whose events are left out because they are the operator's own.
        data: the data-dir.
        node: names this machine.
        journal: how the journal is kept.
        rotation: how often identifiers' keys are replaced.
        ships: whether there is anybody that segments are removed behind.
    """

    packages: Packages
    enrichers: Sequence[Enricher]
    own: OwnTraffic | None
    data: Path
    node: str
    journal: JournalSettings
    rotation: Rotation
    ships: bool

    def try_out(self, path: Path | None, options: ImportOptions, watch: Watch) -> tuple[Import, list[bytes]]:
        """Read a file as if it were imported, and keep nothing.

        Args:
            path: None for standard input.
            options: how it is to be understood.
            watch: who looks on.

        Returns:
            what would become of it, and the first lines as the journal would have them.

        Raises:
            GatewayError: it cannot be understood at all.
            OSError: it cannot be read.
        """
        check_encoding(options.encoding)
        now = datetime.now(UTC)
        with Source(path) as source, closing(Counters.temporary()) as counters, ExitStack() as opened:
            one = Import("", source.name, "queued", now, now)
            reader = Reader(source, options)
            last = self._last(reader, opened)
            run = self._run(reader, Salts(None, self.rotation), counters, now, watch)
            run.try_out(one, last)
        return one, run.shown

    def run(self, path: Path | None, options: ImportOptions, watch: Watch, restart: bool = False) -> Import:
        """Import a file; go on where an earlier run of the same file was interrupted.

        Args:
            path: None for standard input, which cannot be gone on with: what comes again is recognised by its ids.
            options: how it is to be understood.
            watch: who looks on.
            restart: begin anew, also where it was imported before.

        Returns:
            what has become of it.

        Raises:
            GatewayError: it cannot be understood at all, another import is at it, or the journal has no room.
            OSError: it cannot be read.
        """
        check_encoding(options.encoding)
        now = datetime.now(UTC)
        salts = Salts(self.data / "salts", self.rotation)
        salts.rotate(time.time_ns())
        with ExitStack() as opened:
            source = opened.enter_context(Source(path))
            reader = Reader(source, options)
            ledger = Ledger(self.data)
            opened.callback(ledger.close)
            if not ledger.acquire():
                raise BusyError("another import is at it: they run one after another")
            one = self._begin(ledger, source, options, salts.key, restart)
            if one.status == "done":
                return one
            if source.can_be_read_again:
                reader.rewind()
            counters = ledger.counters(one)
            run = self._run(reader, salts, counters, now, watch)
            segments = ImportSegments(self.data / "journal", self.node, self.journal, _Patience(self.data, self.ships, watch).wait)
            opened.callback(segments.close)
            run.write(one, self._last(reader, opened), segments, ledger, counters)
            return one

    def _begin(self, ledger: Ledger, source: Source, options: ImportOptions, key: bytes, restart: bool) -> Import:
        # What comes through a pipe is never the same again.
        told = fingerprint(source, options, key) if source.can_be_read_again else os.urandom(16).hex()
        found = ledger.find(told)
        if found is not None:
            if not restart:
                return found
            ledger.restart(found)
        return ledger.begin(told, source.name, event_id(datetime.now(UTC), content_key(os.urandom(16))).decode())

    def _last(self, reader: Reader, opened: ExitStack) -> Counters | None:
        last = reader.last_ones() if reader.source.can_be_read_again else None
        if last is not None:
            opened.callback(last.close)
        return last

    def _run(self, reader: Reader, salts: Salts, counters: Counters, now: datetime, watch: Watch) -> Run:
        salts.rotate(time.time_ns())
        # Those that stand first and look at nothing else.
        count = next((at for at, one in enumerate(self.enrichers) if type(one) is not ClientEnricher), len(self.enrichers))
        by_agent, callers = Callers(self.enrichers[:count]), Callers(self.enrichers[count:])
        latest = now + AHEAD
        key = keys_of_periods(salts.key, now, self.rotation)
        maker = Maker(self.packages, by_agent, callers, key, counters.count, latest, self.own)
        return Run(reader, maker, latest, watch)


class _Patience:
    """Waits for room in the journal, as long as there is somebody who makes it.

    Args:
        data: the data-dir.
        ships: whether there is anybody that segments are removed behind.
        watch: may stop it.
    """

    def __init__(self, data: Path, ships: bool, watch: Watch) -> None:
        self._lock = data / "cursors" / "lock"
        self._ships = ships
        self._watch = watch
        self._alone_since = self._asked_at = 0.0

    def wait(self, most: int) -> None:
        """Wait a moment.

        Raises:
            GatewayError: nobody makes any room, or somebody stops the import.
        """
        full = f"the journal has the {most:,} bytes that an import may fill (half of journal: max-bytes)"
        if not self._ships:
            raise GatewayError(f"{full}, and there are no sinks that take them away: raise max-bytes, and run it again")
        if self._watch.is_stopped():
            raise GatewayError("aborted while waiting for room in the journal: the next run goes on here")
        now = time.monotonic()
        if is_locked(self._lock) or now > self._asked_at + _NOBODY_S:
            # Somebody ships, or it is a long time since there was no room.
            self._alone_since = now
        elif now >= self._alone_since + _NOBODY_S:
            raise GatewayError(f"{full}, and nobody ships them: start the server or gatewaycore ship, and run it again to go on")
        self._asked_at = now
        time.sleep(_WAIT_S)
