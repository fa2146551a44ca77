"""Judging: what becomes of a domain after a look at its records. Knows no clock and no database: both are told.

A domain is `pending` until its records have proved it once. Then it is `verified`; `failing` while its records are gone and the grace
period is not over, in which it is served on; and `lost` after that, until they are there again. A look without an answer proves nothing,
neither that a domain is somebody's nor that it is not: the state stays what it was, and the reason says so.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final, Literal, TypeAlias, get_args

from attrs import frozen

from gatewaycore.proving.looking import Look
from gatewaycore.proving.settings import VerificationSettings

State: TypeAlias = Literal["pending", "verified", "failing", "lost"]
STATES: Final[tuple[State, ...]] = get_args(State)
HELD: Final[tuple[State, ...]] = ("verified", "failing")
"""The states in which a domain is an organisation's, and no other one's."""

# What was just set should be seen soon; what nobody has set for days need not be looked for every minute.
_SOONEST_S: Final = 5.0
_SHARE: Final = 12
_FAILING_S: Final = 300.0


@frozen(kw_only=True)
class Standing:
    """How a domain stood.

    Attributes:
        state: as it was.
        failing_since: since when its records are gone; None where they are not.
    """

    state: State
    failing_since: datetime | None


@frozen(kw_only=True)
class Judgement:
    """How a domain stands now."""

    state: State
    reason: str
    failing_since: datetime | None


def judge(before: Standing, look: Look, grace_s: int, now: datetime) -> Judgement:
    """Return what becomes of a domain."""
    if look.verdict == "proved":
        return Judgement(state="verified", reason="", failing_since=None)
    if look.verdict == "trouble" or before.state in ("pending", "lost"):
        return Judgement(state=before.state, reason=look.reason, failing_since=before.failing_since)
    since = before.failing_since or now
    over = before.state == "failing" and now - since >= timedelta(seconds=grace_s)
    return Judgement(state="lost" if over else "failing", reason=look.reason, failing_since=since)


def pause_s(state: State, since: datetime, settings: VerificationSettings, now: datetime) -> float:
    """Return how long it is until the next look.

    Args:
        state: of the domain.
        since: when it was named, or its records went.
        settings: say how often a proved one is looked at.
        now: what time it is.
    """
    every = float(settings.every_s)
    if state == "verified":
        return every
    if state == "failing":
        return min(_FAILING_S, every)
    return min(max(_SOONEST_S, (now - since).total_seconds() / _SHARE), every)
