"""What sinks share that keep more than the lines themselves: lines -> events, and parts of a batch. It knows no driver."""

from __future__ import annotations

import re
from collections.abc import Sequence
from hashlib import sha256

import msgspec
from attrs import define

from gatewaycore.errors import PoisonError
from gatewaycore.event import Event, is_id
from gatewaycore.segments import UNREADABLE

_decode = msgspec.json.Decoder(Event).decode
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,47}")


def pair(lines: Sequence[bytes]) -> list[tuple[bytes, Event]]:
    """Return each line, and the event that it is: what a sink calls first, before it has sent anything.

    Raises:
        PoisonError: some are none that a store could keep.
    """
    pairs, poison = [], []
    for number, line in enumerate(lines):
        try:
            event = _decode(line)
        except UNREADABLE:
            poison.append(number)
            continue
        # Both are keys of tables, which no database would take otherwise.
        if event.time.tzinfo is not None and is_id(event.id):
            pairs.append((line, event))
        else:
            poison.append(number)
    if poison:
        raise PoisonError(poison, "no event: a column is missing that every event has, or is of another type")
    return pairs


@define
class Part:
    """Some events of a batch, which are sent together.

    Attributes:
        pairs: each line, and its event.
        key: tells it from all others.
        sent: somebody may have it.
        taken: somebody said so.
    """

    pairs: Sequence[tuple[bytes, Event]]
    key: str = ""
    sent: bool = False
    taken: bool = False

    def __attrs_post_init__(self) -> None:
        self.key = batch_key([event.id for _, event in self.pairs])


class Parts:
    """Cuts batches into parts, and cuts one that comes again as it was cut before, though more events may stand behind it by now.

    Args:
        most: events in a part.
        most_bytes: of their lines; a single one may have more.
    """

    def __init__(self, most: int, most_bytes: int) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._before: list[Part] = []

    def cut(self, pairs: Sequence[tuple[bytes, Event]]) -> list[Part]:
        """Return the parts of a batch, in their order; those that were taken before say so."""
        before = [part for part in self._before if part.sent]
        parts: list[Part] = []
        start = 0
        while start < len(pairs):
            if before:
                last = before.pop(0)
                part = Part(pairs[start : start + len(last.pairs)], sent=True, taken=last.taken)
                if part.key != last.key:
                    # Another batch altogether.
                    before.clear()
                    continue
            else:
                part = Part(pairs[start : self._end(pairs, start)])
            parts.append(part)
            start += len(part.pairs)
        self._before = parts
        return parts

    def _end(self, pairs: Sequence[tuple[bytes, Event]], start: int) -> int:
        left = self._most_bytes
        for position in range(start, min(start + self._most, len(pairs))):
            left -= len(pairs[position][0])
            if left < 0 and position > start:
                return position
        return min(start + self._most, len(pairs))

    def forget(self) -> None:
        """Forget a batch that was taken as a whole."""
        self._before = []


def batch_key(ids: Sequence[str]) -> str:
    """Return what tells one batch of events from another, and is the same when it comes again: 32 hexadecimal digits."""
    return sha256("\n".join(ids).encode()).hexdigest()[:32]


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
