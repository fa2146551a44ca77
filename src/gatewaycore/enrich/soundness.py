"""Whether all of a database can be read: the proof that the reader in C rests on. A program of its own, which `verdicts` starts.

The reader in C believes what it reads: it takes the key of a map for text, whatever it is, and a number for the place in memory where that
text lies. What comes of it depends on what lies there, and may be the end of the process. So trying it tells nothing of the next process.
Here everything that a look-up could reach is looked at instead, in Python, which raises where C would not; each thing once, however many
networks have it.

Imports nothing of gatewaycore, so that it starts fast, and is found by its path alone.
"""

from __future__ import annotations

import os
import sys
from array import array
from collections.abc import Sequence
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address
from mmap import ACCESS_READ, mmap
from typing import Any, Final

__all__ = ["MOST_BYTES", "DamagedError", "main", "prove", "try_out"]

MOST_BYTES: Final = 2 * 1024 * 1024
"""What a record may come to, read: the bytes of its texts, and `_VALUE` for each value in it. What the readers themselves allow."""

_VALUE: Final = 32
_DEPTH: Final = 128
_MARKER: Final = b"\xab\xcd\xefMaxMind.com"
_SEPARATOR: Final = 16
_METADATA: Final = 128 * 1024
_NODES: Final = 64 * 1024
# What the program may take: memory beside eight times the file's size, and time of a processor.
_LEAST_MEMORY: Final = 1024 * 1024 * 1024
_MOST_CPU_S: Final = 300
_PROBES: Final = 256
# 2^32 divided by the golden ratio: multiples of it are spread evenly.
_STEP: Final = 2654435769

# MaxMind DB file format 2.0, "Data Field Format".
_POINTER, _TEXT, _MAP, _BYTES, _ARRAY, _BOOLEAN = 1, 2, 7, 4, 11, 14
# Of the kinds whose length is theirs: the least and the most bytes.
_LENGTHS: Final = {3: (8, 8), 5: (0, 2), 6: (0, 4), 8: (0, 4), 9: (0, 8), 10: (0, 16), 15: (4, 4)}
_BEYOND: Final = (0, 0, 2048, 526336, 0)
_LONGER: Final = (29, 285, 65821)
_HIGH: Final = bytes(byte >> 4 for byte in range(256))
_LOW: Final = bytes(byte & 15 for byte in range(256))


class DamagedError(Exception):
    """Some of a database cannot be read; says what, and where."""


def prove(path: str) -> None:
    """Look at everything that a look-up could reach.

    Raises:
        DamagedError: some of it cannot be read, or only by who believes it.
        OSError: there is no such file.
    """
    from maxminddb import MODE_MMAP, open_database

    try:
        with open_database(path, MODE_MMAP) as reader:
            metadata = reader.metadata()
            nodes, bits, tree = metadata.node_count, metadata.record_size, metadata.search_tree_size
    except OSError:
        raise
    except Exception as error:
        # On a corrupt file the reader raises whatever it trips over.
        raise DamagedError(f"is not a MaxMind DB file, or is damaged ({type(error).__name__})") from error
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        content = mmap(file, 0, access=ACCESS_READ)
    finally:
        os.close(file)
    with content:
        end = content.rfind(_MARKER, max(0, len(content) - _METADATA))
        begin = tree + _SEPARATOR
        _Values(content, end + len(_MARKER), len(content)).description()
        values = _Values(content, begin, end)
        for record in sorted(_records(content, nodes, bits)):
            values.look(begin + record - nodes - _SEPARATOR)


def try_out(reader: Any) -> None:
    """Look addresses up that lie all over the place.

    Raises:
        Exception: what the reader trips over.
    """
    for number in range(_PROBES):
        spread = number * _STEP & 0xFFFFFFFF
        reader.get(IPv4Address(spread))
        # Global unicast (RFC 4291 §2.5.4): 2000::/3.
        try:
            reader.get(IPv6Address((0x20000000 | spread >> 3) << 96))
        except UnicodeError:
            raise
        except ValueError:
            # There is no IPv6 in a database of IPv4.
            continue


