"""JSON text -> plain data, and where each key stands (RFC 8259).

Values have the types they were written in; a field that wants another says so. This room knows JSON; it does not know what any key means.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, NoReturn

from gatewaycore.config.faults import Fault, Path
from gatewaycore.config.places import Extent, Place, SourceError, Token, find_lines

_SPACE = re.compile(r"[ \t\r\n]*")
_TOKEN = re.compile(r'[\[\]{}]|"(?:[^"\\]|\\.)*"|[^\s\[\]{},:"]+', re.DOTALL)
_KINDS = {"{": "map", "[": "list", "}": "end", "]": "end"}


class _RepeatedKeyError(ValueError):
    """An object holds a key twice."""


def parse_json(text: str) -> Any:
    """Return the value of `text`.

    Raises:
        SourceError: it is no JSON, an object holds a key twice, or it is nested too deeply.
    """
    try:
        return json.loads(text, object_pairs_hook=_object, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        raise SourceError([(Place(error.lineno, error.colno), Fault((), f"not JSON: {error.msg}"))]) from error
    except _RepeatedKeyError as error:
        raise SourceError(_duplicates(text)) from error
    except RecursionError as error:
        raise SourceError([(Place(None), Fault((), "nested too deeply"))]) from error
    except ValueError as error:
        # NaN and its like, and integers of more digits than Python reads.
        raise SourceError([(Place(None), Fault((), f"not JSON: {str(error)[:200]}"))]) from error


def parse_json_lists(text: str) -> tuple[Any, dict[str, Extent] | None]:
    """Return the value of `text`, and where the items of its top lists lie; None for those where the value is no object.

    Raises:
        SourceError: as `parse_json`.
    """
    try:
        found = _Walk(text).document()
    except (ValueError, RecursionError):
        # What is wrong is told by who reads it as a whole.
        return parse_json(text), None
    return found


class _Walk:
    """Reads an object member by member, and its lists item by item.

    Args:
        text: the whole text.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._decode = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_no_constant).raw_decode

    def document(self) -> tuple[dict[str, Any], dict[str, Extent]]:
        """Read the text.

        Raises:
            ValueError: it is no object, or something is wrong with it.
        """
        members: list[tuple[str, Any]] = []
        extents: dict[str, Extent] = {}
        self._take("{")
        if self._sees() != "}":
            while True:
                name = self._value()
                self._take(":")
                if not isinstance(name, str):
                    raise ValueError("a name is text")
                value: Any = None
                if self._sees() == "[":
                    value, extents[name] = self._list()
                else:
                    value = self._value()
                members.append((name, value))
                if self._sees() != ",":
                    break
                self._take(",")
        self._take("}")
        if self._sees():
            raise ValueError("something stands behind it")
        return _object(members), extents

    def _list(self) -> tuple[list[Any], Extent]:
        items: list[Any] = []
        extent = Extent()
        self._take("[")
        if self._sees() != "]":
            while True:
                self._sees()
                extent.starts.append(self._at)
                items.append(self._value())
                if self._sees() != ",":
                    break
                self._take(",")
        self._sees()
        extent.end = self._at
        self._take("]")
        return items, extent

    def _sees(self) -> str:
        """Go on to the next character that is no white space, and return it; "" at the end."""
        found = _SPACE.match(self._text, self._at)
        self._at = self._at if found is None else found.end()
        return self._text[self._at : self._at + 1]

    def _take(self, mark: str) -> None:
        if self._sees() != mark:
            raise ValueError(f"{mark} is missing")
        self._at += 1

    def _value(self) -> Any:
        self._sees()
        value, self._at = self._decode(self._text, self._at)
        return value


def json_lines(text: str, wanted: set[Path]) -> dict[Path, list[int]]:
    """Return the lines (from 1) on which the keys and items at the `wanted` paths begin. `text` is JSON."""
    return find_lines(_tokens(text), wanted)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _RepeatedKeyError
    return found


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _tokens(text: str) -> Iterator[Token]:
    line, position = 1, 0
    for match in _TOKEN.finditer(text):
        start = match.start()
        line += text.count("\n", position, start)
        position = start
        token = match[0]
        kind = _KINDS.get(token)
        if kind is not None:
            yield kind, "", line
        else:
            yield "scalar", json.loads(token, strict=False) if token[0] == '"' else token, line


def _duplicates(text: str) -> list[tuple[Place, Fault]]:
    """Find the keys that stand twice in one object, by walking through the tokens with what each open object holds."""
    faults: list[tuple[Place, Fault]] = []
    seen: list[dict[str, int] | None] = []
    path: list[str | int] = []
    expects_key = False
    for kind, value, line in _tokens(text):
        if kind == "end":
            seen.pop()
            path.pop()
        elif expects_key:
            path[-1] = value
            keys = seen[-1]
            if keys is not None:
                if value in keys:
                    what = f"this key stands there twice, on lines {keys[value]} and {line}"
                    faults.append((Place(line), Fault(tuple(path), what, "keep one of them")))
                keys[value] = line
            expects_key = False
            continue
        else:
            if seen and seen[-1] is None:
                path[-1] = int(path[-1]) + 1
            if kind != "scalar":
                seen.append({} if kind == "map" else None)
                path.append("" if kind == "map" else -1)
        expects_key = bool(seen) and seen[-1] is not None
    return faults
