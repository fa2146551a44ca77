"""Router: host -> routes, compiled once, never changed.

Within a host the most specific rule wins, whatever the order in the file: protocols on a path prefix (`Api`), then exact paths, then
templates (see `gatewaycore.trie`), then regular expressions in file order, then the catch-all.

What ranks equal is ambiguous, and reported by `gatewaycore.lint`; which of the two answers is still not left to the file: see `standing`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from operator import is_

from attrs import define, evolve, field

from gatewaycore.errors import ConfigError, Problem
from gatewaycore.request import Request
from gatewaycore.route import Api, ApiRoute, Everything, Match, Regex, Route
from gatewaycore.template import Matcher, normalise
from gatewaycore.template.escapes import unescape
from gatewaycore.trie import Node, first, nodes, rank, standing, walk

DEFAULT_DOMAIN = "*"


@define(slots=True, eq=False)
class _Host:
    """The routes of one host, indexed. Filled by `Router.compile`, then never changed."""

    apis: dict[str, ApiRoute] = field(factory=dict)
    exact: dict[str, list[Route]] = field(factory=dict)
    templates: Node = field(factory=Node)
    regexes: list[Route] = field(factory=list)
    catch_all: list[Route] = field(factory=list)
    routes: list[Route] = field(factory=list)

    def find(self, request: Request) -> Match | None:
        path = normalise(request.path)
        if self.apis:
            match = self._api(path, request)
            if match is not None:
                return match
        query = request.query
        routes = self.exact.get(path)
        if routes is not None:
            for route in routes:
                variables = route.pattern.match(path, (), query)  # type: ignore[union-attr]
                if variables is not None:
                    return Match(route, variables)
        segments = path.split("/")
        del segments[0]
        found: list[Route] = []
        self.templates.candidates(path, segments, 0, 1, found)
        best: Match | None = None
        others: list[Match] = []
        for route in found:
            variables = route.pattern.match(path, segments, query)  # type: ignore[union-attr]
            if variables is not None:
                if best is None:
                    best = Match(route, variables)
                else:
                    others.append(Match(route, variables))
        if others and best is not None:
            # Where each stands takes longer to work out than whether it matches.
            return first([best, *others])
        return best or self._loose(path)

    def _api(self, path: str, request: Request) -> Match | None:
        # The first segment, and the first two: no protocol's prefix is longer.
        end = path.find("/", 1)
        head = path if end < 0 else path[:end]
        api = self.apis.get(head)
        if api is None and end > 0:
            second = path.find("/", end + 1)
            api = self.apis.get(path if second < 0 else path[:second])
        if api is None:
            return None
        # A protocol reads the path itself, and must see what has led here: "/%76%32/" is "/v2/".
        return api.match(request if path == request.path else evolve(request, path=path))

    def _loose(self, path: str) -> Match | None:
        for route in self.regexes:
            found = route.pattern.fullmatch(path)  # type: ignore[union-attr]
            if found is not None:
                return Match(route, {name: unescape(value) for name, value in found.groupdict().items() if value is not None})
        for route in self.catch_all:
            return Match(route, {})
        return None

    def ordered(self) -> Iterator[Route]:
        """Iterate over the routes, the most specific first."""
        yield from dict.fromkeys(self.apis.values())
        for routes in self.exact.values():
            yield from routes
        yield from sorted(walk(self.templates), key=standing)
        yield from self.regexes
        yield from self.catch_all


@define(slots=True, eq=False)
class Router:
    """Finds the route of a request. Made by `compile`; immutable from then on, so that it can be swapped under running requests."""

    _hosts: dict[str, _Host]
    _any: _Host | None
    _wildcards: bool
    count: int

    @classmethod
    def compile(cls, routes: Iterable[Route], default_domain: str | None = None, before: Router | None = None) -> Router:
        """Index `routes`.

        Args:
            routes: in file order.
            default_domain: the domain whose routes answer for hosts that nobody named.
            before: another router: the index of a host that has the very same routes in both is shared.

        Raises:
            ConfigError: routes of one protocol cannot share a host.
        """
        given: dict[str, list[Route]] = {}
        for route in routes:
            given.setdefault(route.domain, []).append(route)
        hosts: dict[str, _Host] = {}
        fresh: dict[str, _Host] = {}
        for domain, those in given.items():
            known = None if before is None else before._hosts.get(domain)
            # What a protocol's routes are joined to learns from those it asks, and begins anew.
            if known is not None and not known.apis and len(known.routes) == len(those) and all(map(is_, known.routes, those)):
                hosts[sys.intern(domain)] = known
            else:
                hosts[sys.intern(domain)] = fresh[domain] = _Host(routes=those)
        _index(fresh)
        count = sum(map(len, given.values()))
        fallback = hosts.get(default_domain) if default_domain else None
        wildcards = any(name.startswith("*.") for name in hosts)
        return cls(hosts, fallback or hosts.get(DEFAULT_DOMAIN), wildcards, count)

    def find(self, request: Request) -> Match | None:
        """Return the route that wins, with its variables, or None."""
        host = self._host(request.host)
        return None if host is None else host.find(request)

    def _host(self, name: str) -> _Host | None:
        host = self._hosts.get(name)
        if host is None:
            if self._wildcards:
                host = self._hosts.get(f"*.{name.partition('.')[2]}")
            if host is None:
                host = self._any
        return host

    @property
    def domains(self) -> tuple[str, ...]:
        """The domains that have routes, sorted."""
        return tuple(sorted(self._hosts))

    def names(self, name: str) -> bool:
        """Tell whether a host has routes of its own by its very name."""
        return name in self._hosts

    def knows(self, name: str) -> bool:
        """Tell whether a host has routes of its own, by name or by wildcard."""
        return name in self._hosts or (self._wildcards and f"*.{name.partition('.')[2]}" in self._hosts)

    def apis(self) -> Iterator[Route]:
        """Iterate over the routes that speak a protocol, each domain's once."""
        for host in self._hosts.values():
            yield from dict.fromkeys(host.apis.values())

    def routes(self, domain: str | None = None) -> Iterator[Route]:
        """Iterate over the routes, of one domain or of all, the most specific of each domain first."""
        for name in self.domains if domain is None else (domain,):
            host = self._hosts.get(name)
            if host is not None:
                yield from host.ordered()

    def pieces(self, kept: Router) -> Iterator[object]:
        """Iterate over what it is made of, those that hold others before what they hold, but for what `kept` shares with it."""
        for name, host in self._hosts.items():
            if kept._hosts.get(name) is not host:
                yield host
                yield from nodes(host.templates)
                yield from host.exact.values()
                yield from host.routes

    def tried(self, request: Request) -> Iterator[tuple[Route, str]]:
        """Iterate over the host's routes in the order in which they could win, each with the reason why it lost; "" is the winner.

        For `explain`: walks through every rule of the host, which `find` never does.
        """
        host = self._host(request.host)
        if host is None:
            return
        winner = host.find(request)
        path = normalise(request.path)
        won = False
        for route in host.ordered():
            parts = _parts(route, path)
            inside = winner is not None and any(part is winner.route for part in parts[:-1])
            for part in parts:
                if winner is not None and part is winner.route:
                    won = True
                    yield part, ""
                else:
                    # Which of its parts a protocol prefers, and why, is its own affair.
                    yield part, "another rule fits this path better" if inside else _why(part, path, request, winner if won else None)


