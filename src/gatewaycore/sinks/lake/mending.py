"""Lines one by one, where something in a batch is strange: what is no event is found, and columns that nobody knows are kept.

A column that this version does not know is kept among the `variables`, as ``extra.<name>``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from gatewaycore.segments import UNREADABLE
from gatewaycore.sinks.lake.schema import COLUMNS, MAP, NAMES


def mend(lines: Sequence[bytes]) -> tuple[list[bytes], list[int]]:
    """Return the lines that are events, with the columns of this version alone, and the positions of those that are none."""
    mended: list[bytes] = []
    poison: list[int] = []
    for number, line in enumerate(lines):
        good = _mend(line)
        if good is None:
            poison.append(number)
        else:
            mended.append(good)
    return mended, poison


def read(line: bytes) -> dict[str, Any] | None:
    """Return the object that a line is; None when it is none."""
    try:
        found = msgspec.json.decode(line)
    except UNREADABLE:
        return None
    return found if isinstance(found, dict) else None


def _is_time(value: Any) -> bool:
    try:
        return isinstance(value, str) and datetime.fromisoformat(value).tzinfo is not None
    except ValueError:
        return False


def _is_map(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(item, str) for item in value.values())


_FITS: Mapping[str, Callable[[Any], bool]] = {
    "VARCHAR": lambda value: isinstance(value, str),
    "BIGINT": lambda value: type(value) is int and -(1 << 63) <= value < 1 << 63,
    "DOUBLE": lambda value: type(value) in (int, float),
    "BOOLEAN": lambda value: isinstance(value, bool),
    "TIMESTAMPTZ": _is_time,
    MAP: _is_map,
}


def _mend(line: bytes) -> bytes | None:
    found = read(line)
    if found is None:
        return None
    for column in COLUMNS:
        value = found.get(column.name)
        if column.required if value is None else not _FITS[column.type](value):
            return None
    strange = {f"extra.{name}": _text(found.pop(name)) for name in found.keys() - NAMES}
    if strange:
        found["variables"] = {**strange, **(found.get("variables") or {})}
    return msgspec.json.encode(found) + b"\n"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
