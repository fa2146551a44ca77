"""Counters: a number for each of any number of keys, exact, in bounded memory. What does not fit lies in a table of SQLite."""

from __future__ import annotations

from sqlite3 import Connection, connect

_BITS = 1 << 27
_MOST_HELD = 200_000


class Counters:
    """Numbers by key. A key is 16 bytes that look random.

    Most keys are asked for once, and were never seen: a bit for each tells that without a look into the table.

    Args:
        connection: where the table ``seen`` is, with a number that tells these from others.
        number: that number.
    """

    def __init__(self, connection: Connection, number: int = 0) -> None:
        self._connection = connection
        self._number = number
        self._bits = bytearray(_BITS // 8)
        self._held: dict[bytes, int] = {}
        self._unsaved: set[bytes] = set()
        for (key,) in connection.execute("SELECT key FROM seen WHERE import = ?", (number,)):
            self._is_new(key)

    @classmethod
    def temporary(cls) -> Counters:
        """Return counters in a file without a name, which is gone with them."""
        connection = connect("", isolation_level=None, check_same_thread=False)
        connection.execute(SEEN)
        return cls(connection)

    def _is_new(self, key: bytes) -> bool:
        """Tell whether a key was certainly never seen, and see it."""
        place = int.from_bytes(key[:4], "big") & (_BITS - 1)
        bits, bit = self._bits[place >> 3], 1 << (place & 7)
        if bits & bit:
            return False
        self._bits[place >> 3] = bits | bit
        return True

    def get(self, key: bytes) -> int:
        """Return the number of a key; 0 when it has none."""
        found = self._held.get(key)
        if found is not None:
            return found
        row = self._connection.execute("SELECT n FROM seen WHERE import = ? AND key = ?", (self._number, key)).fetchone()
        return 0 if row is None else int(row[0])

    def count(self, key: bytes) -> int:
        """Count a key up by one, and return what it was before."""
        before = 0 if self._is_new(key) else self.get(key)
        self._put(key, before + 1)
        return before

    def put(self, key: bytes, number: int) -> None:
        """Give a key a number."""
        self._is_new(key)
        self._put(key, number)

    def _put(self, key: bytes, number: int) -> None:
        self._held[key] = number
        self._unsaved.add(key)
        if self._number == 0 and len(self._held) >= _MOST_HELD:
            # Nobody else says when.
            self._connection.execute("BEGIN")
            self.save()
            self._connection.execute("COMMIT")

    def save(self) -> None:
        """Write what is new into the table; within a transaction, which is the caller's."""
        # In the order of the table, which is as fast again.
        rows = [(self._number, key, self._held[key]) for key in sorted(self._unsaved)]
        self._connection.executemany("INSERT INTO seen VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET n = excluded.n", rows)
        self._unsaved.clear()
        if len(self._held) >= _MOST_HELD:
            self._held.clear()

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


SEEN = """CREATE TABLE IF NOT EXISTS seen (
    import INTEGER NOT NULL, key BLOB NOT NULL, n INTEGER NOT NULL, PRIMARY KEY (import, key)) WITHOUT ROWID"""
