"""Plugins: the types that a configuration may name, our own and those of distributions that are installed beside us."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from types import MappingProxyType
from typing import Any

import attrs

from gatewaycore.config import Rosters
from gatewaycore.enrich import ENRICHMENTS
from gatewaycore.errors import ConfigError, Problem
from gatewaycore.rules import RULES
from gatewaycore.sinks import SINKS

_ROSTERS: Mapping[str, tuple[Mapping[str, type[Any]], str]] = {
    "rules": (RULES, "compile"),
    "sinks": (SINKS, "open"),
    "enrichments": (ENRICHMENTS, "open"),
}
"""Our own types, by the last word of the entry point group that other distributions add to, and the verb that a type has."""


def rosters() -> Rosters:
    """Return the types that a configuration may name: our own, and those of the distributions that are installed beside us.

    They join through the entry point groups ``gatewaycore.rules``, ``gatewaycore.sinks`` and ``gatewaycore.enrichments``: the name is the
    tag, the object an attrs class with the verb of its protocol.

    Raises:
        ConfigError: one cannot be loaded, is no such class, or its tag is taken; says which distribution it is of.
    """
    installed = entry_points()
    return _rosters(tuple(point for group in _ROSTERS for point in installed.select(group=f"gatewaycore.{group}")))


# One object for the same distributions: what reads configurations is made once for each `Rosters`.
@lru_cache(maxsize=4)
def _rosters(points: tuple[EntryPoint, ...]) -> Rosters:
    joined = {group: dict(roster) for group, (roster, _) in _ROSTERS.items()}
    problems: list[Problem] = []
    for point in points:
        group = point.group.rpartition(".")[2]
        distribution = point.dist.name if point.dist is not None else "an unnamed distribution"
        where, hint = f"{point.group}: {point.name}", f"mend or uninstall {distribution}"
        if point.name in joined[group]:
            problems.append(Problem(where, f"{distribution} adds a type whose tag is taken", hint))
            continue
        try:
            found = point.load()
        except Exception as error:  # noqa: BLE001 - another distribution's code: whatever it raises is told with its name
            problems.append(Problem(where, f"{distribution} adds a type that cannot be loaded: {type(error).__name__}: {error}", hint))
            continue
        verb = _ROSTERS[group][1]
        if not isinstance(found, type) or not attrs.has(found) or not callable(getattr(found, verb, None)):
            problems.append(Problem(where, f"{distribution} adds {point.value}, which is no attrs class with {verb}()", hint))
            continue
        joined[group][point.name] = found
    if problems:
        raise ConfigError(problems)
    return Rosters(**{group: MappingProxyType(roster) for group, roster in joined.items()})