class _Values:
    """Values of a section of a file.

    Args:
        content: the file.
        base: where the section begins, from which pointers count.
        end: where it ends.
    """

    def __init__(self, content: mmap, base: int, end: int) -> None:
        self._content = content
        self._base = base
        self._end = end
        # What a value that is pointed to comes to: it is looked at once, whoever points to it.
        self._known: dict[int, int] = {}

    def look(self, at: int) -> None:
        """Look at a value and at all that is in it.

        Raises:
            DamagedError: some of it cannot be read.
        """
        self._value(at, 0, is_key=False)

    def description(self) -> None:
        """Look at metadata: a map, in which a name that stands twice is one thing to the reader in C and another to Python's.

        Raises:
            DamagedError: some of it cannot be read.
        """
        self.look(self._base)
        kind, size, at = self._head(self._base)
        names = set()
        for _ in range(size if kind == _MAP else 0):
            if self._content[at] >> 5 != _TEXT:
                # A pointer may lead to the same text from elsewhere. No writer has one here.
                raise self._damage(at, "a name in the metadata is not written out")
            _, after = self._value(at, 0, is_key=True)
            names.add(self._content[at:after])
            _, at = self._value(after, 0, is_key=False)
        if kind != _MAP or len(names) != size:
            raise self._damage(self._base, "the metadata is no map, or has a name twice")

    def _value(self, at: int, depth: int, *, is_key: bool) -> tuple[int, int]:
        """Return what the value at a place comes to, and where the next one begins."""
        if at >= self._end:
            raise self._damage(at, "a value lies outside of its section")
        if self._content[at] >> 5 == _POINTER:
            return self._pointer(at, depth, is_key)
        kind, size, at = self._head(at)
        if kind == _TEXT:
            after = at + size
            if after > self._end:
                raise self._damage(at, "a text is longer than the file")
            try:
                self._content[at:after].decode()
            except UnicodeDecodeError:
                raise self._damage(at, "a text is no UTF-8") from None
            return _VALUE + size, after
        if is_key:
            raise self._damage(at, "a key of a map is no text")
        if kind in (_MAP, _ARRAY):
            return self._many(at, size, depth, is_map=kind == _MAP)
        return self._scalar(kind, size, at)

    def _many(self, at: int, size: int, depth: int, *, is_map: bool) -> tuple[int, int]:
        if depth > _DEPTH:
            raise self._damage(at, "values are nested without end")
        comes_to, begin = _VALUE, at
        for _ in range(size):
            if is_map:
                more, at = self._value(at, depth + 1, is_key=True)
                comes_to += more
            more, at = self._value(at, depth + 1, is_key=False)
            comes_to += more
            if comes_to > MOST_BYTES:
                raise self._damage(begin, "a record is larger than any, or holds itself")
        return comes_to, at

    def _pointer(self, at: int, depth: int, is_key: bool) -> tuple[int, int]:
        control = self._content[at]
        length = (control >> 3 & 3) + 1
        after = at + 1 + length
        number = int.from_bytes(self._content[at + 1 : after])
        if length < 4:
            number += ((control & 7) << 8 * length) + _BEYOND[length]
        target = self._base + number
        if after > self._end or target >= self._end:
            raise self._damage(at, "a pointer leads out of its section")
        kind = self._content[target] >> 5
        if kind == _POINTER or (is_key and kind != _TEXT):
            raise self._damage(at, "a pointer leads to another one, or a key of a map is no text")
        comes_to = self._known.get(target)
        if comes_to is None:
            # More than any, for as long as it is not known: what holds itself has no end.
            self._known[target] = MOST_BYTES
            comes_to, _ = self._value(target, depth + 1, is_key=is_key)
            self._known[target] = comes_to
        return comes_to, after

    def _scalar(self, kind: int, size: int, at: int) -> tuple[int, int]:
        if kind == _BOOLEAN:
            return _VALUE, at
        least, most = (0, MOST_BYTES) if kind == _BYTES else _LENGTHS.get(kind, (0, -1))
        if not least <= size <= most or at + size > self._end:
            raise self._damage(at, "a value is of no known kind, or of another length than its kind")
        return _VALUE + (size if kind == _BYTES else 0), at + size

    def _head(self, at: int) -> tuple[int, int, int]:
        """Return the kind and the size of a value that is no pointer, and where it begins behind them."""
        content = self._content
        control = content[at]
        kind, size = control >> 5, control & 31
        at += 1
        if not kind:
            # Behind the section is the marker, and behind the metadata nothing: a slice has no end that one could run over.
            kind = 7 + int.from_bytes(content[at : at + 1])
            at += 1
            if kind == _MAP:
                raise self._damage(at, "a kind is written as no writer does")
        if size >= 29:
            more = size - 28
            size = _LONGER[more - 1] + int.from_bytes(content[at : at + more])
            at += more
        return kind, size, at

    def _damage(self, at: int, what: str) -> DamagedError:
        return DamagedError(f"is damaged: {what} (at byte {at})")


