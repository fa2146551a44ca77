"""Matching of incoming paths, compiled: what a router needs of a template, and the decision whether a path fits it.

A template is never turned into a regular expression. Most are a tuple with one entry for each segment, compared item by
item; literals inside a segment are placed by `str.find`, leftmost first, which is complete because each value may take
any character. The others go to `gatewaycore.template.search`. Knows no hosts and no rules.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import repeat

from attrs import field, frozen

from gatewaycore.template.escapes import form_decode, inside_escape, unescape
from gatewaycore.template.search import Hole, Maybe, Search
from gatewaycore.template.shape import (
    GAP,
    Open,
    Pair,
    Plan,
    Segment,
    Spread,
    Tail,
    elements,
    is_spanning,
    literals,
    of_path,
    skeleton,
    written,
)

__all__ = ["Matcher", "Segment"]


@frozen(weakref_slot=False)
class Matcher:
    """A template compiled for incoming paths; made by `UrlTemplate.matcher`.

    Args:
        variables: the names, in order of first appearance.
    """

    variables: tuple[str, ...]
    _plan: Plan = field(repr=False)
    _spread: Spread | None = field(repr=False)
    _query: tuple[Pair, ...] = field(repr=False)

    # --- a request ------------------------------------------------------------------------------------------

    def match(self, path: str, segments: Sequence[str], query: str) -> dict[str, str] | None:
        """Return the decoded values, or None when the request does not fit.

        Args:
            path: normalised, beginning with "/".
            segments: ``path.split("/")[1:]``.
            query: as it came, without "?".
        """
        plan = self._plan
        values: dict[str, str] = {}
        if isinstance(plan, tuple):
            if len(plan) != len(segments) and self._spread is None:
                return None
            # `type(…) is` and zip without a keyword: a third of the time that this loop takes, which every request runs.
            for part, text in zip(plan, segments):  # noqa: B905
                if type(part) is tuple:
                    if len(part) > 1:
                        if not _place(part, text, values, "%" in text):
                            return None
                    elif not text:
                        return None
                    else:
                        values[part[0]] = unescape(text) if "%" in text else text
                elif part != text:
                    return None
            if self._spread is not None and not _fits_spread(self._spread, segments, len(plan), values):
                return None
        elif isinstance(plan, str):
            if path != plan:
                return None
        else:
            return self._search(plan, path, query)
        return values if not self._query or _take(self._query, _parameters(query), values) else None

    def _search(self, plan: Search, path: str, query: str) -> dict[str, str] | None:
        parameters = _parameters(query) if self._query else {}
        values = plan.run(path, parameters)
        if values is None or plan.joint or _take(self._query, parameters, values):
            return values
        return None

    def explain(self, path: str, query: str) -> str:
        """Say in a few words why a request does not fit, "" when it does; both as for `match`."""
        segments = path.split("/")[1:]
        if self.match(path, segments, query) is not None:
            return ""
        return self._explain_path(path, segments) or self._explain_query(_parameters(query))

    def _explain_path(self, path: str, segments: Sequence[str]) -> str:
        plan = self._plan
        if isinstance(plan, Search):
            return "" if plan.without_query().run(path, {}) is not None else f"the path does not fit {written(plan)!r}"
        parts = tuple(plan[1:].split("/")) if isinstance(plan, str) else plan
        for number, (part, text) in enumerate(zip(parts, segments, strict=False), 1):
            if not _fits(part, text, {}, "%" in text):
                return f"segment {number} is {text!r}, not {written(part)!r}"
        size = len(parts)
        if self._spread is None:
            return "" if len(segments) == size else f"has {_count(len(segments), 'segment')}, the template {size}"
        (prefix, name, suffix), after = self._spread
        size += len(after) + 1
        if len(segments) < size:
            return f"has {_count(len(segments), 'segment')}, the template {size} or more"
        rest = "/".join([f"{prefix}{{+{name}}}{suffix}", *map(written, after)])
        found = "/".join(segments[len(parts) :])
        return "" if _fits_spread(self._spread, segments, len(parts), {}) else f"the rest is {found!r}, not {rest!r}"

    def _explain_query(self, parameters: Mapping[str, Sequence[str]]) -> str:
        for key, part, required in self._query:
            if required and key not in parameters:
                return f"needs query parameter {key!r}"
            if required and not any(_fits(part, value, {}, False) for value in parameters[key]):
                return f"query parameter {key!r} is {parameters[key][0]!r}, not {written(part)!r}"
        return "a variable that is named twice has two values"

    # --- what a router asks when it is built ----------------------------------------------------------------

    @property
    def is_exact(self) -> bool:
        """Whether the path holds no variables."""
        plan = self._plan
        if isinstance(plan, Search):
            return not any(isinstance(node, Hole | Maybe) for node in of_path(plan))
        return isinstance(plan, str)

    @property
    def path(self) -> str:
        """The normalised path of an exact template."""
        plan = self._plan
        if isinstance(plan, str):
            return plan
        return skeleton(self._plan, self._spread) if self.is_exact else ""

    @property
    def elements(self) -> tuple[str | Open | Tail, ...]:
        """The path segment by segment, for a trie. Necessary, not sufficient: `match` decides."""
        return tuple(elements(self._plan, self._spread))

    @property
    def literal_segments(self) -> int:
        """How many segments are literal throughout."""
        return sum(bool(segment) and GAP not in segment for segment in skeleton(self._plan, self._spread).split("/"))

    @property
    def literal_chars(self) -> int:
        """How many characters of path and query are literal, slashes aside; names of required parameters count."""
        path = skeleton(self._plan, self._spread)
        query = sum(len(key) + sum(map(len, literals(part))) for key, part, required in self._query if required)
        return len(path) - path.count("/") - path.count(GAP) + query

    @property
    def variable_count(self) -> int:
        """How many variables there are, repeated ones counted once."""
        return len(self.variables)

    @property
    def spanning_count(self) -> int:
        """How many variables leave the number of segments open: ``{+x}`` and ``{/x}`` in the path."""
        if isinstance(self._plan, Search):
            return sum(is_spanning(node) for node in of_path(self._plan))
        return int(self._spread is not None)

    @property
    def required_query(self) -> tuple[str, ...]:
        """The decoded names of the parameters that must be present."""
        return tuple(key for key, _, required in self._query if required)


# --- values -------------------------------------------------------------------------------------------------


def _place(part: tuple[str, ...], text: str, values: dict[str, str], escaped: bool) -> bool:
    """Cut `text` at the literals of `part` and add the values between them.

    The first literal stands at the start, the last one at the end, each other one as far left as it can. When the
    leftmost places do not work no others do, as values take any character: nothing is ever tried twice.

    Args:
        escaped: whether `text` holds percent-escapes; values are decoded then, and no escape is cut in two.
    """
    at, stop = len(part[0]), len(text) - len(part[-1])
    if stop <= at or not text.startswith(part[0]) or not text.endswith(part[-1]) or (escaped and inside_escape(text, stop)):
        return False
    for index in range(1, len(part) - 2, 2):
        literal = part[index + 1]
        found = text.find(literal, at + 1, stop - 1)
        while escaped and found >= 0 and inside_escape(text, found):
            found = text.find(literal, found + 1, stop - 1)
        if found < 0:
            return False
        values[part[index]] = unescape(text[at:found]) if escaped else text[at:found]
        at = found + len(literal)
    values[part[-2]] = unescape(text[at:stop]) if escaped else text[at:stop]
    return True


def _fits_spread(spread: Spread, segments: Sequence[str], before: int, values: dict[str, str]) -> bool:
    """Match what follows the first `before` segments, which have been matched."""
    part, after = spread
    stop = len(segments) - len(after)
    if stop <= before:
        return False
    rest = "/".join(segments[before:stop])
    if not _place(part, rest, values, "%" in rest):
        return False
    return not after or all(map(_fits, after, segments[stop:], repeat(values), repeat(True)))


def _fits(part: Segment, text: str, values: dict[str, str], escaped: bool) -> bool:
    if isinstance(part, str):
        return part == text
    return _place(part if len(part) > 1 else ("", part[0], ""), text, values, escaped)


def _parameters(query: str) -> dict[str, list[str]]:
    """Return the decoded parameters, each with its values in order."""
    found: dict[str, list[str]] = {}
    for pair in query.split("&"):
        if pair:
            key, _, value = pair.partition("=")
            found.setdefault(form_decode(key), []).append(form_decode(value))
    return found


def _take(pairs: Sequence[Pair], parameters: Mapping[str, Sequence[str]], values: dict[str, str]) -> bool:
    """Add the values that the query gives; of a repeated parameter, the first that fits."""
    for key, part, required in pairs:
        given = parameters.get(key)
        if given is None:
            if required:
                return False
        elif not required:
            values[part[0]] = given[0]
        elif not any(_fits(part, value, values, False) for value in given):
            return False
    return True


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
