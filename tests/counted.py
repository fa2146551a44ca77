"""Seeded events for tests of statistics, and the same answers counted in Python: what every store's are held against."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from gatewaycore.event import Event
from gatewaycore.stats import policy
from gatewaycore.stats.periods import Period
from gatewaycore.stats.questions import Figures, Filter, variable_of
from tests.events import make_event

KINDS = ("download", "download", "download", "pull", "view", "install", "event", "manifest", "blob", "metadata", "ping")
# What sorts differently in other languages, and what nobody knows.
VERSIONS = ("1.0", "1.1", "1.10", "1.9", "2.0-Beta", "2.0-alpha", "ä", "Z", "it's", "100%", "back\\slash", "", None)
COMPANIES = (
    ("Acme Ltd", "acme.example", 0.9),
    ("acme ltd", "acme.example", 0.6),
    ("Zebra", None, 0.5),
    (None, "quiet.example", 0.3),
    ("Édition", "edition.example", None),
    ("Unsure", "unsure.example", 0.4),
    (None, None, None),
    ("", "", 0.7),
)


def make_counted(count: int = 600, seed: int = 7) -> list[Event]:
    """Return events around changes of clocks in 2026, some of which do not count."""
    rng = random.Random(seed)
    changes = [datetime(2026, month, day, hour, tzinfo=UTC) for month, day, hour in ((3, 8, 7), (3, 29, 1), (10, 25, 1), (11, 1, 6))]
    events = []
    for number in range(count):
        if number % 3:
            time = datetime(2026, 10, 1, tzinfo=UTC) + timedelta(microseconds=rng.randrange(45 * 86_400 * 1_000_000))
        else:
            time = rng.choice(changes) + timedelta(seconds=rng.randrange(-7200, 7200), microseconds=rng.choice((0, 1, 999_999)))
        company, domain, confidence = rng.choice(COMPANIES)
        version = rng.choice(VERSIONS)
        events.append(
            make_event(
                time=time,
                kind=rng.choice(KINDS),
                method=rng.choice(("GET",) * 8 + ("HEAD", "POST", "OPTIONS")),
                status=rng.choice((302,) * 6 + (200, 206, 304, 404, 500, 0)),
                package=rng.choice(("cli", "cli", "acme/rocket-skates", "docs", "", None)),
                version=version,
                platform=rng.choice(("linux", "macos", None)),
                arch=rng.choice(("arm64", "amd64", "")),
                variables={} if version is None else {"version": version, "channel": rng.choice(("stable", "beta", ""))},
                agent=rng.choice(("human", "ci", "unknown", "bot", "mirror", "scanner")),
                country=rng.choice(("DE", "US", "", None)),
                cloud=rng.choice(("aws", None)),
                page=rng.choice(("https://docs.acme.example/a?b=%s", None)),
                company=company,
                company_domain=domain,
                confidence=confidence,
                origin_id=rng.choice((None, "", *(f"{one:032x}" for one in range(40)))),
                endpoint_id=rng.choice((None, *(f"{one:032x}" for one in range(25)))),
            )
        )
    return events


def chosen(events: Iterable[Event], asked: Filter, period: Period) -> list[Event]:
    """Return the events that a question is about."""
    return [event for event in events if period.since <= event.time < period.until and is_asked(event, asked)]


def is_asked(event: Event, asked: Filter) -> bool:
    if policy.measure_of(event, asked.agents) not in asked.measures:
        return False
    if asked.packages and event.package not in asked.packages:
        return False
    wanted: dict[str, set[str]] = defaultdict(set)
    for name, value in asked.only:
        wanted[name].add(value)
    return all(value_of(event, name, asked) in values for name, values in wanted.items())


def value_of(event: Event, dimension: str, asked: Filter) -> str:
    variable = variable_of(dimension)
    if variable is not None:
        return event.variables.get(variable, "")
    if dimension == "company":
        return policy.company_of(event, asked.confidence) or ""
    return getattr(event, dimension) or ""


def figures_of(events: Sequence[Event], asked: Filter) -> Figures:
    """Count events."""
    of = defaultdict(int, {measure: sum(event.kind == measure for event in events) for measure in policy.MEASURES})
    return Figures(
        count=len(events),
        downloads=of["download"],
        pulls=of["pull"],
        views=of["view"],
        installs=of["install"],
        events=of["event"],
        sources=different(events, policy.source_of),
        endpoints=different(events, policy.endpoint_of),
        companies=different(events, lambda event: policy.company_of(event, asked.confidence)),
    )


def different(events: Iterable[Event], key: Callable[[Event], Any]) -> int:
    return len({key(event) for event in events} - {None})


def by_value(events: Iterable[Event], dimension: str, asked: Filter) -> dict[str, list[Event]]:
    found: dict[str, list[Event]] = defaultdict(list)
    for event in events:
        found[value_of(event, dimension, asked)].append(event)
    return dict(sorted(found.items(), key=lambda item: (-len(item[1]), item[0])))
