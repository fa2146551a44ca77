"""Metering: a recorder that counts what it records.

Another recorder, and not a question in that one: where nothing is counted, counting costs nothing. Of those who opted out it is counted
that they were there, and nothing else; what is the operator's own is counted like any other request.
"""

from __future__ import annotations

import time
from datetime import datetime
from typing import TYPE_CHECKING, Final

from gatewaycore.decision import Failure
from gatewaycore.gateway import Outcome, Settled, decision_name
from gatewaycore.operations.around import Around
from gatewaycore.operations.meters import Meters
from gatewaycore.owntraffic import OwnTraffic
from gatewaycore.recorder import Recorder, Sent
from gatewaycore.route import Api, Route

NOTHING: Final = "none"
"""The type of a request that no rule was for."""

OTHER: Final = "other"
"""The type of a rule that does not say what it is."""

if TYPE_CHECKING:
    import httpx

_now_ns = time.time_ns


def type_of(route: Route) -> str:
    """Return the tag of the package type that a route belongs to: what its rule says, and never a word of a request."""
    subject = getattr(route, "subject", None)
    tag = getattr(route if subject is None else subject, "package_type", None)
    if isinstance(tag, str):
        return tag
    return route.pattern.name if isinstance(route.pattern, Api) else OTHER


class MeteredRecorder(Around):
    """Counts, and lets another recorder record.

    Args:
        inner: records.
        meters: count.
        packages: whether each package is counted by itself.
    """

    def __init__(self, inner: Recorder, meters: Meters, *, packages: bool) -> None:
        super().__init__(inner)
        self._meters = meters
        self._packages = packages
        self._opted_out = meters.slot("requests_opted_out")
        self._times = {name: meters.histogram("request_seconds", name) for name in ("redirect", "proxy", "respond")}
        self._record_settled = inner.record_settled
        self._redirects = self._times["redirect"]

    def record(self, outcome: Outcome, sent: Sent) -> bool:
        if not self._inner.record(outcome, sent):
            self._meters.add(self._opted_out)
            return False
        decision = "redirect" if sent.redirected is not None else decision_name(outcome.decision)
        slot = self._slot(outcome, decision, sent.status)
        self._meters.add_timed(slot, self._times[decision], _elapsed_ns(outcome.request.received_at))
        return True

    def record_settled(self, outcome: Outcome, settled: Settled) -> bool:
        if not self._record_settled(outcome, settled):
            self._meters.add(self._opted_out)
            return False
        slot = settled.counted
        if slot is None:
            slot = settled.counted = self._slot(outcome, "redirect", settled.decision.status)
        self._meters.add_timed(slot, self._redirects, _elapsed_ns(outcome.request.received_at))
        return True

    def _slot(self, outcome: Outcome, decision: str, status: int) -> int:
        route = None if outcome.match is None else outcome.match.route
        package = (route.package or "") if route is not None and self._packages else ""
        return self._meters.slot("requests", decision, NOTHING if route is None else type_of(route), _class_of(status), package)

    def refused(self, status: int) -> None:
        self._meters.count("requests_refused", _class_of(status))

    def broken(self) -> None:
        self._meters.count("upstream_broken")

    def leaving_out(self, own: OwnTraffic | None) -> Recorder:
        return MeteredRecorder(self._inner.leaving_out(own), self._meters, packages=self._packages)


def count_asked(meters: Meters, began_ns: int, answer: httpx.Response | Failure) -> None:
    """Count what came of a request to an upstream.

    Args:
        meters: count.
        began_ns: when it was sent; see `time.time_ns`.
        answer: the head of its answer, or why there is none.
    """
    slot = meters.slot("upstream_requests", answer if isinstance(answer, str) else "answered")
    meters.add_timed(slot, meters.histogram("upstream_seconds"), max(0, time.time_ns() - began_ns))


def _elapsed_ns(since: datetime) -> int:
    elapsed = _now_ns() - int(since.timestamp() * 1e9)
    # A clock that was set back meanwhile makes nothing of it.
    return max(0, elapsed)


def _class_of(status: int) -> str:
    """Return "2xx"; a client that was gone before there was an answer is "gone"."""
    return f"{status // 100}xx" if 100 <= status < 600 else "gone" if status == 0 else OTHER
