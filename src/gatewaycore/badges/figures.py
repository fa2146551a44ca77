"""Numbers as badges need them: who counts, what is known of it now, and how it is written.

Counting takes longer than a request may. So a request reads what is known, and notes what it asked; whoever keeps house asks those who
count, between requests. Nothing here has a clock or a thread: both come from above.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Literal, Protocol, TypeAlias, get_args

from attrs import define, field, frozen

from gatewaycore.errors import GatewayError

Period: TypeAlias = Literal["day", "week", "month", "year", "all"]
"""The last complete day (UTC), or the last 7, 30 or 365 of them; or everything there is."""
PERIODS: tuple[Period, ...] = get_args(Period)

Metric: TypeAlias = Literal["downloads", "companies", "series"]
Figure: TypeAlias = int | tuple[int, ...]
"""A number; of a "series", one for each day."""

TTL_S = 300.0
FORGET_S = 3600.0
MOST = 10_000
"""Questions that are remembered: as many as thousands of packages have badges, and no more however many are made up."""


class StillAskingError(GatewayError):
    """Another process of the node asks: it is worth looking again soon.

    Args:
        old: what was known before, of any packages, and is shown meanwhile; None where nothing is.
    """

    def __init__(self, old: Mapping[str, int | Sequence[int]] | None = None) -> None:
        self.old = old
        super().__init__("another process of this node asks for the numbers of badges")


class Numbers(Protocol):
    """Those who count. Asked for many packages at once, and never by a request; may take seconds.

    Packages are called what events call them. One that is missing in an answer has zero. Whoever waits for another process raises
    `StillAskingError`.
    """

    def downloads(self, packages: Collection[str], period: Period) -> Mapping[str, int]:
        """Return how often each was downloaded, pulled or viewed."""
        ...

    def companies(self, packages: Collection[str], period: Period) -> Mapping[str, int]:
        """Return how many distinct companies downloaded each."""
        ...

    def series(self, packages: Collection[str], period: Period) -> Mapping[str, Sequence[int]]:
        """Return the downloads of each day of the period, the oldest first. Never asked for "day" or "all"."""
        ...


@frozen(cache_hash=True)
class Question:
    """What a badge asks."""

    metric: Metric
    package: str
    period: Period


@define
class _Known:
    figure: Figure
    at_s: float


@define(eq=False)
class Figures:
    """What is known now. Threads share it.

    Attributes:
        ttl_s: how long an answer is good for.
        forget_s: what nobody has asked for in this time, or in twice that, is not asked for any more.
        most: questions that are remembered; further ones have no answer until others are forgotten.
    """

    ttl_s: float = TTL_S
    forget_s: float = FORGET_S
    most: int = MOST
    _known: dict[Question, _Known] = field(factory=dict, init=False)
    _asked: dict[Question, None] = field(factory=dict, init=False)
    _turned_s: float | None = field(default=None, init=False)

    def get(self, question: Question) -> Figure | None:
        """Return the answer, None while there is none; it is asked for at the next `refresh`. What a request calls: two dictionaries."""
        if question not in self._asked and len(self._asked) < self.most:
            self._asked[question] = None
        known = self._known.get(question)
        return None if known is None else known.figure

    def expect(self, questions: Iterable[Question]) -> None:
        """Note questions that will be asked, so that the first one to ask has an answer."""
        for question in questions:
            self.get(question)

    def inherit(self, other: Figures) -> None:
        """Know what `other` knows, for as long as it is good for."""
        self._known.update(other._known.copy())

    def refresh(self, numbers: Numbers, now_s: float) -> None:
        """Ask for what is new, or known for longer than `ttl_s`. One thread at a time.

        Args:
            numbers: those who count. Whatever they raise goes through; answers that were known are known still.
            now_s: of any clock that only goes forward.

        Raises:
            StillAskingError: after all others were asked for, where some are known to be old.
        """
        if self._turned_s is None:
            self._turned_s = now_s
        if now_s - self._turned_s >= self.forget_s:
            asked = self._asked
            self._asked, self._turned_s = {}, now_s
            for question in [one for one in self._known if one not in asked]:
                del self._known[question]
        due: dict[tuple[Metric, Period], list[str]] = {}
        for question in dict.fromkeys([*self._known, *self._asked.copy()]):
            known = self._known.get(question)
            if known is None or now_s - known.at_s >= self.ttl_s:
                due.setdefault((question.metric, question.period), []).append(question.package)
        asks: StillAskingError | None = None
        for (metric, period), packages in due.items():
            at_s = now_s
            try:
                figures = _asked_for(numbers, metric, packages, period)
            except StillAskingError as error:
                asks = error
                if error.old is None:
                    continue
                # What is old is due again at once.
                figures, at_s = error.old, -math.inf
            for package in packages:
                self._known[Question(metric, package, period)] = _Known(_figure(figures.get(package), metric), at_s)
        if asks is not None:
            raise asks


def _asked_for(numbers: Numbers, metric: Metric, packages: Collection[str], period: Period) -> Mapping[str, int | Sequence[int]]:
    if metric == "series":
        return numbers.series(packages, period)
    return (numbers.downloads if metric == "downloads" else numbers.companies)(packages, period)


def _figure(found: int | Sequence[int] | None, metric: Metric) -> Figure:
    if found is None:
        return () if metric == "series" else 0
    return found if isinstance(found, int) else tuple(found)


@frozen
class FixedNumbers:
    """Numbers that are written down, for tests and for trying things out.

    Attributes:
        counts: by package and period; a downloads badge has "downloads", and so on.
        days: of each package, the downloads of each day, the oldest first.
    """

    counts: Mapping[tuple[Metric, str, Period], int] = field(factory=dict)
    days: Mapping[str, Sequence[int]] = field(factory=dict)

    def downloads(self, packages: Collection[str], period: Period) -> Mapping[str, int]:
        """Return what is written down."""
        return self._of("downloads", packages, period)

    def companies(self, packages: Collection[str], period: Period) -> Mapping[str, int]:
        """Return what is written down."""
        return self._of("companies", packages, period)

    def series(self, packages: Collection[str], period: Period) -> Mapping[str, Sequence[int]]:
        """Return what is written down, for as many days as the period has."""
        return {package: self.days[package][-DAYS[period] :] for package in packages if package in self.days}

    def _of(self, metric: Metric, packages: Collection[str], period: Period) -> dict[str, int]:
        found = {package: self.counts.get((metric, package, period)) for package in packages}
        return {package: count for package, count in found.items() if count is not None}


DAYS: Mapping[Period, int] = {"day": 1, "week": 7, "month": 30, "year": 365, "all": 365}

_SCALES = ((10**15, "P"), (10**12, "T"), (10**9, "G"), (10**6, "M"), (10**3, "k"))


def short(count: int) -> str:
    """Write a count as badges do: 999, 1.2k, 12k, 3.4M."""
    for scale, letter in _SCALES:
        # What would be rounded up to a thousand of the next smaller is one of these: 999,500 is 1M.
        if count >= scale - scale // 2000:
            tenths = (10 * count + scale // 2) // scale
            return f"{tenths // 10}.{tenths % 10}{letter}" if tenths < 100 and tenths % 10 else f"{(count + scale // 2) // scale}{letter}"
    return str(count)
