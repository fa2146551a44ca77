"""Meters: what the processes of a node count, each for itself, and where whoever answers for the node finds all of it.

A process counts in memory, which costs a request a tenth of a microsecond, and leaves word of it in a file once a second. Its file is its
own; that the process lives is told by a lock beside it. Counts of those that have ended are added up, so that a number never goes back.

No name and no label here comes from a request: what may be counted is a table, and labels are taken from the configuration.
"""

from __future__ import annotations

import fcntl
import logging
import os
import threading
import time
import weakref
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final, Literal, TypeAlias

import msgspec
from attrs import define, frozen

from gatewaycore.locks import is_locked

_log = logging.getLogger("gatewaycore.meters")

Kind: TypeAlias = Literal["counter", "gauge", "histogram"]
Key: TypeAlias = tuple[str, ...]
"""The name of a meter, and the values of its labels."""


@frozen
class Meter:
    """Something that is counted.

    Attributes:
        kind: a "counter" only grows; a "gauge" holds for the processes that live; a "histogram" is of seconds.
        help: what it says, in one sentence.
        labels: the names of its labels.
    """

    kind: Kind
    help: str
    labels: tuple[str, ...] = ()


METERS: Final[Mapping[str, Meter]] = {
    "requests": Meter("counter", "Requests that were answered.", ("decision", "type", "code", "package")),
    "request_seconds": Meter(
        "histogram", "From a request's arrival until its event is recorded, before its last byte leaves.", ("decision",)
    ),
    "requests_opted_out": Meter("counter", "Requests of those who asked not to be tracked; nothing else is counted of them."),
    "requests_refused": Meter("counter", "Requests that were answered before any rule was asked, or instead of one.", ("code",)),
    "upstream_requests": Meter("counter", "Requests to upstreams, by what came of them.", ("outcome",)),
    "upstream_seconds": Meter("histogram", "Until the head of an upstream's answer was there.", ()),
    "upstream_broken": Meter("counter", "Answers of upstreams that ended in the middle, when their beginning had been passed on."),
    "reloads": Meter("counter", "How often rules were read again.", ("outcome",)),
    "journal_appended": Meter("counter", "Events that were appended to the journal."),
    "journal_lost": Meter("counter", "Events that could not be appended: disk full or failing, or the journal at its limit."),
    "recorder_failures": Meter("counter", "Events that a defect has cost, and enrichments that have failed."),
    "sink_lines": Meter("counter", "Lines that a sink has taken.", ("sink",)),
    "sink_set_aside": Meter("counter", "Lines that a sink will never take, and that were set aside.", ("sink",)),
    "sink_failing": Meter("gauge", "1 while a sink takes nothing.", ("sink",)),
    "journal_failing": Meter("gauge", "Processes whose events are being lost."),
    "draining": Meter("gauge", "Processes that are about to end."),
    "reload_failed": Meter("gauge", "Processes that serve old rules, because the new ones cannot be used."),
    "source_failing": Meter("gauge", "Processes that do not serve what a source of rules has now.", ("source",)),
    "source_stale": Meter("gauge", "Processes that serve the last good copy of a source of rules that cannot be reached.", ("source",)),
    "domains": Meter("gauge", "Domains that organisations have, by state; told by the process that looks at their records.", ("state",)),
    "domain_looks": Meter("counter", "Looks at the records of domains that were due, by what was seen.", ("verdict",)),
    "routes": Meter("gauge", "Routes that are served, of the process that has most."),
    "processes": Meter("gauge", "Processes that serve."),
    "overflow": Meter("counter", "Counts that found no room: there were more packages than are told apart."),
}
"""What is counted, by what it is called behind ``gatewaycore_``. What is read off the disk when somebody asks is not among it."""

