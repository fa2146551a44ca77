"""Sifting: which lines of a batch a sink will never take, so that they do not keep all others waiting."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import msgspec

from gatewaycore.errors import PoisonError, words_of
from gatewaycore.segments import UNREADABLE
from gatewaycore.sinks.protocols import Sink
from gatewaycore.sinks.set_aside import Refused

REFUSALS = (ValueError, TypeError, LookupError, ArithmeticError, PoisonError)
"""What speaks of the lines rather than of the store; only where the store takes other lines is it believed."""

# So many lines are refused one by one, and none is taken, and as many from all over the rest: then it is the store.
_MOST_SUSPECTS = 16


class _Line(msgspec.Struct):
    id: str


_decode = msgspec.json.Decoder(_Line).decode


class Sieve:
    """Writes to one sink.

    Args:
        sink: takes the lines.
    """

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    def feed(self, lines: list[bytes], set_aside: Callable[[Sequence[Refused]], object]) -> int:
        """Get a batch done with: the sink has what it takes of it, what it never will is set aside. Return how many lines it took.

        Args:
            lines: of which some may be no events.
            set_aside: is told, once, what is not to be taken, if anything; and not as long as the sink is down, for then the batch comes
                again and again.

        Raises:
            Exception: what the sink raises, where it says nothing of single lines, or `set_aside`: nothing has been counted.
        """
        good, junk = sort_out(lines)
        refused = self.write(good)
        if junk or refused:
            set_aside([*junk, *refused])
        return len(good) - len(refused)

    def write(self, lines: list[bytes]) -> list[Refused]:
        """Write lines, and return those that are not to be taken.

        Raises:
            Exception: what the sink raises, where it says nothing of single lines.
        """
        refused: list[Refused] = []
        while lines:
            try:
                self._sink.write(lines)
                break
            except PoisonError as error:
                named = {number for number in error.lines if 0 <= number < len(lines)}
                if not named:
                    raise
                refused += [Refused(lines[number], error.reason) for number in sorted(named)]
                lines = [line for number, line in enumerate(lines) if number not in named]
            except REFUSALS as error:
                return refused + self._sift(lines, error)
        return refused

    def _sift(self, lines: list[bytes], error: Exception) -> list[Refused]:
        """Write lines that were refused together by halves, until it is known which of them it is.

        Args:
            lines: that were refused.
            error: is raised when none of them is taken: a store that refuses everything says nothing of the lines.
        """
        suspects: list[list[bytes]] = []
        is_taken = False
        left = _halves(lines)
        while left:
            piece = left.pop()
            try:
                self._sink.write(piece)
                is_taken = True
            except REFUSALS:
                if len(piece) > 1:
                    left += _halves(piece)
                    continue
                suspects.append(piece)
                if not is_taken and len(suspects) >= _MOST_SUSPECTS:
                    is_taken = self._try_elsewhere(left)
                    if not is_taken:
                        break
        if not is_taken:
            raise error
        return [one for piece in suspects for one in self._again(piece)]

    def _try_elsewhere(self, left: list[list[bytes]]) -> bool:
        """Write single lines from all over `left`; True when one is taken, which is not left any more.

        Other ones each time: a batch in which nearly every line is bad comes again until a good one is met.
        """
        rest = [line for piece in reversed(left) for line in piece]
        for at in random.sample(range(len(rest)), min(len(rest), _MOST_SUSPECTS)):
            try:
                self._sink.write([rest[at]])
            except REFUSALS:
                continue
            left[:] = [piece for piece in (rest[at + 1 :], rest[:at]) if piece]
            return True
        return False

    def _again(self, piece: list[bytes]) -> list[Refused]:
        """Write a line again, after others were taken: it may have been a bad moment."""
        try:
            self._sink.write(piece)
        except REFUSALS as error:
            return [Refused(piece[0], error.reason if isinstance(error, PoisonError) else words_of(error))]
        return []


def _halves(lines: list[bytes]) -> list[list[bytes]]:
    """Return both halves, the first last: that is written next."""
    middle = len(lines) // 2
    return [half for half in (lines[middle:], lines[:middle]) if half]


def sort_out(lines: list[bytes]) -> tuple[list[bytes], list[Refused]]:
    """Return the lines that are events, and those that are not: a crash of the machine may leave anything in a file."""
    try:
        for line in lines:
            _decode(line)
    except UNREADABLE:
        pass
    else:
        return lines, []
    good: list[bytes] = []
    junk: list[Refused] = []
    for line in lines:
        try:
            _decode(line)
        except UNREADABLE:
            junk.append(Refused(line, "no event: not one JSON object with an id"))
        else:
            good.append(line)
    return good, junk
