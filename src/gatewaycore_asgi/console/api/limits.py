"""Limits: how many requests a token may make, what its client is told (draft-ietf-httpapi-ratelimit-headers), and how much at once."""

from __future__ import annotations

import math
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from attrs import frozen

from gatewaycore_asgi.console.api.problems import StatusError

_KEPT = 10_000
_AGAIN_S = 5


@frozen(kw_only=True)
class Quota:
    """How many requests a token may make.

    Attributes:
        requests: at once, and in every window.
        window_s: after which all of them may be made again.
    """

    requests: int = 600
    window_s: int = 60


@frozen
class Standing:
    """How a token stands after a request.

    Attributes:
        is_over: whether this one was too much.
        left: requests that may come at once.
        wait_s: until one more may come, where none is left; until all may, elsewhere.
    """

    is_over: bool
    left: int
    wait_s: int


class Limits:
    """Counts the requests of each token in this process. Threads share it.

    Of each token one number is kept: when all its requests would be paid for, at the pace of the quota (the generic cell rate algorithm).
    Of very many, those that have asked nothing for longest are forgotten.

    Args:
        quota: of each.
        clock: any that only goes forward, in seconds.
    """

    def __init__(self, quota: Quota, clock: Callable[[], float]) -> None:
        self.quota = quota
        self._clock = clock
        self._paid: OrderedDict[str, float] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, owner: str) -> Standing:
        """Count a request."""
        pace, window = self.quota.window_s / self.quota.requests, float(self.quota.window_s)
        with self._lock:
            now = self._clock()
            paid = max(self._paid.pop(owner, now), now)
            # Rounding must not take the last request away.
            is_over = paid + pace > now + window + 1e-6
            if not is_over:
                paid += pace
            self._paid[owner] = paid
            if len(self._paid) > _KEPT:
                self._paid.popitem(last=False)
        left = int((now + window - paid) / pace + 1e-6)
        wait_s = math.ceil(paid + pace - now - window if left < 1 else paid - now)
        return Standing(is_over, left, max(1, wait_s))

    def headers(self, standing: Standing) -> dict[str, str]:
        """Return the fields that tell a client how it stands."""
        told = {
            "RateLimit-Policy": f'"token";q={self.quota.requests};w={self.quota.window_s}',
            "RateLimit": f'"token";r={standing.left};t={standing.wait_s}',
        }
        return {**told, "Retry-After": str(standing.wait_s)} if standing.is_over else told


class Slots:
    """Bounds how much that takes long is done at once in this process. Threads share it.

    Args:
        most: of all together.
        each: of one user.
    """

    def __init__(self, most: int, each: int) -> None:
        self._most = most
        self._each = each
        self._taken: Counter[str] = Counter()
        self._lock = threading.Lock()

    @contextmanager
    def taken(self, owner: str) -> Iterator[None]:
        """Take a slot for as long as the block lasts.

        Args:
            owner: whose; the id of a user.

        Raises:
            StatusError: theirs are taken, or all are.
        """
        again = {"Retry-After": str(_AGAIN_S)}
        with self._lock:
            if self._taken[owner] >= self._each:
                raise StatusError(429, f"{self._each} exports of yours are being sent: ask again when one of them is over", again)
            if self._taken.total() >= self._most:
                raise StatusError(503, f"{self._most} exports are being sent: ask again in a moment", again)
            self._taken[owner] += 1
        try:
            yield
        finally:
            with self._lock:
                self._taken[owner] -= 1
                # Those who ask for nothing take no room.
                self._taken += Counter()
