"""Which rule serves an image: exact names first, then patterns, the most specific first.

A lookup costs one dictionary access for each set of positions at which some pattern has plain text ("library/*" has the first of
two), not one for each pattern: thousands of ``acme/team-17/*`` cost what one costs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Generic, TypeVar

from attrs import frozen

from gatewaycore.rules.container.patterns import ImagePattern

T = TypeVar("T")


@frozen
class Entry(Generic[T]):
    """One image or pattern, and what it stands for.

    Attributes:
        image: a repository's name or a pattern.
        priority: settles ties between what is equally specific; the higher wins.
        value: what it stands for.
    """

    image: str | ImagePattern
    priority: int
    value: T


@frozen(order=False)
class _Ranked(Generic[T]):
    rank: tuple[int, ...]
    pattern: ImagePattern
    value: T


class ImageIndex(Generic[T]):
    """Entries, indexed. Immutable.

    Args:
        entries: in file order, which settles what nothing else does.
    """

    __slots__ = ("_images", "_patterns")

    def __init__(self, entries: Sequence[Entry[T]]) -> None:
        self._images: dict[str, T] = {}
        self._patterns: dict[tuple[int, tuple[int, ...]], dict[tuple[str, ...], list[_Ranked[T]]]] = {}
        for position, entry in sorted(enumerate(entries), key=lambda pair: (-pair[1].priority, pair[0])):
            if isinstance(entry.image, str):
                self._images.setdefault(entry.image, entry.value)
                continue
            places, plain = _plain(entry.image)
            rank = (*(-number for number in entry.image.specificity), -entry.priority, position)
            group = self._patterns.setdefault((len(entry.image.segments), places), {})
            group.setdefault(plain, []).append(_Ranked(rank, entry.image, entry.value))

    def find(self, name: str) -> T | None:
        """Return what the image of this name stands for, or None."""
        found = self._images.get(name)
        if found is not None or not self._patterns:
            return found
        best = min(self._matching(name), key=lambda ranked: ranked.rank, default=None)
        return None if best is None else best.value

    def _matching(self, name: str) -> Iterator[_Ranked[T]]:
        parts = name.split("/")
        for (length, places), group in self._patterns.items():
            if length == len(parts):
                for ranked in group.get(tuple([parts[place] for place in places]), ()):
                    if ranked.pattern.match(name):
                        yield ranked


def twins(entries: Iterable[Entry[T]]) -> Iterator[tuple[T, T]]:
    """Iterate over the pairs that say the same thing with the same priority, so that only their order in the file decides."""
    seen: dict[tuple[object, int], T] = {}
    for entry in entries:
        said = entry.image if isinstance(entry.image, str) else entry.image.segments
        first = seen.setdefault((said, entry.priority), entry.value)
        if first is not entry.value:
            yield first, entry.value


def _plain(pattern: ImagePattern) -> tuple[tuple[int, ...], tuple[str, ...]]:
    found = [(place, segment.literal) for place, segment in enumerate(pattern.segments)]
    return tuple(place for place, text in found if text is not None), tuple(text for _, text in found if text is not None)
