"""The search for templates with more than one way to cut a path: repeated variables, several spanning ones, optional ones.

A template is a row of nodes; the search walks it from left to right and tries, at each node that leaves a choice, the
shortest value first (an optional part: present before absent). What failed is remembered, and a budget bounds the
work on any input. Knows nothing of the grammar, nor of simple templates, which never come here.
"""

from __future__ import annotations

import heapq
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache, partial
from itertools import filterfalse, takewhile

from attrs import evolve, field, frozen

from gatewaycore.template.escapes import inside_escape, share, unescape

__all__ = ["End", "Hole", "Maybe", "Node", "Option", "Param", "Search", "Text", "compile_search"]

# Steps before a search gives up and answers "no match": some 20 ms. Honest paths need fewer than a hundred.
_BUDGET = 10_000

_NOWHERE = sys.maxsize

# Where the value of a node may end: before any of these literals, and before this one if it ends the text.
_Follow = tuple[tuple[str, ...], str | None]


@frozen(weakref_slot=False)
class Text:
    """A literal, normalised."""

    text: str


@frozen(weakref_slot=False)
class Hole:
    """A variable of one or more characters; only a `spanning` one takes "/". For `follow`, see `_follow`."""

    name: str
    spanning: bool
    follow: _Follow = ((), "")


@frozen(weakref_slot=False)
class Maybe:
    """A variable of ``{/x}``, ``{.x}`` or ``{;x}``: `lead` and a value, or nothing at all.

    Args:
        name: the variable.
        operator: "/", "." or ";".
        lead: what stands before the value; for ";" the name as well.
        follow: see `_follow`.
    """

    name: str
    operator: str
    lead: str
    follow: _Follow = ((), "")


@frozen(weakref_slot=False)
class End:
    """The end of the path, or of a parameter's value."""


@frozen(weakref_slot=False)
class Param:
    """A parameter that the query must have; the nodes up to the next `End` describe its value."""

    key: str


@frozen(weakref_slot=False)
class Option:
    """A variable of ``{?x}`` or ``{&x}``: the value of parameter `key`, if the query has it."""

    key: str
    name: str


Node = Text | Hole | Maybe | End | Param | Option

# A value as (text, start, end): text 0 is the path, the others are decoded values of the query.
_Span = tuple[int, int, int]
_UNDEFINED: _Span = (-1, 0, 0)

# One way to go on from a node: the value it takes, the text and the position where the next node begins.
_Step = tuple[_Span, int, int]
_State = tuple[int, int, int]  # node, text, position


@frozen(weakref_slot=False)
class Search:
    """A template compiled for the search.

    Args:
        nodes: of the path, and of the query when the two share a variable.
        joint: whether the query is part of `nodes`.
    """

    nodes: tuple[Node, ...]
    joint: bool
    _repeated: tuple[str, ...] = field(repr=False)

    def run(self, path: str, query: Mapping[str, Sequence[str]]) -> dict[str, str] | None:
        """Return the values of the first match, or None.

        Args:
            path: normalised.
            query: decoded parameters with their values in order; looked at only when `joint`.
        """
        # RFC 9110 §4.2.3: an empty path and "/" are the same; the former is what `{/x}` without x expands to
        blank = path == "/" and all(isinstance(node, Maybe | End | Param | Option) for node in self.nodes)
        return _Run(self, "" if blank else path, query).solve()

    def without_query(self) -> Search:
        """Return the search for the path alone."""
        return compile_search(self.nodes[: self.nodes.index(End()) + 1], joint=False) if self.joint else self


def compile_search(nodes: Sequence[Node], joint: bool) -> Search:
    """Compile nodes, which end with `End` or `Option`."""
    names = [name for node in nodes if (name := _name(node))]
    repeated = share(tuple(dict.fromkeys(name for name in names if names.count(name) > 1)))
    followed = tuple(_with_follow(node, _follow(nodes, at)) if isinstance(node, Hole | Maybe) else node for at, node in enumerate(nodes))
    return Search(followed, joint, repeated)


@lru_cache(maxsize=4096)  # the rules of a gateway name the same few variables
def _with_follow(node: Hole | Maybe, follow: _Follow) -> Hole | Maybe:
    return evolve(node, follow=follow)


def _name(node: Node) -> str:
    """Return the variable that a node binds, "" when it binds none."""
    return node.name if isinstance(node, Hole | Maybe | Option) else ""


