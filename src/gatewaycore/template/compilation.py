"""From a parsed template to a `Matcher`; everything that cannot be matched soundly is refused here, with its place.

Knows which expressions may stand where in an incoming path; the grammar itself is in `gatewaycore.template.grammar`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NoReturn

from attrs import define

from gatewaycore.errors import TemplateError
from gatewaycore.template.escapes import form_decode, normalise, share
from gatewaycore.template.grammar import Expression, Literal, Part
from gatewaycore.template.matching import Matcher
from gatewaycore.template.search import End, Hole, Maybe, Node, Option, Param, Text, compile_search
from gatewaycore.template.shape import Plan, Segment, Spread

__all__ = ["compile_matcher"]

_END = End()


@define(weakref_slot=False)
class _Given:
    """A parameter of the template's query, and where it is written."""

    key: str
    part: Segment
    required: bool
    start: int
    end: int


def compile_matcher(source: str, parts: Sequence[Part], variables: tuple[str, ...]) -> Matcher:
    """Compile for incoming paths.

    Raises:
        TemplateError: for a template that RFC 6570 can expand and nobody can match.
    """
    _refuse_unmatchable(source, parts)
    path, query, options = _divide(source, parts)
    nodes = _path_nodes(source, path)
    given = [_parameter(source, pieces) for pieces in _split_pairs(query)]
    given += [_Given(form_decode(name), share((name,)), False, part.start, part.end) for part in options for name in _names_of(part)]
    _refuse_twice(source, given)
    pairs = tuple((one.key, one.part, one.required) for one in given)

    in_path = [node.name for node in nodes if isinstance(node, Hole | Maybe)]
    in_query = [name for pair in pairs for name in _names_in(pair[1])]
    if len({*in_path, *in_query}) == len(in_path) + len(in_query):
        plan, tail = _direct(nodes) or (compile_search([*nodes, _END], joint=False), None)
        return Matcher(variables, plan, tail, pairs)
    joint = len({*in_query}) < len(in_query) or not {*in_path}.isdisjoint(in_query)
    followed = [node for pair in pairs for node in _query_nodes(*pair)] if joint else []
    return Matcher(variables, compile_search([*nodes, _END, *followed], joint), None, pairs)


# --- what cannot be matched ---------------------------------------------------------------------------------


def _refuse_unmatchable(source: str, parts: Sequence[Part]) -> None:
    """Refuse what can stand nowhere in an incoming path or its query."""
    for part in parts:
        span = (part.start, part.end)
        if isinstance(part, Literal):
            at = part.start + part.text.find("#")
            if "#" in part.text:
                raise TemplateError("a fragment never reaches a server", source, (at, at + 1))
        elif part.operator == "#":
            raise TemplateError("a fragment never reaches a server", source, span)
        elif part.modified:
            raise TemplateError("the modifiers '*' and ':' cannot be matched", source, span)
        elif part.operator in ("", "+") and len(part.variables) > 1:
            spelt = ",".join(f"{{{part.operator}{name}}}" for name in _names_of(part))
            raise TemplateError(f"several variables in one expression cannot be matched here: write {spelt}", source, span)


def _refuse_adjacent(source: str, before: Part | None, part: Part) -> None:
    """Refuse two variables with nothing between them: no one could say where the first ends."""
    if isinstance(before, Expression) and isinstance(part, Expression) and part.operator in ("", "+"):
        raise TemplateError("two variables need a literal between them", source, (before.start, part.end))


def _refuse_twice(source: str, given: Sequence[_Given]) -> None:
    """Refuse a parameter that is asked for twice: parameters come in any order, so no one could tell the two apart."""
    seen = set()
    for one in given:
        if one.key in seen:
            raise TemplateError(f"query parameter {one.key!r} is named twice", source, (one.start, one.end))
        seen.add(one.key)


def _refuse_start(source: str, path: Sequence[Part]) -> NoReturn:
    raise TemplateError("an incoming path begins with '/'", source, (0, path[0].end) if path else (0, min(1, len(source))))


# --- the path -----------------------------------------------------------------------------------------------


def _divide(source: str, parts: Sequence[Part]) -> tuple[list[Part], list[Part], list[Expression]]:
    """Divide into the path, the literal query with its variables, and the expressions of optional parameters."""
    path: list[Part] = []
    query: list[Part] = []
    options: list[Expression] = []
    opened = False
    for part in parts:
        span = (part.start, part.end)
        operator = part.operator if isinstance(part, Expression) else None
        if options and operator != "&":
            raise TemplateError("nothing but '{&…}' can follow a query expression", source, span)
        if isinstance(part, Literal) and not opened and "?" in part.text:
            opened, at = True, part.text.index("?")
            path.append(Literal(part.text[:at], part.start, part.start + at))
            query.append(Literal(part.text[at + 1 :], part.start + at + 1, part.end))
        elif isinstance(part, Expression) and operator in ("?", "&"):
            if opened != (operator == "&"):
                raise TemplateError("a query begins with '?' or '{?…}' and goes on with '&' or '{&…}'", source, span)
            opened = True
            options.append(part)
        elif opened and operator not in (None, "", "+"):
            raise TemplateError(f"'{{{operator}…}}' has no place in a query", source, span)
        else:
            (query if opened else path).append(part)
    return [part for part in path if isinstance(part, Expression) or part.text], query, options