def _records(content: mmap, nodes: int, bits: int) -> set[int]:
    """Return what the nodes of the tree lead to, other than nodes and nothing: more is than can be reached in a tree that is sound."""
    found: set[int] = set()
    node_bytes = bits // 4
    for first in range(0, nodes, _NODES):
        part = content[first * node_bytes : min(first + _NODES, nodes) * node_bytes]
        found.update(record for record in _numbers(part, bits) if record > nodes)
    if found and min(found) < nodes + _SEPARATOR:
        raise DamagedError("is damaged: a network leads to no record")
    return found


def _numbers(part: bytes, bits: int) -> Sequence[int]:
    """Return the numbers in nodes, without a step in Python for each."""
    if bits == 32:
        wide: bytes | bytearray = part
    elif bits == 24:
        wide = bytearray(len(part) // 3 * 4)
        wide[1::4], wide[2::4], wide[3::4] = part[0::3], part[1::3], part[2::3]
    else:
        # The two numbers of a node share its fourth byte.
        wide = bytearray(len(part) // 7 * 8)
        wide[0::8], wide[1::8], wide[2::8], wide[3::8] = part[3::7].translate(_HIGH), part[0::7], part[1::7], part[2::7]
        wide[4::8], wide[5::8], wide[6::8], wide[7::8] = part[3::7].translate(_LOW), part[4::7], part[5::7], part[6::7]
    numbers = array("I", bytes(wide))
    if sys.byteorder == "little":
        numbers.byteswap()
    return numbers


def _bound(path: str) -> None:
    """Take care that no file makes this process large, or keeps it for ever where nobody waits for it any more."""
    import resource

    size = os.stat(path).st_size
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (_LEAST_MEMORY + 8 * size,) * 2)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CPU, (_MOST_CPU_S,) * 2)
    with suppress(OSError):
        # Whoever is served meanwhile comes first.
        os.nice(10)


def main(arguments: Sequence[str]) -> None:
    """Say on standard output ``sound``, or what is wrong.

    Args:
        arguments: the path of a database, and the folder in which maxminddb is found.
    """
    path, folder = arguments
    sys.path.append(folder)
    from maxminddb import open_database

    try:
        prove(path)
        # What is not known here may be wrong with the reader in C; then it ends this process and no other.
        with open_database(path) as reader:
            try_out(reader)
    except DamagedError as error:
        said = str(error)
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever the reader trips over means the same, and is said
        said = f"is damaged: some of it cannot be read ({type(error).__name__})"
    else:
        said = "sound"
    os.write(1, said.encode("ascii", "replace"))


if __name__ == "__main__":
    _bound(sys.argv[1])
    main(sys.argv[1:])