def _follow(nodes: Sequence[Node], at: int) -> _Follow:
    optional = tuple(takewhile(lambda node: isinstance(node, Maybe), nodes[at + 1 :]))
    literals = tuple(node.lead for node in optional if isinstance(node, Maybe))
    then, *others = nodes[at + 1 + len(optional) :]
    if not isinstance(then, Text):
        return literals, ""
    return (literals, then.text) if isinstance(others[0], End) else ((*literals, then.text), None)


# One choice in progress: its node, the steps still to try, what to remember when none is left, where it began, and the
# variable that it binds.
_Frame = tuple[int, Iterator[_Step], tuple[object, ...], int, str]


class _Run:
    """One search over one path."""

    __slots__ = ("bound", "budget", "escaped", "failed", "nodes", "numbers", "repeated", "seen", "texts")

    def __init__(self, search: Search, path: str, query: Mapping[str, Sequence[str]]) -> None:
        self.nodes = search.nodes
        self.repeated = search._repeated
        self.texts = [path]
        self.numbers = self.add(query) if search.joint else {}
        self.escaped = "%" in path
        self.budget = _BUDGET
        self.bound: dict[str, _Span] = {}
        # state -> leftmost position from which it is known to fail
        self.failed: dict[tuple[object, ...], int] = {}
        # (text, literal) -> (searched from, found at): no stretch of text is searched twice for the same literal
        self.seen: dict[tuple[int, str], tuple[int, int]] = {}

    def add(self, query: Mapping[str, Sequence[str]]) -> dict[str, range]:
        """Add the values of the parameters that are asked for; return where those of each one are."""
        numbers = {}
        for node in self.nodes:
            if isinstance(node, Param | Option):
                size = len(self.texts)
                self.texts += query.get(node.key, ())
                numbers[node.key] = range(size, len(self.texts))
        return numbers

    # --- the walk -------------------------------------------------------------------------------------------

    def solve(self) -> dict[str, str] | None:
        """Walk depth first, on an explicit stack: a template may have more nodes than Python has frames."""
        stack: list[_Frame] = []
        state = self.settle(0, 0, 0)
        while True:
            if state is not None:
                if state[0] == len(self.nodes):
                    return {name: self.value(span) for name, span in self.bound.items() if span is not _UNDEFINED}
                self.enter(stack, *state)
            if not stack:
                return None
            state = self.advance(stack)

    def settle(self, index: int, which: int, at: int) -> _State | None:
        """Pass the nodes that leave no choice."""
        text = self.texts[which]
        while index < len(self.nodes):
            node = self.nodes[index]
            if isinstance(node, Text):
                if not text.startswith(node.text, at):
                    return None
                at += len(node.text)
            elif isinstance(node, End):
                if at != len(text):
                    return None
            else:
                break
            index += 1
        return index, which, at

    def enter(self, stack: list[_Frame], index: int, which: int, at: int) -> None:
        """Open the choice at a node, unless it is known to fail."""
        node = self.nodes[index]
        name = _name(node)
        # A value can always be made longer at its start: when a node fails from here, so it does from anywhere to the right,
        # as far as its value may reach. Where the value is compared with another one that is not so.
        once = isinstance(node, Hole) and name not in self.repeated
        reach: object = self.reach(node, which, at) if once else (at,)
        key = (index, which, reach, *map(self.bound.get, self.repeated))
        if at < self.failed.get(key, _NOWHERE):
            stack.append((index, self.steps(node, which, at), key, at, "" if name in self.bound else name))

    def advance(self, stack: list[_Frame]) -> _State | None:
        """Take the next step of the innermost choice, or give that choice up."""
        self.budget -= 1
        if self.budget < 0:
            stack.clear()
            return None
        index, steps, key, at, owns = stack[-1]
        step = next(steps, None)
        if step is None:
            stack.pop()
            self.failed[key] = at
            self.bound.pop(owns, None)
            return None
        span, which, at = step
        if owns:
            self.bound[owns] = span
        return self.settle(index + 1, which, at)

    # --- the choices ----------------------------------------------------------------------------------------

    def steps(self, node: Node, which: int, at: int) -> Iterator[_Step]:
        """Return the ways to go on from a node, the preferred one first."""
        if isinstance(node, Hole):
            return self.values(node, which, at, at + 1, self.reach(node, which, at))
        if isinstance(node, Maybe):
            return self.maybe(node, which, at)
        if isinstance(node, Option):
            return self.option(node, which, at)
        return ((_UNDEFINED, number, 0) for number in self.numbers[node.key]) if isinstance(node, Param) else iter(())

    def option(self, node: Option, which: int, at: int) -> Iterator[_Step]:
        """Yield the occurrences of an optional parameter; only when there is none, it is undefined."""
        known = self.bound.get(node.name)
        numbers = self.numbers[node.key]
        for number in numbers:
            span = (number, 0, len(self.texts[number]))
            if known is None or (known is not _UNDEFINED and self.value(known) == self.value(span)):
                yield span, which, at
        if not numbers and (known is None or known is _UNDEFINED):
            yield _UNDEFINED, which, at

    def maybe(self, node: Maybe, which: int, at: int) -> Iterator[_Step]:
        """Yield the values of an optional part of the path, then its absence."""
        text = self.texts[which]
        known = self.bound.get(node.name)
        if known is not _UNDEFINED and text.startswith(node.lead, at):
            start = at + len(node.lead)
            if node.operator != ";":
                yield from self.values(node, which, start, start + 1, self.reach(node, which, start))
            else:  # RFC 6570 §3.2.7: ";x=value", and ";x" when the value is empty
                if text.startswith("=", start):
                    yield from self.values(node, which, start + 1, start + 1, self.reach(node, which, start))
                if known is None or not self.value(known):
                    yield (which, start, start), which, start
        if known is None or known is _UNDEFINED:
            yield _UNDEFINED, which, at

    def values(self, node: Hole | Maybe, which: int, start: int, first: int, stop: int) -> Iterator[_Step]:
        """Return the values from `start` to an end between `first` and `stop`, shortest first."""
        known = self.bound.get(node.name)
        if known is None:
            return (((which, start, end), which, end) for end in self.ends(node, which, first, stop))
        return iter(()) if known is _UNDEFINED else self.again(node, which, start, first, stop, known)

    def again(self, node: Hole | Maybe, which: int, start: int, first: int, stop: int, known: _Span) -> Iterator[_Step]:
        """Yield the value that a variable has already, when it stands here once more."""
        if which or not self.escaped:
            wanted = self.value(known)
            end = start + len(wanted)
            if first <= end <= stop and self.texts[which].startswith(wanted, start):
                yield known, which, end
            return
        # The same value may be spelt in several ways here, "," or "%2C", which are at most three times as long as each other.
        size = known[2] - known[1]
        for end in self.ends(node, which, max(first, start + size // 3), min(stop, start + size * 3)):
            if self.value((which, start, end)) == self.value(known):
                yield known, which, end

    # --- the texts ------------------------------------------------------------------------------------------

    def reach(self, node: Node, which: int, at: int) -> int:
        """Return where the longest value that begins at `at` would end."""
        size = len(self.texts[which])
        if isinstance(node, Hole) and node.spanning:
            return size
        slash = min(self.find(which, "/", at), size)
        if isinstance(node, Maybe) and node.operator == ";":
            return min(self.find(which, ";", at), slash)
        return slash

    def ends(self, node: Hole | Maybe, which: int, first: int, stop: int) -> Iterator[int]:
        """Return in order where a value may end: where something begins that can follow it."""
        literals, last = node.follow
        streams = [self.occurrences(which, literal, first, stop) for literal in literals]
        if last is not None:
            text = self.texts[which]
            end = len(text) - len(last)
            if first <= end <= stop and text.endswith(last):
                streams.append(iter((end,)))
        ends = streams[0] if len(streams) == 1 else heapq.merge(*streams)
        return ends if which or not self.escaped else filterfalse(partial(self.cuts, self.texts[which]), ends)

    def cuts(self, text: str, at: int) -> bool:
        """Tell whether `at` is within an escape: the "2" of "%2C" is no literal "2"."""
        self.budget -= 1
        return inside_escape(text, at)

    def occurrences(self, which: int, literal: str, first: int, stop: int) -> Iterator[int]:
        """Yield where `literal` begins between `first` and `stop`."""
        at = self.find(which, literal, first)
        while at <= stop and self.budget >= 0:
            yield at
            at = self.find(which, literal, at + 1)

    def find(self, which: int, literal: str, at: int) -> int:
        """Return where `literal` begins next, `_NOWHERE` when it does not."""
        since, found = self.seen.get((which, literal), (_NOWHERE, 0))
        if not since <= at <= found:
            found = self.texts[which].find(literal, at)
            found = _NOWHERE if found < 0 else found
            self.seen[which, literal] = (at, found)
        return found

    def value(self, span: _Span) -> str:
        """Return the decoded text of a span; long ones cost as much as several steps."""
        which, start, end = span
        text = self.texts[which][start:end]
        if which or not self.escaped:
            self.budget -= (end - start) >> 9
            return text
        self.budget -= (end - start) >> 4
        return unescape(text)
