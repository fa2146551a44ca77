"""Sample requests: paths, with their queries, that a template matches; made of values that nobody would choose.

Whoever else matches all of them does not depend on what the values are, on how many segments they hold, or on which optional parts are
there, and that is what a lint wants to know. Knows the plans of `gatewaycore.template.matching`; knows nothing of hosts and rules.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import quote

from gatewaycore.template.matching import Matcher, Segment
from gatewaycore.template.search import Hole, Maybe, Option, Param, Search, Text

__all__ = ["readable", "samples"]

# How many segments a long value holds: more than other templates have that could be taken for it.
_LONG = 9

_VALUE = re.compile(r"zq(\d+)vx((?:/zq\1vx)*)")


def samples(matcher: Matcher) -> list[tuple[str, str]]:
    """Return a few pairs of a normalised path and a raw query that `matcher` matches.

    The first has every optional part, and long values where a variable spans segments; the last has neither.
    """
    return list(dict.fromkeys((_sample(matcher, True), _sample(matcher, False))))


def readable(path: str) -> str:
    """Return a sample as people would write an example: ``/any1/foo``."""
    return _VALUE.sub(lambda found: f"any{int(found[1]) + 1}" + ("/…" if found[2] else ""), path)


def _sample(matcher: Matcher, whole: bool) -> tuple[str, str]:
    values = {name: f"zq{number}vx" for number, name in enumerate(matcher.variables)}
    plan, spread = matcher._plan, matcher._spread
    in_query = {name for _, part, required in matcher._query if required for name in _names(part)}
    in_path: set[str] = set()
    if isinstance(plan, Search):
        path, in_path = _searched(plan, values, in_query, whole)
    elif isinstance(plan, str):
        path = plan
    else:
        segments = [_text(part, values) for part in plan]
        if spread is not None:
            (before, name, behind), after = spread
            segments.append(before + (_long(values[name]) if whole else values[name]) + behind)
            segments.extend(_text(part, values) for part in after)
        path = "/" + "/".join(segments)
    # An optional parameter whose variable has a value already must be there with that value.
    bound = in_query | in_path
    pairs = [
        f"{quote(key, safe='')}={quote(_text(part, values), safe='')}"
        for key, part, required in matcher._query
        if required or whole or bound.intersection(_names(part))
    ]
    return path, "&".join(pairs)


def _long(value: str) -> str:
    return "/".join([value] * _LONG)


def _text(part: Segment, values: dict[str, str]) -> str:
    if isinstance(part, str):
        return part
    pieces: Sequence[str] = part if len(part) > 1 else ("", part[0], "")
    return "".join(values[piece] if number % 2 else piece for number, piece in enumerate(pieces))


def _names(part: Segment) -> tuple[str, ...]:
    if isinstance(part, str):
        return ()
    return part[1::2] if len(part) > 1 else part


def _searched(plan: Search, values: dict[str, str], in_query: set[str], whole: bool) -> tuple[str, set[str]]:
    """Return a path, and the variables that have a value in it."""
    nodes = []
    for node in plan.nodes:
        if isinstance(node, Param | Option):
            break
        if isinstance(node, Text | Hole | Maybe):
            nodes.append(node)
    # A value that must also stand in one segment, or in a parameter, cannot be long; one that stands elsewhere too cannot be absent.
    short = in_query | {node.name for node in nodes if isinstance(node, Maybe) or (isinstance(node, Hole) and not node.spanning)}
    needed = in_query | {node.name for node in nodes if isinstance(node, Hole)}
    written, bound = [], set()
    for node in nodes:
        if isinstance(node, Text):
            written.append(node.text)
            continue
        value = values[node.name]
        if isinstance(node, Hole):
            written.append(_long(value) if whole and node.spanning and node.name not in short else value)
        elif whole or node.name in needed:
            written.append(f"{node.lead}{'=' if node.operator == ';' else ''}{value}")
        else:
            continue
        bound.add(node.name)
    return "".join(written) or "/", bound
