"""The grammar of RFC 6570 §2: a template's text into literals and expressions, each with its place in the text.

Knows all four levels; does not know whether a template can be matched, nor how it is expanded.
"""

from __future__ import annotations

import re
from functools import lru_cache

from attrs import frozen

from gatewaycore.errors import TemplateError

__all__ = ["Expression", "Literal", "Part", "Variable", "parse"]

_OPERATORS = "+#./;?&"
_RESERVED_OPERATORS = "=,!@|"  # §2.2: kept for future extensions

_VARNAME = re.compile(r"(?:[A-Za-z0-9_]|%[0-9A-Fa-f]{2})(?:\.?(?:[A-Za-z0-9_]|%[0-9A-Fa-f]{2}))*")  # §2.3
_MODIFIER = re.compile(r"\*|:([1-9][0-9]{0,3})")  # §2.4

_NAME_HINT = "a name holds letters, digits, '_', '%XX' and single dots between them"


@frozen(weakref_slot=False)
class Literal:
    """Text between expressions, as written (§2.1). `start` and `end` are offsets in the template."""

    text: str
    start: int
    end: int


@frozen(weakref_slot=False)
class Variable:
    """One variable of an expression (§2.3) and its modifier (§2.4).

    Args:
        name: as written, percent-escapes included.
        prefix: the number after ":", 0 when there is none.
        explode: whether "*" follows.
    """

    name: str
    prefix: int = 0
    explode: bool = False


@frozen(weakref_slot=False)
class Expression:
    """What stands between braces (§2.2): an operator, "" for simple expansion, and at least one variable."""

    operator: str
    variables: tuple[Variable, ...]
    start: int
    end: int

    @property
    def modified(self) -> bool:
        """Whether a variable has a level 4 modifier."""
        return any(variable.prefix or variable.explode for variable in self.variables)


Part = Literal | Expression


def parse(source: str) -> tuple[Part, ...]:
    """Parse a template.

    Literals are tolerant: what §2.1 excludes there, such as spaces and quotes, is kept for the expansion to encode;
    braces are not.

    Raises:
        TemplateError: with the place in `source`.
    """
    parts: list[Part] = []
    at = 0
    while at < len(source):
        brace = source.find("{", at)
        end = len(source) if brace < 0 else brace
        if end > at:
            stray = source.find("}", at, end)
            if stray >= 0:
                raise TemplateError("'}' closes nothing", source, (stray, stray + 1))
            parts.append(Literal(source[at:end], at, end))
        if brace < 0:
            break
        at = _closing(source, brace) + 1
        parts.append(_expression(source, brace, at))
    return tuple(parts)


def _closing(source: str, brace: int) -> int:
    """Return where the expression that opens at `brace` is closed."""
    closing, nested = source.find("}", brace), source.find("{", brace + 1)
    if 0 <= nested < closing:
        raise TemplateError("expressions cannot be nested", source, (nested, nested + 1))
    if closing < 0:
        raise TemplateError("'{' is never closed", source, (brace, brace + 1))
    return closing


def _expression(source: str, start: int, end: int) -> Expression:
    """Parse ``{…}`` between two offsets, the braces included."""
    try:
        operator, variables = _inside(source[start:end])
    except TemplateError as error:
        raise TemplateError(error.message, source, (start + error.span[0], start + error.span[1])) from None
    return Expression(operator, variables, start, end)


@lru_cache(maxsize=4096)  # the rules of a gateway name the same few variables
def _inside(text: str) -> tuple[str, tuple[Variable, ...]]:
    """Parse one expression, given with its braces, into its operator and its variables."""
    first = text[1]
    if first in _RESERVED_OPERATORS:
        raise TemplateError(f"the operator {first!r} is reserved (RFC 6570 §2.2)", text, (1, 2))
    operator = first if first in _OPERATORS else ""
    at = 1 + len(operator)
    if at == len(text) - 1:
        raise TemplateError("an expression names at least one variable", text, (0, len(text)))
    variables = []
    for spec in text[at:-1].split(","):
        variables.append(_variable(text, at, at + len(spec)))
        at += len(spec) + 1
    return operator, tuple(variables)


def _variable(source: str, start: int, end: int) -> Variable:
    """Parse one name with its modifier; `end` is where the next "," or "}" stands."""
    name = _VARNAME.match(source, start, end)
    if name is None:
        raise _bad_name(source, start, end)
    if name.end() == end:
        return Variable(name.group())
    modifier = _MODIFIER.fullmatch(source, name.end(), end)
    if modifier is not None:
        return Variable(name.group(), int(modifier.group(1) or 0), modifier.group() == "*")
    if source[name.end()] in ":*":
        raise TemplateError("a modifier is '*' or ':' and a number from 1 to 9999", source, (name.end(), end))
    raise _bad_name(source, start, end)


def _bad_name(source: str, start: int, end: int) -> TemplateError:
    if start == end:
        return TemplateError("a variable name is missing", source, (start, start + 1))
    return TemplateError(f"{source[start:end]!r} is not a variable name: {_NAME_HINT}", source, (start, end))
