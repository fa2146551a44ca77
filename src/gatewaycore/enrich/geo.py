"""Where an address is and who runs its network, from the operator's own database file (MaxMind DB format 2.0).

This room knows the records of those who publish such files: MaxMind (GeoIP2 and GeoLite2: Country, City, Enterprise, ASN, ISP, Domain,
Connection-Type, Anonymous-IP), DB-IP, IPinfo and ip-location-db. It goes by what a record holds and not by the name in the file's metadata:
names change, and people merge and relabel databases. An address is looked up and never kept; which company an organisation is, is not
decided here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from os import PathLike, fspath
from typing import Any, Final, Literal, TypeAlias

from attrs import frozen

from gatewaycore.enrich.caller import Caller, Column
from gatewaycore.enrich.copies import open_copy
from gatewaycore.enrich.files import Refreshed, Watched, refresh_all
from gatewaycore.enrich.soundness import try_out
from gatewaycore.enrich.verdicts import Verdict, judge
from gatewaycore.errors import ConfigError, Problem

__all__ = [
    "Connection",
    "GeoDatabase",
    "GeoEnricher",
    "GeoEnrichment",
    "Place",
    "first_text",
    "is_hosting",
    "line_type",
    "open_database",
    "parse_address",
    "refresh_databases",
    "traits_of",
    "user_type",
    "watch_databases",
]

Connection: TypeAlias = Literal["business", "isp", "hosting", "education", "unknown"]

_COUNTRY: Final = re.compile(r"[A-Za-z]{2}")
_AS_NUMBER: Final = re.compile(r"(?:AS)?([0-9]{1,10})", re.IGNORECASE)
_NOBODY: Final[Mapping[str, Any]] = {}
# How long a check may take before it is spoken of.
_LONG_S: Final = 5
_DAMAGED: Final = "download it again; a compressed file must be unpacked first"

# Who is at the other end. MaxMind's `user_type`, IPinfo's `type`; what is listed by neither is "unknown".
_USERS: Final[Mapping[str, Connection]] = {
    "business": "business",
    "cafe": "business",
    "government": "business",
    "military": "business",
    "cellular": "isp",
    "dialup": "isp",
    "isp": "isp",
    "residential": "isp",
    "traveler": "isp",
    "content_delivery_network": "hosting",
    "hosting": "hosting",
    "search_engine_spider": "hosting",
    "college": "education",
    "education": "education",
    "library": "education",
    "school": "education",
}
# What the line is made of says less, and is asked second: a business may sit behind a cable.
_LINES: Final[Mapping[str, Connection]] = {
    "cable/dsl": "isp",
    "cellular": "isp",
    "corporate": "business",
    "dialup": "isp",
    "satellite": "isp",
}


@frozen
class Place:
    """What a database knows of an address. Every field may be None.

    Attributes:
        country: ISO 3166-1 alpha-2, upper-case: "GB".
        region: the subdivision's part of ISO 3166-2 where the database has it ("ENG"), else its name.
        city: its English name where there is one.
        asn: the number of the autonomous system.
        organization: who uses the address, else who runs its network.
        domain: of the organisation.
        connection: what kind of network it is.
    """

    country: str | None = None
    region: str | None = None
    city: str | None = None
    asn: int | None = None
    organization: str | None = None
    domain: str | None = None
    connection: Connection | None = None


NOWHERE: Final = Place()


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
        place = NOWHERE if record is None else _place(record)
        return None if place == NOWHERE else place

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


@frozen(kw_only=True)
class GeoEnrichment:
    """Settings of the `geo` enrichment. Several may stand side by side, one for each database: each fills what the others leave empty.

    Attributes:
        database: the path of an ``.mmdb`` file.
        city: whether cities are kept. Off unless asked for: with a small town and a time, few people are left.
    """

    database: str
    city: bool = False

    def open(self) -> GeoEnricher:
        """Open the database.

        Raises:
            ConfigError: it cannot be used.
        """
        return GeoEnricher(Watched.open({"database": self.database}, open_database), city=self.city)


class GeoEnricher:
    """Fills in country, region, connection and, if wanted, city.

    Args:
        database: where addresses are looked up.
        city: whether cities are kept.
    """

    __slots__ = ("_city", "_database")

    def __init__(self, database: Watched[GeoDatabase], *, city: bool = False) -> None:
        self._database = database
        self._city = city

    def columns(self, caller: Caller) -> Mapping[str, Column]:
        """Return what the database knows of the caller's address."""
        place = self._database.value.lookup(caller.address) if caller.address else None
        if place is None:
            return {}
        city = place.city if self._city else None
        return {"country": place.country, "region": place.region, "city": city, "connection": place.connection}

    def refresh(self) -> Refreshed:
        """Open the file that has replaced the database, if one has."""
        return refresh_databases([self._database])

    def close(self) -> None:
        """Close the database."""
        self._database.value.close()


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


