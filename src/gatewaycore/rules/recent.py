"""Recent: what was used last, as much of it as there is room for."""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Recent(Generic[K, V]):
    """A mapping of the most recently used, at most `size` of them (or of what they weigh together)."""

    __slots__ = ("_entries", "_size", "_weight")

    def __init__(self, size: int) -> None:
        self._entries: OrderedDict[K, tuple[V, int]] = OrderedDict()
        self._size = size
        self._weight = 0

    def get(self, key: K) -> V | None:
        """Return the value, or None."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        try:
            self._entries.move_to_end(key)
        except KeyError:
            # Another thread has pushed it out meanwhile.
            return entry[0]
        return entry[0]

    def put(self, key: K, value: V, weight: int = 1) -> None:
        """Keep a value, and let go of the longest unused ones that there is no room for."""
        if weight > self._size:
            return
        self.drop(key)
        self._entries[key] = (value, weight)
        self._weight += weight
        while self._weight > self._size:
            try:
                self._weight -= self._entries.popitem(last=False)[1][1]
            except KeyError:
                # Threads that count at the same moment may count one twice: what is empty weighs nothing.
                self._weight = 0

    def drop(self, key: K) -> None:
        """Forget one."""
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._weight -= entry[1]

    def __len__(self) -> int:
        return len(self._entries)
