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


DEFAULT_LIMITS = Limits()
