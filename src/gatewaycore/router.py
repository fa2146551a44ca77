"""Router: host -> routes, compiled once, never changed.

Within a host the most specific rule wins, whatever the order in the file: protocols on a path prefix (`Api`), then exact paths, then
templates, then regular expressions in file order, then the catch-all. Templates are found through a trie over literal segments, so that a
request's cost does not grow with the number of rules; a subtree that holds one rule is that rule, so that memory does not either.

What ranks equal is ambiguous, and reported by `gatewaycore.lint`; which of the two answers is still not left to the file: see `standing`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias, TypeVar, final

from attrs import define, evolve, field

from gatewaycore.errors import ConfigError, Problem
from gatewaycore.request import Request
from gatewaycore.route import Api, ApiRoute, Everything, Match, Regex, Route
from gatewaycore.template import Matcher, Open, normalise
from gatewaycore.template.escapes import unescape

DEFAULT_DOMAIN = "*"

_K = TypeVar("_K", str, tuple[str, str])

Rank: TypeAlias = tuple[int, ...]
"""Sorts before what is less specific."""


Standing: TypeAlias = tuple[Rank, str, str]
"""A rank and, for those that share it, the last word."""


def rank(matcher: Matcher, priority: int) -> Rank:
    """Return where a template stands: more literal segments first, then more literal characters, then fewer variables, then fewer that
    span segments; `priority` settles what is left. Templates of one rank that meet on a path are ambiguous."""
    return (-matcher.literal_segments, -matcher.literal_chars, matcher.variable_count, matcher.spanning_count, -priority)


def standing(route: Route) -> Standing:
    """Return where a template's route stands among those of its host, whatever the order in the file.

    The last word is the path as it is written, compared as text, so that what is literal further left comes first ("{" sorts after
    letters and digits); then the package. Worked out where several routes are to be put in order, and kept nowhere.
    """
    return rank(_matcher(route), route.priority), route.label, route.package or ""


@final
@define(slots=True, eq=False)
class _Node:
    """One position between segments. What hangs on it: routes that end here, literal segments, one-segment patterns, and tails.

    Patterns and tails are keyed by their literal beginning and end, grouped by the lengths of the two, so that thousands of
    ``{name}-linux.tgz`` and its like cost one lookup for each pair of lengths, not one for each rule.
    """

    routes: list[Route] = field(factory=list)
    literals: dict[str, _Node | Route] = field(factory=dict)
    opens: dict[tuple[int, int], dict[tuple[str, str], _Node | Route]] = field(factory=dict)
    tails: dict[tuple[int, int], dict[tuple[str, str], list[Route]]] = field(factory=dict)

    def insert(self, route: Route, matcher: Matcher, depth: int) -> None:
        elements = matcher.elements
        if depth == len(elements):
            self.routes.append(route)
            return
        element = elements[depth]
        if isinstance(element, str):
            self._hang(self.literals, sys.intern(element), route, depth)
        elif isinstance(element, Open):
            key = (element.prefix, element.suffix)
            self._hang(self.opens.setdefault((len(key[0]), len(key[1])), {}), key, route, depth)
        else:
            key = (element.prefix, element.suffix)
            self.tails.setdefault((len(key[0]), len(key[1])), {}).setdefault(key, []).append(route)

    @staticmethod
    def _hang(children: dict[_K, _Node | Route], key: _K, route: Route, depth: int) -> None:
        child = children.get(key)
        if child is None:
            children[key] = route
            return
        if not isinstance(child, _Node):
            node = _Node()
            node.insert(child, _matcher(child), depth + 1)
            children[key] = child = node
        child.insert(route, _matcher(route), depth + 1)

    def candidates(self, path: str, segments: Sequence[str], depth: int, offset: int, found: list[Route]) -> None:
        """Add every route whose elements fit `segments` from `depth` on; `offset` is where that segment begins in `path`."""
        if self.tails:
            rest = path[offset:]
            for (before, after), group in self.tails.items():
                if len(rest) >= before + after:
                    routes = group.get((rest[:before], rest[len(rest) - after :]))
                    if routes:
                        found.extend(routes)
        if depth == len(segments):
            found.extend(self.routes)
            return
        segment = segments[depth]
        child = self.literals.get(segment)
        if child is not None:
            if type(child) is _Node:
                child.candidates(path, segments, depth + 1, offset + len(segment) + 1, found)
            else:
                found.append(child)
        for (before, after), named in self.opens.items():
            if len(segment) > before + after:
                # Most are a whole segment, `{x}`, and there is nothing to cut off.
                child = named.get((segment[:before], segment[len(segment) - after :]) if before or after else _WHOLE)
                if child is None:
                    continue
                if type(child) is _Node:
                    child.candidates(path, segments, depth + 1, offset + len(segment) + 1, found)
                else:
                    found.append(child)


_WHOLE = ("", "")


def _matcher(route: Route) -> Matcher:
    pattern = route.pattern
    if not isinstance(pattern, Matcher):
        raise TypeError(f"{route.label} has no template")
    return pattern


@define(slots=True, eq=False)
class _Host:
    """The routes of one host, indexed. Filled by `Router.compile`, then never changed."""

    apis: dict[str, ApiRoute] = field(factory=dict)
    exact: dict[str, list[Route]] = field(factory=dict)
    templates: _Node = field(factory=_Node)
    regexes: list[Route] = field(factory=list)
    catch_all: list[Route] = field(factory=list)
    count: int = 0

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
            return _first([best, *others])
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
        yield from sorted(_walk(self.templates), key=standing)
        yield from self.regexes
        yield from self.catch_all


def _walk(node: _Node) -> Iterator[Route]:
    yield from node.routes
    for routes in (routes for group in node.tails.values() for routes in group.values()):
        yield from routes
    children = [*node.literals.values(), *(child for group in node.opens.values() for child in group.values())]
    for child in children:
        if isinstance(child, _Node):
            yield from _walk(child)
        else:
            yield child


def _first(matches: Sequence[Match]) -> Match:
    """Return the one whose route has the first `standing`; the first number mostly tells, and the others are not worked out then."""
    segments = [_matcher(match.route).literal_segments for match in matches]
    most = max(segments)
    left = [match for match, count in zip(matches, segments, strict=True) if count == most]
    return left[0] if len(left) == 1 else min(left, key=_standing)


def _standing(match: Match) -> Standing:
    return standing(match.route)


@define(slots=True, eq=False)
class Router:
    """Finds the route of a request. Made by `compile`; immutable from then on, so that it can be swapped under running requests."""

    _hosts: dict[str, _Host]
    _any: _Host | None
    _wildcards: bool
    count: int

    @classmethod
    def compile(cls, routes: Iterable[Route], default_domain: str | None = None) -> Router:
        """Index `routes`.

        Args:
            routes: in file order.
            default_domain: the domain whose routes answer for hosts that nobody named.

        Raises:
            ConfigError: routes of one protocol cannot share a host.
        """
        hosts: dict[str, _Host] = {}
        apis: dict[tuple[str, str], list[Route]] = {}
        count = 0
        for route in routes:
            host = hosts.get(route.domain)
            if host is None:
                host = hosts[sys.intern(route.domain)] = _Host()
            host.count += 1
            count += 1
            _place(host, route, apis)
        _join(hosts, apis)
        for host in hosts.values():
            for same_path in host.exact.values():
                if len(same_path) > 1:
                    same_path.sort(key=standing)
            host.regexes.sort(key=_by_priority)
            host.catch_all.sort(key=_by_priority)
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

    def knows(self, name: str) -> bool:
        """Tell whether a host has routes of its own, by name or by wildcard."""
        return name in self._hosts or (self._wildcards and f"*.{name.partition('.')[2]}" in self._hosts)

    def routes(self, domain: str | None = None) -> Iterator[Route]:
        """Iterate over the routes, of one domain or of all, the most specific of each domain first."""
        for name in self.domains if domain is None else (domain,):
            host = self._hosts.get(name)
            if host is not None:
                yield from host.ordered()

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


__all__ = ["DEFAULT_DOMAIN", "Rank", "Router", "Standing", "rank", "standing"]
