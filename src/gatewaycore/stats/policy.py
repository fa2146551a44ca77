"""The counting policy: how an event counts. Pure, versioned, and told in docs/counting.md.

This room is the definition; `gatewaycore.stats.queries` says the same in SQL, and tests hold the two together. A change of what counts is
a new `VERSION`: every answer carries it, and numbers of two versions are not compared. Nothing is counted when it is written, so all of
them can be counted anew from the events.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias, get_args

from gatewaycore.event import Event

VERSION: Final = 1
"""Raised when the same events give other numbers."""

Measure: TypeAlias = Literal["download", "pull", "view", "install", "event"]
MEASURES: Final[tuple[Measure, ...]] = get_args(Measure)
"""What is counted: each is the kind of events of that name. All other kinds are steps on the way to these."""

USES: Final[tuple[Measure, ...]] = ("download", "pull", "view")
"""What is counted where a question names nothing: what somebody fetched. What a program reports is not added to it."""

AGENTS: Final[tuple[str, ...]] = ("human", "ci", "unknown")
"""Who counts. Mirrors copy what others will fetch, bots and scanners look at everything: neither uses it."""

UNCOUNTED_METHODS: Final[tuple[str, ...]] = ("HEAD", "OPTIONS")
"""Questions about a thing, which is not fetched by them."""

FIRST_STATUS: Final = 200
LAST_STATUS: Final = 399
NOT_MODIFIED: Final = 304
"""Of the answer: from the first to the last, but for one by which nothing was fetched; 0, an answer that nobody was there for, is less."""

CONFIDENCE: Final = 0.5
"""A company counts from this on; one whose confidence is not told (imported) counts."""


def measure_of(event: Event, agents: tuple[str, ...] = AGENTS) -> Measure | None:
    """Return as what an event counts; None when it does not.

    Args:
        event: any.
        agents: who counts.
    """
    if event.method in UNCOUNTED_METHODS or event.agent not in agents:
        return None
    if not FIRST_STATUS <= event.status <= LAST_STATUS or event.status == NOT_MODIFIED:
        return None
    return next((measure for measure in MEASURES if measure == event.kind), None)


def company_of(event: Event, confidence: float = CONFIDENCE) -> str | None:
    """Return what a company is told from others by, its domain, else its name; None when none is known well enough."""
    if event.confidence is not None and event.confidence < confidence:
        return None
    return event.company_domain or event.company or None


def source_of(event: Event) -> str | None:
    """Return what a source is told from others by; None for an event that came without."""
    return event.origin_id or None


def endpoint_of(event: Event) -> str | None:
    """Return what an endpoint, a source whatever its User-Agent, is told from others by; None for an event that came without."""
    return event.endpoint_id or None
