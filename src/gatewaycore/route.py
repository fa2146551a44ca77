"""The protocols between rules and the router.

A `Rule` is settings: frozen, made by the configuration. Its `compile()` gives `Route`s: what a request meets. A route says where
it stands in its host's index by its `pattern`; the router never asks what type of package it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeAlias, runtime_checkable

from attrs import define, frozen

from gatewaycore.decision import Decision
from gatewaycore.event import Observation
from gatewaycore.request import Request
from gatewaycore.template import Matcher

Variables: TypeAlias = Mapping[str, str]


@frozen
class Regex:
    """Matched in file order, after every template. `search` is a compiled RE2 pattern's fullmatch."""

    source: str
    fullmatch: Callable[[str], Any]


@frozen
class Everything:
    """Matches every path of the host, last."""


@frozen
class Api:
    """A protocol spoken on a path prefix, before every other pattern of the host.

    Attributes:
        name: "container", "python"; routes of one name on one host are joined into one.
        prefixes: the paths it answers, each without a trailing "/": ("/v2",).
        join: makes one route of all the routes of this name on one host.
    """

    name: str
    prefixes: tuple[str, ...]
    join: Callable[[Sequence[Route]], Route]


Pattern: TypeAlias = Matcher | Regex | Everything | Api


@define(slots=True)
class Match:
    """Which route won, and the variables it found. `detail` is the route's own note from `match` to `decide`. Nobody mutates it."""

    route: Route
    variables: Variables
    detail: Any = None


@runtime_checkable
class Route(Protocol):
    """A compiled rule on one host. Small: a million of them are held at once.

    Attributes:
        label: names the rule in events and in `explain`: ``get.acme.com/{platform}/{version}``.
        domain: "get.acme.com", "*.acme.com" or "*" (the default domain); lower-case A-label.
        pattern: where it stands in its host's index.
        priority: settles ties between patterns that are equally specific; the higher wins.
        package: for `explain` and `check`.
        steady: whether `decide` and `observe` read nothing of a GET or HEAD but its method, host, path and query, so that the
            gateway may keep the answer for the next one.
    """

    @property
    def label(self) -> str: ...
    @property
    def domain(self) -> str: ...
    @property
    def pattern(self) -> Pattern: ...
    @property
    def priority(self) -> int: ...
    @property
    def package(self) -> str | None: ...
    @property
    def steady(self) -> bool: ...

    def decide(self, request: Request, match: Match) -> Decision:
        """Return what to answer. Total: never raises for a request that matched."""
        ...

    def observe(self, request: Request, match: Match, entry: Mapping[str, str] | None = None) -> Observation | None:
        """Return this rule's part of the event, or None when the request is none. Not called for those who opted out.

        Args:
            request: the request.
            match: what `match` found.
            entry: one event of the body, where a `Collect` brought some.
        """
        ...


@runtime_checkable
class ApiRoute(Route, Protocol):
    """A route that speaks a protocol and so matches for itself."""

    def match(self, request: Request) -> Match | None:
        """Return the match for a path under one of the pattern's prefixes, or None."""
        ...


class Rule(Protocol):
    """Settings of one package. Frozen; its fields are the keys of the configuration."""

    def compile(self) -> Sequence[Route]:
        """Make the routes.

        Raises:
            TemplateError: a template cannot be parsed or matched.
            ConfigError: the settings contradict each other.
        """
        ...


def package_of(rule: object) -> str:
    """Return what events call the package of a rule: its id, else its name; empty where a type of another distribution has neither."""
    return str(getattr(rule, "id", None) or getattr(rule, "name", None) or "")
