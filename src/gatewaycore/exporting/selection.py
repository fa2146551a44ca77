"""Selection: which events are wanted; said once, and asked of an event in Python or of a table in SQL. No file and no clock."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from attrs import frozen

from gatewaycore.errors import ConfigError, Problem
from gatewaycore.event import Event
from gatewaycore.sinks.lake.schema import quoted

_CHOICES = ("package", "kind", "country", "agent")


@frozen(kw_only=True)
class Selection:
    """Which events are wanted. What is empty asks for nothing.

    Attributes:
        since: the first moment.
        until: the first moment that is too late.
        package, kind, country, agent: one of these.
        where: variables that have this value, all of them.
    """

    since: datetime | None = None
    until: datetime | None = None
    package: tuple[str, ...] = ()
    kind: tuple[str, ...] = ()
    country: tuple[str, ...] = ()
    agent: tuple[str, ...] = ()
    where: tuple[tuple[str, str], ...] = ()

    def holds(self, event: Event) -> bool:
        """Tell whether an event is wanted."""
        if self.since is not None and event.time < self.since:
            return False
        if self.until is not None and event.time >= self.until:
            return False
        for name in _CHOICES:
            wanted = getattr(self, name)
            if wanted and getattr(event, name) not in wanted:
                return False
        return all(event.variables.get(name) == value for name, value in self.where)

    def sql(self) -> str:
        """Return the same as a condition for DuckDB."""
        return " AND ".join(self._conditions()) or "true"

    def _conditions(self) -> Iterator[str]:
        # The table is partitioned by day: files of other days are not opened.
        if self.since is not None:
            yield f"time >= {_time(self.since)} AND day >= DATE '{self.since.astimezone(UTC):%Y-%m-%d}'"
        if self.until is not None:
            yield f"time < {_time(self.until)} AND day <= DATE '{self.until.astimezone(UTC):%Y-%m-%d}'"
        for name in _CHOICES:
            wanted = getattr(self, name)
            if wanted:
                yield f"{name} IN ({', '.join(map(_text, wanted))})"
        for name, value in self.where:
            yield f"variables[{_text(name)}] = {_text(value)}"


def _text(text: str) -> str:
    return quoted(text.replace("\0", ""))


def _time(time: datetime) -> str:
    return f"TIMESTAMPTZ '{time.astimezone(UTC).isoformat()}'"


def read_moment(option: str, text: str | None) -> datetime | None:
    """Return a day's beginning, or a time; in UTC where it says nothing else.

    Raises:
        ConfigError: it is neither.
    """
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ConfigError([Problem(option, f"{text!r} is no day and no time", "write 2026-11-01 or 2026-11-01T12:00:00Z")]) from None


def read_where(pairs: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """Return the variables that are asked for.

    Raises:
        ConfigError: one is no pair.
    """
    found = []
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise ConfigError([Problem("--where", f"{pair!r} is no pair", "write NAME=VALUE")])
        found.append((name, value))
    return tuple(found)