def _parts(route: Route, path: str) -> Sequence[Route]:
    """Return what a protocol's route was joined of, should it tell, where the path is the protocol's; else the route alone."""
    return (*getattr(route, "routes", ()), route) if isinstance(route.pattern, Api) and _under(route.pattern, path) else (route,)


def _under(api: Api, path: str) -> bool:
    return any(path == prefix or path.startswith(f"{prefix}/") for prefix in api.prefixes)


def _index(hosts: dict[str, _Host]) -> None:
    """Index the routes of hosts.

    Raises:
        ConfigError: routes of one protocol cannot share a host.
    """
    apis: dict[tuple[str, str], list[Route]] = {}
    for host in hosts.values():
        for route in host.routes:
            _place(host, route, apis)
    _join(hosts, apis)
    for host in hosts.values():
        for same_path in host.exact.values():
            if len(same_path) > 1:
                same_path.sort(key=standing)
        host.regexes.sort(key=_by_priority)
        host.catch_all.sort(key=_by_priority)


def _place(host: _Host, route: Route, apis: dict[tuple[str, str], list[Route]]) -> None:
    pattern = route.pattern
    if isinstance(pattern, Matcher):
        if pattern.is_exact:
            host.exact.setdefault(pattern.path, []).append(route)
        else:
            host.templates.insert(route, pattern, 0)
    elif isinstance(pattern, Regex):
        host.regexes.append(route)
    elif isinstance(pattern, Everything):
        host.catch_all.append(route)
    else:
        apis.setdefault((route.domain, pattern.name), []).append(route)


