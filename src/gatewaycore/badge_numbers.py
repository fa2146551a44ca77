"""Numbers of badges, asked of statistics: for all packages at once, by one process of a node, and kept for the others.

What was found lies in the data-dir, in one file for each question, so that every process of a node shows the same, and a process that is
started while the store is down shows what was known before. Between two questions no connection is held and no memory: stores are opened
for one, and closed. May take long, and is for a thread that nobody waits for.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from gatewaycore.badges import Period
from gatewaycore.badges.figures import DAYS, Metric, StillAskingError
from gatewaycore.errors import GatewayError
from gatewaycore.locks import Lock
from gatewaycore.stats import StoppedError, complete_days, read_period, zone_of
from gatewaycore.stats.policy import VERSION

if TYPE_CHECKING:
    from gatewaycore.stats.statistics import Statistics

_log = logging.getLogger("gatewaycore.badges")
_UTC = zone_of("UTC")


class _Found(msgspec.Struct):
    """What a store has answered.

    Attributes:
        at_s: when, in seconds since the epoch.
        policy: by which version of the counting policy.
        figures: of each package that has any; for a chart, one for each day.
    """

    at_s: float
    policy: int
    figures: dict[str, int | list[int]]


class StoreNumbers:
    """Numbers for badges, by the counting policy: a `gatewaycore.badges.Numbers`. One thread at a time.

    Args:
        opened: opens what answers; closed after each question.
        folder: for what was found, and for the lock; made when it is first needed, for its owner only.
        ttl_s: how old a number may be that somebody asks for. What another process found is taken up to half of that age: so it is
            no older than one and a half of it when it is asked for again.
        now: tells the time.
    """

    def __init__(
        self,
        opened: Callable[[], Statistics],
        folder: Path,
        ttl_s: float,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._opened = opened
        self._folder = folder
        self._fresh_s = ttl_s / 2
        self._now = now
        self._lock = Lock(folder / "lock")
        self._failing = False
        self._stats: Statistics | None = None
        self._is_stopped = False

    def stop(self) -> None:
        """End a question that is being asked, from another thread; none is asked later."""
        self._is_stopped = True
        stats = self._stats
        if stats is not None:
            stats.stop()

    def downloads(self, packages: Collection[str], period: Period) -> Mapping[str, int]:
        """Return how often each was downloaded, pulled or viewed.

        Raises:
            StillAskingError: another process of the node asks.
            GatewayError: the store does not answer, and nothing is known from before.
        """
        return {package: figure for package, figure in self._of("downloads", packages, period) if isinstance(figure, int)}

    def companies(self, packages: Collection[str], period: Period) -> Mapping[str, int]:
        """Return how many distinct companies downloaded each.

        Raises:
            StillAskingError: another process of the node asks.
            GatewayError: the store does not answer, and nothing is known from before.
        """
        return {package: figure for package, figure in self._of("companies", packages, period) if isinstance(figure, int)}

    def series(self, packages: Collection[str], period: Period) -> Mapping[str, Sequence[int]]:
        """Return the downloads of each day, the oldest first.

        Raises:
            StillAskingError: another process of the node asks.
            GatewayError: the store does not answer, and nothing is known from before.
        """
        return {package: figure for package, figure in self._of("series", packages, period) if isinstance(figure, list)}

    def _of(self, metric: Metric, packages: Collection[str], period: Period) -> Iterator[tuple[str, int | list[int]]]:
        path = self._folder / f"{metric}-{period}.json"
        found = _read(path)
        if found is None or not self._is_fresh(found):
            found = self._found_anew(metric, period, path, found)
        figures = found.figures
        return ((package, figures[package]) for package in packages if package in figures)

    def _is_fresh(self, found: _Found) -> bool:
        # A clock that was set back makes no number last for ever.
        return 0 <= self._now().timestamp() - found.at_s < self._fresh_s

    def _found_anew(self, metric: Metric, period: Period, path: Path, old: _Found | None) -> _Found:
        """Ask, unless another process does; return what is known from before where the store does not answer."""
        try:
            if self._is_elected():
                try:
                    found = self._ask(metric, period)
                    self._write(path, found)
                finally:
                    self._lock.let_go()
                self._failing = False
                return found
        except GatewayError as error:
            if old is None or self._is_stopped:
                raise
            if not self._failing:
                _log.error("the numbers of badges cannot be asked for, and the old ones stay: %s", error)
            self._failing = True
            return old
        raise StillAskingError(None if old is None else old.figures)

    def _is_elected(self) -> bool:
        with self._usable():
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            return self._lock.take()

    @contextmanager
    def _usable(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise GatewayError(f"{self._folder} cannot be used: {error.strerror}") from error

    def _write(self, path: Path, found: _Found) -> None:
        """Replace the file, so that others read the old one or the new one."""
        draft = path.with_name(f"{path.name}.new")
        with self._usable():
            fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with open(fd, "wb") as file:
                file.write(msgspec.json.encode(found))
            draft.replace(path)

    @contextmanager
    def _asking(self) -> Iterator[Statistics]:
        with closing(self._opened()) as stats:
            self._stats = stats
            try:
                # Not before others can reach it: `stop` says so first, and looks for it then.
                if self._is_stopped:
                    raise StoppedError("the numbers of badges are no longer asked for")
                yield stats
            finally:
                self._stats = None

    def _ask(self, metric: Metric, period: Period) -> _Found:
        now = self._now()
        with self._asking() as stats:
            stats.refresh()
            figures: dict[str, int | list[int]] = {}
            when = read_period("all", now, _UTC, stats.first_event()) if period == "all" else complete_days(DAYS[period], now, _UTC)
            if metric == "series":
                figures.update((package, list(days)) for package, days in stats.each_day(when).items())
            else:
                figures.update(stats.each_package(when, "count" if metric == "downloads" else metric))
        return _Found(now.timestamp(), VERSION, figures)


def _read(path: Path) -> _Found | None:
    """Return what was found before; None where there is nothing that can be used."""
    try:
        found = msgspec.json.decode(path.read_bytes(), type=_Found)
    except (OSError, msgspec.DecodeError):
        # It is asked for again, and then written anew.
        return None
    return found if found.policy == VERSION else None