def _path_nodes(source: str, path: Sequence[Part]) -> list[Node]:
    nodes: list[Node] = []
    before: Part | None = None
    for part in path:
        _refuse_adjacent(source, before, part)
        if before is None and not _starts(part):
            _refuse_start(source, path)
        before = part
        if isinstance(part, Literal):
            nodes.append(Text(normalise(part.text)))
        elif part.operator in ("", "+"):
            nodes.append(Hole(part.variables[0].name, part.operator == "+"))
        else:
            nodes += (_maybe(name, part.operator) for name in _names_of(part))
    if before is None:
        _refuse_start(source, path)
    return nodes


def _starts(part: Part) -> bool:
    if isinstance(part, Literal):
        return part.text.startswith("/")
    return part.operator in ("/", "+")


def _maybe(name: str, operator: str) -> Maybe:
    return Maybe(name, operator, f";{normalise(name)}" if operator == ";" else operator)  # RFC 6570 §3.2.7: ";" writes the name


def _direct(nodes: Sequence[Node]) -> tuple[Plan, Spread | None] | None:
    """Compile to segments; None when it takes a search.

    One variable may span segments, when nothing shares a segment with it but literals: then the segments before it are
    counted from the start, and those after it from the end.
    """
    segments = [[""]]  # each a row of literal, name, literal, …, literal; the first is what stands before the leading "/": nothing
    spanning = 0
    for node in nodes:
        if isinstance(node, Text):
            first, *others = node.text.split("/")
            segments[-1][-1] += first
            segments += ([other] for other in others)
        elif isinstance(node, Hole):
            segments[-1] += [node.name, ""]
            if node.spanning and spanning:
                return None
            spanning = len(segments) - 1 if node.spanning else spanning
            if node.spanning and not spanning:
                return None
        else:
            return None
    if spanning:
        prefix, *between, suffix = segments[spanning]
        if len(between) > 1:
            return None
        after = tuple(map(_segment, segments[spanning + 1 :]))
        return tuple(map(_segment, segments[1:spanning])), ((prefix, between[0], suffix), after)
    plan = tuple(map(_segment, segments[1:]))
    if all(isinstance(part, str) for part in plan):
        return "/" + "/".join(str(part) for part in plan), None
    return plan, None


def _segment(pieces: Sequence[str]) -> Segment:
    if len(pieces) == 1:
        return sys.intern(pieces[0])  # the same few directories stand in many rules
    if len(pieces) == 3 and not pieces[0] and not pieces[2]:
        return share((pieces[1],))
    return share(tuple(pieces))


# --- the query ----------------------------------------------------------------------------------------------


def _split_pairs(query: Sequence[Part]) -> list[list[Part]]:
    """Split at "&"; a pair is a row of parts, and empty pairs are left out."""
    pairs: list[list[Part]] = [[]]
    for part in query:
        if isinstance(part, Expression):
            pairs[-1].append(part)
            continue
        at = part.start
        for number, text in enumerate(part.text.split("&")):
            if number:
                pairs.append([])
            if text:
                pairs[-1].append(Literal(text, at, at + len(text)))
            at += len(text) + 1
    return [pair for pair in pairs if pair]


def _parameter(source: str, parts: Sequence[Part]) -> _Given:
    """Compile ``name=value``, ``name={x}``, ``name=v{x}-{y}`` or ``name``."""
    first = parts[0]
    span = (first.start, parts[-1].end)
    if isinstance(first, Expression) or (len(parts) > 1 and "=" not in first.text):
        raise TemplateError("a parameter's name cannot hold a variable", source, span)
    key, _, value = first.text.partition("=")
    pieces = [form_decode(value)]
    before: Part | None = None
    for part in parts[1:]:
        _refuse_adjacent(source, before, part)
        before = part
        if isinstance(part, Expression):
            pieces += [part.variables[0].name, ""]
        else:
            pieces[-1] = form_decode(part.text)
    return _Given(form_decode(key), _segment(pieces), True, *span)


def _query_nodes(key: str, part: Segment, required: bool) -> list[Node]:
    """Compile a parameter for the search."""
    if isinstance(part, str):
        return [Param(key), Text(part), _END]
    if not required:
        return [Option(key, part[0])]
    pieces = part if len(part) > 1 else ("", part[0], "")
    nodes: list[Node] = [Hole(piece, True) if number % 2 else Text(piece) for number, piece in enumerate(pieces)]
    return [Param(key), *(node for node in nodes if node != Text("")), _END]


def _names_of(part: Expression) -> list[str]:
    return [variable.name for variable in part.variables]


def _names_in(part: Segment) -> tuple[str, ...]:
    if isinstance(part, str):
        return ()
    return part[1::2] if len(part) > 1 else part
