"""Packages: which of the configured ones an imported event is of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from attrs import frozen

from gatewaycore.errors import ConfigError, Problem
from gatewaycore.event import Kind
from gatewaycore.importing.names import LineError
from gatewaycore.route import Route, Rule
from gatewaycore.rules.container import CollectionRule, ImagePattern
from gatewaycore.rules.variables import Subject

_KINDS: Mapping[str, Kind] = {"container": "pull", "pixel": "view", "event": "event", "install": "install"}
_POSTED = frozenset({"event", "install"})
_PIXEL = "pixel"


@frozen
class Target:
    """A package that events can be imported into.

    Attributes:
        domain: the host of events that name none.
        rule: the label of its first route.
        subject: what its events have in common.
        method: of its events: how they would have come in.
    """

    domain: str
    rule: str
    subject: Subject
    method: str


@frozen
class _Collection:
    pattern: ImagePattern
    target: Target


class Packages:
    """Finds packages by id or by name.

    Args:
        rules: settings of packages and collections, each with the tag of its type.
        usual: the package of lines that name none; None when each has to.

    Raises:
        ConfigError: there is no such package as `usual`.
    """

    def __init__(self, rules: Iterable[tuple[Rule, str]], usual: str | None = None) -> None:
        self._found: dict[str, list[Target]] = {}
        self._collections: list[_Collection] = []
        for rule, tag in rules:
            self._add(rule, tag)
        self._usual: Target | None = None
        if usual is not None:
            try:
                self._usual = self.find(usual)
            except LineError as error:
                known = ", ".join(sorted(self._found)[:20]) or "there is none"
                raise ConfigError([Problem("--package", f"{usual!r}: {error}", f"one of the configuration's: {known}")]) from None

    def _add(self, rule: Rule, tag: str) -> None:
        routes = rule.compile()
        if not routes:
            return
        target = _target(routes[0], tag)
        if isinstance(rule, CollectionRule):
            self._collections.append(_Collection(ImagePattern.parse(rule.pattern), target))
            return
        names: dict[Any, None] = dict.fromkeys([getattr(rule, "id", None), getattr(rule, "name", None), target.subject.package])
        for name in names:
            if name:
                self._found.setdefault(name, []).append(target)

    def find(self, name: str | None, *, pixel: bool = False) -> Target:
        """Return a package.

        Args:
            name: its id or its name; None for the usual one.
            pixel: look among pixels alone.

        Raises:
            LineError: there is none, or several have this name.
        """
        if name is None:
            if self._usual is None:
                raise LineError("no package: neither $package nor $pixel, and no --package")
            return self._usual
        found = self._found.get(name, ())
        if pixel:
            found = [one for one in found if one.subject.package_type == _PIXEL]
        if len(found) == 1:
            return found[0]
        if found:
            raise LineError("several packages have this name: write the id of one")
        for collection in self._collections:
            if not pixel and collection.pattern.match(name):
                target = collection.target
                return Target(target.domain, target.rule, Subject(name, "container", "pull"), target.method)
        raise LineError(f"there is no such {'pixel' if pixel else 'package'}")


def _target(route: Route, tag: str) -> Target:
    subject = getattr(route, "subject", None)
    if not isinstance(subject, Subject):
        subject = Subject(route.package or "", tag, _KINDS.get(tag, "download"))
    # "*.acme.example" is no host.
    return Target(route.domain.removeprefix("*."), route.label, subject, "POST" if tag in _POSTED else "GET")