def traits_of(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what a record says of the network and its user."""
    # MaxMind and DB-IP put it under "traits" in large databases, and at the top in small ones.
    return {**record, **_mapping(record.get("traits"))}


def _place(record: Mapping[str, Any]) -> Place:
    traits = traits_of(record)
    return Place(
        _country(record),
        _region(record),
        _name(record.get("city")),
        _as_number(traits.get("autonomous_system_number")) or _as_number(traits.get("asn")),
        first_text(traits, "organization", "name", "autonomous_system_organization", "as_name", "isp", "org"),
        first_text(traits, "domain", "as_domain"),
        _connection(traits),
    )


def _country(record: Mapping[str, Any]) -> str | None:
    country = record.get("country")
    # IPinfo's newer files have the name under "country" and the code beside it; its older ones the code.
    for code in (_mapping(country).get("iso_code"), record.get("country_code"), country):
        if isinstance(code, str) and _COUNTRY.fullmatch(code):
            return code.upper()
    return None


def _region(record: Mapping[str, Any]) -> str | None:
    subdivisions = record.get("subdivisions")
    if isinstance(subdivisions, list) and subdivisions:
        # The first is the largest: England before West Berkshire.
        largest = _mapping(subdivisions[0])
        return first_text(largest, "iso_code") or _name(largest)
    return first_text(record, "region_code", "region", "state1")


def _name(place: Any) -> str | None:
    if isinstance(place, str):
        return place.strip() or None
    names = _mapping(_mapping(place).get("names"))
    return first_text(names, "en", *names)


def _connection(traits: Mapping[str, Any]) -> Connection | None:
    return user_type(traits, "user_type", "type", "as_type") or ("hosting" if is_hosting(traits) else line_type(traits))


def user_type(traits: Mapping[str, Any], *keys: str) -> Connection | None:
    """Return who is at the other end by the first of `keys` that says something; "unknown" where it says what nobody knows."""
    user = first_text(traits, *keys)
    return None if user is None else _USERS.get(user.lower(), "unknown")


def is_hosting(traits: Mapping[str, Any]) -> bool:
    """Tell whether a record says that the network is a hosting provider's: True in MaxMind's files, "true" in IPinfo's."""
    return any(str(traits.get(key)).lower() == "true" for key in ("is_hosting_provider", "hosting", "is_hosting"))


def line_type(traits: Mapping[str, Any]) -> Connection | None:
    """Return what the line is made of tells of who is at its end."""
    line = first_text(traits, "connection_type")
    return None if line is None else _LINES.get(line.lower())


def _as_number(value: Any) -> int | None:
    if isinstance(value, str):
        found = _AS_NUMBER.fullmatch(value)
        return int(found[1]) or None if found else None
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def first_text(record: Mapping[str, Any], *keys: str) -> str | None:
    """Return the first of `keys` that holds some text."""
    for key in keys:
        value = record.get(key)
        if isinstance(value, str) and value.strip():
            return value.strip()
    return None


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else _NOBODY
