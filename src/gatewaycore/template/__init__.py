"""URL templates (RFC 6570): parsed once, compiled for matching incoming paths and for expanding outgoing URLs.

Knows URLs as text; knows nothing of hosts, rules or requests.

    grammar      text -> literals and expressions, or a `TemplateError` with the place
    compilation  those -> a `Matcher`, or a `TemplateError` for what nobody could match
    matching     a path and its query -> values, segment by segment
    search       the same for the templates that leave more than one way
    shape        what a router's index wants to know
    sample       requests that a template matches
    overlap      a request that two templates match
    expansion    values -> a URL
    escapes      percent-escapes, and when two paths are the same
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

from attrs import field, frozen

from gatewaycore.template.compilation import compile_matcher
from gatewaycore.template.escapes import escape, normalise, share
from gatewaycore.template.expansion import Expander, Value, compile_expander
from gatewaycore.template.grammar import Expression, Part, parse
from gatewaycore.template.matching import Matcher
from gatewaycore.template.shape import Open, Tail

__all__ = ["Expander", "Matcher", "Open", "Tail", "UrlTemplate", "Value", "escape", "normalise"]


@frozen
class UrlTemplate:
    """A parsed RFC 6570 template.

    What is held for every rule is the `Matcher` and the `Expander`; the template itself is needed to make them.

    Args:
        source: the template as written.
    """

    source: str
    _parts: Sequence[Part] = field(repr=False, eq=False)

    @classmethod
    def parse(cls, text: str) -> UrlTemplate:
        """Parse a template of any level.

        Raises:
            TemplateError: with the place of what RFC 6570 §2 does not allow.
        """
        return cls(text, parse(text))

    @property
    def variables(self) -> tuple[str, ...]:
        """The names, in order of first appearance."""
        expressions = (part for part in self._parts if isinstance(part, Expression))
        return share(tuple(dict.fromkeys(variable.name for part in expressions for variable in part.variables)))

    def matcher(self) -> Matcher:
        """Compile for incoming paths.

        Raises:
            TemplateError: for what can be expanded but not matched, such as ``{#x}`` or ``{a}{b}``.
        """
        return compile_matcher(self.source, self._parts, self.variables)

    def expander(self) -> Expander:
        """Compile for outgoing URLs."""
        return compile_expander(self._parts, self.variables)

    def match(self, target: str) -> dict[str, str] | None:
        """Match a wire path, with "?" and a query where there is one.

        Returns:
            The decoded values, or None. A variable whose optional expression is absent is not among them.

        Raises:
            TemplateError: as `matcher`.
        """
        path, _, query = target.partition("?")
        path = normalise(path)
        return self._matcher.match(path, path.split("/")[1:], query) if path.startswith("/") else None

    def expand(self, values: Mapping[str, Value]) -> str:
        """Expand (RFC 6570 §3) with strings, lists, mappings, numbers or None; what is missing is undefined."""
        used = {name: value for name in self.variables if (value := values.get(name)) is not None}
        strings = {name: value for name, value in used.items() if isinstance(value, str)}
        return self._expander.expand(strings) if len(strings) == len(used) else self._expander.expand_any(used)

    @cached_property
    def _matcher(self) -> Matcher:
        return self.matcher()

    @cached_property
    def _expander(self) -> Expander:
        return self.expander()
