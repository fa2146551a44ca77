"""Rereading: a text that has changed -> its data, of which only what has changed is parsed, and what has not is recognised.

A configuration of a hundred thousand packages is changed in one line. Where the texts before and after that line are the same, parsers come
to the same: so what lies between two items of a list is parsed by itself, and an item whose text stood there before is what it was. Where
that would not be sure, the whole text is parsed.

This room knows where items of lists lie in a text; it does not know what an item means.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from attrs import define, field, frozen

from gatewaycore.config.json_source import parse_json_lists
from gatewaycore.config.places import Extent, SourceError
from gatewaycore.config.yaml_source import parse_yaml_lists

Parse: TypeAlias = Callable[[str], tuple[Any, dict[str, Extent] | None]]

_BLOCK: Final = 64 * 1024
_BREAKS: Final = ("\n", "\r", "\x85", "\u2028", "\u2029")
# A document ends here, or another begins: what stands behind is not read as it would be by itself.
_MARKS: Final = ("---", "...", "%")
_ENDS: Final = tuple(f"{line}{mark}" for line in _BREAKS for mark in _MARKS)


@frozen(eq=False)
class Language:
    """How texts of a language are parsed, and how a piece of a list is made a text.

    Attributes:
        parse: gives data, and where the items of its top lists lie.
        cut: the offset from which an item is parsed, by the text and the offset of its first character; -1 where it cannot be said.
        wrap: makes a text of a piece of the list `items`, the piece, and whether items come behind it; None where it cannot be made.
    """

    parse: Parse
    cut: Callable[[str, int], int]
    wrap: Callable[[str, bool], tuple[str, str] | None]


def _yaml_cut(text: str, start: int) -> int:
    begins = text.rfind("\n", 0, start) + 1
    return begins if text[begins:start].strip(" ") == "-" else -1


def _yaml_wrap(piece: str, _: bool) -> tuple[str, str] | None:
    # No regular expression: one that looks through megabytes keeps the interpreter's lock all the while.
    return None if piece.startswith(_MARKS) or any(end in piece for end in _ENDS) else ("items:\n", piece)


def _json_wrap(piece: str, goes_on: bool) -> tuple[str, str] | None:
    piece = piece.rstrip(" \t\r\n")
    if goes_on:
        if not piece.endswith(","):
            return None
        piece = piece[:-1]
    return '{"items": [', f"{piece}]}}"


YAML: Final = Language(parse_yaml_lists, _yaml_cut, _yaml_wrap)
JSON: Final = Language(parse_json_lists, lambda _, start: start, _json_wrap)


@define(slots=True, eq=False)
class Sheet:
    """A text and its data.

    Attributes:
        language: what it is written in.
        text: as read.
        data: plain.
        extents: where the items of its top lists lie; None where that cannot be said.
        known: what was made of the items of its lists, when all was well: whoever made it puts it here, one for each item.
    """

    language: Language
    text: str
    data: Any
    extents: dict[str, Extent] | None
    known: dict[str, Sequence[Any]] = field(factory=dict)

    @classmethod
    def read(cls, language: Language, text: str) -> Sheet:
        """Parse a text.

        Raises:
            SourceError: no data can be made of it.
        """
        data, extents = language.parse(text)
        return cls(language, text, data, extents)

    def read_again(self, text: str) -> Sheet:
        """Parse what is new in a text. In the lists of its data, what was `known` of an item stands in the place of one that is as it was.

        Raises:
            SourceError: no data can be made of it.
        """
        if text == self.text:
            return Sheet(self.language, text, self.data, self.extents)
        return self._spliced(text) or self._recognised(text)

    def know(self, name: str, known: Sequence[Any]) -> None:
        """Take what was made of the items of a list, one for each, in their place."""
        self.known[name] = known
        self.data = {**self.data, name: known}

    def line(self, name: str, position: int) -> int | None:
        """Return the line, from 1, on which an item of a list begins; None where that cannot be said."""
        extent = None if self.extents is None else self.extents.get(name)
        return None if extent is None or position >= len(extent.starts) else self.text.count("\n", 0, extent.starts[position]) + 1

    # --- the whole text --------------------------------------------------------------------------------------------------

    def _recognised(self, text: str) -> Sheet:
        fresh = Sheet.read(self.language, text)
        if self.extents is None or fresh.extents is None or not isinstance(fresh.data, Mapping):
            return fresh
        data = dict(fresh.data)
        for name, known in self.known.items():
            before, extent = self.extents.get(name), fresh.extents.get(name)
            if before is None or extent is None or len(before.starts) != len(known):
                continue
            seen = dict(zip(self._pieces(before), known, strict=True))
            seen.pop("", None)
            data[name] = [seen.get(piece, item) for piece, item in zip(fresh._pieces(extent), data[name], strict=True)]
        return Sheet(self.language, text, data, fresh.extents)

    def _pieces(self, extent: Extent) -> Iterable[str]:
        """Iterate over the texts of a list's items; "" for what is not known."""
        text, cut = self.text, self.language.cut
        cuts = [cut(text, start) for start in extent.starts]
        for begins, ends in zip(cuts, (*cuts[1:], extent.end), strict=True):
            yield text[begins:ends] if 0 <= begins <= ends else ""

    # --- a piece of it ---------------------------------------------------------------------------------------------------

    def _spliced(self, text: str) -> Sheet | None:
        begins = _common_start(self.text, text)
        ends = len(self.text) - _common_end(self.text, text, min(len(self.text), len(text)) - begins)
        found = self._list_at(begins, ends)
        if found is None or self.extents is None:
            return None
        name, first, last = found
        extent, known = self.extents[name], self.known[name]
        shift = len(text) - len(self.text)
        goes_on = last < len(known)
        top = self.language.cut(text, extent.starts[first])
        bottom = self.language.cut(self.text, extent.starts[last]) if goes_on else extent.end
        if top < 0 or bottom < ends:
            return None
        piece = self._piece(text[top : bottom + shift], goes_on)
        if piece is None:
            return None
        items, starts = piece
        seen = {one: known[first + at] for at, one in enumerate(self._texts(extent, first, last)) if one}
        moved = Extent(extent.starts[:first], extent.end + shift)
        moved.starts.extend(array("Q", [top + start for start in starts]))
        moved.starts.extend(array("Q", [start + shift for start in extent.starts[last:]]))
        extents = {other: _moved(one, shift) if one.end > extent.end else one for other, one in self.extents.items()}
        extents[name] = moved
        fresh = Sheet(self.language, text, None, extents)
        texts = fresh._texts(moved, first, first + len(items))
        between = [seen.get(one, item) for one, item in zip(texts, items, strict=True)]
        fresh.data = {**self.data, **self.known, name: [*known[:first], *between, *known[last:]]}
        return fresh

    def _list_at(self, begins: int, ends: int) -> tuple[str, int, int] | None:
        """Return in which list a change lies as a whole, and between which of its items: the first that it touches, and the next that it
        does not."""
        for name, extent in (self.extents or {}).items():
            starts = extent.starts
            if len(starts) == len(self.known.get(name, ())) > 0 and starts[0] < begins and ends <= extent.end:
                # The beginning of an item is out of doubt when the change comes behind it.
                first = bisect_left(starts, begins) - 1
                last = bisect_left(starts, ends, first + 1)
                while last < len(starts) and self.language.cut(self.text, starts[last]) < ends:
                    last += 1
                return name, first, last
        return None

    def _piece(self, piece: str, goes_on: bool) -> tuple[list[Any], list[int]] | None:
        """Return the items in a piece of a list, and where they begin there; None where it does not mean by itself what it means there."""
        wrapped = self.language.wrap(piece, goes_on)
        if wrapped is None:
            return None
        head, rest = wrapped
        try:
            data, extents = self.language.parse(head + rest)
        except SourceError:
            # The whole text is read, for the place of what is wrong.
            return None
        if extents is None or list(data) != ["items"]:
            return None
        items, extent = data["items"] or [], extents.get("items") or Extent()
        if not isinstance(items, list) or len(items) != len(extent.starts):
            return None
        return items, [start - len(head) for start in extent.starts]

    def _texts(self, extent: Extent, first: int, last: int) -> Sequence[str]:
        end = extent.end
        if last < len(extent.starts):
            end = max(self.language.cut(self.text, extent.starts[last]), 0)
        return list(self._pieces(Extent(extent.starts[first:last], end)))


