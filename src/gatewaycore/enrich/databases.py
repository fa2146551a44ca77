"""Databases of addresses, in the operator's own files (MaxMind DB format 2.0): opened when they are sound, watched, and asked.

What is damaged is refused, or costs look-ups, and never the process. An address is looked up and never kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from os import PathLike, fspath
from typing import Any, Final

from gatewaycore.enrich.copies import open_copy
from gatewaycore.enrich.files import Refreshed, Watched, refresh_all
from gatewaycore.enrich.records import Place, place_of
from gatewaycore.enrich.soundness import try_out
from gatewaycore.enrich.verdicts import Verdict, judge
from gatewaycore.errors import ConfigError, Problem

__all__ = ["GeoDatabase", "open_database", "parse_address", "refresh_databases", "watch_databases"]

# How long a check may take before it is spoken of.
_LONG_S: Final = 5
_DAMAGED: Final = "download it again; a compressed file must be unpacked first"
_NOWHERE: Final = Place()


class GeoDatabase:
    """An open database. Made by `open`; safe to share between threads.

    Attributes:
        unreadable: lookups that failed because the file is corrupt.
    """

    __slots__ = ("_name", "_note", "_reader", "_told", "unreadable")

    def __init__(self, reader: Any, name: str = "", note: Problem | None = None) -> None:
        self._reader = reader
        self._name = name
        self._note = note
        self._told = 0
        self.unreadable = 0

    @classmethod
    def open(cls, path: str | PathLike[str]) -> GeoDatabase:
        """Open a file: a copy of it is mapped into memory, so that it may be replaced or written to. See `gatewaycore.enrich.copies`.

        Args:
            path: of an ``.mmdb`` file.

        Raises:
            ConfigError: it is missing, not readable, or no such database; or some of it cannot be read.
        """
        name = fspath(path)
        try:
            with open_copy(name) as copy:
                verdict = judge(copy)
                if verdict.state == "damaged":
                    raise ConfigError([Problem(name, verdict.why, _DAMAGED)])
                return cls(_reader(copy.path, verdict), name, _note(name, verdict))
        except OSError as error:
            raise ConfigError([Problem(name, f"cannot be read: {error.strerror or error}", "the path of an .mmdb file")]) from error
        except ConfigError:
            raise
        except Exception as error:
            # On a corrupt file the reader raises whatever it trips over.
            raise ConfigError([Problem(name, f"is not a MaxMind DB file, or is damaged ({type(error).__name__})", _DAMAGED)]) from error

    def lookup(self, ip: str) -> Place | None:
        """Return what is known of an address; None when nothing is. Total: never raises, whatever `ip` and the file hold."""
        record = self.record(ip)
        place = _NOWHERE if record is None else place_of(record)
        return None if place == _NOWHERE else place

    def record(self, ip: str) -> Mapping[str, Any] | None:
        """Return the record of an address as the file has it; None when there is none. As total as `lookup`."""
        try:
            record = self._reader.get(parse_address(ip))
        except UnicodeDecodeError:
            self.unreadable += 1
            return None
        except ValueError:
            # No address; an IPv6 address in a database of IPv4; or the database is closed.
            return None
        except Exception:  # noqa: BLE001 - a corrupt record must not cost the event; counted, and whatever the reader trips over means the same
            self.unreadable += 1
            return None
        return record if isinstance(record, dict) else None

    def damage(self) -> Problem | None:
        """Return what is wrong when much more has turned out to be unreadable than was told before: a few dozen times at most."""
        unreadable = self.unreadable
        if unreadable < max(1, 2 * self._told):
            return None
        self._told = unreadable
        return Problem(self._name, f"is damaged: {unreadable} look-ups have failed", _DAMAGED)

    def note(self) -> Problem | None:
        """Return what its operator should know of how it was opened; once."""
        note, self._note = self._note, None
        return note

    def close(self) -> None:
        """Let go of the file; later lookups find nothing."""
        self._reader.close()


def open_database(paths: Sequence[str]) -> GeoDatabase:
    """Open the one file that `paths` names, as a `Watched` wants it."""
    return GeoDatabase.open(paths[0])


def watch_databases(paths: Sequence[str]) -> list[Watched[GeoDatabase]]:
    """Open databases that the key `databases` of an enrichment names.

    Raises:
        ConfigError: one cannot be used.
    """
    opened: list[Watched[GeoDatabase]] = []
    try:
        for position, path in enumerate(paths):
            opened.append(Watched.open({f"databases[{position}]": path}, open_database))
    except ConfigError:
        for watched in opened:
            watched.value.close()
        raise
    return opened


def refresh_databases(databases: Iterable[Watched[GeoDatabase]]) -> Refreshed:
    """Refresh each; return what came of it all, and what is to be said of them: that they are damaged, or how they are read."""
    every = list(databases)
    found = refresh_all(every)
    damaged = [problem for one in every if (problem := one.value.damage()) is not None]
    notes = [note for one in every if (note := one.value.note()) is not None]
    return Refreshed(found.swapped, found.problems, tuple(damaged), tuple(notes))


def _reader(path: str, verdict: Verdict) -> Any:
    """Open a database with the reader in C where it is sound, else with Python's, which raises where that one ends the process."""
    import maxminddb

    if verdict.state == "sound":
        return maxminddb.open_database(path)
    reader = maxminddb.open_database(path, maxminddb.MODE_MMAP)
    try:
        try_out(reader)
    except Exception:
        reader.close()
        raise
    return reader


def _note(name: str, verdict: Verdict) -> Problem | None:
    if verdict.state == "unknown":
        return Problem(name, f"is read by a slower reader: {verdict.why}", "see Databases and lists of networks in Operations")
    if verdict.took_s > _LONG_S:
        return Problem(name, f"took {verdict.took_s:.0f} s to check, which is done once for what it holds")
    return None


def parse_address(text: str) -> IPv4Address | IPv6Address:
    """Return an address as databases and lists of networks know it.

    Raises:
        ValueError: it is none.
    """
    address = ip_address(text)
    # ::ffff:192.0.2.1 is IPv4 in the notation of a socket that takes both (RFC 4291 §2.5.5.2); many databases know it only as IPv4.
    return getattr(address, "ipv4_mapped", None) or address
