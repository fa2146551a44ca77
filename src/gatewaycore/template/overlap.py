"""Overlap: a request that two templates match, the shortest there is, for a lint that wants to show it.

Each path is a small automaton: a literal is a step for each of its characters, a variable takes any, an optional part can be passed by. Two
of them are walked side by side, breadth first. What a walk cannot see, that a variable named twice has one value, is tried with a few
values, and the matchers have the last word: what is returned is matched by both. Not every overlap is found.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from itertools import takewhile
from typing import TypeAlias
from urllib.parse import quote

from attrs import field, frozen

from gatewaycore.template.matching import Matcher, Segment
from gatewaycore.template.search import Hole, Maybe, Search, Text
from gatewaycore.template.shape import literals, of_path, parts

__all__ = ["ends", "is_loose", "overlap"]

# What variables hold where nothing else is asked of them.
_FILLER = "a"
# Steps of one walk: two templates of a hundred characters each have no more.
_STEPS = 10_000
# Values that are tried for a variable that is named twice.
_VALUES = 12

# What a step takes: one character; or one of several, any but "/" or any at all; or nothing.
_NO_SLASH, _ANY, _FREE = "not /", "any", ""
_Steps: TypeAlias = list[tuple[str, int]]


@frozen
class _Automaton:
    """Positions, from 0 to the last one, where all has been taken; for each, what can be taken there and where that leads."""

    steps: list[_Steps] = field(factory=lambda: [[]])

    def text(self, text: str) -> None:
        """Add a literal at the end."""
        for character in text:
            self._step(character)

    def hole(self, spanning: bool) -> None:
        """Add a variable at the end: one or more characters."""
        taken = _ANY if spanning else _NO_SLASH
        end = self._step(taken)
        self.steps[end].append((taken, end))

    def maybe(self, lead: str) -> None:
        """Add a value with `lead` before it, or nothing, at the end."""
        start = len(self.steps) - 1
        self.text(lead)
        self.hole(False)
        end = self._step(_FREE)
        self.steps[start].append((_FREE, end))

    def _step(self, taken: str) -> int:
        end = len(self.steps)
        self.steps[-1].append((taken, end))
        self.steps.append([])
        return end


def is_loose(matcher: Matcher) -> bool:
    """Tell whether a template needs more than one look at each segment: a variable is optional, is named twice, or spans segments."""
    return matcher.spanning_count > 0 or isinstance(matcher._plan, Search)


def ends(matcher: Matcher) -> tuple[str, str]:
    """Return the literal text before the first variable of the path and after the last; without any, the path twice."""
    nodes = list(_nodes(matcher))
    return _opening(nodes, 1), _opening(nodes[::-1], -1)


def _opening(nodes: Iterable[Text | Hole | Maybe], way: int) -> str:
    found = [node.text for node in takewhile(lambda node: isinstance(node, Text), nodes) if isinstance(node, Text)]
    return "".join(found[::way])


def overlap(one: Matcher, other: Matcher) -> tuple[str, str] | None:
    """Return the normalised path and the raw query of a request that both match, or None when none is found."""
    if _walk(_path(one, {}), _path(other, {})) is None:
        return None
    for mine in _bindings(one, other):
        for theirs in _bindings(other, one):
            path = _walk(_path(one, mine), _path(other, theirs))
            query = None if path is None else _query(one, mine, other, theirs)
            if path is None or query is None:
                continue
            segments = path.split("/")[1:]
            if one.match(path, segments, query) is not None and other.match(path, segments, query) is not None:
                return path, query
    return None


def _bindings(matcher: Matcher, other: Matcher) -> Iterator[Mapping[str, str]]:
    """Yield values for the variables that are named twice: one for all of them, made of what the other template says."""
    repeated = _repeated(matcher)
    if not repeated:
        yield {}
        return
    words = dict.fromkeys(word for text in _texts(other) for word in text.split("/") if word)
    values = dict.fromkeys((_FILLER, *(value for word in words for value in (word, _FILLER + word, word + _FILLER))))
    for value in list(values)[:_VALUES]:
        yield dict.fromkeys(repeated, value)


def _repeated(matcher: Matcher) -> tuple[str, ...]:
    if not isinstance(matcher._plan, Search):
        return ()
    named = [node.name for node in of_path(matcher._plan) if isinstance(node, Hole | Maybe)]
    named += [name for _, part, _ in matcher._query for name in _names(part)]
    return tuple(dict.fromkeys(name for name in named if named.count(name) > 1))


def _texts(matcher: Matcher) -> Iterator[str]:
    for node in _nodes(matcher):
        if isinstance(node, Text):
            yield node.text
    for _, part, required in matcher._query:
        if required:
            yield from literals(part)


def _nodes(matcher: Matcher) -> Iterator[Text | Hole | Maybe]:
    """Yield the path of any plan as the search has it."""
    if isinstance(matcher._plan, Search):
        yield from of_path(matcher._plan)
        return
    spread = matcher._spread
    for number, part in enumerate(parts(matcher._plan, spread)):
        spanning = spread is not None and isinstance(matcher._plan, tuple) and number == len(matcher._plan)
        yield Text("/")
        yield from _pieces(part, spanning)


def _pieces(part: Segment, spanning: bool) -> Iterator[Text | Hole]:
    pieces = (part,) if isinstance(part, str) else part if len(part) > 1 else ("", part[0], "")
    for number, piece in enumerate(pieces):
        yield Hole(piece, spanning) if number % 2 else Text(piece)


def _path(matcher: Matcher, values: Mapping[str, str]) -> _Automaton:
    return _automaton(_nodes(matcher), values)


def _automaton(nodes: Iterable[Text | Hole | Maybe], values: Mapping[str, str]) -> _Automaton:
    made = _Automaton()
    for node in nodes:
        if isinstance(node, Text):
            made.text(node.text)
        elif isinstance(node, Hole):
            if node.name in values:
                made.text(values[node.name])
            else:
                made.hole(node.spanning)
        else:
            lead = f"{node.lead}=" if node.operator == ";" else node.lead
            if node.name in values:
                made.text(lead + values[node.name])
            else:
                made.maybe(lead)
    return made


def _query(one: Matcher, mine: Mapping[str, str], other: Matcher, theirs: Mapping[str, str]) -> str | None:
    """Return a query with every parameter that one of the two needs; None when both need one that cannot be the same."""
    ours, foreign = _parameters(one, mine), _parameters(other, theirs)
    pairs = []
    for key in dict.fromkeys((*ours, *foreign)):
        value = _walk(ours.get(key) or foreign[key], foreign.get(key) or ours[key])
        if value is None:
            return None
        pairs.append(f"{quote(key, safe='')}={quote(value, safe='')}")
    return "&".join(pairs)


def _parameters(matcher: Matcher, values: Mapping[str, str]) -> dict[str, _Automaton]:
    return {
        key: _automaton(_pieces(part, True), values)
        for key, part, required in matcher._query
        if required or not values.keys().isdisjoint(_names(part))
    }


def _names(part: Segment) -> tuple[str, ...]:
    if isinstance(part, str):
        return ()
    return part[1::2] if len(part) > 1 else part


def _walk(one: _Automaton, other: _Automaton) -> str | None:
    """Return the shortest text that both take whole."""
    goal = len(one.steps) - 1, len(other.steps) - 1
    came: dict[tuple[int, int], tuple[tuple[int, int], str]] = {(0, 0): ((0, 0), "")}
    waiting = deque([(0, 0)])
    while waiting and len(came) < _STEPS:
        here = waiting.popleft()
        if here == goal:
            return _read(came, here)
        for there, taken in _ways(one, other, here):
            if there not in came:
                came[there] = here, taken
                # What costs nothing is looked at first, so that the shortest text is found first.
                waiting.append(there) if taken else waiting.appendleft(there)
    return None


def _ways(one: _Automaton, other: _Automaton, here: tuple[int, int]) -> Iterator[tuple[tuple[int, int], str]]:
    mine, theirs = one.steps[here[0]], other.steps[here[1]]
    for taken, to in mine:
        if taken == _FREE:
            yield (to, here[1]), ""
    for taken, to in theirs:
        if taken == _FREE:
            yield (here[0], to), ""
    for taken, to in mine:
        for foreign, end in theirs:
            both = _both(taken, foreign)
            if both:
                yield (to, end), both


def _both(one: str, other: str) -> str:
    """Return a character that two steps take; "" when there is none."""
    if not one or not other:
        return ""
    if len(other) > 1:
        one, other = other, one
    if len(other) > 1:
        return _FILLER
    return other if one in (other, _ANY) or (one == _NO_SLASH and other != "/") else ""


def _read(came: Mapping[tuple[int, int], tuple[tuple[int, int], str]], here: tuple[int, int]) -> str:
    taken: list[str] = []
    while here != (0, 0):
        here, character = came[here]
        taken.append(character)
    return "".join(reversed(taken))
