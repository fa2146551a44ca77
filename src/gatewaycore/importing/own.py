"""Own: events of our own export, taken back as they are: whoever exported them has looked up and left out what there was to."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from gatewaycore.event import COLUMNS, MAX_TEXT, SCHEMA, Event, is_id
from gatewaycore.importing.ids import is_hash
from gatewaycore.importing.names import LineError
from gatewaycore.importing.times import FIRST
from gatewaycore.rules.variables import MAX_PARAMETERS

_GUARDED = re.compile(r"'+[=+\-@\t\r]")
_NO_TEXTS = frozenset(["id", "schema", "time", "status", "platform_recognised", "variables", "confidence", "bytes"])
_MOST_BYTES = 2**63 - 1
# The greatest that three digits can say.
_MOST_STATUS = 999
_TEXTS = tuple(name for name in COLUMNS if name not in _NO_TEXTS)


def from_object(value: Mapping[str, Any], latest: datetime) -> Event:
    """Return the event of an object of NDJSON.

    Raises:
        LineError: it is none.
    """
    # An engine that writes empty columns writes null.
    return _event({name: item for name, item in value.items() if item is not None}, latest, strict=True)


def from_cells(cells: Mapping[str, str], latest: datetime) -> Event:
    """Return the event of a row of CSV, empty cells left out.

    Raises:
        LineError: it is none.
    """
    found: dict[str, Any] = {name: cell[1:] if _GUARDED.match(cell) else cell for name, cell in cells.items()}
    if "variables" in found:
        try:
            found["variables"] = msgspec.json.decode(found["variables"])
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            raise LineError("variables are no JSON object") from None
    return _event(found, latest, strict=False)


def _event(found: dict[str, Any], latest: datetime, *, strict: bool) -> Event:
    if isinstance(found.get("confidence"), str):
        try:
            # The decoder keeps numbers with a fraction as text.
            found["confidence"] = float(found["confidence"])
        except ValueError:
            raise LineError("confidence is no number") from None
    unknown = found.keys() - set(COLUMNS) - {"day"}
    if unknown:
        raise LineError("an event with a column that there is not")
    found.pop("day", None)
    try:
        event = msgspec.convert(found, Event, strict=strict)
    except msgspec.ValidationError as error:
        raise LineError(_reason(error)) from None
    _check(event, latest)
    if event.time.utcoffset():
        event.time = event.time.astimezone(UTC)
    return event


def _reason(error: msgspec.ValidationError) -> str:
    # "Expected `int`, got `str` - at `$.status`": its types and its place; an invalid word would be quoted.
    text = str(error)
    place = re.search(r"\$\.([a-z_]+)", text)
    named = place[1] if place and place[1] in COLUMNS else None
    missing = re.search(r"missing required field `([a-z_]+)`", text)
    if missing:
        return f"an event without {missing[1]}"
    return f"{named} is not what it should be" if named else "no event"


def _check(event: Event, latest: datetime) -> None:
    if event.schema > SCHEMA:
        raise LineError(f"an event of schema {event.schema}, which a later version wrote")
    if event.schema < 1 or not 0 <= event.status <= _MOST_STATUS or not 0 <= event.bytes <= _MOST_BYTES:
        raise LineError("schema, status or bytes is no number that an event has")
    if event.confidence is not None and not math.isfinite(event.confidence):
        raise LineError("confidence is no number")
    if event.time.tzinfo is None:
        raise LineError("time has no time zone")
    if not FIRST <= event.time <= latest:
        raise LineError("time lies in the future" if event.time > latest else f"time lies before {FIRST.year}")
    if not is_id(event.id):
        raise LineError("id is no UUID")
    if any(text is not None and not is_hash(text) for text in (event.origin_id, event.endpoint_id)):
        raise LineError("an identifier is no hash in hexadecimal digits")
    if len(event.variables) > MAX_PARAMETERS + 4:
        raise LineError(f"more than {MAX_PARAMETERS} variables")
    texts = [getattr(event, name) for name in _TEXTS]
    if any(text is not None and len(text) > MAX_TEXT for text in (*texts, *event.variables, *event.variables.values())):
        raise LineError(f"a text of more than {MAX_TEXT} characters")