def _join(hosts: dict[str, _Host], apis: dict[tuple[str, str], list[Route]]) -> None:
    problems: list[Problem] = []
    for (domain, name), routes in apis.items():
        pattern = routes[0].pattern
        if not isinstance(pattern, Api):
            raise TypeError(f"{routes[0].label} has no protocol")
        try:
            joined = pattern.join(routes)
        except ConfigError as error:
            problems.extend(error.problems)
            continue
        if not isinstance(joined, ApiRoute):
            raise TypeError(f"what joins {name!r} routes must match for itself")
        for prefix in pattern.prefixes:
            taken = hosts[domain].apis.setdefault(prefix, joined)
            if taken is not joined:
                what = f"{prefix} is claimed by {taken.label} and by {joined.label}"
                problems.append(Problem(f"domain {domain}", what, "give one of them another domain", about=routes[0]))
    if problems:
        raise ConfigError(problems)


def _by_priority(route: Route) -> int:
    return -route.priority


def _why(route: Route, path: str, request: Request, winner: Match | None) -> str:
    """Return why a route has lost; `winner` is None as long as none has won."""
    pattern = route.pattern
    if isinstance(pattern, Matcher):
        reason = pattern.explain(path, request.query)
    elif isinstance(pattern, Regex):
        reason = "" if pattern.fullmatch(path) is not None else "the expression does not match the whole path"
    elif isinstance(pattern, Api):
        reason = "this path asks for something else" if _under(pattern, path) else f"the path is not under {' or '.join(pattern.prefixes)}"
    else:
        reason = ""
    if reason:
        return reason
    if winner is None:
        return "matches, but another rule stands before it"
    by = _settled_by(winner.route, route)
    return f"matches, and is as specific; the other comes first by {by}" if by else "matches, but a more specific rule has won"


def _settled_by(winner: Route, loser: Route) -> str:
    """Return what puts a route before another one that is as specific; "" when it is not."""
    one, other = winner.pattern, loser.pattern
    if isinstance(one, Matcher):
        if not isinstance(other, Matcher) or (one.is_exact, rank(one, 0)) != (other.is_exact, rank(other, 0)):
            return ""
    elif isinstance(one, Api) or type(one) is not type(other):
        return ""
    if winner.priority != loser.priority:
        return "its priority"
    if isinstance(one, Matcher) and winner.label != loser.label:
        return "its path: the two are compared as text"
    if isinstance(one, Matcher) and winner.package != loser.package:
        return "its package's name: the paths are the same"
    return "the order in the file"


__all__ = ["DEFAULT_DOMAIN", "Router"]