def _moved(extent: Extent, by: int) -> Extent:
    return Extent(array("Q", [start + by for start in extent.starts]), extent.end + by)


def _common_start(one: str, other: str) -> int:
    """Return how many characters two texts have in common at their beginning."""
    limit, at = min(len(one), len(other)), 0
    # In blocks: each comparison is a copy, and lets others have their turn.
    while at < limit and one[at : at + _BLOCK] == other[at : at + _BLOCK]:
        at += _BLOCK
    return min(at, limit) + _same(one[at : at + _BLOCK], other[at : at + _BLOCK])


def _common_end(one: str, other: str, limit: int) -> int:
    """Return how many characters two texts have in common at their end, at most `limit`."""
    at = 0
    while at < limit:
        size = min(_BLOCK, limit - at)
        here, there = _tail(one, at, size), _tail(other, at, size)
        if here != there:
            return at + _same(here[::-1], there[::-1])
        at += size
    return limit


def _tail(text: str, at: int, size: int) -> str:
    end = len(text) - at
    return text[end - size : end]


def _same(one: str, other: str) -> int:
    """Return how many characters two short texts have in common at their beginning."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if one[:middle] == other[:middle] else (low, middle - 1)
    return low


__all__ = ["JSON", "YAML", "Language", "Sheet"]
