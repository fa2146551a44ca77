"""The trie that templates hang in, and the order in which they stand.

Literal segments are its branches, so that a request's cost does not grow with the number of rules; a subtree that holds one rule is that
rule, so that memory does not either. It gives candidates; whether one of them matches, its `Matcher` decides.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import TypeAlias, TypeVar, final

from attrs import define, field

from gatewaycore.route import Match, Route
from gatewaycore.template import Matcher, Open

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
    return rank(matcher_of(route), route.priority), route.label, route.package or ""


@final
@define(slots=True, eq=False)
class Node:
    """One position between segments. What hangs on it: routes that end here, literal segments, one-segment patterns, and tails.

    Patterns and tails are keyed by their literal beginning and end, grouped by the lengths of the two, so that thousands of
    ``{name}-linux.tgz`` and its like cost one lookup for each pair of lengths, not one for each rule.
    """

    routes: list[Route] = field(factory=list)
    literals: dict[str, Node | Route] = field(factory=dict)
    opens: dict[tuple[int, int], dict[tuple[str, str], Node | Route]] = field(factory=dict)
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
    def _hang(children: dict[_K, Node | Route], key: _K, route: Route, depth: int) -> None:
        child = children.get(key)
        if child is None:
            children[key] = route
            return
        if not isinstance(child, Node):
            node = Node()
            node.insert(child, matcher_of(child), depth + 1)
            children[key] = child = node
        child.insert(route, matcher_of(route), depth + 1)

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
            if type(child) is Node:
                child.candidates(path, segments, depth + 1, offset + len(segment) + 1, found)
            else:
                found.append(child)
        for (before, after), named in self.opens.items():
            if len(segment) > before + after:
                # Most are a whole segment, `{x}`, and there is nothing to cut off.
                child = named.get((segment[:before], segment[len(segment) - after :]) if before or after else _WHOLE)
                if child is None:
                    continue
                if type(child) is Node:
                    child.candidates(path, segments, depth + 1, offset + len(segment) + 1, found)
                else:
                    found.append(child)


_WHOLE = ("", "")


def matcher_of(route: Route) -> Matcher:
    pattern = route.pattern
    if not isinstance(pattern, Matcher):
        raise TypeError(f"{route.label} has no template")
    return pattern


def nodes(node: Node) -> Iterator[Node]:
    """Iterate over a node and all that hang below it, each before those below."""
    yield node
    for child in (*node.literals.values(), *(child for group in node.opens.values() for child in group.values())):
        if isinstance(child, Node):
            yield from nodes(child)


def walk(node: Node) -> Iterator[Route]:
    yield from node.routes
    for routes in (routes for group in node.tails.values() for routes in group.values()):
        yield from routes
    children = [*node.literals.values(), *(child for group in node.opens.values() for child in group.values())]
    for child in children:
        if isinstance(child, Node):
            yield from walk(child)
        else:
            yield child


def first(matches: Sequence[Match]) -> Match:
    """Return the one whose route has the first `standing`; the first number mostly tells, and the others are not worked out then."""
    segments = [matcher_of(match.route).literal_segments for match in matches]
    most = max(segments)
    left = [match for match, count in zip(matches, segments, strict=True) if count == most]
    return left[0] if len(left) == 1 else min(left, key=_standing)


def _standing(match: Match) -> Standing:
    return standing(match.route)
