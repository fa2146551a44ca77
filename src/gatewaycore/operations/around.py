"""Around: a recorder that lets another one record, for those who take note of what it is told."""

from __future__ import annotations

from gatewaycore.event import Event
from gatewaycore.gateway import Outcome, Settled
from gatewaycore.recorder import Recorder, Sent


class Around(Recorder):
    """Does what another recorder does.

    Args:
        inner: records.
    """

    def __init__(self, inner: Recorder) -> None:
        super().__init__(inner._append, (), inner._salts, inner._append_all)
        self._inner = inner

    @property
    def failed(self) -> int:
        return self._inner.failed

    def record(self, outcome: Outcome, sent: Sent) -> bool:
        return self._inner.record(outcome, sent)

    def record_settled(self, outcome: Outcome, settled: Settled) -> bool:
        return self._inner.record_settled(outcome, settled)

    def refused(self, status: int) -> None:
        self._inner.refused(status)

    def broken(self) -> None:
        self._inner.broken()

    def events(self, outcome: Outcome, sent: Sent) -> list[Event]:
        return self._inner.events(outcome, sent)

    def keep_house(self, now_ns: int) -> None:
        self._inner.keep_house(now_ns)
