"""How much a request may bring: what is refused with 413 instead of being read."""

from __future__ import annotations

from attrs import frozen


@frozen
class Limits:
    """Bounds on a request's body.

    Attributes:
        body_bytes: the largest body that is read.
        events: the most events one body may hold.
    """

    body_bytes: int = 1_048_576
    events: int = 1_000

    def events_beside(self, path: str, query: str) -> int:
        """Return the most events that the body of this request may hold.

        What path and query say stands in every one of them: together no more than a body may hold, or sixty kilobytes of query would become
        sixty megabytes of events.
        """
        return max(1, min(self.events, self.body_bytes // (len(path) + len(query) + 1)))


DEFAULT_LIMITS = Limits()