BUCKETS_S: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""The upper bounds of histograms; what takes longer is in one more."""

_BUCKETS_NS: Final = tuple(round(bound * 1e9) for bound in BUCKETS_S)
_SUM: Final = len(BUCKETS_S) + 1
"""Where, behind its buckets, the sum of a histogram is."""

MOST_SERIES: Final = 10_000
_WIDEST = frozenset({"routes"})
"""Gauges of which the largest is told, and not the sum."""
_OVERFLOW: Final[Key] = ("overflow",)
_NAMES = "*.counts"
_PAST = "past"


class _Counts(msgspec.Struct):
    """The file of one process. `folded` are the processes that are in the sum of those that have ended."""

    counts: list[tuple[list[str], int]] = []
    folded: list[str] = []


class Meters:
    """What one process counts. Safe to use from threads, and across a fork.

    Args:
        folder: where files lie; made when there is something to leave there.
        node: names this machine, as in names of segments.
    """

    def __init__(self, folder: Path, node: str) -> None:
        self.folder = folder
        self._node = node
        self._fd, self._path = -1, Path()
        self._slots: dict[Key, int] = {_OVERFLOW: 0}
        self._values: list[int] = [0]
        self._lock = threading.Lock()
        self._is_failing = False
        ours = weakref.ref(self)
        os.register_at_fork(after_in_child=lambda: _begin_anew(ours))

    def slot(self, *key: str) -> int:
        """Return where a count is kept, for `add`; that of the overflow, when there are too many."""
        found = self._slots.get(key)
        if found is None:
            with self._lock:
                found = self._place(key, 1)
        return found

    def histogram(self, *key: str) -> int:
        """Return where the buckets of a histogram begin, for `observe`; -1 when there is no room."""
        first = (*key, "0")
        found = self._slots.get(first)
        if found is None:
            with self._lock:
                found = self._place(first, len(BUCKETS_S) + 2)
        return found or -1

    def _place(self, key: Key, size: int) -> int:
        at = self._slots.get(key)
        if at is None:
            at = len(self._values)
            if at + size > MOST_SERIES:
                return 0
            self._values.extend([0] * size)
            for number in range(size):
                self._slots[key if size == 1 else (*key[:-1], str(number))] = at + number
        return at

    def add(self, slot: int, count: int = 1) -> None:
        """Count."""
        with self._lock:
            self._values[slot] += count

    def add_timed(self, slot: int, histogram: int, elapsed_ns: int) -> None:
        """Count one, and how long it took: what a request costs here."""
        bucket = bisect_left(_BUCKETS_NS, elapsed_ns)
        values = self._values
        with self._lock:
            values[slot] += 1
            if histogram >= 0:
                values[histogram + bucket] += 1
                values[histogram + _SUM] += elapsed_ns

    def observe(self, histogram: int, elapsed_ns: int) -> None:
        """Count how long something took."""
        if histogram >= 0:
            with self._lock:
                self._values[histogram + bisect_left(_BUCKETS_NS, elapsed_ns)] += 1
                self._values[histogram + _SUM] += elapsed_ns

    def count(self, *key: str) -> None:
        """Count one of what does not happen often."""
        self.add(self.slot(*key))

    def put(self, value: int, *key: str) -> None:
        """Say what a count is, where somebody else counts."""
        slot = self.slot(*key)
        with self._lock:
            self._values[slot] = value

    def counts(self) -> dict[Key, int]:
        """Return what there is."""
        with self._lock:
            return {key: self._values[slot] for key, slot in self._slots.items()}

    def save(self) -> None:
        """Leave word of it for other processes; a disk that takes nothing is logged once."""
        try:
            if self._fd < 0:
                self._begin()
            _write(self._path, self.counts().items())
            self._is_failing = False
        except OSError as error:
            if not self._is_failing:
                _log.warning("what is counted cannot be kept, and is not told by other processes: %s", error.strerror)
            self._is_failing = True

    def _begin(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        while True:
            path = self.folder / f"{self._node}-{os.getpid()}-{time.time_ns()}.counts"
            fd = os.open(_lock_of(path), os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            fcntl.flock(fd, fcntl.LOCK_EX)
            # Until it was locked, it looked like one of a process that has ended.
            if os.fstat(fd).st_nlink:
                self._fd, self._path = fd, path
                return
            os.close(fd)

    def close(self) -> None:
        """Leave word that this process serves no more. It keeps its file until it ends: it may begin again, and go on counting."""
        with self._lock:
            for key, slot in self._slots.items():
                if METERS[key[0]].kind == "gauge":
                    self._values[slot] = 0
        self.save()

    def __del__(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)


def _begin_anew(meters: weakref.ref[Meters]) -> None:
    """Let a forked child count from nothing, in a file of its own. Places stay where they are: others have noted them."""
    inherited = meters()
    if inherited is not None:
        inherited._lock = threading.Lock()
        inherited._values[:] = [0] * len(inherited._values)
        if inherited._fd >= 0:
            os.close(inherited._fd)
        inherited._fd = -1


def _lock_of(path: Path) -> Path:
    return path.with_suffix(".lock")


def _write(path: Path, counts: Iterable[tuple[Key, int]], folded: Iterable[str] = ()) -> None:
    draft = path.with_suffix(".new")
    with open(draft, "wb", opener=lambda name, flags: os.open(name, flags | os.O_CLOEXEC, 0o600)) as file:
        file.write(msgspec.json.encode(_Counts([(list(key), count) for key, count in counts], list(folded))))
    draft.replace(path)


def _read(path: Path) -> _Counts:
    """Return what a file holds: nothing, where it was torn by a power cut, or is none of ours."""
    with suppress(OSError, msgspec.DecodeError):
        return msgspec.json.decode(path.read_bytes(), type=_Counts)
    return _Counts([], [])


@define
class Counted:
    """What all processes of a node have counted.

    Attributes:
        counters: of all that there were.
        gauges: of each that lives.
    """

    counters: dict[Key, int]
    gauges: list[dict[Key, int]]

    def gauge(self, *key: str) -> int:
        """Return what holds for the node."""
        found = [one[key] for one in self.gauges if key in one]
        return max(found, default=0) if key[0] in _WIDEST else sum(found)


class Ledger:
    """The files of all processes of a node, for the one of them that answers for it.

    Args:
        meters: of that one.
    """

    def __init__(self, meters: Meters) -> None:
        self._meters = meters
        self._folder = meters.folder

    def read(self) -> Counted:
        """Add up what there is.

        Raises:
            OSError: those of processes that have ended cannot be added up.
        """
        self._fold()
        living = [self._meters.counts()]
        living += [_table(_read(path)) for path in self._files() if path != self._meters._path]
        total = _table(_read(self._past))
        for one in living:
            _add(total, one)
        gauges = [{key: count for key, count in one.items() if METERS[key[0]].kind == "gauge"} for one in living]
        return Counted({key: count for key, count in total.items() if METERS[key[0]].kind != "gauge"}, gauges)

    @property
    def _past(self) -> Path:
        return self._folder / f"{_PAST}.sum"

    def _files(self) -> list[Path]:
        return sorted(self._folder.glob(_NAMES))

    def _fold(self) -> None:
        """Add up those of processes that have ended, and remove their files: the sum says which are in it, so that none is twice."""
        gone = [path for path in self._files() if path != self._meters._path and not is_locked(_lock_of(path))]
        if not gone:
            return
        past = _read(self._past)
        total, folded = _table(past), set(past.folded)
        for path in gone:
            if path.name not in folded:
                _add(total, {key: count for key, count in _table(_read(path)).items() if METERS[key[0]].kind != "gauge"})
        _write(self._past, total.items(), [path.name for path in gone])
        for path in gone:
            for file in (path, _lock_of(path)):
                file.unlink(missing_ok=True)


def _table(file: _Counts) -> dict[Key, int]:
    """Return the counts of a file; another version may have had other meters."""
    return {tuple(key): count for key, count in file.counts if key and _fits(key)}


def _fits(key: list[str]) -> bool:
    meter = METERS.get(key[0])
    return meter is not None and len(key) == 1 + len(meter.labels) + (meter.kind == "histogram")


def _add(total: dict[Key, int], more: Mapping[Key, int]) -> None:
    for key, count in more.items():
        total[key] = total.get(key, 0) + count


@frozen
class Histogram:
    """One histogram.

    Attributes:
        labels: the values of its labels.
        buckets: how many were in each, not added up; one more than there are bounds.
        sum_ns: how long all of them took.
    """

    labels: Key
    buckets: tuple[int, ...]
    sum_ns: int


def histograms(counted: Counted, name: str) -> Iterator[Histogram]:
    """Iterate over the histograms of a meter."""
    found: dict[Key, dict[int, int]] = {}
    for key, count in counted.counters.items():
        if key[0] == name:
            found.setdefault(key[1:-1], {})[int(key[-1])] = count
    for labels, numbers in sorted(found.items()):
        buckets = tuple(numbers.get(number, 0) for number in range(len(BUCKETS_S) + 1))
        yield Histogram(labels, buckets, numbers.get(_SUM, 0))


__all__ = ["BUCKETS_S", "METERS", "MOST_SERIES", "Counted", "Histogram", "Key", "Ledger", "Meter", "Meters", "histograms"]
