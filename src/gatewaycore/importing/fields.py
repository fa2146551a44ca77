"""Fields: one line, or one row, as names and text. No file and no clock.

A line of NDJSON is read as a request's body is: nested objects are flattened, numbers keep the text they were sent as, null is left out.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec

from gatewaycore.importing.names import LineError
from gatewaycore.rules.variables import MAX_DEPTH, MAX_NAME

# 1.10 is a version.
_decode = msgspec.json.Decoder(float_hook=str).decode

OWN = frozenset({"id", "schema", "time", "rule", "kind"})
"""What an event of our own export is told by, where it names no ``$time``."""

# Cells that are objects.
_OBJECTS = ("$headers", "$variables")


def read_object(line: bytes) -> dict[str, Any]:
    """Return the JSON object in a line.

    Raises:
        LineError: it holds something else.
    """
    try:
        value = _decode(line)
    except UnicodeDecodeError as error:
        raise LineError(f"not UTF-8 at byte {error.start} of a text") from None
    except msgspec.DecodeError:
        raise LineError(_what_is_wrong(line)) from None
    except RecursionError:
        raise LineError("nested too deeply") from None
    if not isinstance(value, dict):
        raise LineError(f"expected a JSON object, found {'an array' if isinstance(value, list) else 'something else'}")
    return value


def _what_is_wrong(line: bytes) -> str:
    """Return where a line goes wrong, without a word of it: the decoder that is fast does not always tell."""
    try:
        json.loads(line)
    except UnicodeDecodeError as error:
        return f"not UTF-8 at byte {error.start}"
    except json.JSONDecodeError as error:
        return f"not JSON at character {error.pos + 1}: {error.msg.split(':')[0]}"
    except RecursionError:
        return "nested too deeply"
    return "not JSON"


def is_own(names: Collection[str]) -> bool:
    """Tell whether an object or a table with these names is of our own export."""
    return "$time" not in names and all(name in names for name in OWN)


def flatten(value: Mapping[str, Any]) -> dict[str, str]:
    """Return the fields of a JSON object: ``{"a": {"b": "c"}}`` becomes ``a.b``.

    Raises:
        LineError: it is nested too deeply, or a name is too long.
    """
    fields: dict[str, str] = {}
    for name, item in value.items():
        kind = type(item)
        if (kind is str or kind is int) and len(name) <= MAX_NAME:
            fields[name] = item if kind is str else str(item)
        else:
            _flatten(fields, name, item, MAX_DEPTH)
    return fields


def _flatten(fields: dict[str, str], name: str, item: Any, depth: int) -> None:
    if not depth:
        raise LineError("nested too deeply")
    if len(name) > MAX_NAME:
        raise LineError(f"a name of more than {MAX_NAME} characters")
    if isinstance(item, dict):
        for key, inner in item.items():
            _flatten(fields, f"{name}.{key}", inner, depth - 1)
    elif isinstance(item, list):
        for number, inner in enumerate(item):
            _flatten(fields, f"{name}.{number}", inner, depth - 1)
    elif isinstance(item, bool):
        fields[name] = "true" if item else "false"
    elif item is not None:
        fields[name] = str(item)


def from_row(header: Sequence[str], row: Sequence[str]) -> dict[str, str]:
    """Return the fields of a row of CSV. An empty cell is left out.

    Raises:
        LineError: there are more or fewer cells than columns.
    """
    if len(row) != len(header):
        raise LineError(f"{len(row)} cells, and {len(header)} columns")
    # None becomes "" in CSV, and nobody can tell them apart.
    return {name: cell for name, cell in zip(header, row, strict=True) if cell and name}


def unfold(fields: dict[str, str]) -> dict[str, str]:
    """Return fields in which ``$headers`` and ``$variables`` that are JSON text have become fields.

    Raises:
        LineError: one of them is no JSON object.
    """
    for name in _OBJECTS:
        text = fields.pop(name, None)
        if text is not None:
            try:
                value = _decode(text.encode())
            except (msgspec.DecodeError, UnicodeError, RecursionError):
                value = None
            if not isinstance(value, dict):
                raise LineError(f"{name} is no object")
            fields.update(flatten({name: value}))
    return fields
