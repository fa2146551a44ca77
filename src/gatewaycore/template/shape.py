"""The shape of a compiled template: its segments and nodes, and what a router's index and its readers want to see of them.

Knows the plans that `gatewaycore.template.compilation` makes; matches nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import takewhile

from attrs import frozen

from gatewaycore.template.search import Hole, Maybe, Option, Param, Search, Text

__all__ = [
    "GAP",
    "Open",
    "Pair",
    "Plan",
    "Segment",
    "Spread",
    "Tail",
    "elements",
    "is_spanning",
    "literals",
    "of_path",
    "parts",
    "skeleton",
    "written",
]


@frozen(weakref_slot=False)
class Open:
    """A segment that holds variables: the literal text before the first and after the last of them."""

    prefix: str
    suffix: str


@frozen(weakref_slot=False)
class Tail:
    """The rest of a path, of one or more segments: what it begins and ends with, joined by "/"."""

    prefix: str
    suffix: str


# A literal; `(name,)` for a value that fills the place; or `(literal, name, literal, …, name, literal)`.
Segment = str | tuple[str, ...]

# A parameter: its decoded name, what its value must be, and whether it must be there.
Pair = tuple[str, Segment, bool]

# A variable that spans segments: `(literal, name, literal)` for what it stands in, and the segments after that.
Spread = tuple[tuple[str, ...], tuple[Segment, ...]]

# The whole path when it holds no variables; its segments (up to the `Spread`, if there is one); or what the search needs.
Plan = str | tuple[Segment, ...] | Search


GAP = "\0"  # stands for a variable: a normalised path never holds it


def parts(plan: Plan, spread: Spread | None) -> tuple[Segment, ...]:
    """Return the segments, the one with the spanning variable among them; none when it takes a search."""
    if not isinstance(plan, tuple):
        return tuple(plan[1:].split("/")) if isinstance(plan, str) else ()
    return plan if spread is None else (*plan, spread[0], *spread[1])


def skeleton(plan: Plan, spread: Spread | None) -> str:
    """Write the path with `GAP` for each variable."""
    if isinstance(plan, Search):
        return "".join(_bone(node) for node in of_path(plan))
    return "/" + "/".join(GAP.join(literals(part)) for part in parts(plan, spread))


def elements(plan: Plan, spread: Spread | None) -> Iterator[str | Open | Tail]:
    """Cut the path into what a trie hangs its branches on."""
    if isinstance(plan, Search):
        yield from _elements(plan)
        return
    for part in plan[1:].split("/") if isinstance(plan, str) else plan:
        yield part if isinstance(part, str) else _open(part)
    if spread is not None:
        yield _tail(spread)


def literals(part: Segment) -> tuple[str, ...]:
    """Return the literals of a segment, those around each variable."""
    if isinstance(part, str):
        return (part,)
    return part[::2] if len(part) > 1 else ("", "")


def _open(part: tuple[str, ...]) -> Open:
    return Open(part[0], part[-1]) if len(part) > 1 else Open("", "")


def written(part: Segment | Search) -> str:
    """Write a segment, the path of a search or a parameter's value as in a template."""
    if isinstance(part, str):
        return part
    if isinstance(part, Search):
        return "".join(_node_written(node) for node in of_path(part))
    if len(part) == 1:
        return f"{{{part[0]}}}"
    return "".join(f"{{{piece}}}" if number % 2 else piece for number, piece in enumerate(part))


def _node_written(node: Text | Hole | Maybe) -> str:
    if isinstance(node, Text):
        return node.text
    operator = node.operator if isinstance(node, Maybe) else "+" if node.spanning else ""
    return f"{{{operator}{node.name}}}"


def of_path(plan: Search) -> Iterator[Text | Hole | Maybe]:
    """Yield the nodes of the path; those of a query may follow them."""
    for node in plan.nodes:
        if isinstance(node, Param | Option):
            return
        if isinstance(node, Text | Hole | Maybe):
            yield node


def is_spanning(node: Text | Hole | Maybe) -> bool:
    """Tell whether a node leaves the number of segments open."""
    return node.spanning if isinstance(node, Hole) else isinstance(node, Maybe) and node.operator == "/"


def _bone(node: Text | Hole | Maybe) -> str:
    if isinstance(node, Text):
        return node.text
    return f"/{GAP}" if isinstance(node, Maybe) and node.operator == "/" else GAP


def _tail(spread: Spread) -> Tail:
    """Return the literal text that the rest of the path begins and ends with."""
    part, after = spread
    suffix = ""
    for segment in reversed(after):
        if not isinstance(segment, str):
            return Tail(part[0], _open(segment).suffix + suffix)
        suffix = f"/{segment}{suffix}"
    return Tail(part[0], part[-1] + suffix)


def _elements(plan: Search) -> Iterator[str | Open | Tail]:
    """Cut nodes into segments, up to the first one that need not be one."""
    nodes = tuple(of_path(plan))
    ending = nodes[-1].text if isinstance(nodes[-1], Text) else ""
    segment: list[Text | Hole | Maybe] = []
    started = False  # whether the leading "/" is passed
    for node in nodes:
        if is_spanning(node):
            if not started and all(isinstance(other, Maybe) for other in nodes[:-1]):
                ending = ending.removeprefix("/")  # it may be the leading "/" itself, when all before it is absent
            yield Tail(_opening(segment), ending)
            return
        if not isinstance(node, Text):
            segment.append(node)
            continue
        first, *others = node.text.split("/")
        segment.append(Text(first))
        for other in others:
            if started:
                element = _element(segment, ending)
                yield element
                if isinstance(element, Tail):
                    return
            started, segment = True, [Text(other)]
    yield _element(segment, ending)


def _element(segment: Sequence[Text | Hole | Maybe], ending: str) -> str | Open | Tail:
    """Return what one segment is for a trie."""
    if all(isinstance(node, Text) for node in segment):
        return _opening(segment)
    if any(isinstance(node, Hole) for node in segment):
        last = segment[-1]
        return Open(_opening(segment), last.text if isinstance(last, Text) else "")
    # Optional variables alone may leave nothing but the literals, or nothing at all, while an `Open` stands for something.
    return Tail(_opening(segment), ending)


def _opening(segment: Sequence[Text | Hole | Maybe]) -> str:
    return "".join(node.text for node in takewhile(lambda node: isinstance(node, Text), segment) if isinstance(node, Text))
