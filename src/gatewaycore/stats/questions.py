"""What is asked, and what is answered: settings and results, frozen, and the same for every store. No file, no clock, no SQL."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final

import attrs
from attrs import field, frozen

from gatewaycore.errors import ConfigError, GatewayError, Problem
from gatewaycore.stats import policy
from gatewaycore.stats.periods import Period, Unit
from gatewaycore.stats.policy import Measure

DIMENSIONS: Final[tuple[str, ...]] = (
    "package", "package_type", "domain", "rule", "kind", "target", "version", "platform", "arch", "page", "client", "client_version",
    "client_runtime", "os", "device", "agent", "country", "region", "city", "company", "connection", "cloud",
)  # fmt: skip
"""Columns that answers are broken down by, and narrowed by. A variable is one more of them, as ``variables.NAME``."""

_VARIABLE = re.compile(r"variables\.(.+)", re.DOTALL)
_KEYS = {"platforms": "platform", "architectures": "arch", "arches": "arch", "countries": "country", "companies": "company"}


def variable_of(dimension: str) -> str | None:
    """Return the name of the variable that a dimension is; None when it is a column."""
    found = _VARIABLE.fullmatch(dimension)
    return found[1] if found else None


def read_dimension(text: str, option: str = "--by") -> str:
    """Return a dimension, which may be in the plural.

    Raises:
        ConfigError: there is none of that name.
    """
    name = text if text in DIMENSIONS or variable_of(text) else _KEYS.get(text, text.removesuffix("s"))
    if name in DIMENSIONS or variable_of(name):
        return name
    raise ConfigError([Problem(option, f"{text[:80]!r} is nothing to tell events by", f"variables.NAME, or {', '.join(DIMENSIONS)}")])


def read_only(pairs: Iterable[str], option: str = "--only") -> tuple[tuple[str, str], ...]:
    """Return what answers are narrowed by, of texts such as ``country=DE``.

    Raises:
        ConfigError: one is no pair, or of no dimension.
    """
    found = []
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise ConfigError([Problem(option, f"{pair[:80]!r} is no pair", "write country=DE, or variables.channel=beta")])
        found.append((read_dimension(name, option), value))
    return tuple(found)


class StoppedError(GatewayError):
    """Who asks has told a store to stop: there is no answer, and no trouble either."""


@frozen(kw_only=True)
class Filter:
    """Which events are counted.

    Attributes:
        packages: of these; of all when empty.
        measures: as what they count.
        agents: who counts.
        only: pairs of a dimension and a value; of several values of one dimension, any. An empty value is one that is not known.
        confidence: from which on a company counts.
    """

    packages: tuple[str, ...] = ()
    measures: tuple[Measure, ...] = policy.USES
    agents: tuple[str, ...] = policy.AGENTS
    only: tuple[tuple[str, str], ...] = ()
    confidence: float = policy.CONFIDENCE


ALL: Final = Filter()
"""Whatever counts by the policy, of all packages."""


@frozen(kw_only=True)
class Figures:
    """What is counted of some events.

    Attributes:
        count: events of all measures together.
        downloads, pulls, views, installs, events: of each measure; zero where it was not asked for.
        sources: distinct callers by address and User-Agent: an upper estimate of people.
        endpoints: distinct callers by address.
        companies: distinct companies, as far as they are known well enough.
    """

    count: int = 0
    downloads: int = 0
    pulls: int = 0
    views: int = 0
    installs: int = 0
    events: int = 0
    sources: int = 0
    endpoints: int = 0
    companies: int = 0


@frozen(kw_only=True)
class Answer:
    """What every answer carries, so that it can be had again.

    Attributes:
        policy: the version of the counting policy.
        period: from when to when, and in whose days.
        filter: of which events.
    """

    policy: int = field(default=policy.VERSION, init=False)
    period: Period
    filter: Filter


@frozen(kw_only=True)
class Totals(Answer):
    """The whole period, and the one before; None where there is none before."""

    now: Figures
    before: Figures | None


@frozen
class Point:
    """A piece of a period.

    Attributes:
        start: when it begins, in the period's zone.
        figures: what is counted of it.
    """

    start: datetime
    figures: Figures


@frozen(kw_only=True)
class Series(Answer):
    """A period in pieces, each of them there, the oldest first."""

    unit: Unit
    points: tuple[Point, ...]


@frozen
class Share:
    """The events that have one value.

    Attributes:
        value: None where it is not known.
        count: in the period.
        sources: in the period.
        before: how many there were in the period before; None where there is none before.
    """

    value: str | None
    count: int
    sources: int
    before: int | None


@frozen(kw_only=True)
class Breakdown(Answer):
    """The events of a period by the values of a dimension, the most frequent first.

    Attributes:
        by: the dimension.
        total: events, of all values.
        values: how many there are, what is not known among them.
        shares: of the first of them.
    """

    by: str
    total: int
    values: int
    shares: tuple[Share, ...]


@frozen
class Company:
    """A company, and what it has fetched.

    Attributes:
        key: its domain, else its name: what it is told from others by.
        name: as a database has it; None where only the domain is known.
        confidence: how sure it is, of the surest event; None where none says.
        count: events.
        sources: distinct callers.
        packages: distinct packages.
        first_seen, last_seen: in the period, to the second.
    """

    key: str
    name: str | None
    confidence: float | None
    count: int
    sources: int
    packages: int
    first_seen: datetime
    last_seen: datetime


@frozen(kw_only=True)
class Companies(Answer):
    """The companies of a period, the most frequent first.

    Attributes:
        number: how many there are.
        companies: the first of them.
    """

    number: int
    companies: tuple[Company, ...]


@frozen
class Kept:
    """Who has fetched a version, and what became of them.

    Attributes:
        version: None where it is not known.
        endpoints: distinct ones that have fetched it in the period.
        stayed: those of them for which it is the last that they have fetched.
        moved_on: those that have fetched another one since.
    """

    version: str | None
    endpoints: int
    stayed: int
    moved_on: int


@frozen(kw_only=True)
class Retention(Answer):
    """The versions of a package, those with the most endpoints first."""

    package: str
    versions: tuple[Kept, ...]


@frozen
class Seen:
    """One event, as somebody who watches is told of it: without what its caller is told from others by.

    Attributes:
        id: the event's.
        at: when, in the period's zone, to the second.
        measure: as what it counts.
        company: None where none is known well enough.
        variables: names and values.
    """

    id: str
    at: datetime
    measure: str
    package: str | None
    version: str | None
    platform: str | None
    arch: str | None
    country: str | None
    company: str | None
    client: str | None
    client_version: str | None
    agent: str | None
    page: str | None
    variables: Mapping[str, str]


@frozen(kw_only=True)
class Latest(Answer):
    """The last events of a period that count, the newest first."""

    events: tuple[Seen, ...]


def plain(value: Any) -> Any:
    """Return an answer as mappings, lists, text and numbers, for JSON."""
    if isinstance(value, Period):
        names = ("since", "until", "before_since", "before_until")
        return {"name": value.name, "zone": value.zone.key, **{name: getattr(value, name).isoformat() for name in names}}
    if isinstance(value, datetime):
        return value.isoformat()
    if attrs.has(type(value)):
        return {one.name: plain(getattr(value, one.name)) for one in attrs.fields(type(value))}
    if isinstance(value, Mapping):
        return {name: plain(item) for name, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, tuple | list) else value
