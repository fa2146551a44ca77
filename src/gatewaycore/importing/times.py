"""Times: ISO 8601 or Unix, within reason. No clock: what is now comes in as an argument."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from gatewaycore.importing.names import LineError

FIRST = datetime(1990, 1, 1, tzinfo=UTC)
"""Nothing was distributed over the web before: what is earlier is a mistake, mostly of units."""

AHEAD = timedelta(days=1)
"""How far a time may lie in the future: clocks and time zones are wrong by less."""

_NUMBER = re.compile(r"[0-9]{1,20}(?:\.[0-9]{1,12})?")
_DIGITS_OF_DATE = 8
# Seconds until the year 5138; above it, milliseconds; above those, microseconds and nanoseconds.
_UNITS = ((1e11, 1), (1e14, 1_000), (1e17, 1_000_000), (1e20, 1_000_000_000))


def read_time(text: str | None, latest: datetime) -> datetime:
    """Return a time in UTC; one without a zone is taken to be in UTC.

    Args:
        text: ISO 8601; or seconds, milliseconds, microseconds or nanoseconds since the epoch, which are told apart by their size.
        latest: what is later is refused.

    Raises:
        LineError: it is missing, no time, or out of bounds.
    """
    if not text:
        raise LineError("$time is missing")
    try:
        found = _unix(text) if _NUMBER.fullmatch(text) and len(text) != _DIGITS_OF_DATE else datetime.fromisoformat(text)
        found = found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        raise LineError("$time is no time: write ISO 8601, or seconds since the epoch") from None
    if found < FIRST:
        raise LineError(f"$time lies before {FIRST.year}")
    if found > latest:
        raise LineError("$time lies in the future")
    return found


def _unix(text: str) -> datetime:
    number = float(text)
    for bound, parts in _UNITS:
        if number < bound:
            whole, _, rest = text.partition(".")
            seconds, left = divmod(int(whole), parts)
            return datetime.fromtimestamp(seconds, UTC) + timedelta(microseconds=(left + float(f"0.{rest or 0}")) * 1_000_000 / parts)
    raise ValueError
