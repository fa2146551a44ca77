"""Expansion (RFC 6570 §3), compiled: one format string, and for each expression what fills its place.

Knows levels 1 to 3 for strings, and gives exactly what `uritemplate` gives; lists, mappings and level 4 are left to that
library. Knows nothing of hosts: whether a result may be sent to anybody is decided elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote, unquote

from attrs import field, frozen

from gatewaycore.template.escapes import escape, share
from gatewaycore.template.grammar import Expression, Literal, Part

__all__ = ["Expander", "Value", "compile_expander"]

# What a variable may hold (§2.3); None is undefined.
Scalar = str | int | float | None
Value = Scalar | Sequence[Scalar] | Mapping[str, Scalar]

_RESERVED = ":/?#[]@!$&'()*+,;="  # RFC 3986 §2.2
_plain = re.compile(r"[A-Za-z0-9\-._~]*").fullmatch
_plain_reserved = re.compile(r"[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=]*").fullmatch

# RFC 6570, appendix A: operator -> (before the first value, between values, whether names are written, after the name
# of an empty value).
_SHAPES = {
    "": ("", ",", False, ""),
    "+": ("", ",", False, ""),
    "#": ("#", ",", False, ""),
    ".": (".", ".", False, ""),
    "/": ("/", "/", False, ""),
    ";": (";", ";", True, ""),
    "?": ("?", "&", True, "="),
    "&": ("&", "&", True, "="),
}

# A `{x}` is its name. Any other expression is its operator and its names; one with modifiers is its text alone.
_Item = str | tuple[str, ...]


def _quoted(value: str) -> str:
    return value if _plain(value) else quote(value, safe="", errors="replace")


def _quoted_reserved(value: str) -> str:
    """Encode for ``{+x}`` and ``{#x}`` (§3.2.3).

    A value that holds an escape is taken for encoded and copied as it is, the way `uritemplate` has it; `escape` mends
    what else such a value may hold.
    """
    if _plain_reserved(value) or unquote(value) != value:
        return value
    return quote(value, safe=_RESERVED, errors="replace")


def _filled(item: tuple[str, ...], values: Mapping[str, str]) -> str:
    """Expand anything but a plain ``{x}`` (§3.2.1, appendix A)."""
    if len(item) == 1:
        return _delegated(item[0], values)
    operator, *names = item
    first, between, named, empty = _SHAPES[operator]
    encode = _quoted_reserved if operator in ("+", "#") else _quoted
    written = []
    for name in names:
        value = values.get(name)
        if value is None:
            continue
        if not named:
            written.append(encode(value))
        else:
            written.append(f"{name}={encode(value)}" if value else f"{name}{empty}")
    return first + between.join(written) if written else ""


def _delegated(expression: str, values: Mapping[str, Any]) -> str:
    """Let the library expand one expression, given with its braces."""
    from uritemplate import URITemplate  # only level 4 and composite values need it

    return str(URITemplate(expression).expand(dict(values)))


def _text(item: _Item) -> str:
    """Write the expression that an item was compiled from."""
    if isinstance(item, str):
        return f"{{{item}}}"
    return item[0] if len(item) == 1 else f"{{{item[0]}{','.join(item[1:])}}}"


@frozen(weakref_slot=False)
class Expander:
    """A template compiled for outgoing URLs; made by `UrlTemplate.expander`.

    Args:
        variables: the names, in order of first appearance.
    """

    variables: tuple[str, ...]
    _format: str = field(repr=False)
    _items: tuple[_Item, ...] = field(repr=False)
    _bare: bool = field(repr=False)

    @property
    def prefix(self) -> str:
        """The text before the first expression: what no value can change."""
        return self._format.partition("%s")[0].replace("%%", "%") if self._items else self._format % ()

    def expand(self, values: Mapping[str, str]) -> str:
        """Expand with strings; a variable that is missing is undefined and leaves nothing (§3.2.1)."""
        filled = []
        for item in self._items:
            if isinstance(item, str):
                value = values.get(item)
                if value is None:
                    filled.append("")
                else:
                    filled.append(value if _plain(value) else quote(value, safe="", errors="replace"))
            else:
                filled.append(_filled(item, values))
        return self._format % tuple(filled)

    def fill(self, values: Mapping[str, str]) -> str:
        """Expand with values of nothing but unreserved characters (RFC 3986 §2.3), which stand for themselves in every expression."""
        if self._bare:
            return self._format % tuple([values.get(name, "") for name in self._items])  # type: ignore[arg-type]
        return self.expand(values)

    def pieces(self, values: Mapping[str, str]) -> Iterator[tuple[str, bool]]:
        """Expand piece by piece, the literals among them; each with whether reserved characters of a value stand there as they are."""
        literals = [text.replace("%%", "%") for text in self._format.split("%s")]
        for literal, item in zip(literals, self._items, strict=False):
            yield literal, False
            if isinstance(item, str):
                yield _quoted(values.get(item, "")), False
            else:
                yield _filled(item, values), item[0].lstrip("{").startswith("+")
        yield literals[-1], False

    def expand_any(self, values: Mapping[str, Value]) -> str:
        """Expand with any value that RFC 6570 §2.3 knows: strings, lists, mappings, None for undefined; numbers too."""
        return self._format % tuple(_delegated(_text(item), values) for item in self._items)


def compile_expander(parts: Iterable[Part], variables: tuple[str, ...]) -> Expander:
    """Compile a parsed template; every template that parses can be expanded."""
    pattern: list[str] = []
    items: list[_Item] = []
    for part in parts:
        if isinstance(part, Literal):
            pattern.append(escape(part.text).replace("%", "%%"))
        else:
            pattern.append("%s")
            items.append(_item(part))
    return Expander(variables, "".join(pattern), _shared_items(tuple(items)), all(isinstance(item, str) for item in items))


def _item(part: Expression) -> _Item:
    names = [variable.name for variable in part.variables]
    if part.modified:
        specs = [
            v.name + ("*" if v.explode else f":{v.prefix}" if v.prefix else "")  # RFC 6570 §2.4
            for v in part.variables
        ]
        return share((f"{{{part.operator}{','.join(specs)}}}",))
    if not part.operator and len(names) == 1:
        return names[0]
    return share((part.operator, *names))


def _shared_items(items: tuple[_Item, ...]) -> tuple[_Item, ...]:
    plain = tuple(item for item in items if isinstance(item, str))
    return share(plain) if len(plain) == len(items) else items
