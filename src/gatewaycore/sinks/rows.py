"""What sinks share that keep more than the lines themselves: lines -> events, and a count of those that no store will ever take.

It knows no driver. Whatever cannot be kept is skipped, counted and logged without a word of what it held.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from hashlib import sha256

import msgspec
from attrs import fields

from gatewaycore.errors import ConfigError, Problem
from gatewaycore.event import Event

_log = logging.getLogger("gatewaycore.sinks")
_decode = msgspec.json.Decoder(Event).decode
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,47}")

COLUMNS: tuple[str, ...] = tuple(column.name for column in fields(Event))
"""The columns of an event, in the order in which tables have them."""


class Intake:
    """Takes lines apart for one sink.

    Args:
        sink: what the sink is called in the log.

    Attributes:
        skipped: lines that the store will never have: torn, not an event, or refused by it for what they hold.
    """

    def __init__(self, sink: str) -> None:
        self._sink = sink
        self.skipped = 0
        self._torn = 0

    def read(self, lines: Sequence[bytes]) -> list[Event]:
        """Return the events of `lines`, in their order; what is none is counted by `settle`."""
        return [event for _, event in self.pair(lines)]

    def pair(self, lines: Sequence[bytes]) -> list[tuple[bytes, Event]]:
        """Return each line that is an event, and the event."""
        pairs = []
        for line in lines:
            try:
                event = _decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError):
                continue
            # Both are keys of tables, which no database would take otherwise.
            if event.time.tzinfo is not None and _UUID.fullmatch(event.id):
                pairs.append((line, event))
        self._torn = len(lines) - len(pairs)
        return pairs

    def settle(self) -> None:
        """Count what was no event in the batch that was read last: it has been kept, and does not come again."""
        if self._torn:
            self.skip(self._torn, "they are not events")
            self._torn = 0

    def skip(self, count: int, why: str) -> None:
        """Count lines that cannot be kept, and say so: one that was sent again for ever would keep all others waiting."""
        self.skipped += count
        _log.error("%s: %d lines are skipped: %s", self._sink, count, why)


def batch_key(ids: Sequence[str]) -> str:
    """Return what tells one batch of events from another, and is the same when it comes again: 32 hexadecimal digits."""
    return sha256("\n".join(ids).encode()).hexdigest()[:32]


def without_extra(sink: str, extra: str) -> ConfigError:
    """Return what is wrong when the driver of a sink is not installed."""
    return ConfigError([Problem(f"sinks: {sink}", f"needs gatewaycore[{extra}]", f"pip install 'gatewaycore[{extra}]'")])


def check_name(_settings: object, _attribute: object, value: str) -> None:
    """Hold a setting to be a name that no database needs to have explained: an attrs validator.

    Raises:
        ValueError: it is not.
    """
    if not _NAME.fullmatch(value):
        raise ValueError(f"{value[:80]!r} is not a name (letters, digits and _, at most 48, no digit first)")


def check_positive(_settings: object, _attribute: object, value: float) -> None:
    """Hold a setting to be more than nothing: an attrs validator.

    Raises:
        ValueError: it is not.
    """
    if not value > 0:
        raise ValueError(f"{value} is not more than 0")
